"""Joining ops: Concat; StreamConcat and StreamSplice, its state ops along the stream axis.

Concat:       out = x_0 ++ x_1 ++ … along one axis
StreamConcat: overwrites raw frames [g-B, g) by the prefix and [g+L, g+L+A) by the suffix
StreamSplice: raw frames of one stream before g, of another one from g on

Source: spec/ir.md 6; spec/nnef.md 5; spec/pulse.md 2.14, 3.4, 8.8, 8.9, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import numpy as np

from tract_ref.calls import of_one_type
from tract_ref.dim import Dim, TDim
from tract_ref.errors import InternalError, InvalidModel
from tract_ref.ir.annotate import joined
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import Increment, Reach, RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import LATE_END, Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import (
    along_tracked_axis,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import (
    BATCH_ONLY,
    INPUT_ROI,
    LENGTH_IN_VALUE,
    PULSED_ONLY,
    PULSIFY_V1,
    REGION_V2,
    Front,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)


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
        return (joined(first.with_dim(self.axis, total), inputs, self.axis),)

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


@dataclass(frozen=True)
class StreamSplice(Op):
    """Follow one stream up to a raw frame, and another one from there on.

    Attributes:
        axis: the stream axis.
        at: raw index of the first frame that is taken from the second stream.

    Shapes:
        early   [.., q, ..]   the frames before `at`
        late    [.., q, ..]   the frames from `at` on
        out     [.., q, ..]
    """

    axis: int
    at: int
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact of the two streams."""
        early, late = inputs
        alike = early.shape == late.shape and early.dtype == late.dtype
        if not alike or not 0 <= self.axis < late.rank:
            raise InvalidModel(
                f"streams {early} and {late} on axis {self.axis}; both have one fact"
            )
        return (late.without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return StreamConcatState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take both parts of this turn, advance the counter."""
        early, late = inputs
        state = cast("StreamConcatState", turn.state)
        frames = late.shape[self.axis]
        first = min(max(0, self.at - state.position), frames)
        state.position += frames
        out = late.copy()
        lead = (slice(None),) * self.axis
        out[(*lead, slice(0, first))] = early[(*lead, slice(0, first))]
        return (out,)


@dataclass(frozen=True)
class ConcatCut(Op):
    """Join a stretch of every input; only increments hold one.

    Attributes:
        axis: the axis.
        cuts: per input, the first position taken and one past the last.
    """

    axis: int
    cuts: tuple[tuple[int, int], ...]
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the sum of the stretches."""
        frames = sum(stop - first for first, stop in self.cuts)
        return (inputs[0].without_const().with_dim(self.axis, frames),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Join them."""
        lead = (slice(None),) * self.axis
        pairs = zip(inputs, self.cuts, strict=True)
        parts = [data[(*lead, slice(first, stop))] for data, (first, stop) in pairs]
        return (np.concatenate(parts, self.axis),)


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


@INPUT_ROI.rule(Concat)
def roi_concat(op: Concat, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Position p of an input is position p + offset of the output."""
    found: list[Region] = []
    offset: Dim = 0
    for fact in ctx.inputs:
        found.append(roi_moves.shifted(ctx.regions[0], op.axis, offset))
        offset = offset + fact.shape[op.axis]
    return tuple(found)


INPUT_ROI.refuse(StreamConcat, StreamSplice, ConcatCut, **BATCH_ONLY)


@PULSIFY_V1.rule(Concat)
def pulsify_concat(op: Concat, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Join streams on another axis, or put frames around the last stream that is joined.

    B frames before, A after:  begin = max(d, B, d_p + B - o_p),  d' = begin - B,  L' = B + L + A

    In front stand static frames, or streams of a fixed length (the first frames of a stream): one
    with delay d_p whose place is o_p frames after the start. A suffix makes the op end-sensitive:
    the stream first comes late enough for its end to be known.

    Errors:
        Refused: a stream that is joined to another one has no fixed length, or has another rate; a
            static input of unknown size.
    """
    _, stream = _joined_streams(op, ctx)
    return along_tracked_axis(op, node, ctx) if stream is None else _pulsed_concat(op, ctx)


def _pulsed_concat(op: Concat, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Wire the frames around the last stream that is joined."""
    streams, stream = _joined_streams(op, ctx)
    if stream is None:
        raise InternalError("the streams are joined on another axis")
    slot = streams[-1]
    wire = ctx.inputs[slot]
    sizes = _fixed_sizes(ctx, op.axis, slot)
    before, after = sum(sizes[:slot]), sum(sizes[slot + 1 :])
    reasons = [(0, ""), (ctx.late_end(wire) if after else 0, LATE_END)]
    reasons.append((before - stream.delay, f"makes room for {before} frames in front"))
    for number in streams[:-1]:
        other = ctx.stream(ctx.inputs[number])
        if other is not None:
            room = other.delay + sum(sizes[number:slot]) - stream.delay
            reasons.append((room, f"waits for the frames of input {number} in front"))
    later, why = max(reasons, key=lambda reason: reason[0])
    wire = ctx.delay(wire, later, why=why)
    begin = stream.delay + later
    length = ctx.batch_output().shape[op.axis]
    info = Linear(op.axis, length, begin - before, stream.rate)
    runs = _runs(ctx, sizes[:slot])
    prefix = runs.pop() if runs and ctx.stream(ctx.inputs[runs[-1][0]]) is None else ()
    frames = sum(sizes[number] for number in prefix)
    inputs = [wire]
    for name, slots in (("prefix", prefix), ("suffix", range(slot + 1, len(sizes)))):
        if sum(sizes[number] for number in slots):
            inputs.append(_beside(op, ctx, [ctx.inputs[number] for number in slots], name))
    grown = replace(info, delay=begin - frames) if runs else info
    around = StreamConcat(op.axis, frames, after, begin, stream.length + begin)
    why = f"{frames} frames put in front"
    (wire,) = ctx.wire(around, tuple(inputs), grown, suffix="around" if runs else "", why=why)
    return (_in_front(op, ctx, wire, info, runs, sizes),)


@REGION_V2.rule(Concat)
def region_concat(op: Concat, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j reads frame j - o of the input whose place is from o on."""
    streams, stream = _joined_streams(op, ctx)
    if stream is None:
        return region_along_tracked_axis(op, node, ctx)
    sizes = _fixed_sizes(ctx, op.axis, streams[-1])
    places = [sum(sizes[:slot]) for slot in range(len(sizes))]
    inputs = tuple(
        Reach(low=-place, high=-place) if slot in streams else None
        for slot, place in enumerate(places)
    )

    def main(made: Increment) -> tuple[Op, ...]:
        cuts: list[tuple[int, int]] = []
        after = made.lengths[streams[-1]] or 0
        for slot, (place, size) in enumerate(zip(places, sizes, strict=True)):
            first, stop = made.windows[slot]
            if slot not in streams:
                start = made.start - place - (after if slot > streams[-1] else 0)
                first, stop = min(max(0, start), size), min(max(0, start + made.frames), size)
                # What follows the stream is not there before its end.
                stop = first if slot > streams[-1] and made.lengths[streams[-1]] is None else stop
                cuts.append((first, stop))
            else:
                cuts.append((0, stop - first))
        return (ConcatCut(op.axis, tuple(cuts)),)

    length = ctx.batch_output().shape[op.axis]
    lowered = partial(_pulsed_concat, op)
    return RegionPlan(op.axis, length, stream.rate, inputs, main, lowered=lowered)


def _joined_streams(op: Concat, ctx: NodeContext) -> tuple[list[int], Linear | None]:
    """Return the slots that stream, and the last one if they are joined one after the other."""
    streams = [slot for slot, wire in enumerate(ctx.inputs) if ctx.stream(wire) is not None]
    if not streams:
        ctx.refuse(*LENGTH_IN_VALUE)
    stream = ctx.stream(ctx.inputs[streams[-1]])
    return streams, stream if stream is not None and stream.axis == op.axis else None


def _runs(ctx: PulsifyContext, sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Group the inputs in front: each stream alone, neighbouring static ones together."""
    runs: list[tuple[int, ...]] = []
    for slot, size in enumerate(sizes):
        pair = (slot, *runs[-1][:1]) if runs else ()
        if size and pair and all(ctx.stream(ctx.inputs[number]) is None for number in pair):
            runs[-1] = (*runs[-1], slot)
        elif size:
            runs.append((slot,))
    return runs


def _fixed_sizes(ctx: NodeContext, axis: int, last: int) -> list[int]:
    """Return how many frames each input brings; 0 for the last stream, whose length is free."""
    sizes: list[int] = []
    rates = {s.rate for wire in ctx.inputs if (s := ctx.stream(wire)) is not None}
    for slot, wire in enumerate(ctx.inputs):
        stream = ctx.stream(wire)
        size = ctx.batch_input(slot).shape[axis] if stream is None else stream.length
        size = ctx.batch.scope.simplify(size)
        if slot == last:
            size = 0
        elif isinstance(size, TDim) and stream is None:
            ctx.refuse(f"input {slot} has {size} frames on axis {axis}", "set its symbols")
        elif isinstance(size, TDim) and _is_fixed(ctx, last):
            ctx.refuse(
                f"puts the first frames of a stream, input {last}, after the end of another one: "
                "they would have to be kept until then",
                "put them in front, or make them constants",
            )
        elif isinstance(size, TDim):
            ctx.refuse(
                f"joins {_streams(ctx)} streams along the stream axis {axis}: one would start "
                "after the end of the other, which is not causal",
                f"join them along another axis; of the first k frames of a stream, assert "
                f"{ctx.symbol}>=k",
            )
        elif len(rates) > 1:
            ctx.refuse(
                f"joins streams of different rates ({', '.join(map(str, sorted(rates)))} frames "
                "per source frame)",
                "bring both branches to one rate",
            )
        sizes.append(size)
    return sizes


def _is_fixed(ctx: NodeContext, slot: int) -> bool:
    """Say whether a stream has a number of frames that is known before it starts."""
    stream = ctx.stream(ctx.inputs[slot])
    return stream is not None and isinstance(ctx.batch.scope.simplify(stream.length), int)


def _streams(ctx: NodeContext) -> int:
    return sum(ctx.stream(wire) is not None for wire in ctx.inputs)


def _beside(op: Concat, ctx: PulsifyContext, wires: Sequence[Outlet], suffix: str) -> Outlet:
    """Join static wires."""
    return ctx.wire(op, tuple(wires), None, suffix=suffix)[0] if len(wires) > 1 else wires[0]


def _in_front(
    op: Concat,
    ctx: PulsifyContext,
    wire: Outlet,
    info: Linear,
    runs: list[tuple[int, ...]],
    sizes: Sequence[int],
) -> Outlet:
    """Put runs of static frames and streams of fixed length in front of a stream, last one first.

    Args:
        op: the op.
        ctx: the rule's context.
        wire: the stream; its frame 0 comes after those of all runs.
        info: the streaming fact of the whole.
        runs: slots of the inputs in front.
        sizes: frames per input.
    """
    begin = info.delay + sum(sizes[slot] for run in runs for slot in run)
    for number, run in reversed(list(enumerate(runs))):
        frames = sum(sizes[slot] for slot in run)
        grown = replace(info, delay=begin - frames) if number else info
        suffix = f"before{run[0]}" if number else ""
        early = ctx.stream(ctx.inputs[run[0]])
        why = f"{frames} frames put in front"
        if early is None:
            static = _beside(op, ctx, [ctx.inputs[slot] for slot in run], f"prefix{run[0]}")
            around = StreamConcat(op.axis, frames, 0, begin, begin)
            (wire,) = ctx.wire(around, (wire, static), grown, suffix=suffix, why=why)
        else:
            late = ctx.delay(ctx.inputs[run[0]], begin - frames - early.delay)
            splice = StreamSplice(op.axis, begin)
            front = Front(frames, 0)
            (wire,) = ctx.wire(splice, (late, wire), grown, suffix=suffix, front=front, why=why)
        begin -= frames
    return wire


refuse_streaming(StreamConcat, StreamSplice, ConcatCut, **PULSED_ONLY)


@NNEF.load("concat", "values", "axis")
def load_concat(call: Invocation) -> tuple[Outlet, ...]:
    """concat(values, axis): constants are cast to the type of the first value."""
    return call.wire(
        Concat(call.integer("axis")), *of_one_type(call, call.tensors("values"), any_type=True)
    )


@NNEF.dump(Concat)
def dump_concat(op: Concat, node: Node, out: Dump) -> None:
    """Write concat."""
    out.call("concat", inputs=(tuple(node.inputs),), axis=op.axis)


NNEF.refuse_dump(
    StreamConcat,
    StreamSplice,
    ConcatCut,
    reason="has no NNEF operator: the dialect cannot say frames put around a stream",
    remedy="dump the batch model and pulsify it after reading",
)


@ONNX.rule("Concat")
def import_concat(call: OnnxCall) -> tuple[Outlet, ...]:
    """Concat; numbers next to dims (shape arithmetic) become dims."""
    wires = of_one_type(call, call.inputs(), any_type=False)
    rank = call.fact(wires[0]).rank
    axis = call.integer("axis")
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} for inputs of rank {rank}")
    return call.wire(Concat(axis % rank), *wires)
