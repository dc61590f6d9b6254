"""What `check --explain` says: how every wire streams, where delays come from, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tract_ref.ir.model import Outlet
from tract_ref.passes.delays import DelayStep
from tract_ref.passes.pulsify_v1 import Pulsed, RefusedNode


def print_pulsed(console: Console, pulsed: Pulsed) -> None:
    """Print how every wire streams, then the path that makes the delay of every output."""
    table = Table("wire", "batch", "per turn", "axis", "length", "delay", "rate", box=None)
    for wire in streaming_wires(pulsed):
        table.add_row(*(Text(str(value)) for value in wire.values()))
    console.print(table)
    for name in pulsed.batch.output_names:
        steps = pulsed.explain(name)
        if steps:
            _print_path(console, name, steps)


def _print_path(console: Console, name: str, steps: tuple[DelayStep, ...]) -> None:
    stream = steps[-1].stream
    late = stream.delay / stream.rate
    told = [step for step in steps if step.parts or step.waits]
    rest = f"; others on its path, adding nothing: {len(steps) - len(told)}" if told else ""
    sentence = f"delay of {name!r}: {stream.delay} frames = {late} source frames{rest}"
    console.print(Text(sentence), soft_wrap=True)
    if not told:
        return
    table = Table("  node", "op", "adds", "delay", "source frames", "because", box=None)
    for step in told:
        added = (_signed(step.frames), str(step.stream.delay), _signed(step.source_frames))
        row = (f"  {step.node}", step.op, *added, _reasons(step))
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _reasons(step: DelayStep) -> str:
    """Return why a node adds to the delay, in source frames."""
    reasons = [f"{_signed(part.source_frames)} {part.cause}" for part in step.parts]
    waits = [f"{wire!r} waits {frames} frames for {step.source!r}" for wire, frames in step.waits]
    return "; ".join((*reasons, *waits))


def _signed(frames: Fraction) -> str:
    return f"+{frames}" if frames > 0 else str(frames)


def print_refusals(console: Console, refused: tuple[RefusedNode, ...]) -> None:
    """Print every node that is refused by itself, what would lift it, and what it reads."""
    for found in refused:
        error = found.error
        lines = [f'refused: node "{error.node}" ({error.op}): {error.seen}']
        lines.append(f"  to lift it: {error.remedy}" if error.remedy else "")
        if found.upstream:
            chain = " -> ".join(f"{step.wire} ({step.stream})" for step in found.upstream)
            lines.append(f"  it reads: {chain}")
        if found.behind:
            lines.append(f"  {found.behind} nodes behind it were not judged")
        for line in filter(None, lines):
            console.print(Text(line), soft_wrap=True)


def streaming_wires(pulsed: Pulsed) -> Iterator[dict[str, str | int]]:
    """Yield how each wire streams: its name, facts, axis, length, delay and rate."""
    for node in pulsed.batch.order():
        for slot, fact in enumerate(node.outputs):
            name = pulsed.batch.wire_name(Outlet(node.id, slot))
            wire = pulsed.infos.get(name)
            if wire is not None and wire.stream is not None:
                info = wire.stream
                yield {
                    "wire": name,
                    "batch": str(fact),
                    "per_turn": str(pulsed.model.fact(wire.outlet)),
                    "axis": info.axis,
                    "length": str(info.length),
                    "delay": info.delay,
                    "rate": str(info.rate),
                }


def explained(pulsed: Pulsed | None, refused: tuple[RefusedNode, ...]) -> dict[str, Any]:
    """Return the same for machines; fractions are texts."""
    names = [] if pulsed is None else pulsed.batch.output_names
    return {
        "wires": [] if pulsed is None else list(streaming_wires(pulsed)),
        "delays": {}
        if pulsed is None
        else {name: [_step(step) for step in pulsed.explain(name)] for name in names},
        "refused": refused_report(refused),
    }


def refused_report(refused: tuple[RefusedNode, ...]) -> list[dict[str, Any]]:
    """Return for machines every node that is refused by itself."""
    return [
        {
            "node": found.error.node,
            "op": found.error.op,
            "reason": found.error.seen,
            "remedy": found.error.remedy,
            "upstream": [_step(step) for step in found.upstream],
            "behind": found.behind,
        }
        for found in refused
    ]


def _step(step: DelayStep) -> dict[str, Any]:
    return {
        "node": step.node,
        "op": step.op,
        "wire": step.wire,
        "from": step.source,
        "axis": step.stream.axis,
        "length": str(step.stream.length),
        "rate": str(step.stream.rate),
        "delay": step.stream.delay,
        "adds": str(step.frames),
        "adds_source_frames": str(step.source_frames),
        "parts": [
            {"cause": part.cause, "source_frames": str(part.source_frames)} for part in step.parts
        ],
        "waits": [{"wire": wire, "frames": frames} for wire, frames in step.waits],
    }
