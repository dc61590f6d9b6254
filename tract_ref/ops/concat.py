"""Joining ops: Concat, StreamConcat (its state op along the stream axis).

Concat:       out = x_0 ++ x_1 ++ … along one axis
StreamConcat: overwrites raw frames [g-B, g) by the prefix and [g+L, g+L+A) by the suffix

Source: spec/ir.md 6; spec/nnef.md 5; spec/pulse.md 2.14, 3.4, 8.8, 8.9, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn, cast

import numpy as np

from tract_ref.dim import Dim, TDim
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import along_tracked_axis
from tract_ref.stream.tables import PULSIFY_V1, PulsifyContext


@dataclass(frozen=True)
class Concat(Op):
    """Join tensors along one axis.

    Attributes:
        axis: the axis.
    """

    axis: int
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Add up the dims on the axis; the others and the dtypes must agree."""
        first = inputs[0]
        if not 0 <= self.axis < first.rank:
            raise InvalidModel(f"axis={self.axis} for an input {first}")
        total: Dim = 0
        for slot, fact in enumerate(inputs):
            same = fact.rank == first.rank and fact.dtype == first.dtype
            if not same or _differ(fact, first, self.axis):
                raise InvalidModel(
                    f"input 0 is {first}, input {slot} is {fact}; all dims but axis {self.axis} "
                    "and the dtype must be equal",
                    remedy="cast or broadcast the inputs first",
                )
            total = total + fact.shape[self.axis]
        return (first.with_dim(self.axis, total),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Join."""
        return (np.concatenate(inputs, self.axis),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the joined one."""
        return AxesMapping.natural(len(inputs), 1, inputs[0].rank, skip=(self.axis,))


def _differ(fact: Fact, first: Fact, axis: int) -> bool:
    return any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for k, (a, b) in enumerate(zip(fact.shape, first.shape, strict=True))
        if k != axis
    )


@dataclass
class StreamConcatState(OpState):
    """Frames seen so far."""

    position: int = 0


