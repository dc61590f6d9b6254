"""State ops of a pulsed model: Delay, PulsePad and PulseMask.

Delay:     z = (zeros before frame 0) ++ x_0 ++ x_1 ++ …
           turn t emits z[t*q - delay - overlap, t*q + q - delay)
PulsePad:  overwrites the frames outside [begin, end) by a constant or by the nearest frame.
PulseMask: overwrites the frames outside [begin, end) by a constant, on both sides.

Source: spec/pulse.md 3.1 to 3.3; facts about tract's `Delay`, `PulsePad` and `PulseMask`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from tract_ref.dim import Dim
from tract_ref.errors import InvalidModel
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.runtime.kernels import FAST, Concrete, Tape
from tract_ref.stream.tables import BATCH_ONLY, INPUT_ROI, PULSED_ONLY, refuse_streaming


@dataclass
class DelayState(OpState):
    """The last `delay + overlap` frames of the input; None before the first turn."""

    buffer: Tensor | None = None


@dataclass(frozen=True)
class Delay(Op):
    """Emit frames later, each turn led by frames seen before.

    Turn t emits z[t*q - delay - overlap, t*q + q - delay) of z = zeros ++ x_0 ++ x_1 ++ …

    Shapes:
        data   [.., q, ..]
        out    [.., q + overlap, ..]
    """

    axis: int
    delay: int
    overlap: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Add the overlap to the frames of a turn."""
        (data,) = inputs
        if self.axis >= data.rank or self.delay < 0 or self.overlap < 0:
            raise InvalidModel(f"Delay: axis, delay and overlap do not fit {data}")
        return (data.with_dim(self.axis, data.shape[self.axis] + self.overlap),)

    def state(self) -> OpState:
        """Return the empty buffer; it is zero-filled at the first turn, when its shape is known."""
        return DelayState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Emit the head of (buffer ++ input), keep its tail."""
        (data,) = inputs
        state = cast("DelayState", turn.state)
        kept = self.delay + self.overlap
        if state.buffer is None:
            shape = (*data.shape[: self.axis], kept, *data.shape[self.axis + 1 :])
            state.buffer = np.zeros(shape, data.dtype)
        joined = np.concatenate([state.buffer, data], self.axis)
        lead = (slice(None),) * self.axis
        emitted = data.shape[self.axis] + self.overlap
        state.buffer = joined[(*lead, slice(joined.shape[self.axis] - kept, None))].copy()
        return (joined[(*lead, slice(0, emitted))],)


@dataclass
class PulsePadState(OpState):
    """Frames seen so far, and the last valid frame (edge mode)."""

    position: int = 0
    last: Tensor | None = None


@dataclass(frozen=True)
class PulsePad(Op):
    """Overwrite the frames outside [begin, end) of a stream, in place.

    Attributes:
        axis: the stream axis.
        before: frames of padding before `begin`; 0 leaves the frames before `begin` alone.
        after: frames of padding after `end`; 0 leaves the frames from `end` on alone.
        begin: raw index of the first valid frame.
        end: raw index one past the last valid frame; may contain the stream symbol.
        mode: `constant` or `edge`.
        value: the constant, of the stream's dtype; NaN-free text form in `describe`.
        overlap: frames at the front of each turn that the previous turn already counted.
    """

    axis: int
    before: int
    after: int
    begin: int
    end: Dim
    mode: str
    value: float | int | bool
    overlap: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        if self.axis >= data.rank or self.mode not in ("constant", "edge"):
            raise InvalidModel(f"PulsePad: axis or mode does not fit {data}")
        return (data.without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return PulsePadState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fill what lies outside, advance the counter by the new frames."""
        (data,) = inputs
        state = cast("PulsePadState", turn.state)
        frames = data.shape[self.axis]
        position = state.position
        state.position += frames - self.overlap
        end = turn.settled(self.end)
        head = min(max(0, self.begin - position), frames) if self.before else 0
        tail = frames if end is None or not self.after else min(max(0, end - position), frames)
        lead = (slice(None),) * self.axis
        if self.mode == "edge" and self.after and (end is None or position < end):
            valid = (frames if end is None else min(end - position, frames)) - 1
            if valid >= 0:
                state.last = data[(*lead, slice(valid, valid + 1))].copy()
        if not head and tail == frames:
            return (data,)
        out = data.copy()
        if head:
            if self.mode == "constant":
                out[(*lead, slice(0, head))] = self.value
            elif head < frames:
                out[(*lead, slice(0, head))] = data[(*lead, slice(head, head + 1))]
        if tail < frames:
            if self.mode == "constant":
                out[(*lead, slice(tail, None))] = self.value
            elif state.last is not None:
                out[(*lead, slice(tail, None))] = state.last
        return (out,)


