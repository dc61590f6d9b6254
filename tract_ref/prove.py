"""The proof loop: run a model whole and chunk by chunk, cut the delay, compare, say what it costs.

A proof is about one input: `raw[delay:delay + length]` of every output against the batch output.
When they part, both models run again with every inner wire kept, and the first wire (in evaluation
order) whose streamed frames are not its batch frames is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tract_ref.approx import Comparison, compare
from tract_ref.dim import Dim, evaluate, sym, symbols
from tract_ref.errors import EvalError, Inconclusive, Refused
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.ir.pulse import Pulse
from tract_ref.passes.pulsify_v1 import Pulsed, pulsify
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.state import Session

Kind = Literal["exact", "within", "wrong", "refused", "nothing compared"]
# Longest gap between the lengths of two scenarios that is looked across.
_GAP = 1 << 12
# Turns of a symbolic pulse, in units of it, over and over.
_UNITS = (1, 7, 2, 16, 3, 11)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Divergence:
    """The first frame where the streamed model leaves the batch model.

    Attributes:
        wire: name of the first wire that differs, in evaluation order.
        pulse: number of the turn (0-based) that brought the frame.
        index: position in the batch value of the wire.
        batch: value there in batch.
        streamed: value there while streaming.
        ulps: distance of the two in units of the last place.
        reason: set instead of values when lengths or dtypes already differ, or a pass is to blame.
        note: said after the values: what else is known about the cause.
    """

    wire: str
    pulse: int
    index: tuple[int, ...]
    batch: object
    streamed: object
    ulps: int
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class OutputVerdict:
    """The verdict on one output.

    Attributes:
        name: the output.
        verdict: `exact` (bit for bit), `within` the named tolerance, `wrong`, or `nothing compared`
            where the batch output is empty or NaN everywhere, and the streamed one is as well.
        delay: frames to drop from the streamed output.
        frames: frames that came out after the delay.
        expected_frames: frames of the batch output on the stream axis.
        max_ulp: largest distance in units of the last place.
        first: where they part, None unless wrong.
        streams: it has a stream axis; otherwise it is the same every turn.
    """

    name: str
    verdict: Kind
    delay: int
    frames: int
    expected_frames: int
    max_ulp: int
    first: Divergence | None
    streams: bool = True


@dataclass(frozen=True)
class Run:
    """One pulse size: verdicts, or the refusal.

    Attributes:
        pulse: source frames per turn, a symbolic pulse as it is.
        outputs: one verdict per output; empty when refused.
        refusal: why the model cannot stream at this pulse.
        receptive_field: source frames that one output frame depends on, the widest of all outputs;
            None when a recurrence makes it unbounded.
        state_bytes: bytes of samples kept between turns.
        pulsed: the pulsified model.
        approx: the named tolerance that was asked for.
    """

    pulse: Dim
    outputs: tuple[OutputVerdict, ...]
    refusal: Refused | Inconclusive | None
    receptive_field: int | None
    state_bytes: int
    pulsed: Pulsed | None
    approx: str = "close"

    @property
    def verdict(self) -> Kind:
        """The worst verdict of the outputs."""
        if self.refusal is not None:
            return "refused"
        kinds = {output.verdict for output in self.outputs}
        for kind in ("wrong", "within", "exact"):
            if kind in kinds:
                return kind
        return "nothing compared"


def inputs_for(model: Model, symbol: str, length: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw whole inputs of a batch model: normal floats, small integers, random booleans.

    Raises:
        EvalError: an input mentions a symbol other than the stream symbol.
    """
    _require_bound(model, symbol)
    rng = np.random.default_rng(seed)
    drawn: dict[str, Tensor] = {}
    for outlet in model.inputs:
        fact = model.fact(outlet)
        name = model.nodes[outlet.node].name
        shape = tuple(max(0, evaluate(dim, {symbol: length})) for dim in fact.shape)
        drawn[name] = _draw(rng, fact, shape)
    return drawn


def _require_bound(model: Model, symbol: str) -> None:
    for outlet in model.inputs:
        fact = model.fact(outlet)
        others = sorted({s for dim in fact.shape for s in symbols(dim)} - {symbol})
        if others:
            raise EvalError(
                f"input {model.nodes[outlet.node].name!r} of fact {fact} has the free symbol "
                f"{others[0]}",
                stage="run",
                remedy=f"set it with --set {others[0]}=1",
            )


