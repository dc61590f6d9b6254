"""Raw turns of a pulsified model, driven by hand: the contract of streaming, without `push`.

One turn feeds one pulse; what is missing of the last pulse, and every pulse after it, is filler.
The stream symbol is bound at the first turn (`known`) or at the first turn that some input does not
fill, an entirely empty one when the pulse divides the length (`late`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tract_ref import Plan, Session
from tract_ref.approx import Array, filler
from tract_ref.dim import evaluate
from tract_ref.runtime.plan import PulseShape

Fill = Literal["nan", "big"]
End = Literal["known", "late"]
FILLS: tuple[Fill, ...] = ("nan", "big")
ENDS: tuple[End, ...] = ("late", "known")


@dataclass(frozen=True)
class RawOutput:
    """One output over all turns.

    Attributes:
        parts: one array per turn.
        axis: stream axis, -1 when the output does not stream.
        delay: frames to drop.
        length: batch frames on the stream axis.
    """

    parts: tuple[Array, ...]
    axis: int
    delay: int
    length: int

    @property
    def raw(self) -> Array:
        """Everything that came out, joined; the last turn's value when it does not stream."""
        return np.concatenate(self.parts, self.axis) if self.axis >= 0 else self.parts[-1]

    @property
    def kept(self) -> Array:
        """The frames that the contract promises."""
        return self.cut(self.delay)

    def cut(self, delay: int) -> Array:
        """Return the frames that another delay would keep."""
        if self.axis < 0:
            return self.parts[-1]
        lead = (slice(None),) * self.axis
        return self.raw[(*lead, slice(delay, delay + self.length))]

    @property
    def place(self) -> tuple[int, int, int] | None:
        """Axis, delay and frames per turn."""
        if self.axis < 0:
            return None
        return self.axis, self.delay, self.parts[0].shape[self.axis]


def fill_value(dtype: np.dtype, fill: Fill) -> object:
    """Return a value for frames that do not exist: NaN or 1e9, an end of the type's range."""
    if fill == "nan":
        return filler(dtype)
    if dtype.kind == "f":
        return dtype.type(min(1e9, float(np.finfo(dtype).max)))
    return dtype.type(False) if dtype.kind == "b" else dtype.type(np.iinfo(dtype).min)


def layout_of(plan: Plan) -> PulseShape:
    """Return the streaming layout of a plan of a pulsified model."""
    assert plan.streaming is not None, "the plan is of a batch model"
    return plan.streaming


def feed(plan: Plan, inputs: Mapping[str, Array], turn: int, *, fill: Fill) -> dict[str, Array]:
    """Return one pulse of every streaming input, completed with filler, and the others whole."""
    return _pulse(_input_rows(plan), inputs, turn, fill)


def _input_rows(plan: Plan) -> list[tuple[str, int, tuple[int, ...]]]:
    """Return name, stream axis and shape of one turn of every input; no shape without an axis."""
    return [
        (name, axis, fact.concrete_shape({}) if axis >= 0 else ())
        for (name, fact), axis in zip(
            plan.input_facts.items(), layout_of(plan).input_axes, strict=True
        )
    ]


def _pulse(
    rows: list[tuple[str, int, tuple[int, ...]]], inputs: Mapping[str, Array], turn: int, fill: Fill
) -> dict[str, Array]:
    pulse: dict[str, Array] = {}
    for name, axis, shape in rows:
        whole = inputs[name]
        if axis < 0:
            pulse[name] = whole
            continue
        lead = (slice(None),) * axis
        start = turn * shape[axis]
        real = whole[(*lead, slice(start, start + shape[axis]))]
        if real.shape[axis] < shape[axis]:
            part = np.full(shape, fill_value(whole.dtype, fill), whole.dtype)
            part[(*lead, slice(0, real.shape[axis]))] = real
            pulse[name] = part
        else:
            # A copy: whoever writes into what it was fed must not reach the next run.
            pulse[name] = real.copy()
    return pulse


def output_frames(plan: Plan, length: int) -> list[tuple[str, int, int, int, int]]:
    """Return name, axis, delay, batch frames and frames per turn of every output."""
    layout = layout_of(plan)
    model = plan.model
    rows: list[tuple[str, int, int, int, int]] = []
    for slot, name in enumerate(model.output_names):
        axis = layout.output_axes[slot]
        dim = layout.output_lengths[slot]
        frames = max(0, evaluate(dim, {layout.symbol: length})) if axis >= 0 else 0
        per_turn = model.fact(model.outputs[slot]).shape[axis] if axis >= 0 else 0
        assert isinstance(per_turn, int), f"output {name!r} brings {per_turn} frames per turn"
        rows.append((name, axis, layout.delays[slot], frames, per_turn))
    return rows


