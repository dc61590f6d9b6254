"""`tract-ref check`: prove that a model streams, and say what streaming costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from tract_ref.cli import EXIT_BAD_INPUT, status_of, worst_status
from tract_ref.cli.check_increments import check_increments, increments_report
from tract_ref.cli.explain import explained, print_pulsed, print_refusals
from tract_ref.cli.proofs import (
    Attempt,
    Options,
    ReportingCommand,
    attempt,
    print_errors,
    progress_bar,
    worst_error,
)
from tract_ref.cli.reports import (
    VERDICTS,
    error_report,
    first_report,
    kind_text,
    open_console,
    refusal_report,
    usage_error_report,
    where,
)
from tract_ref.cli.target import (
    CHUNKS,
    DEFAULT_PULSE,
    LENGTH,
    PULSE,
    Target,
    model_options,
    open_target,
)
from tract_ref.dim import Dim
from tract_ref.errors import TractRefError
from tract_ref.passes.pulsify_v1 import RefusedNode, refusals, whole_pulse
from tract_ref.prove import Run, prove
from tract_ref.prove_increments import Chunks
from tract_ref.verdict import OutputVerdict


class _Check(ReportingCommand):
    def usage_report(self, error: click.UsageError, words: Sequence[str]) -> Mapping[str, Any]:
        """Return the document of the pulsifier that is asked for."""
        report = increments_report if "--v2" in words else _report
        return report(None, (), EXIT_BAD_INPUT, usage_error_report(error))


@click.command(cls=_Check)
@model_options
@click.option(
    "--pulse",
    "pulses",
    multiple=True,
    type=PULSE,
    metavar="P",
    help="Source frames per turn, or P or 2*P for turns of any size; may be repeated.  "
    "[default: the case's pulses, else "
    f"{DEFAULT_PULSE}]",
)
@click.option(
    "--v2",
    is_flag=True,
    help="Push by push instead: exact increments, turns of any size, no delay.",
)
@click.option(
    "--chunks",
    type=CHUNKS,
    metavar="N,N,..|random",
    help="With --v2: source frames per push, over and over.  [default: those of --pulse]",
)
@click.option("--length", type=LENGTH, metavar="N", help="Source frames of drawn inputs.")
@click.option("--input", "inputs", type=click.Path(path_type=Path), help="Whole inputs, as .npz.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    help="Seed of drawn inputs and random chunks, 0 if none.",
)
@click.option(
    "--exact", is_flag=True, help="Run every op's plain definition and demand equality of bits."
)
@click.option("--explain", is_flag=True, help="Print how every wire streams, and why so late.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def check(
    model: Path,
    symbol: str | None,
    axes: tuple[str, ...],
    sets: tuple[str, ...],
    pulses: tuple[Dim, ...],
    v2: bool,
    chunks: tuple[int, ...] | None,
    length: int | None,
    inputs: Path | None,
    seed: int | None,
    exact: bool,
    explain: bool,
    as_json: bool,
) -> int:
    """Prove that MODEL streams: run it whole and pulse by pulse, and compare.

    MODEL is an NNEF folder or archive, or an ONNX file. A folder's case.toml and io.npz supply
    symbol, pulses, length and inputs unless an option says otherwise.
    """
    _check_options(pulses, v2, chunks, length, inputs, seed)
    try:
        target = open_target(model, symbol=symbol, axes=axes, sets=sets, inputs=inputs)
    except TractRefError as error:
        if as_json:
            empty = increments_report if v2 else _report
            report = empty(symbol, (), status_of(error), error_report(error))
            click.echo(json.dumps(report, indent=1))
        raise
    if inputs is not None and chunks == ():
        # The seed is that of the chunks then.
        options, cut = Options(length, None, exact, explain, as_json), Chunks((), seed or 0)
        return check_increments(target, (cut,), options)
    options = Options(length, seed, exact, explain, as_json)
    if v2:
        return check_increments(target, _cuts(target, pulses, chunks, seed or 0), options)
    chosen = pulses or target.pulses or (_default_pulse(target),)
    attempts = [_attempt(target, pulse, options) for pulse in chosen]
    status = worst_status([attempt.status for attempt in attempts])
    if as_json:
        entry = worst_error(attempts, status)
        report = _report(target.symbol, attempts, status, entry, explain=explain)
        click.echo(json.dumps(report, indent=1))
    else:
        _print(attempts, explain)
    print_errors(attempts)
    return status


def _check_options(
    pulses: tuple[Dim, ...],
    v2: bool,
    chunks: tuple[int, ...] | None,
    length: int | None,
    inputs: Path | None,
    seed: int | None,
) -> None:
    """Decline options that say nothing together, rather than drop one of them.

    Raises:
        click.UsageError: names the two.
    """
    if inputs is not None and (length is not None or (seed is not None and chunks != ())):
        raise click.UsageError("--length and --seed are for drawn inputs; leave out --input")
    if chunks is not None and not v2:
        raise click.UsageError("--chunks are those of exact increments: add --v2")
    if chunks is not None and pulses:
        raise click.UsageError("--pulse and --chunks both cut the stream: choose one")
    if v2 and not all(isinstance(pulse, int) for pulse in pulses):
        raise click.UsageError("--v2 pushes numbers of frames; for many sizes use --chunks random")


def _cuts(
    target: Target, pulses: tuple[Dim, ...], chunks: tuple[int, ...] | None, seed: int
) -> tuple[Chunks, ...]:
    """Return how the stream is cut, one run each."""
    if chunks is not None:
        return (Chunks(chunks, seed),)
    sizes = [pulse for pulse in pulses or target.pulses if isinstance(pulse, int)]
    return tuple(Chunks((size,)) for size in sizes or (DEFAULT_PULSE,))


def _attempt(target: Target, pulse: Dim, options: Options) -> Attempt[Run]:
    def listed() -> tuple[RefusedNode, ...]:
        if not options.explain:
            return ()
        return refusals(target.model, pulse, symbol=target.symbol)

    return attempt("pulse", pulse, lambda: _run(target, pulse, options), listed)


def _run(target: Target, pulse: Dim, options: Options) -> Run:
    with progress_bar(f"pulse {pulse}", quiet=options.quiet) as progress:
        return prove(
            target.model,
            pulse,
            options.inputs(target),
            symbol=target.symbol,
            length=options.drawn_length(target),
            seed=options.seed or 0,
            approx=options.approx(target),
            fast=not options.exact,
            progress=progress,
        )


def _print(attempts: Sequence[Attempt[Run]], explain: bool) -> None:
    console = open_console()
    for one in attempts:
        run = one.run
        if run is None:
            continue
        if run.refusal is not None:
            console.print(Text(f"pulse {run.pulse}: REFUSED {run.refusal}"), soft_wrap=True)
            print_refusals(console, one.refused)
            continue
        for output in run.outputs:
            console.print(Text(_sentence(run, output)), soft_wrap=True)
        console.print(
            f"  receptive field {_field(run.receptive_field)}, state {run.state_bytes:,} bytes"
        )
        if explain and run.pulsed is not None:
            print_pulsed(console, run.pulsed)


def _default_pulse(target: Target) -> int:
    """Return a pulse of about DEFAULT_PULSE frames that suits the model's strides."""
    return whole_pulse(target.model, symbol=target.symbol, least=DEFAULT_PULSE)


