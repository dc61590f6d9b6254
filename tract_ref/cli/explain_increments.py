"""What `check --v2 --explain` says: regions, what every node reads, what is kept, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tract_ref.cli.explain import refused_report
from tract_ref.cli.target import free_symbol
from tract_ref.dim import sym
from tract_ref.errors import Refused
from tract_ref.ir.model import Node, Outlet
from tract_ref.passes.lookbacks import lookbacks
from tract_ref.passes.pulsify_v1 import RefusedNode
from tract_ref.passes.pulsify_v2 import Increments
from tract_ref.stream.region import AxisRegion
from tract_ref.stream.region_text import reach_text, region_dim, region_text


def print_increments(console: Console, model: Increments) -> None:
    """Print the region of every wire and what is kept of it, then what every node reads."""
    try:
        regions = model.regions()
    except Refused:
        regions = {}
    columns = ("wire", "batch", "axis", "rate", "kept", "frames after s source frames")
    table = Table(*columns, box=None)
    for wire in _wires(model, regions):
        shown = ("wire", "batch", "axis", "rate", "kept", "region")
        table.add_row(*(Text("" if wire[k] is None else str(wire[k])) for k in shown))
    console.print(table)
    reads = Table("  node", "op", "output frame j reads", box=None)
    for node in _nodes(model):
        row = (f"  {node['node']}", node["op"], "; ".join(node["reads"]))
        reads.add_row(*(Text(cell) for cell in row))
    console.print(reads)
    for name, text in _turns(model, regions).items():
        console.print(Text(f"  {name!r} after turn {text}"), soft_wrap=True)


def _wires(
    model: Increments, regions: Mapping[Outlet, AxisRegion]
) -> Iterator[dict[str, str | int | None]]:
    """Yield how each wire streams, in evaluation order."""
    kept = lookbacks(model, regions) if regions else {}
    for node in model.batch.order():
        for slot, fact in enumerate(node.outputs):
            wire = Outlet(node.id, slot)
            stream = model.streams.get(wire)
            if stream is not None:
                yield {
                    "wire": model.batch.wire_name(wire),
                    "batch": str(fact),
                    "axis": stream.axis,
                    "length": str(stream.length),
                    "rate": str(stream.rate),
                    "region": region_text(regions[wire]) if wire in regions else None,
                    "kept": kept.get(wire),
                }


def _nodes(model: Increments) -> Iterator[dict[str, Any]]:
    """Yield what every node that computes reads of its inputs."""
    for node in model.batch.order():
        plan = model.plans.get(node.id)
        if plan is not None and any(reach is not None for reach in plan.inputs):
            yield {"node": node.name, "op": node.op.name, "reads": _reads(model, node)}


def _reads(model: Increments, node: Node) -> list[str]:
    plan = model.plans[node.id]
    pairs = zip(node.inputs, plan.inputs, strict=True)
    name = model.batch.wire_name
    return [reach_text(reach, name(wire)) for wire, reach in pairs if reach is not None]


def _turns(model: Increments, regions: Mapping[Outlet, AxisRegion]) -> dict[str, str]:
    """Return, per output, its region as a dim of the turn T and the pulse P."""
    turn, pulse = free_symbol(model.batch, "T"), free_symbol(model.batch, "P")
    source = (sym(turn) + 1) * sym(pulse)
    found: dict[str, str] = {}
    for name, wire in zip(model.batch.output_names, model.batch.outputs, strict=True):
        if wire in regions:
            try:
                text = str(region_dim(regions[wire], source))
            except Refused as error:
                text = f"no dim: {error}"
            found[name] = f"{turn} of {pulse} source frames: {text}"
    return found


def explained_increments(
    model: Increments | None, refused: tuple[RefusedNode, ...]
) -> dict[str, Any]:
    """Return the same for machines."""
    if model is None:
        return {"wires": [], "nodes": [], "turns": {}, "refused": refused_report(refused)}
    try:
        regions = model.regions()
    except Refused:
        regions = {}
    return {
        "wires": list(_wires(model, regions)),
        "nodes": list(_nodes(model)),
        "turns": _turns(model, regions),
        "refused": refused_report(refused),
    }
