"""The proof loop of exact increments: run a model whole and push by push, and compare.

Nothing is cut from what the pushes give: joined, it is the batch output. After every push each
output must have given as many frames as its region tells in closed form. When values part, the
increments run again with every streaming wire an output, and the first wire (in evaluation order)
that is not its batch value is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, cycle

import numpy as np

from tract_ref.approx import Comparison, compare
from tract_ref.dim import evaluate
from tract_ref.drawing import admitted_length, inputs_for, require_bound, source_frames
from tract_ref.errors import Inconclusive, Refused
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model, Outlet
from tract_ref.latency import Latency, LatencyCount
from tract_ref.passes.lookbacks import field_frames
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.prove import Progress
from tract_ref.runtime.plan import Plan
from tract_ref.stream.fact import Linear
from tract_ref.stream.region import AxisRegion
from tract_ref.verdict import (
    DECLUTTER_CHANGES,
    Divergence,
    Kind,
    OutputVerdict,
    divergence,
    kept_values,
    kind_of,
    named_wires,
    worst_kind,
)

# Drawn streams are this many frames longer than what the windows span and three chunks.
_MORE = 41


@dataclass(frozen=True)
class Chunks:
    """How a stream is cut into pushes.

    Attributes:
        sizes: source frames per push, over and over; empty for random ones.
        seed: of random sizes.
    """

    sizes: tuple[int, ...]
    seed: int = 0

    def __str__(self) -> str:
        """Print as the option is written."""
        return ",".join(str(size) for size in self.sizes) or "random"

    def cut(self, total: int) -> list[int]:
        """Return the sizes of the pushes of `total` source frames; the last one may be smaller."""
        found: list[int] = []
        for size in cycle(self.sizes) if self.sizes else self._random(total):
            if total <= 0:
                return found
            found.append(min(size, total))
            total -= found[-1]
        return found

    def _random(self, total: int) -> Iterator[int]:
        """Yield sizes of every order of magnitude alike, empty pushes among them."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield int(rng.integers(1 << int(rng.integers(total.bit_length() + 1))))


@dataclass(frozen=True)
class IncrementVerdict:
    """The verdict on one output.

    Attributes:
        output: values, as of fixed pulses; its delay is 0.
        latency: how late the frames came, in source frames; None for none.
        region: the frames that are there after s source frames; None for an output that does not
            stream, or where there is no closed form.
    """

    output: OutputVerdict
    latency: Latency | None
    region: AxisRegion | None


@dataclass(frozen=True)
class IncrementRun:
    """One way to cut the stream: verdicts, or the refusal.

    Attributes:
        chunks: how the stream was cut.
        outputs: one verdict per output; empty when refused.
        refusal: why the model cannot stream.
        pushes: how many increments there were, the one at the end not counted.
        source: source frames of the whole stream.
        state_bytes: the most bytes of samples kept between two pushes.
        increments: the model as it streams.
        no_region: why there are no regions in closed form.
        approx: the named tolerance that was asked for.
    """

    chunks: Chunks
    outputs: tuple[IncrementVerdict, ...]
    refusal: Refused | Inconclusive | None
    pushes: int = 0
    source: int = 0
    state_bytes: int = 0
    increments: Increments | None = None
    no_region: Refused | None = None
    approx: str = "close"

    @property
    def verdict(self) -> Kind:
        """The worst verdict of the outputs."""
        if self.refusal is not None:
            return "refused"
        return worst_kind(each.output.verdict for each in self.outputs)