def _field(samples: int | None) -> str:
    return "unbounded (a recurrence)" if samples is None else f"{samples} samples"


def _sentence(run: Run, output: OutputVerdict) -> str:
    head = f"pulse {run.pulse}: output {output.name!r} "
    if output.first is not None:
        return head + f"WRONG: {where(output.first)}; delay {output.delay} samples"
    kind = kind_text(output, run.approx)
    if not output.streams:
        return head + f"{kind}, the same every turn"
    counted = f"{output.frames} of {output.expected_frames} samples"
    return head + f"{kind}, delay {output.delay} samples, {counted}"


def _report_explained(one: Attempt[Run]) -> dict[str, Any]:
    pulsed = one.run.pulsed if one.run is not None else None
    return explained(pulsed, one.refused)


def _report(
    symbol: str | None,
    attempts: Sequence[Attempt[Run]],
    status: int,
    error: dict[str, str] | None,
    *,
    explain: bool = False,
) -> dict[str, Any]:
    runs = [one.run for one in attempts]
    first = next((run for run in runs if run is not None and run.pulsed is not None), None)
    return {
        "schema": "tract-ref.check/1",
        "verdict": VERDICTS[status],
        "exit": status,
        "error": error,
        "symbol": first.pulsed.symbol if first and first.pulsed else symbol,
        "receptive_field": first.receptive_field if first else None,
        "state_bytes": first.state_bytes if first else None,
        "runs": [
            {**_run_report(one), **(_report_explained(one) if explain else {})} for one in attempts
        ],
    }


def _run_report(one: Attempt[Run]) -> dict[str, Any]:
    return {
        "pulse": one.label if isinstance(one.label, int) else str(one.label),
        "outputs": [
            {
                "name": output.name,
                "verdict": output.verdict,
                "delay": output.delay,
                "frames": output.frames,
                "expected_frames": output.expected_frames,
                "max_ulp": output.max_ulp,
                "first": first_report(output.first),
            }
            for output in (one.run.outputs if one.run is not None else ())
        ],
        "refusal": refusal_report(one.refusal),
    }