@dataclass(frozen=True)
class StreamConcat(Op):
    """Put static frames around a stream, in the place of its filler.

    Inputs: the stream, then `before` and `after` concatenated inputs (each absent when 0 frames).

    Attributes:
        axis: the stream axis.
        before: frames of the prefix; they take the place of [begin - before, begin).
        after: frames of the suffix; they take the place of [end, end + after).
        begin: raw index of the first frame of the stream.
        end: raw index one past its last frame; may contain the stream symbol.
    """

    axis: int
    before: int
    after: int
    begin: int
    end: Dim
    arity: ClassVar[tuple[int, int | None]] = (1, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The stream's shape is unchanged."""
        sizes = tuple(size for size in (self.before, self.after) if size)
        given = tuple(fact.shape[self.axis] for fact in inputs[1:])
        if given != sizes or self.begin < self.before:
            raise InvalidModel(
                f"{self.before} and {self.after} frames around a stream that begins at raw frame "
                f"{self.begin}; the static inputs have {list(map(str, given))}"
            )
        return (inputs[0].without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return StreamConcatState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Overwrite what of the prefix and suffix falls into this turn, advance the counter."""
        state = cast("StreamConcatState", turn.state)
        position = state.position
        out = inputs[0].copy()
        state.position += out.shape[self.axis]
        if self.before:
            self._write(out, inputs[1], self.begin - self.before - position)
        end = turn.settled(self.end) if self.after else None
        if end is not None:
            self._write(out, inputs[-1], end - position)
        return (out,)

    def _write(self, out: Tensor, frames: Tensor, first: int) -> None:
        """Write `frames` from index `first` of `out` on, what falls outside is left out."""
        low = max(0, first)
        high = max(low, min(out.shape[self.axis], first + frames.shape[self.axis]))
        lead = (slice(None),) * self.axis
        out[(*lead, slice(low, high))] = frames[(*lead, slice(low - first, high - first))]


@DECLUTTER.rule(Concat)
def declutter_single(op: Concat, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Concat of one tensor is that tensor; inputs of no frames are dropped."""
    model = ctx.model
    kept = tuple(wire for wire in node.inputs if model.fact(wire).shape[op.axis] != 0)
    if len(kept) == 1 or len(node.inputs) == 1:
        return ModelPatch.bypass(model, node, (kept or node.inputs)[0])
    if not kept or len(kept) == len(node.inputs):
        return None
    return ModelPatch.replace(model, node, op, kept)


@PULSIFY_V1.rule(Concat)
def pulsify_concat(op: Concat, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Join streams on another axis, or put static frames around one stream.

    B frames before, A after:      d' = max(d, B) - B, Delay(max(0, B - d)), L' = B + L + A

    A suffix makes the op end-sensitive: the stream first comes late enough for its end to be known.

    Errors:
        Refused: two streams along the stream axis; a static input of unknown size.
    """
    streams = [slot for slot, wire in enumerate(ctx.inputs) if ctx.stream(wire) is not None]
    if not streams:
        ctx.refuse(
            "its value depends on the whole length of the stream",
            "compute what depends on the length outside the streamed model",
        )
    slot = streams[0]
    wire = ctx.inputs[slot]
    stream = ctx.stream(wire)
    if stream is None or stream.axis != op.axis:
        return along_tracked_axis(op, node, ctx)
    if len(streams) > 1:
        ctx.refuse(
            f"joins {len(streams)} streams along the stream axis {op.axis}: one would start after "
            "the end of the other, which is not causal",
            "join them along another axis",
        )
    before = _static_frames(ctx, op.axis, range(slot))
    after = _static_frames(ctx, op.axis, range(slot + 1, len(ctx.inputs)))
    late = ctx.late_end(wire) if after else 0
    later = max(0, late, before - stream.delay)
    wire = ctx.delay(wire, later)
    begin = stream.delay + later
    parts = (ctx.inputs[:slot], ctx.inputs[slot + 1 :])
    inputs = [wire]
    for name, wires, frames in zip(("prefix", "suffix"), parts, (before, after), strict=True):
        if frames:
            joined = len(wires) > 1
            inputs += ctx.wire(Concat(op.axis), wires, None, suffix=name) if joined else wires
    around = StreamConcat(op.axis, before, after, begin, stream.length + begin)
    length = ctx.batch_output().shape[op.axis]
    info = Linear(op.axis, length, begin - before, stream.rate)
    return ctx.wire(around, tuple(inputs), info)


def _static_frames(ctx: PulsifyContext, axis: int, slots: Sequence[int]) -> int:
    total = 0
    for slot in slots:
        size = ctx.fact(ctx.inputs[slot]).shape[axis]
        if isinstance(size, TDim):
            ctx.refuse(f"input {slot} has {size} frames on axis {axis}", "set its symbols")
        total += size
    return total


PULSIFY_V1.refuse(
    StreamConcat,
    reason="is a state op of a pulsed model, which cannot be pulsified again",
    remedy="pulsify the batch model",
)


def _cast(call: Invocation | OnnxCall, number: int, tensor: Tensor) -> Outlet:
    name = call.model.unique_name(f"{call.name}.cast{number}")
    return call.model.add_const(name, tensor)


def _converted(
    call: Invocation | OnnxCall, wires: Sequence[Outlet], *, any_type: bool
) -> tuple[Outlet, ...]:
    """Bring constants to the dtype of the others: numbers next to dims become dims.

    With `any_type` constants of any type are cast to that of the first value, as NNEF says.
    """
    facts = [call.fact(wire) for wire in wires]
    wanted = TDIM if any(fact.dtype == TDIM for fact in facts) else facts[0].dtype
    results: list[Outlet] = []
    for number, (wire, fact) in enumerate(zip(wires, facts, strict=True)):
        if fact.dtype == wanted:
            results.append(wire)
        elif fact.const is None:
            _refuse_cast(call, number, fact, facts[0])
        elif wanted == TDIM and fact.dtype.kind in "iu":
            dims = np.empty(fact.const.shape, TDIM)
            for index, value in np.ndenumerate(fact.const):
                dims[index] = int(value)
            results.append(_cast(call, number, dims))
        elif not any_type:
            _refuse_cast(call, number, fact, facts[0])
        else:
            results.append(_cast(call, number, fact.const.astype(wanted)))
    return tuple(results)


def _refuse_cast(call: Invocation | OnnxCall, slot: int, fact: Fact, first: Fact) -> NoReturn:
    call.refuse(f"value {slot} is {fact}, value 0 is {first}", remedy="cast the values to one type")


@NNEF.load("concat", "values", "axis")
def load_concat(call: Invocation) -> tuple[Outlet, ...]:
    """concat(values, axis): constants are cast to the type of the first value."""
    return call.wire(
        Concat(call.integer("axis")), *_converted(call, call.tensors("values"), any_type=True)
    )


@NNEF.dump(Concat)
def dump_concat(op: Concat, node: Node, out: Dump) -> None:
    """Write concat."""
    out.call("concat", inputs=(tuple(node.inputs),), axis=op.axis)


NNEF.refuse_dump(
    StreamConcat,
    reason="has no NNEF operator: the dialect cannot say frames put around a stream",
    remedy="dump the batch model and pulsify it after reading",
)


@ONNX.rule("Concat")
def import_concat(call: OnnxCall) -> tuple[Outlet, ...]:
    """Concat; numbers next to dims (shape arithmetic) become dims."""
    wires = _converted(call, call.inputs(), any_type=False)
    rank = call.fact(wires[0]).rank
    axis = call.integer("axis")
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} for inputs of rank {rank}")
    return call.wire(Concat(axis % rank), *wires)
