"""Repeating ops: Broadcast, Tile; what ONNX and NNEF say about shapes.

Broadcast: NumPy broadcast, aligned on the right
Tile:      out[i] = x[i mod n] on every axis

Source: spec/ir.md 6; spec/nnef.md 5 and 6.1; spec/pulse.md 2.15, 8.2, 8.19, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tract_ref.dim import Dim, TDim, broadcast, product, slope
from tract_ref.errors import EvalError, Inconclusive, InvalidModel
from tract_ref.ir.annotate import carried, shifted
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import Fact, Shape, Tensor, dims_tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ir.shapes import shape_text
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import POINTWISE, RegionPlan
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


def _tracks(pairs: Sequence[tuple[int, int]]) -> AxesMapping:
    return AxesMapping(tuple(Track((source,), (target,)) for source, target in pairs))


@dataclass(frozen=True)
class Broadcast(Op):
    """Repeat axes of one position until the tensor has a shape, aligned on the right.

    Attributes:
        shape: the whole output shape.
    """

    shape: tuple[Dim, ...]

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the target shape."""
        (data,) = inputs
        lead = len(self.shape) - data.rank
        fits = lead >= 0 and not any(
            isinstance(a, int) and a != 1 and a != b
            for a, b in zip(data.shape, self.shape[lead:], strict=True)
            if isinstance(b, int)
        )
        if not fits:
            raise InvalidModel(
                f"{data} does not broadcast to {shape_text(self.shape)}; from the right, every dim "
                "must be 1 or the wanted one"
            )
        out = data.with_shape(self.shape)
        value = data.per_element
        # An axis that may turn out to be repeated has no coordinate to keep.
        varies = () if value is None else value.axes
        kept = all(data.shape[axis] == self.shape[axis + lead] for axis in varies)
        return (carried(out, data, shifted(0, data.rank, lead) if kept else None),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Repeat."""
        shape = tuple(turn.resolve(dim) for dim in self.shape)
        try:
            return (np.broadcast_to(inputs[0], shape).copy(),)
        except ValueError:
            seen = list(inputs[0].shape)
            raise EvalError(f"{seen} does not broadcast to {list(shape)}") from None

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes that are not repeated are kept."""
        data, lead = inputs[0], len(self.shape) - inputs[0].rank
        pairs = [(a, a + lead) for a in range(data.rank)]
        return _tracks([(a, b) for a, b in pairs if data.shape[a] == self.shape[b]])


@dataclass(frozen=True)
class Tile(Op):
    """Repeat the whole tensor along each axis.

    Attributes:
        multipliers: how many times, per axis.
    """

    multipliers: tuple[Dim, ...]

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Multiply the dims."""
        (data,) = inputs
        negative = any(isinstance(m, int) and m < 0 for m in self.multipliers)
        if len(self.multipliers) != data.rank or negative:
            raise InvalidModel(
                f"multipliers {shape_text(self.multipliers)} for an input {data}; "
                f"it needs {data.rank} numbers, none negative"
            )
        pairs = zip(data.shape, self.multipliers, strict=True)
        out = data.with_shape(tuple(product((d, m)) for d, m in pairs))
        value = data.per_element
        varies = () if value is None else value.axes
        kept = all(self.multipliers[axis] == 1 for axis in varies)
        return (carried(out, data, {} if kept else None),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Repeat."""
        return (np.tile(inputs[0], tuple(turn.resolve(m) for m in self.multipliers)),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes that are not repeated are kept."""
        return _tracks([(a, a) for a, m in enumerate(self.multipliers) if m == 1])


@dataclass(frozen=True)
class Cycle(Op):
    """Take positions of one axis, counted beyond its end from its start again.

    out[j] = x[(start + j) mod n]; only increments of a repeated constant hold one.

    Attributes:
        axis: the axis.
        start: index of the first position.
        frames: how many are taken.
    """

    axis: int
    start: int
    frames: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the taken positions."""
        return (inputs[0].without_const().with_dim(self.axis, self.frames),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take them."""
        indices = (self.start + np.arange(self.frames)) % inputs[0].shape[self.axis]
        return (inputs[0].take(indices, self.axis),)


@DECLUTTER.rule(Broadcast, Tile)
def declutter_repeat_once(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Broadcast or Tile that repeats nothing is its input."""
    if ctx.model.fact(node.inputs[0]).shape != node.outputs[0].shape:
        return None
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


def _even_rate(dim: Dim, ctx: NodeContext) -> Fraction:
    """Return how many times something static is repeated per source frame."""
    rate = _rate(dim, ctx)
    if rate is None or rate <= 0:
        ctx.refuse(
            f"its length {dim} does not grow evenly with {ctx.symbol}",
            f"repeat it a*{ctx.symbol}+b times",
        )
    return rate


def _positional(dim: Dim, ctx: PulsifyContext) -> tuple[Dim, Fraction]:
    """Return the frames per turn and the rate of something static that is as long as `dim`."""
    rate = _even_rate(dim, ctx)
    frames = ctx.pulse.per_turn(rate)
    if frames is None:
        ctx.refuse(
            f"pulse={ctx.pulse} makes {ctx.pulse.share(rate)} frames of a wire of length {dim}",
            ctx.pulse.multiple(rate.denominator),
        )
    return frames, rate


def _one_stream_axis(ctx: NodeContext) -> int:
    axes = ctx.batch_output().axes_with(ctx.symbol)
    if len(axes) != 1:
        ctx.refuse(
            f"the output {ctx.batch_output()} has {len(axes)} axes that contain {ctx.symbol}",
            f"keep {ctx.symbol} on one axis",
        )
    return axes[0]


@INPUT_ROI.rule(Broadcast)
def roi_broadcast(op: Broadcast, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A repeated position is observed when one of its copies is."""
    shape, lead = ctx.inputs[0].shape, ctx.outputs[0].rank - ctx.inputs[0].rank
    wanted = ctx.outputs[0].shape
    pairs = [(axis, axis + lead) for axis in range(len(shape))]
    same = {b: a for a, b in pairs if ctx.scope.decide_equal(shape[a], wanted[b]) is True}
    return (roi_moves.renamed(ctx.regions[0], same, wanted),)


@INPUT_ROI.rule(Tile)
def roi_tile(op: Tile, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A position is observed when one of its copies is."""
    region, wanted = ctx.regions[0], ctx.outputs[0].shape
    for axis, (size, times) in enumerate(zip(ctx.inputs[0].shape, op.multipliers, strict=True)):
        if times != 1:
            region = roi_moves.tiled(region, axis, times, size, wanted)
    return (region,)


INPUT_ROI.refuse(Cycle, **BATCH_ONLY)
refuse_streaming(Cycle, **PULSED_ONLY)
NNEF.refuse_dump(
    Cycle, reason="is part of an increment, not of a model", remedy="write the batch model"
)


@PULSIFY_V1.rule(Broadcast)
def pulsify_broadcast(op: Broadcast, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Repeat a stream on its other axes, or make a constant as long as the stream.

    A stream keeps its axis (counted from the right) and its delay. A constant becomes a positional
    stream: delay 0, slope * pulse frames per turn, whatever the constant part of its length.

    Errors:
        Refused: two axes contain the symbol; the frames per turn are not whole; a few frames of a
            stream are repeated along it.
    Source: spec/pulse.md 2.15. Differs from tract: the delay is kept (8.2), because raw frames stay
    where they are.
    """
    axis, stream = _broadcast_axis(op, ctx)
    if stream is None:
        frames, rate = _positional(op.shape[axis], ctx)
        info = Linear(axis, op.shape[axis], 0, rate)
    else:
        frames = ctx.frames(ctx.inputs[0])
        info = Linear(axis, op.shape[axis], stream.delay, stream.rate)
    shape = (*op.shape[:axis], frames, *op.shape[axis + 1 :])
    return ctx.wire(Broadcast(shape), ctx.inputs, info)


@REGION_V2.rule(Broadcast)
def region_broadcast(op: Broadcast, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j reads frame j of a stream; a constant is there as soon as the length says so."""
    axis, stream = _broadcast_axis(op, ctx)
    rate = stream.rate if stream is not None else _even_rate(op.shape[axis], ctx)
    reach = POINTWISE if stream is not None else None

    def of(frames: Dim) -> Broadcast:
        return Broadcast((*op.shape[:axis], frames, *op.shape[axis + 1 :]))

    return RegionPlan(
        axis,
        op.shape[axis],
        rate,
        (reach,),
        lambda made: (of(made.frames),),
        turn=lambda turn: of(turn.frames),
    )


def _broadcast_axis(op: Broadcast, ctx: NodeContext) -> tuple[int, Linear | None]:
    """Return the stream axis of the output, and the stream that is repeated on other axes."""
    axis = _one_stream_axis(ctx)
    stream = ctx.stream(ctx.inputs[0])
    if stream is None:
        return axis, None
    lead = len(op.shape) - ctx.batch_input(0).rank
    if stream.axis + lead != axis:
        ctx.refuse(
            f"repeats axis {axis} {op.shape[axis]} times while axis {stream.axis} streams",
            f"keep {ctx.symbol} on one axis",
        )
    given = ctx.batch_input(0).shape[stream.axis]
    if _rate(given, ctx) != _rate(op.shape[axis], ctx):
        ctx.refuse(
            f"repeats the stream axis: {given} frames become {op.shape[axis]}",
            "repeat a frame of a constant, or another axis",
        )
    return axis, stream


def _rate(length: Dim, ctx: NodeContext) -> Fraction | None:
    try:
        return slope(length, ctx.symbol)
    except Inconclusive:
        return None


@PULSIFY_V1.rule(Tile)
def pulsify_tile(op: Tile, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Repeat a stream on its other axes, or repeat a constant as long as the stream lasts.

    Errors:
        Refused: the stream axis is repeated: the second copy starts after the end of the stream.
    """
    tiled = _tiled_constant(op, ctx)
    if tiled is None:
        return along_tracked_axis(op, node, ctx)
    axis, period = tiled
    copies, rate = _positional(op.multipliers[axis], ctx)
    multipliers = (*op.multipliers[:axis], copies, *op.multipliers[axis + 1 :])
    info = Linear(axis, ctx.batch_output().shape[axis], 0, rate * period)
    return ctx.wire(Tile(multipliers), ctx.inputs, info)


@REGION_V2.rule(Tile)
def region_tile(op: Tile, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of a repeated constant is its position j modulo its size."""
    tiled = _tiled_constant(op, ctx)
    if tiled is None:
        return region_along_tracked_axis(op, node, ctx)
    axis, period = tiled

    def times(copies: Dim) -> Tile:
        return Tile((*op.multipliers[:axis], copies, *op.multipliers[axis + 1 :]))

    return RegionPlan(
        axis,
        ctx.batch_output().shape[axis],
        _even_rate(op.multipliers[axis], ctx) * period,
        (None,),
        lambda made: (times(1), Cycle(axis, made.start, made.frames)),
        turn=lambda turn: times(turn.frames // period),
        unit=period,
    )


def _tiled_constant(op: Tile, ctx: NodeContext) -> tuple[int, int] | None:
    """Return axis and size of a constant that is repeated along the stream, None of a stream.

    Raises:
        Refused: the stream axis of a stream is repeated; the size is not a number.
    """
    axis = _one_stream_axis(ctx)
    stream = ctx.stream(ctx.inputs[0])
    if stream is not None:
        if op.multipliers[stream.axis] != 1:
            ctx.refuse(
                f"repeats the stream axis {stream.axis} {op.multipliers[stream.axis]} times: the "
                "second copy would need the stream from its start once more, after its end",
                "repeat another axis, or each frame (nearest_upsample)",
            )
        return None
    period = ctx.batch_input(0).shape[axis]
    if isinstance(period, TDim):
        ctx.refuse(
            f"the repeated axis has {period} positions", "repeat a fixed number of positions"
        )
    return axis, period


@NNEF.load("tract_core_broadcast", "input", "shape")
def load_broadcast(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_broadcast(input, shape)."""
    return call.wire(Broadcast(call.dims("shape")), call.tensor("input"))


@NNEF.dump(Broadcast)
def dump_broadcast(op: Broadcast, node: Node, out: Dump) -> None:
    """Write tract_core_broadcast."""
    out.call("tract_core_broadcast", shape=op.shape)


@NNEF.dump(Tile)
def dump_tile(op: Tile, node: Node, out: Dump) -> None:
    """Write tile."""
    out.call("tile", repeats=op.multipliers)


@NNEF.load("tract_core_shape_of", "input")
def load_shape_of(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_shape_of(input): a constant of dims, whether they are numbers or not."""
    shape = call.fact(call.tensor("input")).shape
    return (call.model.add_const(call.name, dims_tensor(shape)),)


@ONNX.rule("Shape")
def import_shape(call: OnnxCall) -> tuple[Outlet, ...]:
    """Shape, with `start` and `end` (opset 15); i64 when every dim is a number, else dims."""
    shape = call.fact(call.input(0)).shape
    end = call.integer("end", len(shape))
    shape = shape[call.integer("start", 0) : end]
    return (call.model.add_const(call.name, _shape_tensor(shape)),)


@ONNX.rule("Size")
def import_size(call: OnnxCall) -> tuple[Outlet, ...]:
    """Size: the number of elements, rank 0."""
    volume = _shape_tensor((call.fact(call.input(0)).volume,))
    return (call.model.add_const(call.name, volume.reshape(())),)


def _shape_tensor(dims: Shape) -> Tensor:
    if any(isinstance(dim, TDim) for dim in dims):
        return dims_tensor(dims)
    return np.asarray(dims, np.int64)


@ONNX.rule("ConstantOfShape")
def import_constant_of_shape(call: OnnxCall) -> tuple[Outlet, ...]:
    """ConstantOfShape: a broadcast of one value, 0 of f32 by default."""
    value = call.tensor("value")
    value = np.zeros((), np.float32) if value is None else value.reshape(())
    return call.wire(Broadcast(call.dims(0)), call.add_const(value, "value"))


@ONNX.rule("Expand")
def import_expand(call: OnnxCall) -> tuple[Outlet, ...]:
    """Expand: both shapes are broadcast, a 1 of the wanted shape keeps the input's dim."""
    shape, wanted = call.fact(call.input(0)).shape, call.dims(1)
    rank = max(len(shape), len(wanted))
    ones: Shape = (1,) * rank
    pairs = zip((*ones, *shape)[-rank:], (*ones, *wanted)[-rank:], strict=True)
    both = tuple(broadcast(a, b) for a, b in pairs) if rank else ()
    return call.wire(Broadcast(both), call.input(0))


@ONNX.rule("Tile")
def import_tile(call: OnnxCall) -> tuple[Outlet, ...]:
    """Tile, with one repeat per axis."""
    return call.wire(Tile(call.dims(1)), call.input(0))