def _draw(rng: np.random.Generator, fact: Fact, shape: tuple[int, ...]) -> Tensor:
    if fact.dtype.kind == "f":
        return rng.standard_normal(shape).astype(fact.dtype)
    if fact.dtype.kind == "b":
        return rng.random(shape) < 0.5
    low = -8 if fact.dtype.kind == "i" else 0
    return rng.integers(low, 9, shape).astype(fact.dtype)


def stream(
    plan: Plan,
    inputs: Mapping[str, Tensor],
    chunks: Sequence[int],
    *,
    session: Session | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Feed whole inputs chunk by chunk and return the outputs, delay cut and joined.

    Args:
        plan: plan of a pulsified model.
        inputs: whole inputs.
        chunks: frames per push, on the stream axis of the first streaming input.
        session: a fresh session of the plan, to look at its state afterwards; made when None.
        progress: called after each push with the number done and the number of chunks.

    Raises:
        EvalError: the chunks do not add up to the length of the inputs.
    """
    layout = plan.streaming
    if layout is None:
        raise EvalError("the plan is not of a pulsified model")
    session = plan.session() if session is None else session
    parts: dict[str, list[Tensor]] = {name: [] for name in plan.model.output_names}
    axes = dict(zip(plan.model.output_names, layout.output_axes, strict=True))
    streaming = {
        name: axis
        for name, axis in zip(plan.model.input_names, layout.input_axes, strict=True)
        if axis >= 0
    }
    first = next(iter(streaming))
    total = inputs[first].shape[streaming[first]]
    if sum(chunks) != total:
        raise EvalError(f"chunks add up to {sum(chunks)} frames, the input has {total}")
    done = 0
    for number, chunk in enumerate(chunks):
        feed = dict(inputs)
        for name, axis in streaming.items():
            whole = inputs[name].shape[axis]
            # Inputs of another rate advance by the same stretch of source time.
            start, stop = done * whole // max(total, 1), (done + chunk) * whole // max(total, 1)
            feed[name] = inputs[name][(*(slice(None),) * axis, slice(start, stop))]
        done += chunk
        for name, part in session.push(feed).items():
            parts[name] = [*parts[name], part] if axes[name] >= 0 else [part]
        if progress is not None:
            progress(number + 1, len(chunks))
    if not chunks:
        for name, part in session.push(inputs).items():
            parts[name] = [part]
    for name, part in session.finish().items():
        parts[name] = [*parts[name], part] if axes[name] >= 0 else [part]
    return {
        name: np.concatenate(found, axes[name]) if axes[name] >= 0 else found[-1]
        for name, found in parts.items()
    }


def regular_chunks(total: int, size: int) -> list[int]:
    """Cut `total` frames into chunks of `size`, the last one smaller."""
    whole, rest = divmod(total, size)
    return [size] * whole + ([rest] if rest else [])


def _chunks(plan: Plan, total: int) -> list[int]:
    """Cut the frames of the first streaming input into turns, of many sizes if those are free."""
    unit = _frames_per_push(plan)
    if plan.streaming is None or not plan.streaming.chunk:
        return regular_chunks(total, unit)
    chunks: list[int] = []
    for units in itertools.cycle(_UNITS):
        if total <= 0:
            return chunks
        chunks.append(min(units * unit, total))
        total -= chunks[-1]
    return chunks


def prove(
    model: Model,
    pulse: int | str | Dim,
    inputs: Mapping[str, Tensor] | None = None,
    *,
    symbol: str | None = None,
    length: int | None = None,
    seed: int = 0,
    approx: str = "close",
    fast: bool = True,
    progress: Progress | None = None,
) -> Run:
    """Pulsify a model, run it whole and chunk by chunk, and compare.

    Args:
        model: a batch model.
        pulse: source frames per turn; a symbolic pulse (`P`, `2*P`) is fed in turns of many sizes.
        inputs: whole inputs; drawn when None.
        symbol: the stream symbol; by default the only symbol of the inputs.
        length: length of drawn inputs, in source frames; by default receptive field + 3 pulses + 1
            (40 of a symbolic one), as far as the assertions about the symbol admit it.
        seed: of the drawn inputs.
        approx: named tolerance.
        fast: use the fast kernels; False runs every op's `eval`, where streamed equals batch
            bit for bit.
        progress: called while chunks are fed.

    Returns:
        The run; a refusal of the pulsifier is part of it, not an exception.

    Raises:
        EvalError: the inputs do not fit the model, or a symbol besides the stream's is not set.
        InvalidModel: the pulse is not positive, or there is not one stream symbol.
    """
    try:
        pulsed = pulsify(model, pulse, symbol=symbol)
    except (Refused, Inconclusive) as refusal:
        return Run(Pulse.read(pulse).frames, (), refusal, 0, 0, None)
    field = pulsed.receptive_field
    _require_bound(pulsed.batch, pulsed.symbol)
    if inputs is None:
        size = length if length is not None else _drawn_length(pulsed)
        inputs = inputs_for(pulsed.batch, pulsed.symbol, size, seed=seed)
    trial = _Trial(model, pulsed, inputs, _source_frames(pulsed, inputs), approx, fast)
    plan = Plan(pulsed.model, fast=fast)
    session = plan.session()
    chunks = _chunks(plan, _leading_frames(plan, inputs))
    streamed = stream(plan, inputs, chunks, session=session, progress=progress)
    # The model as it was given, not what the passes made of it: they are on trial as well.
    batch = Plan(model, fast=fast).run(inputs, symbols={pulsed.symbol: trial.source})
    verdicts = tuple(
        _verdict(trial, slot, streamed[name], batch[name])
        for slot, name in enumerate(pulsed.model.output_names)
    )
    return Run(pulsed.pulse, verdicts, None, field, session.state_bytes, pulsed, approx)


@dataclass(frozen=True)
class _Trial:
    """What is on trial: the model as given, its pulsified form, whole inputs of `source` frames."""

    model: Model
    pulsed: Pulsed
    inputs: Mapping[str, Tensor]
    source: int
    approx: str
    fast: bool


def _verdict(trial: _Trial, slot: int, streamed: Tensor, batch: Tensor) -> OutputVerdict:
    properties = trial.pulsed.model.properties
    axis = int(properties["pulse.output_axes"][slot])
    result = compare(streamed, batch, approx=trial.approx)
    kind: Kind = "exact" if result.equal_bits else "within" if result.within else "wrong"
    if result.within and not _says_something(batch):
        kind = "nothing compared"
    return OutputVerdict(
        trial.pulsed.model.output_names[slot],
        kind,
        trial.pulsed.delays[slot],
        streamed.shape[axis] if axis >= 0 else 0,
        batch.shape[axis] if axis >= 0 else 0,
        result.max_ulp,
        _locate(trial, slot, axis, result) if kind == "wrong" else None,
        axis >= 0,
    )


def _says_something(values: Tensor) -> bool:
    """Say whether an array has an element, other than a NaN, that another one could differ from."""
    return bool(np.any(values == values))


def _drawn_length(pulsed: Pulsed) -> int:
    """Return enough source frames for full and partial pulses that the scope admits."""
    scope, symbol = pulsed.batch.scope, pulsed.symbol
    low, high = scope.bounds(sym(symbol))
    pulse = Pulse.read(pulsed.pulse)
    pulses = sum(_UNITS) if pulse.symbol else 3
    size = max((pulsed.receptive_field or 0) + pulses * pulse.unit + 1, low or 0)
    size = size if high is None else min(size, high)
    # Two scenarios may leave a gap between them.
    for length in (*range(size, size + _GAP), *range(size - 1, -1, -1)):
        if scope.holds({symbol: length}) is not False:
            return length
    return size


def _source_frames(pulsed: Pulsed, inputs: Mapping[str, Tensor]) -> int:
    """Return the stream length that the whole inputs announce."""
    bound = Plan(pulsed.batch, fast=False).bind(inputs, {})
    if pulsed.symbol not in bound:
        raise EvalError(f"the inputs do not tell the stream length {pulsed.symbol}")
    return bound[pulsed.symbol]


def _leading_frames(plan: Plan, inputs: Mapping[str, Tensor]) -> int:
    layout = plan.streaming
    if layout is None:
        raise EvalError("the plan is not of a pulsified model")
    for name, axis in zip(plan.model.input_names, layout.input_axes, strict=True):
        if axis >= 0:
            return inputs[name].shape[axis]
    raise EvalError("no input streams")


def _frames_per_push(plan: Plan) -> int:
    layout = plan.streaming
    if layout is not None:
        for name, axis in zip(plan.model.input_names, layout.input_axes, strict=True):
            if axis >= 0:
                return plan.input_facts[name].concrete_shape(layout.chunk_of(1))[axis]
    raise EvalError("no input streams")


def _locate(trial: _Trial, slot: int, axis: int, whole: Comparison) -> Divergence:
    """Run everything again with inner wires kept; return where the first wrong wire parts.

    A wire that the given model has as well is compared with the value there.
    """
    pulsed = trial.pulsed
    wires = _named_wires(pulsed.batch, set(pulsed.infos))
    streaming = {n: o for n, o in wires.items() if pulsed.infos[n].stream is not None}
    batch = _kept_values(pulsed.batch, streaming, trial)
    given = _kept_values(trial.model, _named_wires(trial.model, set(streaming)), trial)
    kept = sorted({pulsed.infos[name].outlet for name in streaming})
    plan = Plan(pulsed.model, keep=kept, fast=trial.fast)
    unit = Pulse.read(pulsed.pulse).unit
    raw = _raw_turns(plan, pulsed, trial.inputs, trial.source)
    for name in streaming:
        wire = pulsed.infos[name]
        info = wire.stream
        if info is None:
            continue
        expected = given.get(name, batch[name])
        changed = compare(batch[name], expected, approx=trial.approx)
        if not changed.within:
            found = _divergence(name, changed, info.axis, info.delay, 0)
            return replace(found, reason="declutter changes it: batch after it is not batch before")
        frames = expected.shape[info.axis]
        lead = (slice(None),) * info.axis
        value = raw[pulsed.model.wire_name(wire.outlet)]
        cut = value[(*lead, slice(info.delay, info.delay + frames))]
        result = compare(cut, expected, approx=trial.approx)
        if not result.within:
            return _divergence(name, result, info.axis, info.delay, int(info.rate * unit))
    name = pulsed.model.output_names[slot]
    fact = pulsed.model.fact(pulsed.model.outputs[slot])
    known = {pulsed.symbol: trial.source}
    if plan.streaming is not None:
        known |= plan.streaming.chunk_of(1)
    per_turn = fact.concrete_shape(known)[axis] if axis >= 0 else 0
    found = _divergence(name, whole, max(axis, 0), pulsed.delays[slot], per_turn)
    # Turn by turn every wire agrees: what differs is how the outputs were joined.
    return found if found.reason else replace(found, note="joining its turns goes wrong")


def _named_wires(model: Model, wanted: set[str]) -> dict[str, Outlet]:
    """Return the computed wires of a model whose name is wanted, in evaluation order."""
    found: dict[str, Outlet] = {}
    for node in model.order():
        if isinstance(node.op, Const):
            continue
        for slot in range(len(node.outputs)):
            outlet = Outlet(node.id, slot)
            if model.wire_name(outlet) in wanted:
                found[model.wire_name(outlet)] = outlet
    return found


def _kept_values(model: Model, wires: Mapping[str, Outlet], trial: _Trial) -> dict[str, Tensor]:
    plan = Plan(model, keep=list(wires.values()), fast=trial.fast)
    return plan.run(trial.inputs, symbols={trial.pulsed.symbol: trial.source})


def _divergence(name: str, result: Comparison, axis: int, delay: int, frames: int) -> Divergence:
    first = result.first
    if first is None:
        return Divergence(name, 0, (), None, None, 0, result.reason)
    turn = (first.index[axis] + delay) // max(1, frames) if first.index else 0
    return Divergence(name, turn, first.index, first.expected, first.got, first.ulps)


def _raw_turns(
    plan: Plan, pulsed: Pulsed, inputs: Mapping[str, Tensor], source: int
) -> dict[str, Tensor]:
    """Return the raw concatenation of every kept wire over enough turns to flush the latest one."""
    late = max(
        (w.stream.delay / w.stream.rate for w in pulsed.infos.values() if w.stream), default=0
    )
    turns = -(-(source + int(late)) // Pulse.read(pulsed.pulse).unit) + 2
    found: dict[str, list[Tensor]] = {}
    session = plan.session()
    for name, value in session.raw_turns(inputs, source, turns):
        found.setdefault(name, []).append(value)
    axes = {
        pulsed.model.wire_name(w.outlet): w.stream.axis for w in pulsed.infos.values() if w.stream
    }
    return {n: np.concatenate(v, axes[n]) for n, v in found.items() if n in axes}
