"""`tract-ref stream`: run a model as a user would, and tell how late frames come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tract_ref.cli import EXIT_BAD_INPUT, EXIT_EQUAL, status_of
from tract_ref.cli.proofs import ReportingCommand
from tract_ref.cli.reports import (
    error_report,
    latency_report,
    latency_text,
    usage_error_report,
)
from tract_ref.cli.stream_files import Port, Sink, WavSource, is_wav, open_sink, unwritable
from tract_ref.cli.target import (
    DEFAULT_PULSE,
    MOST_FRAMES,
    Target,
    model_options,
    open_target,
)
from tract_ref.drawing import require_bound, source_frames
from tract_ref.errors import EvalError, TractRefError
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model
from tract_ref.latency import Latency, LatencyCount
from tract_ref.passes.pulsify_v1 import pulsify
from tract_ref.passes.pulsify_v2 import increments
from tract_ref.prove import regular_chunks
from tract_ref.prove_increments import feeds
from tract_ref.runtime.increments import IncrementSession
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.state import Session


class _Stream(ReportingCommand):
    def usage_report(self, error: click.UsageError, words: Sequence[str]) -> Mapping[str, Any]:
        """Return the document without a run."""
        return _report(None, usage_error_report(error), EXIT_BAD_INPUT)


@click.command(cls=_Stream)
@model_options
@click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path),
    help="Frames to read, .npz or .wav.  [default: the case's]",
)
@click.option(
    "--chunk",
    type=click.IntRange(1, MOST_FRAMES),
    metavar="N",
    help="Source frames per push.  [default: the first of the case's pulses, else "
    f"{DEFAULT_PULSE}]",
)
@click.option(
    "--output",
    metavar="FILE|-",
    help="Where outputs go: .npz, .wav (bits as those of the input, else 16), or - for raw "
    "little-endian frames on standard output.",
)
@click.option("--v1", is_flag=True, help="Run fixed pulses of --chunk frames instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def stream(
    model: Path,
    symbol: str | None,
    axes: tuple[str, ...],
    sets: tuple[str, ...],
    inputs: Path | None,
    chunk: int | None,
    output: str | None,
    v1: bool,
    as_json: bool,
) -> int:
    """Run MODEL chunk by chunk: read frames, push them, write what became available.

    In exact increments, every frame comes with the chunk that makes it computable. Of a .wav,
    samples are in [-1, 1] and channels are the other axis of the input.

    Latency is told in samples of the input: those received when a frame was written, less those
    at whose end it stands.
    """
    _check_output(output, inputs, as_json)
    try:
        sound = inputs is not None and is_wav(inputs)
        arrays = None if sound else inputs
        target = open_target(model, symbol=symbol, axes=axes, sets=sets, inputs=arrays)
        if inputs is None and target.inputs is None:
            raise click.UsageError("the model's folder has no io.npz: give frames with --input")
        size = chunk if chunk is not None else next(iter(target.pulses), DEFAULT_PULSE)
        run = _run(target, size, v1, inputs if sound else None, output, quiet=as_json)
    except TractRefError as error:
        if as_json:
            click.echo(json.dumps(_report(None, error_report(error), status_of(error)), indent=1))
        raise
    if as_json:
        click.echo(json.dumps(_report(run, None, EXIT_EQUAL), indent=1))
    return EXIT_EQUAL


def _check_output(output: str | None, inputs: Path | None, as_json: bool) -> None:
    """Decline outputs that cannot be written, or would overwrite what is read.

    Raises:
        click.UsageError: says which.
    """
    if output is None:
        return
    if output == "-":
        if as_json:
            raise click.UsageError("--json and --output - both write to standard output")
    elif not is_wav(Path(output)) and Path(output).suffix != ".npz":
        raise click.UsageError(f"--output {output} is neither .npz nor .wav nor -")
    elif inputs is not None and Path(output).absolute() == inputs.absolute():
        raise click.UsageError(f"--output {output} is what --input reads")


@dataclass
class _Run:
    """A session, and what it gave so far.

    Attributes:
        session: of exact increments, or of fixed pulses.
        batch: the model that its wires are named after.
        symbol: the stream symbol.
        chunk: source frames per push.
        inputs: of the model.
        outputs: of the model.
        late: latencies per streaming output.
        received: source frames so far.
        steps: one entry per increment.
        state_bytes: the most that was kept between two pushes.
        clipped: samples that did not fit into what was written.
    """

    session: IncrementSession | Session
    batch: Model
    symbol: str
    chunk: int
    inputs: list[Port]
    outputs: list[Port]
    late: dict[str, LatencyCount]
    received: int = 0
    steps: list[_Step] = field(default_factory=list["_Step"])
    state_bytes: int = 0
    clipped: int = 0

    @property
    def mode(self) -> str:
        """How it runs."""
        return "pulses" if isinstance(self.session, Session) else "increments"


@dataclass(frozen=True)
class _Step:
    """One increment: source frames received; frames and their latency, per streaming output."""

    received: int
    ended: bool
    emitted: dict[str, tuple[int, Latency | None]]


def _run(
    target: Target, chunk: int, v1: bool, sound: Path | None, output: str | None, *, quiet: bool
) -> _Run:
    try:
        run = _open(target, chunk, v1)
        _stream(run, target, sound, output, quiet=quiet)
    except MemoryError as error:
        seen = f"chunk={chunk} frames: out of memory" + (f": {error}" if str(error) else "")
        raise EvalError(seen, stage="run", remedy="use a smaller --chunk") from None
    return run


def _open(target: Target, chunk: int, v1: bool) -> _Run:
    if v1:
        pulsed = pulsify(target.model, chunk, symbol=target.symbol)
        batch, symbol = pulsed.batch, pulsed.symbol
        require_bound(batch, symbol)
        streams = {wire.batch: wire.stream for wire in pulsed.infos.values()}
        session: Session | IncrementSession = Plan(pulsed.model).session()
    else:
        exact = increments(target.model, symbol=target.symbol)
        batch, symbol, streams = exact.batch, exact.symbol, exact.streams
        require_bound(batch, symbol)
        session = exact.session()
    inputs = [
        Port(name, batch.fact(wire), streams.get(wire))
        for name, wire in zip(batch.input_names, batch.inputs, strict=True)
    ]
    outputs = [
        Port(name, batch.fact(wire), streams.get(wire))
        for name, wire in zip(batch.output_names, batch.outputs, strict=True)
    ]
    late = {p.name: LatencyCount(p.stream.rate) for p in outputs if p.stream is not None}
    return _Run(session, batch, symbol, chunk, inputs, outputs, late)


def _stream(
    run: _Run, target: Target, sound: Path | None, output: str | None, *, quiet: bool
) -> None:
    """Feed everything and write everything."""
    source = WavSource(sound, run.inputs) if sound is not None else None
    try:
        fed = source.feeds(run.chunk) if source is not None else _arrays(run, target.inputs or {})
        sink = open_sink(output, run.outputs, source)
        try:
            _pump(run, fed, sink, quiet=quiet, to_stderr=output == "-")
        except OSError as error:
            raise unwritable(output, error) from None
        finally:
            _close(sink, output)
        run.clipped = sink.clipped
    finally:
        if source is not None:
            source.close()
    if not quiet:
        for line in _summary(run):
            click.echo(line, err=output == "-")


def _close(sink: Sink, output: str | None) -> None:
    try:
        sink.close()
    except OSError as error:
        raise unwritable(output, error) from None


def _arrays(run: _Run, inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the chunks of whole inputs."""
    total = source_frames(run.batch, run.symbol, inputs)
    streams = {port.name: port.stream for port in run.inputs}
    return feeds(streams, run.symbol, inputs, regular_chunks(total, run.chunk))


