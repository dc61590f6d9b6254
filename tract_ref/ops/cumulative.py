"""Cumulative sums: CumSum, and RunningSum (state op of a sum along the stream).

    out[i] = sum of x[j], j <= i           exclusive: j < i;  reverse: j >= i, j > i

Source: ONNX CumSum; spec/pulse.md 2.19, 3.8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from tract_ref.dim import TDim
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import DType, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.per_element import coordinate
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import FixedTurn, Reach, RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, pointwise, region_along_tracked_axis
from tract_ref.stream.tables import (
    BATCH_ONLY,
    INPUT_ROI,
    PULSED_ONLY,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)
from tract_ref.stream.window import data_stream


def running_sum(
    data: Tensor, total: Tensor, axis: int, *, exclusive: bool
) -> tuple[Tensor, Tensor]:
    """Return the sums along an axis, and the new total.

    Args:
        data: what is added, position after position.
        total: the sum so far, with one position on the axis; its dtype is that of the sums.
        axis: the axis.
        exclusive: a position does not count itself.
    """
    out = np.empty_like(data)
    lead = (slice(None),) * axis
    with np.errstate(all="ignore"):
        for i in range(data.shape[axis]):
            here = (*lead, slice(i, i + 1))
            before, total = total, total + data[here].astype(total.dtype, copy=False)
            out[here] = before if exclusive else total
    return out, total


def nothing(data: Tensor, axis: int) -> Tensor:
    """Return the sum of no position: zeros, of f32 where data is f16."""
    shape = (*data.shape[:axis], 1, *data.shape[axis + 1 :])
    return np.full(shape, 0, _sum_dtype(data.dtype))


def _sum_dtype(dtype: DType) -> DType:
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _check(op: str, axis: int, data: Fact) -> None:
    if not 0 <= axis < data.rank:
        raise InvalidModel(f"axis={axis} for an input {data}")
    if data.dtype.kind == "b":
        raise InvalidModel(f"{op} of {data}", remedy="cast it to a number")


@dataclass(frozen=True)
class CumSum(Op):
    """Add up the positions of one axis, keeping every sum.

    Positions are added one after the other; integers wrap around; f16 is added in f32 and each sum
    is rounded once.

    Attributes:
        axis: the axis.
        exclusive: a position does not count itself: the first sum is 0.
        reverse: from the last position to the first.
    """

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        _check("a cumulative sum", self.axis, data)
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add one position after the other; reversed, over the reversed axis."""
        (data,) = inputs
        if self.reverse:
            data = np.flip(data, self.axis)
        start = nothing(data, self.axis)
        out, _ = running_sum(data, start, self.axis, exclusive=self.exclusive)
        return (np.flip(out, self.axis) if self.reverse else out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the one that is added up."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=(self.axis,))


@dataclass
class RunningSumState(OpState):
    """Frames seen so far, and the sum of the valid ones; None before the first turn."""

    position: int = 0
    total: Tensor | None = None


@dataclass(frozen=True)
class RunningSum(Op):
    """Add up a stream, turn after turn, from its first valid frame on.

    Sums of frames before `begin` are 0. Frames past the end of the stream only reach sums past the
    end, so the end need not be known.

    Attributes:
        axis: the stream axis.
        exclusive: a frame does not count itself.
        begin: raw index of the first valid frame.
    """

    axis: int
    exclusive: bool
    begin: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        _check("a running sum", self.axis, data)
        if self.begin < 0:
            raise InvalidModel(f"begin={self.begin}; frames count from 0")
        return (data.without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0; the total is made when its shape is known."""
        return RunningSumState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add the valid frames to the total, one after the other."""
        (data,) = inputs
        state = cast("RunningSumState", turn.state)
        frames = data.shape[self.axis]
        skipped = min(max(0, self.begin - state.position), frames)
        state.position += frames
        if state.total is None:
            state.total = nothing(data, self.axis)
        lead = (slice(None),) * self.axis
        out = np.full(data.shape, 0, data.dtype)
        valid = (*lead, slice(skipped, None))
        out[valid], state.total = running_sum(
            data[valid], state.total, self.axis, exclusive=self.exclusive
        )
        return (out,)


@dataclass(frozen=True)
class SumsBefore(Op):
    """Exclusive sums of an increment: those of the frames given, the first one led by 0.

    Attributes:
        axis: the stream axis.

    Shapes:
        data   [.., frames before each sum, ..]
        out    [.., as many sums, in the first increment one more, ..]
    """

    axis: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape of an increment after the first one is unchanged."""
        (data,) = inputs
        _check("exclusive sums", self.axis, data)
        return (data.without_const(),)

    def state(self) -> OpState:
        """Return the state of no frame."""
        return RunningSumState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add the frames to the total, one after the other."""
        (data,) = inputs
        state = cast("RunningSumState", turn.state)
        parts: list[Tensor] = []
        if state.total is None:
            state.total = nothing(data, self.axis)
            parts.append(state.total.astype(data.dtype, copy=False))
        state.position += data.shape[self.axis]
        sums, state.total = running_sum(data, state.total, self.axis, exclusive=False)
        return (np.concatenate([*parts, sums], self.axis),)


@INPUT_ROI.rule(CumSum)
def roi_cumsum(op: CumSum, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A position is read by itself, unless exclusive, and by those that are added after it."""
    at, size = coordinate(op.axis), ctx.outputs[0].shape[op.axis]
    low, high = (None, at - op.exclusive) if op.reverse else (at + op.exclusive, None)
    return (roi_moves.read_by(ctx.regions[0], op.axis, size, low, high),)


INPUT_ROI.refuse(RunningSum, SumsBefore, **BATCH_ONLY)


@PULSIFY_V1.rule(CumSum)
def pulsify_cumsum(op: CumSum, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Add up a stream as it comes; along another axis, every frame alone.

    Errors:
        Refused: a reverse sum along the stream axis.
    """
    stream = _summed(op, ctx)
    if stream is None:
        return along_tracked_axis(op, node, ctx)
    return _pulsed_sum(op, ctx)


def _pulsed_sum(op: CumSum, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    stream = data_stream(ctx)
    length = ctx.batch_output().shape[op.axis]
    total = RunningSum(op.axis, op.exclusive, stream.delay)
    return ctx.wire(total, ctx.inputs, replace(stream, length=length), reach=(-math.inf, 0))


@REGION_V2.rule(CumSum)
def region_cumsum(op: CumSum, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j reads frame j, or j - 1 of an exclusive sum, and the sum of those before it."""
    stream = _summed(op, ctx)
    if stream is None:
        return region_along_tracked_axis(op, node, ctx)
    if op.exclusive:
        plan = pointwise(SumsBefore(op.axis), ctx, stream)
        reach = Reach(low=-1, high=-1)
        return replace(plan, inputs=(reach,), lowered=partial(_pulsed_sum, op))
    total = RunningSum(op.axis, op.exclusive, 0)
    plan = pointwise(total, ctx, stream)

    def of_turn(turn: FixedTurn) -> RunningSum:
        return replace(total, begin=turn.delay)

    return replace(plan, turn=of_turn)


def _summed(op: CumSum, ctx: NodeContext) -> Linear | None:
    """Return the stream that is added up, None when another axis is.

    Raises:
        Refused: it is added up from its end.
    """
    stream = ctx.stream(ctx.inputs[0])
    if stream is None or stream.axis != op.axis:
        return None
    if op.reverse:
        ctx.refuse(
            f"a reverse sum along the stream axis ({op.axis}) is not causal: its first frame is "
            "the sum of the whole stream",
            "sum forward, or along another axis",
        )
    return stream


refuse_streaming(RunningSum, SumsBefore, **PULSED_ONLY)


@NNEF.load("tract_core_cumsum", "input", "axis", "reverse", "exclusive")
def load_cumsum(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_cumsum(input, axis, reverse, exclusive)."""
    op = CumSum(call.integer("axis"), call.logical("exclusive"), call.logical("reverse"))
    return call.wire(op, call.tensor("input"))


@NNEF.dump(CumSum)
def dump_cumsum(op: CumSum, node: Node, out: Dump) -> None:
    """Write tract_core_cumsum."""
    out.call("tract_core_cumsum", axis=op.axis, reverse=op.reverse, exclusive=op.exclusive)


NNEF.refuse_dump(
    RunningSum,
    SumsBefore,
    reason="has no NNEF operator: the dialect cannot say a sum that goes on from turn to turn",
    remedy="dump the batch model and pulsify it after reading",
)


@ONNX.rule("CumSum")
def import_cumsum(call: OnnxCall) -> tuple[Outlet, ...]:
    """CumSum: a constant axis as input, exclusive and reverse as attributes."""
    data, given = call.input(0), call.dims(1)
    rank = call.fact(data).rank
    if len(given) != 1 or isinstance(given[0], TDim) or not -rank <= given[0] < rank:
        call.malformed(
            f"axis {[str(axis) for axis in given]} for an input {call.fact(data)}",
            remedy="use one axis inside the rank",
        )
    flags = [call.integer(name, 0) for name in ("exclusive", "reverse")]
    if any(flag not in (0, 1) for flag in flags):
        call.malformed(f"exclusive={flags[0]}, reverse={flags[1]}", remedy="use 0 or 1")
    return call.wire(CumSum(given[0] % rank, bool(flags[0]), bool(flags[1])), data)