@dataclass
class PulseMaskState(OpState):
    """Frames seen so far."""

    position: int = 0


@dataclass(frozen=True)
class PulseMask(Op):
    """Overwrite every frame outside [begin, end) of a stream by a constant.

    No v1 rule makes one; models that another engine pulsified hold them.

    Attributes:
        axis: the stream axis.
        begin: raw index of the first frame that is kept.
        end: raw index one past the last one; may contain the stream symbol, and is infinite until
            it is known.
        value: the constant.
    """

    axis: int
    begin: int
    end: Dim
    value: float | int | bool

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        if not 0 <= self.axis < data.rank or self.begin < 0:
            raise InvalidModel(f"axis={self.axis}, begin={self.begin} for {data}")
        return (data.without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return PulseMaskState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fill both sides of what is kept, advance the counter."""
        state = cast("PulseMaskState", turn.state)
        out = inputs[0].copy()
        frames, position = out.shape[self.axis], state.position
        state.position += frames
        end = turn.settled(self.end)
        head = min(max(0, self.begin - position), frames)
        tail = frames if end is None else min(max(0, end - position), frames)
        lead = (slice(None),) * self.axis
        out[(*lead, slice(0, head))] = self.value
        out[(*lead, slice(tail, None))] = self.value
        return (out,)


@DECLUTTER.rule(Delay)
def declutter_empty_delay(op: Delay, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Delay that keeps nothing is its input."""
    if op.delay or op.overlap:
        return None
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


INPUT_ROI.refuse(Delay, PulsePad, PulseMask, **BATCH_ONLY)


refuse_streaming(Delay, PulsePad, PulseMask, **PULSED_ONLY)


@FAST.rule(Delay)
def fast_delay(op: Delay, facts: Concrete) -> Tape:
    """Keep the frames on a tape that the producer writes to."""
    frames = facts.inputs[0][0][op.axis]
    return Tape(op.axis, op.delay + op.overlap, frames + op.overlap)


@NNEF.load("tract_pulse_delay", "input", "axis", "delay", "overlap")
def load_delay(call: Invocation) -> tuple[Outlet, ...]:
    """tract_pulse_delay(input, axis, delay, overlap)."""
    op = Delay(call.integer("axis"), call.integer("delay"), call.integer("overlap"))
    return call.wire(op, call.tensor("input"))


@NNEF.dump(Delay)
def dump_delay(op: Delay, node: Node, out: Dump) -> None:
    """Write tract_pulse_delay."""
    out.call("tract_pulse_delay", axis=op.axis, delay=op.delay, overlap=op.overlap)


@NNEF.load(
    "tract_pulse_pulse_pad",
    "input",
    "axis",
    "before",
    "after",
    "begin_input",
    "end_input",
    "border",
    "value",
    "overlap",
)
def load_pulse_pad(call: Invocation) -> tuple[Outlet, ...]:
    """tract_pulse_pulse_pad: the parameters of the signature, in order."""
    border = call.string("border")
    if border not in ("constant", "replicated"):
        call.malformed(f"border {border!r} is not known", remedy="use constant or replicated")
    data = call.tensor("input")
    op = PulsePad(
        call.integer("axis"),
        call.integer("before"),
        call.integer("after"),
        call.integer("begin_input"),
        call.dim("end_input"),
        "edge" if border == "replicated" else "constant",
        _value(call, data),
        call.integer("overlap"),
    )
    return call.wire(op, data)


@NNEF.dump(PulsePad)
def dump_pulse_pad(op: PulsePad, node: Node, out: Dump) -> None:
    """Write tract_pulse_pulse_pad."""
    out.call(
        "tract_pulse_pulse_pad",
        axis=op.axis,
        before=op.before,
        after=op.after,
        begin_input=op.begin,
        end_input=op.end,
        border="replicated" if op.mode == "edge" else "constant",
        value=op.value,
        overlap=op.overlap,
    )


@NNEF.load("tract_pulse_mask", "input", "axis", "begin", "end", "value")
def load_pulse_mask(call: Invocation) -> tuple[Outlet, ...]:
    """tract_pulse_mask(input, axis, begin, end, value)."""
    data = call.tensor("input")
    ends = call.integer("begin"), call.dim("end")
    return call.wire(PulseMask(call.integer("axis"), *ends, _value(call, data)), data)


def _value(call: Invocation, data: Outlet) -> float | int | bool:
    is_bool = call.fact(data).dtype == np.bool_
    return call.logical("value") if is_bool else call.scalar("value", like=data)


@NNEF.dump(PulseMask)
def dump_pulse_mask(op: PulseMask, node: Node, out: Dump) -> None:
    """Write tract_pulse_mask."""
    out.call("tract_pulse_mask", axis=op.axis, begin=op.begin, end=op.end, value=op.value)