def frames_of(stream: Linear, symbol: str, source: int, total: int) -> int:
    """Return how many frames of an input belong to the first `source` of `total` source frames."""
    length = evaluate(stream.length, {symbol: total})
    if source >= total:
        return length
    return min(length, source * stream.rate.numerator // stream.rate.denominator)


def feeds(
    streams: Mapping[str, Linear | None],
    symbol: str,
    inputs: Mapping[str, Tensor],
    chunks: Sequence[int],
) -> Iterator[dict[str, Tensor]]:
    """Yield what each push is fed; a stream without a frame is one empty push.

    Args:
        streams: how each input streams.
        symbol: the stream symbol.
        inputs: whole inputs.
        chunks: source frames per push, all of them together the stream.
    """
    total, done = sum(chunks), 0
    for chunk in chunks or (0,):
        feed: dict[str, Tensor] = {}
        for name, stream in streams.items():
            if stream is None:
                feed[name] = inputs[name]
                continue
            start = frames_of(stream, symbol, done, total) if done else 0
            stop = frames_of(stream, symbol, done + chunk, total)
            feed[name] = inputs[name][(*(slice(None),) * stream.axis, slice(start, stop))]
        done += chunk
        yield feed


def prove_increments(
    model: Model,
    chunks: Chunks,
    inputs: Mapping[str, Tensor] | None = None,
    *,
    symbol: str | None = None,
    length: int | None = None,
    seed: int = 0,
    approx: str = "close",
    fast: bool = True,
    progress: Progress | None = None,
) -> IncrementRun:
    """Run a model whole and in exact increments, and compare.

    Args:
        model: a batch model.
        chunks: how the stream is cut into pushes.
        inputs: whole inputs; drawn when None.
        symbol: the stream symbol; by default the only symbol of the inputs.
        length: length of drawn inputs, in source frames; by default what the windows span and a
            few chunks more, as far as the assertions about the symbol admit it.
        seed: of the drawn inputs.
        approx: named tolerance.
        fast: run the batch model with the fast kernels; False runs every op's `eval`, as the
            increments always do, where the two are equal bit for bit.
        progress: called while chunks are fed.

    Returns:
        The run; a refusal is part of it, not an exception.

    Raises:
        EvalError: the inputs do not fit the model, or a symbol besides the stream's is not set.
        InvalidModel: there is not one stream symbol.
    """
    try:
        streaming = increments(model, symbol=symbol)
    except (Refused, Inconclusive) as refusal:
        return IncrementRun(chunks, (), refusal)
    batch, name = streaming.batch, streaming.symbol
    require_bound(batch, name)
    if inputs is None:
        size = field_frames(streaming) + 3 * max(chunks.sizes, default=0) + _MORE
        size = admitted_length(batch.scope, name, size) if length is None else length
        inputs = inputs_for(batch, name, size, seed=seed)
    trial = _Trial(model, streaming, inputs, source_frames(batch, name, inputs), approx, fast)
    return _proved(trial, chunks, progress)


@dataclass(frozen=True)
class _Trial:
    """What is on trial: the model as given, as it streams, whole inputs of `source` frames."""

    model: Model
    streaming: Increments
    inputs: Mapping[str, Tensor]
    source: int
    approx: str
    fast: bool


def _proved(trial: _Trial, chunks: Chunks, progress: Progress | None) -> IncrementRun:
    """Run both, compare every output."""
    model = trial.streaming
    cut = chunks.cut(trial.source)
    played = _play(trial, model, cut, progress)
    try:
        regions, no_region = model.regions(), None
    except Refused as error:
        regions, no_region = {}, error
    # The model as it was given, not what the passes made of it: they are on trial as well.
    symbols = {model.symbol: trial.source}
    expected = Plan(trial.model, fast=trial.fast).run(trial.inputs, symbols=symbols)
    verdicts = tuple(
        _verdict(trial, played, slot, regions.get(model.batch.outputs[slot]), expected[name], cut)
        for slot, name in enumerate(model.batch.output_names)
    )
    return IncrementRun(
        chunks,
        verdicts,
        None,
        len(cut),
        trial.source,
        played.state_bytes,
        model,
        no_region,
        trial.approx,
    )


@dataclass(frozen=True)
class _Played:
    """What the pushes of one session gave.

    Attributes:
        values: per output, joined.
        received: source frames received after each push; the last entry is that of the end.
        given: per output, frames given after each push.
        state_bytes: the most bytes kept after a push.
    """

    values: dict[str, Tensor]
    received: list[int]
    given: dict[str, list[int]]
    state_bytes: int


def _play(
    trial: _Trial, model: Increments, chunks: list[int], progress: Progress | None = None
) -> _Played:
    batch = model.batch
    axes = {
        name: stream.axis if (stream := model.streams.get(wire)) is not None else -1
        for name, wire in zip(batch.output_names, batch.outputs, strict=True)
    }
    session = model.session()
    parts: dict[str, list[Tensor]] = {name: [] for name in axes}
    given: dict[str, list[int]] = {name: [] for name in axes}
    received: list[int] = []
    most = 0

    def take(results: Mapping[str, Tensor], source: int) -> None:
        for name, axis in axes.items():
            if axis < 0:
                parts[name].clear()
            parts[name].append(results[name])
            before = given[name][-1] if given[name] else 0
            given[name].append(before + (results[name].shape[axis] if axis >= 0 else 0))
        received.append(source)

    known = dict(zip(batch.input_names, map(model.streams.get, batch.inputs), strict=True))
    sources = tuple(accumulate(chunks)) or (0,)
    fed = feeds(known, model.symbol, trial.inputs, chunks)
    for number, (feed, done) in enumerate(zip(fed, sources, strict=True)):
        take(session.push(feed), done)
        most = max(most, session.state_bytes)
        if progress is not None:
            progress(number + 1, len(chunks))
    take(session.finish(), trial.source)
    values = {
        name: np.concatenate(parts[name], axis) if axis >= 0 else parts[name][-1]
        for name, axis in axes.items()
    }
    return _Played(values, received, given, most)


def _verdict(
    trial: _Trial,
    played: _Played,
    slot: int,
    region: AxisRegion | None,
    batch: Tensor,
    chunks: list[int],
) -> IncrementVerdict:
    model = trial.streaming
    name = model.batch.output_names[slot]
    stream = model.streams.get(model.batch.outputs[slot])
    value = played.values[name]
    axis = stream.axis if stream is not None else -1
    result = compare(value, batch, approx=trial.approx)
    kind, first = kind_of(result, batch), None
    if kind == "wrong":
        first = _locate(trial, chunks, name, axis, result)
    else:
        first = _off_region(trial, played, name, region)
        kind = kind if first is None else "wrong"
    output = OutputVerdict(
        name,
        kind,
        0,
        value.shape[axis] if axis >= 0 else 0,
        batch.shape[axis] if axis >= 0 else 0,
        result.max_ulp,
        first,
        axis >= 0,
    )
    latency = None if stream is None else _latency(stream, played, name)
    return IncrementVerdict(output, latency, region)


def _latency(stream: Linear, played: _Played, name: str) -> Latency | None:
    counted = LatencyCount(stream.rate)
    for received, frames in zip(played.received, played.given[name], strict=True):
        counted.add(received, frames - counted.frames)
    return counted.all


def _off_region(
    trial: _Trial, played: _Played, name: str, region: AxisRegion | None
) -> Divergence | None:
    """Return the first push after which an output had not given what its region tells."""
    if region is None:
        return None
    # The region after the end is that of an announced end; an input of S+1 frames is ahead of it.
    for push, received in enumerate(played.received[:-1]):
        told, came = region.at(received), played.given[name][push]
        if told != came and received < trial.source:
            reason = (
                f"push {push}: {came} frames were given after {received} source frames; the "
                f"region tells {told}"
            )
            return Divergence(name, push, (), None, None, 0, reason)
    return None


def _locate(
    trial: _Trial, chunks: list[int], output: str, axis: int, whole: Comparison
) -> Divergence:
    """Run everything again with every streaming wire an output; return where the first one parts.

    A wire that the given model has as well is compared with the value there.
    """
    model, symbols = trial.streaming, {trial.streaming.symbol: trial.source}
    names = {model.batch.wire_name(wire) for wire in model.streams}
    wires = {n: o for n, o in named_wires(model.batch, names).items() if o in model.streams}
    batch = kept_values(model.batch, wires, trial.inputs, symbols, fast=trial.fast)
    own = named_wires(trial.model, set(wires))
    given = kept_values(trial.model, own, trial.inputs, symbols, fast=trial.fast)
    played = _play(trial, _all_wires(model, wires), chunks)
    for name, wire in wires.items():
        expected = given.get(name, batch[name])
        changed = compare(batch[name], expected, approx=trial.approx)
        if not changed.within:
            return divergence(name, changed, 0, reason=DECLUTTER_CHANGES)
        result = compare(played.values[name], expected, approx=trial.approx)
        if not result.within:
            push = _push_of(result, model.streams[wire].axis, played.given[name])
            return divergence(name, result, push)
    found = divergence(output, whole, 0)
    if axis < 0 or found.reason:
        return found
    push = _push_of(whole, axis, _play(trial, model, chunks).given[output])
    # Push by push every wire agrees: what differs is how the outputs were joined.
    return replace(found, pulse=push, note="joining its increments goes wrong")


def _all_wires(model: Increments, wires: Mapping[str, Outlet]) -> Increments:
    every = model.batch.copy()
    every.set_outputs(wires.values(), wires)
    return replace(model, batch=every)


def _push_of(result: Comparison, axis: int, given: list[int]) -> int:
    """Return the push that brought the first frame that differs."""
    if result.first is None:
        return 0
    frame = result.first.index[axis]
    return next(push for push, frames in enumerate(given) if frames > frame)