def _pump(
    run: _Run, fed: Iterator[dict[str, Tensor]], sink: Sink, *, quiet: bool, to_stderr: bool
) -> None:
    """Push every chunk, write what it gave at once, then what the end gives."""

    def take(results: Mapping[str, Tensor], *, ended: bool) -> None:
        sink.write(results)
        step = _step(run, results, ended=ended)
        run.steps.append(step)
        run.state_bytes = max(run.state_bytes, 0 if ended else run.session.state_bytes)
        if not quiet:
            click.echo(_step_text(run, step), err=to_stderr)

    name, stream = next((p.name, p.stream) for p in run.inputs if p.stream is not None)
    frames = 0
    for feed in fed:
        results = run.session.push(feed)
        frames += feed[name].shape[stream.axis]
        run.received = int(frames / stream.rate)
        take(results, ended=False)
    take(run.session.finish(), ended=True)


def _step(run: _Run, results: Mapping[str, Tensor], *, ended: bool) -> _Step:
    emitted: dict[str, tuple[int, Latency | None]] = {}
    for port in run.outputs:
        if port.stream is not None:
            frames = results[port.name].shape[port.stream.axis]
            emitted[port.name] = frames, run.late[port.name].add(run.received, frames)
    return _Step(run.received, ended, emitted)


def _step_text(run: _Run, step: _Step) -> str:
    parts = [
        f"{name} +{frames}" + (f", {latency_text(latency)}" if latency is not None else "")
        for name, (frames, latency) in step.emitted.items()
    ]
    head = "end after" if step.ended else "received"
    return f"{head} {step.received}: {'; '.join(parts)}"


def _summary(run: _Run) -> Iterator[str]:
    pushes = len(run.steps) - 1
    for name, late in run.late.items():
        told = f", {latency_text(late.all)}" if late.all is not None else ""
        yield f"output {name!r}: {late.frames} samples{told}"
    yield (
        f"{run.mode} of {run.chunk}: {pushes} pushes, {run.received} samples received, "
        f"state at most {run.state_bytes:,} bytes"
    )
    if run.clipped:
        yield f"{run.clipped} samples were outside [-1, 1] and were clipped"


def _report(run: _Run | None, error: dict[str, str] | None, status: int) -> dict[str, Any]:
    return {
        "schema": "tract-ref.stream/1",
        "exit": status,
        "error": error,
        "symbol": run.symbol if run is not None else None,
        "mode": run.mode if run is not None else None,
        "chunk": run.chunk if run is not None else None,
        "received": run.received if run is not None else None,
        "state_bytes": run.state_bytes if run is not None else None,
        "clipped": run.clipped if run is not None else None,
        "increments": [_step_report(step) for step in run.steps] if run is not None else [],
        "outputs": [
            {"name": name, "frames": late.frames, "latency": latency_report(late.all)}
            for name, late in run.late.items()
        ]
        if run is not None
        else [],
    }


def _step_report(step: _Step) -> dict[str, Any]:
    return {
        "received": step.received,
        "ended": step.ended,
        "outputs": {
            name: {"frames": frames, "latency": latency_report(latency)}
            for name, (frames, latency) in step.emitted.items()
        },
    }
