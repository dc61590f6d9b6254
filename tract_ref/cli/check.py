"""`tract-ref check`: prove that a model streams, and say what streaming costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from tract_ref.cli import (
    EXIT_BAD_INPUT,
    EXIT_DIFFERENT,
    EXIT_EQUAL,
    EXIT_INTERNAL,
    EXIT_REFUSED,
    status_of,
    worst_status,
)
from tract_ref.cli.explain import explained, print_pulsed, print_refusals
from tract_ref.cli.target import (
    DEFAULT_PULSE,
    LENGTH,
    PULSE,
    Target,
    model_options,
    open_target,
)
from tract_ref.dim import Dim
from tract_ref.errors import EvalError, TractRefError
from tract_ref.passes.pulsify_v1 import RefusedNode, refusals, whole_pulse
from tract_ref.prove import Divergence, OutputVerdict, Run, prove

_STATUS = {
    "exact": EXIT_EQUAL,
    "within": EXIT_EQUAL,
    "wrong": EXIT_DIFFERENT,
    "refused": EXIT_REFUSED,
    "nothing compared": EXIT_EQUAL,
}


_VERDICTS = {
    EXIT_EQUAL: "equal",
    EXIT_DIFFERENT: "wrong",
    EXIT_REFUSED: "refused",
    EXIT_BAD_INPUT: "bad input",
    EXIT_INTERNAL: "internal",
}
# Piped output has no width of its own; facts of a deep model need more than the default of 80.
_PIPED_WIDTH = 240


@dataclass(frozen=True)
class _Options:
    length: int | None
    seed: int | None
    exact: bool
    explain: bool


@dataclass(frozen=True)
class _Attempt:
    """One pulse: a run, or the error that stopped it."""

    pulse: Dim
    run: Run | None
    error: TractRefError | None
    refused: tuple[RefusedNode, ...] = ()

    @property
    def status(self) -> int:
        if self.run is None:
            return status_of(self.error) if self.error is not None else EXIT_INTERNAL
        return _STATUS[self.run.verdict]


class _Check(click.Command):
    """With --json a usage error is a document too, like every other outcome."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **named: Any) -> Any:
        """Parse the options."""
        as_json = "--json" in args
        try:
            return super().make_context(info_name, args, *rest, **named)
        except click.UsageError as error:
            if as_json:
                _print_usage_error(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.params["as_json"]:
                _print_usage_error(error)
            raise


def _print_usage_error(error: click.UsageError) -> None:
    entry = {
        "class": type(error).__name__,
        "message": error.format_message(),
        "node": "",
        "op": "",
        "remedy": "",
    }
    click.echo(json.dumps(_report(None, [], EXIT_BAD_INPUT, entry), indent=1))


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
@click.option("--length", type=LENGTH, metavar="N", help="Source frames of drawn inputs.")
@click.option("--input", "inputs", type=click.Path(path_type=Path), help="Whole inputs, as .npz.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Seed of drawn inputs, 0 if none."
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
    if inputs is not None and (length is not None or seed is not None):
        raise click.UsageError("--length and --seed are for drawn inputs; leave out --input")
    try:
        target = open_target(model, symbol=symbol, axes=axes, sets=sets, inputs=inputs)
    except TractRefError as error:
        if as_json:
            report = _report(symbol, [], status_of(error), _error_report(error))
            click.echo(json.dumps(report, indent=1))
        raise
    options = _Options(length, seed, exact, explain)
    chosen = pulses or target.pulses or (_default_pulse(target),)
    attempts = [_attempt(target, pulse, options, quiet=as_json) for pulse in chosen]
    status = worst_status([attempt.status for attempt in attempts])
    if as_json:
        worst = next((a.error for a in attempts if a.error and a.status == status), None)
        entry = None if worst is None else _error_report(worst)
        report = _report(target.symbol, attempts, status, entry, explain=explain)
        click.echo(json.dumps(report, indent=1))
    else:
        _print(attempts, explain)
    # Most errors are about the model or its inputs and come once per pulse.
    for message in dict.fromkeys(_message(attempt.error) for attempt in attempts if attempt.error):
        click.echo(message, err=True)
    return status


def _message(error: TractRefError) -> str:
    return f"{type(error).__name__}: {error}"


def _attempt(target: Target, pulse: Dim, options: _Options, *, quiet: bool) -> _Attempt:
    try:
        run = _run(target, pulse, options, quiet=quiet)
        wanted = options.explain and run.refusal is not None
        refused = refusals(target.model, pulse, symbol=target.symbol) if wanted else ()
        return _Attempt(pulse, run, None, refused)
    except TractRefError as error:
        return _Attempt(pulse, None, error)
    except MemoryError as error:
        remedy = "use a smaller --pulse, a shorter --length or a smaller --input"
        asked = f": {error}" if str(error) else ""
        seen = f"pulse={pulse} frames: out of memory{asked}"
        return _Attempt(pulse, None, EvalError(seen, stage="run", remedy=remedy))


def _run(target: Target, pulse: Dim, options: _Options, *, quiet: bool) -> Run:
    console = Console(stderr=True)
    drawn = options.length is not None or options.seed is not None
    # Bits are promised of the plain definitions only; fast kernels may add in another order.
    approx = "close" if target.approx == "exact" else target.approx
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(f"pulse {pulse}", total=None)
        return prove(
            target.model,
            pulse,
            None if drawn else target.inputs,
            symbol=target.symbol,
            length=options.length if options.length is not None else target.length,
            seed=options.seed or 0,
            approx="exact" if options.exact else approx,
            fast=not options.exact,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _print(attempts: list[_Attempt], explain: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPED_WIDTH)
    for attempt in attempts:
        run = attempt.run
        if run is None:
            continue
        if run.refusal is not None:
            console.print(Text(f"pulse {run.pulse}: REFUSED {run.refusal}"), soft_wrap=True)
            print_refusals(console, attempt.refused)
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
        return head + f"WRONG: {_where(output.first)}; delay {output.delay} samples"
    kind: str = output.verdict
    if output.verdict == "within":
        kind = f"within tolerance {run.approx!r} ({output.max_ulp} ULP at most)"
    if not output.streams:
        return head + f"{kind}, the same every turn"
    counted = f"{output.frames} of {output.expected_frames} samples"
    return head + f"{kind}, delay {output.delay} samples, {counted}"


def _where(first: Divergence) -> str:
    if first.reason:
        return f"wire {first.wire!r}: {first.reason}"
    return (
        f"wire {first.wire!r} at pulse {first.pulse}, index {list(first.index)}: "
        f"batch {first.batch!r}, streamed {first.streamed!r} ({first.ulps} ULP)"
        + (f"; {first.note}" if first.note else "")
    )


def _report_explained(attempt: _Attempt) -> dict[str, Any]:
    pulsed = attempt.run.pulsed if attempt.run is not None else None
    return explained(pulsed, attempt.refused)


def _error_report(error: TractRefError) -> dict[str, str]:
    return {
        "class": type(error).__name__,
        "message": str(error),
        "node": error.node,
        "op": error.op,
        "remedy": error.remedy,
    }


def _report(
    symbol: str | None,
    attempts: list[_Attempt],
    status: int,
    error: dict[str, str] | None,
    *,
    explain: bool = False,
) -> dict[str, Any]:
    runs = [attempt.run for attempt in attempts]
    first = next((run for run in runs if run is not None and run.pulsed is not None), None)
    return {
        "schema": "tract-ref.check/1",
        "verdict": _VERDICTS[status],
        "exit": status,
        "error": error,
        "symbol": first.pulsed.symbol if first and first.pulsed else symbol,
        "receptive_field": first.receptive_field if first else None,
        "state_bytes": first.state_bytes if first else None,
        "runs": [
            {**_run_report(attempt), **(_report_explained(attempt) if explain else {})}
            for attempt in attempts
        ],
    }


def _run_report(attempt: _Attempt) -> dict[str, Any]:
    refusal = attempt.error if attempt.run is None else attempt.run.refusal
    return {
        "pulse": attempt.pulse if isinstance(attempt.pulse, int) else str(attempt.pulse),
        "outputs": [
            {
                "name": output.name,
                "verdict": output.verdict,
                "delay": output.delay,
                "frames": output.frames,
                "expected_frames": output.expected_frames,
                "max_ulp": output.max_ulp,
                "first": _first_report(output.first),
            }
            for output in (attempt.run.outputs if attempt.run is not None else ())
        ],
        "refusal": None
        if refusal is None
        else {
            "message": str(refusal),
            "node": refusal.node,
            "op": refusal.op,
            "reason": refusal.seen,
            "remedy": refusal.remedy,
        },
    }


def _first_report(first: Divergence | None) -> dict[str, Any] | None:
    if first is None:
        return None
    return {
        "wire": first.wire,
        "pulse": first.pulse,
        "index": list(first.index),
        "batch": None if first.batch is None else str(first.batch),
        "streamed": None if first.streamed is None else str(first.streamed),
    }
