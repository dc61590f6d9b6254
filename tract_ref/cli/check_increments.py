"""`tract-ref check --v2`: prove that a model streams in exact increments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from tract_ref.cli import worst_status
from tract_ref.cli.explain import print_refusals
from tract_ref.cli.explain_increments import explained_increments, print_increments
from tract_ref.cli.proofs import (
    Attempt,
    Options,
    attempt,
    print_errors,
    progress_bar,
    worst_error,
)
from tract_ref.cli.reports import (
    VERDICTS,
    first_report,
    kind_text,
    latency_report,
    latency_text,
    open_console,
    refusal_report,
    where,
)
from tract_ref.cli.target import Target
from tract_ref.passes.lookbacks import refusals_v2
from tract_ref.passes.pulsify_v1 import RefusedNode
from tract_ref.passes.pulsify_v2 import Increments
from tract_ref.prove_increments import Chunks, IncrementRun, IncrementVerdict, prove_increments
from tract_ref.stream.region import AxisRegion
from tract_ref.stream.region_text import region_text


def check_increments(target: Target, cuts: Sequence[Chunks], options: Options) -> int:
    """Run the proof loop for every way to cut the stream, print, return the exit status."""
    attempts = [_attempt(target, chunks, options) for chunks in cuts]
    status = worst_status([attempt.status for attempt in attempts])
    if options.quiet:
        entry = worst_error(attempts, status)
        report = increments_report(target.symbol, attempts, status, entry, explain=options.explain)
        click.echo(json.dumps(report, indent=1))
    else:
        _print(attempts, options.explain)
    print_errors(attempts)
    return status


def _attempt(target: Target, chunks: Chunks, options: Options) -> Attempt[IncrementRun]:
    def listed() -> tuple[RefusedNode, ...]:
        return refusals_v2(target.model, symbol=target.symbol) if options.explain else ()

    return attempt("chunks", chunks, lambda: _run(target, chunks, options), listed)


def _run(target: Target, chunks: Chunks, options: Options) -> IncrementRun:
    with progress_bar(f"chunks {chunks}", quiet=options.quiet) as progress:
        return prove_increments(
            target.model,
            chunks,
            options.inputs(target),
            symbol=target.symbol,
            length=options.drawn_length(target),
            seed=options.seed or 0,
            approx=options.approx(target),
            fast=not options.exact,
            progress=progress,
        )


def _print(attempts: Sequence[Attempt[IncrementRun]], explain: bool) -> None:
    console = open_console()
    for one in attempts:
        run = one.run
        if run is None:
            continue
        if run.refusal is not None:
            console.print(Text(f"chunks {run.chunks}: REFUSED {run.refusal}"), soft_wrap=True)
        else:
            _print_run(console, run)
    # What streams, and why not, does not depend on how the stream is cut.
    streaming, refused = _streaming(attempts)
    if explain and streaming is not None:
        print_increments(console, streaming)
    print_refusals(console, refused)


def _streaming(
    attempts: Sequence[Attempt[IncrementRun]],
) -> tuple[Increments | None, tuple[RefusedNode, ...]]:
    """Return the model as it streams, or every node that is refused by itself."""
    runs = [one.run for one in attempts if one.run is not None]
    found = next((run.increments for run in runs if run.increments is not None), None)
    return found, next((one.refused for one in attempts if one.refused), ())


def _print_run(console: Console, run: IncrementRun) -> None:
    for each in run.outputs:
        console.print(Text(_sentence(run, each)), soft_wrap=True)
        if each.region is not None:
            line = f"  region after s source frames: {region_text(each.region)}"
            console.print(Text(line), soft_wrap=True)
    if run.no_region is not None:
        console.print(Text(f"  no region in closed form: {run.no_region}"), soft_wrap=True)
    console.print(f"  increments {run.pushes}, state at most {run.state_bytes:,} bytes")


def _sentence(run: IncrementRun, each: IncrementVerdict) -> str:
    output = each.output
    head = f"chunks {run.chunks}: output {output.name!r} "
    if output.first is not None:
        return head + f"WRONG: {where(output.first, turn='push')}"
    kind = kind_text(output, run.approx)
    if not output.streams:
        return head + f"{kind}, the same every push"
    late = f"{latency_text(each.latency)}, " if each.latency is not None else ""
    return head + f"{kind}, {late}{output.frames} of {output.expected_frames} samples"


def increments_report(
    symbol: str | None,
    attempts: Sequence[Attempt[IncrementRun]],
    status: int,
    error: dict[str, str] | None,
    *,
    explain: bool = False,
) -> dict[str, Any]:
    """Return everything for machines; `explain` adds what `--explain` prints."""
    streaming, refused = _streaming(attempts)
    return {
        "schema": "tract-ref.check-v2/1",
        "verdict": VERDICTS[status],
        "exit": status,
        "error": error,
        "symbol": streaming.symbol if streaming is not None else symbol,
        "runs": [_run_report(one) for one in attempts],
        **(explained_increments(streaming, refused) if explain else {}),
    }


def _run_report(one: Attempt[IncrementRun]) -> dict[str, Any]:
    run = one.run
    return {
        "chunks": str(one.label),
        "increments": run.pushes if run is not None else 0,
        "source_frames": run.source if run is not None else 0,
        "state_bytes": run.state_bytes if run is not None else None,
        "outputs": [_output_report(each) for each in (run.outputs if run is not None else ())],
        "no_region": str(run.no_region) if run is not None and run.no_region else None,
        "refusal": refusal_report(one.refusal),
    }


def _output_report(each: IncrementVerdict) -> dict[str, Any]:
    output = each.output
    return {
        "name": output.name,
        "verdict": output.verdict,
        "frames": output.frames,
        "expected_frames": output.expected_frames,
        "max_ulp": output.max_ulp,
        "latency": latency_report(each.latency),
        "region": None if each.region is None else _region_report(each.region),
        "first": first_report(output.first, turn="push"),
    }


def _region_report(region: AxisRegion) -> dict[str, Any]:
    """Return a region: from which s on, the least of clauses, each the greatest of ramps."""
    return {
        "text": region_text(region),
        "complete": region.complete,
        "pieces": [
            {
                "from": start,
                "clauses": [
                    [{"step": ramp.step, "offsets": list(ramp.offsets)} for ramp in clause]
                    for clause in count.clauses
                ],
            }
            for start, count in region.pieces
        ],
    }
