"""Slicing ops: Slice, Downsample, and PositionalSlice (state op of a table read along the stream).

Slice:           out[i] = x[start + i],  i < min(end, n) - start
Downsample:      out[i] = x[modulo + i*stride];  stride < 0: out[i] = x[n - 1 + i*stride]
PositionalSlice: turn T emits table[start + T*q : start + (T+1)*q]

Source: spec/ir.md 6; spec/nnef.md 5.1; spec/pulse.md 2.11, 2.12, 8.4, 8.5, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np

from tract_ref.dim import Dim, TDim, ceil_div, dim_max, dim_min, evaluate, slope, symbols
from tract_ref.errors import EvalError, Inconclusive, InvalidModel
from tract_ref.ir.annotate import carried
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.per_element import coordinate
from tract_ref.ir.pulse import whole_parts
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import OnnxCall
from tract_ref.runtime.reach import Increment, Reach, RegionPlan, whole
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis
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


def _at_least_zero(dim: Dim) -> Dim:
    """Return max(0, dim), in the short form when a sum of sizes is visibly not negative."""
    if isinstance(dim, TDim) and dim.constant >= 0 and all(c > 0 for _, c in dim.terms):
        return dim
    return dim_max(0, dim)


def _runs_out(start: Dim, end: int, size: int) -> bool:
    """Say whether an exact slice reads past the end; an empty one reads nothing."""
    return end > size and not (isinstance(start, int) and start >= end)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


@dataclass(frozen=True)
class Slice(Op):
    """Keep positions [start, end) of one axis.

    What lies past the end of the axis is not there: a short stream gives an empty output.

    Attributes:
        axis: the axis.
        start: first kept position, not negative.
        end: one past the last kept position.
        exact: `end` is promised to be inside the axis (a table cut to the stream's length); running
            out of positions is an EvalError instead of a shorter output.
    """

    axis: int
    start: Dim
    end: Dim
    exact: bool = False

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the kept positions on the axis: max(0, min(end, n) - start)."""
        (data,) = inputs
        if not 0 <= self.axis < data.rank:
            raise InvalidModel(f"axis={self.axis} for an input {data}")
        if isinstance(self.start, int) and self.start < 0:
            raise InvalidModel(
                f"start={self.start} on axis {self.axis} of {data}; positions count from 0",
                remedy="count from the end with the dim: n - k",
            )
        dim, end = data.shape[self.axis], self.end
        if not self.exact:
            # max(0, end) = n says that a clamped axis is kept to its end.
            whole = end == dim or dim_max(0, end) == dim
            end = dim if whole else dim_min(end, dim)
        elif isinstance(dim, int) and isinstance(end, int) and _runs_out(self.start, end, dim):
            raise InvalidModel(
                f"end={end} on axis {self.axis} of {data}, which has {dim} positions"
            )
        out = data.with_dim(self.axis, _at_least_zero(end - self.start))
        return (carried(out, data, {self.axis: coordinate(self.axis) + self.start}),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view of the kept positions."""
        (data,) = inputs
        start, end = turn.resolve(self.start), turn.resolve(self.end)
        size = data.shape[self.axis]
        if start < 0:
            raise EvalError(f"start={self.start} is {start} on axis {self.axis}")
        if self.exact and start < end and end > size:
            raise EvalError(
                f"end={self.end} is {end} on axis {self.axis}, which has {size} positions",
                remedy="use a longer table, or a shorter input",
            )
        return (data[_along(self.axis, slice(start, max(start, end)))],)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the sliced one."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=(self.axis,))


@dataclass(frozen=True)
class Downsample(Op):
    """Keep every stride-th position of one axis.

    Attributes:
        axis: the axis.
        stride: not 0; negative = from the last position backwards.
        modulo: first kept position; 0 when the stride is negative.
    """

    axis: int
    stride: int
    modulo: int = 0

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return ceil((n - modulo) / |stride|) positions."""
        (data,) = inputs
        fits = 0 <= self.axis < data.rank and self.stride and self.modulo >= 0
        if not fits or (self.stride < 0 and self.modulo):
            raise InvalidModel(
                f"axis={self.axis}, stride={self.stride}, modulo={self.modulo} for {data}; the "
                "stride is not 0, and the modulo is not negative, 0 when the stride is negative"
            )
        # ceil(max(0, n)) keeps the short form: n is never negative, and n - modulo may be.
        left = data.shape[self.axis] - self.modulo
        kept = ceil_div(_at_least_zero(left), abs(self.stride))
        first = self.modulo if self.stride > 0 else data.shape[self.axis] - 1
        read = first + self.stride * coordinate(self.axis)
        return (carried(data.with_dim(self.axis, kept), data, {self.axis: read}),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a strided view."""
        part = slice(self.modulo if self.stride > 0 else None, None, self.stride)
        return (inputs[0][_along(self.axis, part)],)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the sampled one."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=(self.axis,))


@dataclass
class PositionState(OpState):
    """Frames emitted so far."""

    position: int = 0


@dataclass(frozen=True)
class PositionalSlice(Op):
    """Read a static table along the stream: each turn the next `frames` positions.

    Positions past the end of the table are filler (zeros); a stream that needs them is refused.

    Attributes:
        axis: the axis of the table that becomes the stream axis.
        start: position of frame 0.
        frames: positions per turn.
        length: batch length of the output; contains the stream symbol.
    """

    axis: int
    start: int
    frames: Dim
    length: Dim

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return `frames` positions."""
        (table,) = inputs
        negative = isinstance(self.frames, int) and self.frames < 0
        if not 0 <= self.axis < table.rank or self.start < 0 or negative:
            raise InvalidModel(
                f"axis={self.axis}, start={self.start}, frames={self.frames}: {table}"
            )
        return (table.with_dim(self.axis, self.frames),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return PositionState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Emit the next positions, filled up with zeros past the end of the table."""
        (table,) = inputs
        state = cast("PositionState", turn.state)
        first, frames = self.start + state.position, turn.resolve(self.frames)
        state.position += frames
        size = table.shape[self.axis]
        known = turn.known(self.length)
        if known is None and symbols(self.length) == frozenset((turn.symbol,)):
            known = evaluate(self.length, {turn.symbol: turn.received})
        if known is not None and known > 0 and self.start + known > size:
            raise EvalError(
                f"the stream is {known} frames long so far and starts at position {self.start} of "
                f"a table of {size} positions",
                remedy="use a longer table, or a shorter stream",
            )
        found = table[_along(self.axis, slice(first, first + frames))]
        missing = frames - found.shape[self.axis]
        if not missing:
            return (found,)
        shape = (*table.shape[: self.axis], missing, *table.shape[self.axis + 1 :])
        return (np.concatenate([found, np.zeros(shape, table.dtype)], self.axis),)


@DECLUTTER.rule(Slice)
def declutter_slice(op: Slice, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A slice of everything is dropped; a slice of a slice is one slice."""
    source = node.inputs[0]
    if op.start == 0 and node.outputs[0].shape == ctx.model.fact(source).shape:
        return ModelPatch.bypass(ctx.model, node, source)
    below = ctx.model.nodes[source.node]
    match below.op:
        case Slice(axis, int(start), int(end), False) if axis == op.axis:
            if isinstance(op.start, int) and isinstance(op.end, int) and not op.exact:
                merged = Slice(axis, start + op.start, min(end, start + op.end))
                return ModelPatch.replace(ctx.model, node, merged, below.inputs)
        case _:
            pass
    return None


@DECLUTTER.rule(Downsample)
def declutter_downsample(op: Downsample, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Every position is kept."""
    whole = op.stride == 1 and not op.modulo
    return ModelPatch.bypass(ctx.model, node, node.inputs[0]) if whole else None


@INPUT_ROI.rule(Slice, Downsample)
def roi_kept(op: Slice | Downsample, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Positions that are not kept are not observed; the others where they went."""
    region, size = ctx.regions[0], ctx.inputs[0].shape[op.axis]
    if isinstance(op, Slice):
        return (roi_moves.cropped(region, op.axis, op.start, op.end),)
    return (roi_moves.sampled(region, op.axis, op.stride, op.modulo, size),)


INPUT_ROI.refuse(PositionalSlice, **BATCH_ONLY)


@PULSIFY_V1.rule(Slice)
def pulsify_slice(op: Slice, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Crop a stream, or cut a static table to its length.

    On the stream axis nothing runs: the delay grows by `start`, the length says where the end is. A
    table becomes a positional stream: turn T reads the next positions, delay 0.

    Errors:
        Refused: the start depends on the stream length (the last frames are known only at the end);
            another axis is cut to the stream length.
    Source: spec/pulse.md 2.12. Differs from tract: a table does not restart at each turn (8.5).
    """
    stream, start = ctx.stream(ctx.inputs[0]), _fixed_start(op, ctx)
    if stream is None:
        return _pulsify_table(op, ctx)
    if start is None:
        return along_tracked_axis(op, node, ctx)
    length = ctx.batch_output().shape[op.axis]
    cut = Linear(op.axis, length, stream.delay + start, stream.rate)
    return (ctx.restream(ctx.inputs[0], cut, why=f"starts at frame {start}"),)


@REGION_V2.rule(Slice)
def region_slice(op: Slice, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of the output is frame start + j of the stream, or of a table cut to its length."""
    stream, start = ctx.stream(ctx.inputs[0]), _fixed_start(op, ctx)
    length = ctx.batch_output().shape[op.axis]
    if stream is None:
        first, rate = _table(op, ctx)
        return RegionPlan(
            op.axis,
            length,
            rate,
            (None,),
            lambda made: (_stretch(op, made),),
            turn=lambda turn: PositionalSlice(op.axis, first, turn.frames, length),
        )
    if start is None:
        return region_along_tracked_axis(op, node, ctx)
    return RegionPlan(op.axis, length, stream.rate, (Reach(low=start, high=start),), None)


def _stretch(op: Slice, made: Increment) -> Slice:
    first = op.start + made.start
    return Slice(op.axis, first, first + made.frames, op.exact)


def _fixed_start(op: Slice, ctx: NodeContext) -> int | None:
    """Return where a crop of the stream starts, None when another axis or a table is cut."""
    stream = ctx.stream(ctx.inputs[0])
    if ctx.symbol in symbols(op.start):
        ctx.refuse(
            f"start={op.start} on axis {op.axis} depends on the length {ctx.symbol} of the stream: "
            "it is known only once the stream has ended",
            "slice from a fixed start",
        )
    if stream is None:
        return None
    if stream.axis == op.axis:
        if isinstance(op.start, TDim):
            ctx.refuse(f"start={op.start} on the stream axis is not a number", "set its symbols")
        return op.start
    if ctx.symbol in symbols(op.end):
        ctx.refuse(
            f"cuts axis {op.axis} to {op.end} while axis {stream.axis} streams",
            f"keep {ctx.symbol} on one axis",
        )
    return None


def _table(op: Slice, ctx: NodeContext) -> tuple[int, Fraction]:
    """Return the first position of a table and how many are read per source frame."""
    length = ctx.batch_output().shape[op.axis]
    try:
        rate = slope(length, ctx.symbol)
    except Inconclusive:
        rate = None
    if rate is None or rate <= 0 or isinstance(op.start, TDim):
        ctx.refuse(
            f"a table is cut to {length} positions, which do not grow evenly with {ctx.symbol}",
            f"cut it to a*{ctx.symbol}+b positions from a fixed start, as `table[0:{ctx.symbol}]`",
        )
    return op.start, rate


def _pulsify_table(op: Slice, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    length = ctx.batch_output().shape[op.axis]
    start, rate = _table(op, ctx)
    frames = ctx.pulse.per_turn(rate)
    if frames is None:
        ctx.refuse(
            f"pulse={ctx.pulse} reads {ctx.pulse.share(rate)} positions of a table cut to {length}",
            ctx.pulse.multiple(rate.denominator),
        )
    table = PositionalSlice(op.axis, start, frames, length)
    return ctx.wire(table, ctx.inputs, Linear(op.axis, length, 0, rate))


@PULSIFY_V1.rule(Downsample)
def pulsify_downsample(op: Downsample, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Keep every stride-th frame of a stream.

    raw frame j*s + f is output frame j      f = (d + m) mod s, d' = floor((d + m) / s)

    Errors:
        Refused: backwards; the frames of a turn are not a multiple of the stride.
    """
    wire, stream = ctx.inputs[0], _forward(op, ctx)
    if stream is None:
        return along_tracked_axis(op, node, ctx)
    frames = ctx.frames(wire)
    if whole_parts(frames, op.stride) is None:
        step = (op.stride / stream.rate).numerator
        ctx.refuse(
            f"pulse={ctx.pulse} brings {frames} frames on axis {op.axis}, not a multiple of "
            f"stride={op.stride}",
            ctx.pulse.multiple(step),
        )
    delay, phase = divmod(stream.delay + op.modulo, op.stride)
    length = ctx.batch_output().shape[op.axis]
    info = Linear(op.axis, length, delay, stream.rate / op.stride)
    one = (phase, phase)
    why = f"keeps one frame of {op.stride} from frame {op.modulo} on"
    return ctx.wire(Downsample(op.axis, op.stride, phase), (wire,), info, reach=one, why=why)


@REGION_V2.rule(Downsample)
def region_downsample(op: Downsample, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of the output is frame modulo + j*stride of the stream."""
    stream = _forward(op, ctx)
    if stream is None:
        return region_along_tracked_axis(op, node, ctx)
    reach = Reach(scale=op.stride, low=op.modulo, high=op.modulo)
    length = ctx.batch_output().shape[op.axis]
    kept = Downsample(op.axis, op.stride, 0)
    return RegionPlan(
        op.axis,
        length,
        stream.rate / op.stride,
        (reach,),
        whole(kept),
        turn=lambda turn: replace(kept, modulo=turn.phase),
    )


def _forward(op: Downsample, ctx: NodeContext) -> Linear | None:
    """Return the stream that is sampled, None when another axis is."""
    stream = ctx.stream(ctx.inputs[0])
    if stream is None:
        ctx.refuse("no input streams", "compute it outside the streamed model")
    if stream.axis != op.axis:
        return None
    if op.stride < 0:
        ctx.refuse(
            f"stride={op.stride} reads the stream backwards: it needs the last frame first",
            "reverse another axis, or use a positive stride",
        )
    return stream


refuse_streaming(PositionalSlice, **PULSED_ONLY)


def strided(
    call: Invocation | OnnxCall, data: Outlet, parts: Sequence[tuple[int, Dim, Dim, int]]
) -> tuple[Outlet, ...]:
    """Wire a Slice and a Downsample per (axis, start, end, stride)."""
    ops: list[Op] = []
    for axis, start, end, stride in parts:
        dim = call.fact(data).shape[axis]
        exact = isinstance(dim, int) and isinstance(end, TDim)
        if start != 0 or end != dim:
            ops.append(Slice(axis, start, end, exact))
        if stride != 1:
            ops.append(Downsample(axis, stride))
    wire = data
    for number, op in enumerate(ops, start=1):
        (wire,) = call.wire(op, wire, suffix="" if number == len(ops) else f"slice{number}")
    return (wire,)


def parts(
    call: Invocation | OnnxCall, data: Outlet, axis: int, sizes: Sequence[int]
) -> tuple[Outlet, ...]:
    """Wire one Slice per size, one after the other along an axis."""
    results: list[Outlet] = []
    start = 0
    for number, size in enumerate(sizes):
        (part,) = call.wire(Slice(axis, start, start + size), data, suffix=f"part{number}")
        results.append(part)
        start += size
    return tuple(results)


@NNEF.dump(Slice)
def dump_slice(op: Slice, node: Node, out: Dump) -> None:
    """Write slice; a number past the end of a fixed axis is brought back to it."""
    dim = out.fact(node.inputs[0]).shape[op.axis]
    start, end = op.start, op.end
    if isinstance(dim, int) and not op.exact:
        end = dim_min(end, dim)
    if isinstance(start, int) and isinstance(end, int) and end <= start:
        # An end of 0 would be read as "to the end", except after a begin of 0.
        start = end = min(start, dim) if isinstance(dim, int) else start
    if isinstance(dim, TDim) and isinstance(end, int) and end == 0:
        start = 0
    out.call("slice", axes=(op.axis,), begin=(start,), end=(end,))


@NNEF.load("tract_core_downsample", "input", "axis", "stride", modulo=0)
def load_downsample(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_downsample(input, axis, stride, modulo)."""
    op = Downsample(call.integer("axis"), call.integer("stride"), call.integer("modulo"))
    return call.wire(op, call.tensor("input"))


@NNEF.dump(Downsample)
def dump_downsample(op: Downsample, node: Node, out: Dump) -> None:
    """Write tract_core_downsample."""
    out.call("tract_core_downsample", axis=op.axis, stride=op.stride, modulo=op.modulo)


NNEF.refuse_dump(
    PositionalSlice,
    reason="has no NNEF operator: the dialect cannot say a table read along the stream",
    remedy="dump the batch model and pulsify it after reading",
)