def turns_needed(plan: Plan, length: int) -> int:
    """Return how many turns bring every promised frame, one of pure filler included."""
    return _turns(first_incomplete(plan, length), output_frames(plan, length))


def _turns(incomplete: int, rows: list[tuple[str, int, int, int, int]]) -> int:
    flush = [
        -(-(delay + frames) // max(1, per_turn))
        for _, axis, delay, frames, per_turn in rows
        if axis >= 0
    ]
    return max(incomplete + 1, *flush, 1)


def first_incomplete(plan: Plan, length: int) -> int:
    """Return the number of the first turn that an input does not fill, from 0 on."""
    layout = layout_of(plan)
    rows = zip(plan.input_facts.values(), layout.input_axes, layout.input_lengths, strict=True)
    return min(
        evaluate(dim, {layout.symbol: length}) // fact.concrete_shape(layout.chunk_of(1))[axis]
        for fact, axis, dim in rows
        if axis >= 0
    )


def announce(session: Session, length: int, turn: int, end: End) -> None:
    """Bind the stream symbol when this turn may know it."""
    layout = layout_of(session.plan)
    if end == "known" or turn >= first_incomplete(session.plan, length):
        session.symbols[layout.symbol] = length


def run_turns(
    plan: Plan,
    inputs: Mapping[str, Array],
    length: int,
    *,
    fill: Fill = "nan",
    end: End = "late",
    session: Session | None = None,
) -> dict[str, RawOutput]:
    """Run a stream to its end and return the raw outputs by name."""
    session = plan.session() if session is None else session
    # What every turn asks for is worked out once: a stream has many.
    fed, rows = _input_rows(plan), output_frames(plan, length)
    incomplete = first_incomplete(plan, length)
    parts: dict[str, list[Array]] = {name: [] for name, *_ in rows}
    for turn in range(_turns(incomplete, rows)):
        if end == "known" or turn >= incomplete:
            session.symbols[layout_of(plan).symbol] = length
        values = session.turn(_pulse(fed, inputs, turn, fill))
        for name, found in parts.items():
            found.append(values[name])
    return {
        name: RawOutput(tuple(parts[name]), axis, delay, frames)
        for name, axis, delay, frames, _ in rows
    }


def run_pushes(
    plan: Plan,
    inputs: Mapping[str, Array],
    sizes: tuple[int, ...],
    *,
    session: Session | None = None,
) -> tuple[dict[str, Array], dict[str, tuple[int, ...]]]:
    """Feed chunks of source frames through `push`, then `finish`.

    Returns:
        The joined outputs, and the frames of each that every push and the finish gave.
    """
    layout = layout_of(plan)
    session = plan.session() if session is None else session
    parts: dict[str, list[Array]] = {name: [] for name in plan.model.output_names}
    start = 0
    for number, size in enumerate(sizes or (0,), start=1):
        chunk = pushed(plan, inputs, start, start + size, more=number < len(sizes))
        start += size
        for name, value in session.push(chunk).items():
            parts[name].append(value)
    for name, value in session.finish().items():
        parts[name].append(value)
    joined: dict[str, Array] = {}
    increments: dict[str, tuple[int, ...]] = {}
    for name, axis in zip(plan.model.output_names, layout.output_axes, strict=True):
        found = parts[name]
        joined[name] = np.concatenate(found, axis) if axis >= 0 else found[-1]
        increments[name] = tuple(p.shape[axis] if axis >= 0 else 0 for p in found)
    return joined, increments


def pushed(
    plan: Plan, inputs: Mapping[str, Array], start: int, stop: int, *, more: bool = False
) -> dict[str, Array]:
    """Return the frames of every input that belong to source frames [start, stop).

    Unless `more` chunks follow, the constant part of a length a*S + b comes with these frames.
    """
    layout = layout_of(plan)
    chunk: dict[str, Array] = {}
    for name, axis, dim in zip(
        plan.model.input_names, layout.input_axes, layout.input_lengths, strict=True
    ):
        whole = inputs[name]
        if axis < 0:
            chunk[name] = whole
            continue
        per_turn = plan.input_facts[name].concrete_shape(layout.chunk_of(1))[axis]
        last = not more and whole.shape[axis] == evaluate(dim, {layout.symbol: stop})
        low = start * per_turn // layout.pulse
        high = whole.shape[axis] if last else stop * per_turn // layout.pulse
        chunk[name] = whole[(*(slice(None),) * axis, slice(low, high))]
    return chunk
