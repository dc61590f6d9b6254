"""The proof loop: run a model whole and chunk by chunk, cut the delay, compare, say what it costs.

A proof is about one input: `raw[delay:delay + length]` of every output against the batch output.
When they part, both models run again with every inner wire kept, and the first wire (in evaluation
order) whose streamed frames are not its batch frames is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tract_ref.approx import Comparison, compare
from tract_ref.dim import Dim
from tract_ref.drawing import admitted_length, inputs_for, require_bound, source_frames
from tract_ref.errors import EvalError, Inconclusive, Refused
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model
from tract_ref.ir.pulse import Pulse
from tract_ref.passes.pulsify_v1 import Pulsed, pulsify
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.state import Session
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

# Turns of a symbolic pulse, in units of it, over and over.
_UNITS = (1, 7, 2, 16, 3, 11)
Progress = Callable[[int, int], None]


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
        return worst_kind(output.verdict for output in self.outputs)


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
    require_bound(pulsed.batch, pulsed.symbol)
    if inputs is None:
        size = length if length is not None else _drawn_length(pulsed)
        inputs = inputs_for(pulsed.batch, pulsed.symbol, size, seed=seed)
    trial = _Trial(
        model, pulsed, inputs, source_frames(pulsed.batch, pulsed.symbol, inputs), approx, fast
    )
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
    kind = kind_of(result, batch)
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


def _drawn_length(pulsed: Pulsed) -> int:
    """Return enough source frames for full and partial pulses that the scope admits."""
    pulse = Pulse.read(pulsed.pulse)
    pulses = sum(_UNITS) if pulse.symbol else 3
    size = (pulsed.receptive_field or 0) + pulses * pulse.unit + 1
    return admitted_length(pulsed.batch.scope, pulsed.symbol, size)


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
    wires = named_wires(pulsed.batch, set(pulsed.infos))
    streaming = {n: o for n, o in wires.items() if pulsed.infos[n].stream is not None}
    symbols, fast = {pulsed.symbol: trial.source}, trial.fast
    batch = kept_values(pulsed.batch, streaming, trial.inputs, symbols, fast=fast)
    own = named_wires(trial.model, set(streaming))
    given = kept_values(trial.model, own, trial.inputs, symbols, fast=fast)
    kept = sorted({pulsed.infos[name].outlet for name in streaming})
    plan = Plan(pulsed.model, keep=kept, fast=fast)
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
            return divergence(name, changed, 0, reason=DECLUTTER_CHANGES)
        frames = expected.shape[info.axis]
        lead = (slice(None),) * info.axis
        value = raw[pulsed.model.wire_name(wire.outlet)]
        cut = value[(*lead, slice(info.delay, info.delay + frames))]
        result = compare(cut, expected, approx=trial.approx)
        if not result.within:
            turn = _turn_of(result, info.axis, info.delay, int(info.rate * unit))
            return divergence(name, result, turn)
    name = pulsed.model.output_names[slot]
    fact = pulsed.model.fact(pulsed.model.outputs[slot])
    known = {pulsed.symbol: trial.source}
    if plan.streaming is not None:
        known |= plan.streaming.chunk_of(1)
    per_turn = fact.concrete_shape(known)[axis] if axis >= 0 else 0
    turn = _turn_of(whole, max(axis, 0), pulsed.delays[slot], per_turn)
    found = divergence(name, whole, turn)
    # Turn by turn every wire agrees: what differs is how the outputs were joined.
    return found if found.reason else replace(found, note="joining its turns goes wrong")


def _turn_of(result: Comparison, axis: int, delay: int, frames: int) -> int:
    """Return the turn that brought the first frame that differs."""
    if result.first is None or not result.first.index:
        return 0
    return (result.first.index[axis] + delay) // max(1, frames)


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
