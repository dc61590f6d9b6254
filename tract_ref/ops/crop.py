"""Cropping of a tensor's borders: Crop.

    out[i] = data[i + before]

Source: spec/pulse.md 9.2; ONNX Pad with negative pads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tract_ref.dim import dim_max
from tract_ref.errors import InvalidModel
from tract_ref.ir.annotate import carried
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.per_element import coordinate
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump
from tract_ref.runtime.reach import Reach, RegionPlan, whole
from tract_ref.stream import roi_moves
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    PulsifyContext,
    RegionContext,
    RoiContext,
)
from tract_ref.stream.window import data_stream


@dataclass(frozen=True)
class Crop(Op):
    """Drop positions before and after each axis; an axis that is too short becomes empty.

    Attributes:
        crops: (before, after) per axis, none negative.
    """

    crops: tuple[tuple[int, int], ...]

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Subtract both crops from each axis."""
        (data,) = inputs
        if len(self.crops) != data.rank or any(b < 0 or a < 0 for b, a in self.crops):
            raise InvalidModel(f"crops={self.crops} for data {data}; one pair of sizes per axis")
        pairs = zip(data.shape, self.crops, strict=True)
        out = data.with_shape(tuple(dim_max(0, n - b - a) if b or a else n for n, (b, a) in pairs))
        read = {axis: coordinate(axis) + before for axis, (before, _) in enumerate(self.crops)}
        return (carried(out, data, read),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Slice."""
        (data,) = inputs
        pairs = zip(data.shape, self.crops, strict=True)
        return (data[tuple(slice(b, max(b, n - a)) for n, (b, a) in pairs)],)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes that are not cropped."""
        cropped = (axis for axis, pair in enumerate(self.crops) if max(pair))
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=cropped)


@DECLUTTER.rule(Crop)
def declutter_empty_crop(op: Crop, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Crop that drops nothing is its input."""
    if any(max(pair) for pair in op.crops):
        return None
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


@INPUT_ROI.rule(Crop)
def roi_crop(op: Crop, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Shift by what is dropped in front."""
    region = ctx.regions[0]
    for axis, (size, (before, after)) in enumerate(zip(ctx.inputs[0].shape, op.crops, strict=True)):
        if before or after:
            region = roi_moves.cropped(region, axis, before, size - after)
    return (region,)


def _rest(op: Crop, axis: int) -> Crop | None:
    """Return the crop of the other axes, None when there is nothing to drop."""
    rest = tuple((0, 0) if i == axis else pair for i, pair in enumerate(op.crops))
    return Crop(rest) if any(max(pair) for pair in rest) else None


@PULSIFY_V1.rule(Crop)
def pulsify_crop(op: Crop, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Cropping the stream axis costs nothing: the delay grows by what is dropped in front."""
    wire, stream = ctx.inputs[0], data_stream(ctx)
    if not max(op.crops[stream.axis]):
        return along_tracked_axis(op, node, ctx)
    before = op.crops[stream.axis][0]
    length = ctx.batch_output().shape[stream.axis]
    cropped = replace(stream, length=length, delay=stream.delay + before)
    rest, why = _rest(op, stream.axis), f"starts at frame {before}"
    if rest is None:
        return (ctx.restream(wire, cropped, why=why),)
    return ctx.wire(rest, (wire,), cropped, why=why)


@REGION_V2.rule(Crop)
def region_crop(op: Crop, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of the output is frame before + j of the stream."""
    stream = data_stream(ctx)
    if not max(op.crops[stream.axis]):
        return region_along_tracked_axis(op, node, ctx)
    before = op.crops[stream.axis][0]
    length, rest = ctx.batch_output().shape[stream.axis], _rest(op, stream.axis)
    main = None if rest is None else whole(rest)
    return RegionPlan(stream.axis, length, stream.rate, (Reach(low=before, high=before),), main)


@NNEF.dump(Crop)
def dump_crop(op: Crop, node: Node, out: Dump) -> None:
    """Write slice."""
    shape = out.fact(node.inputs[0]).shape
    axes = tuple(axis for axis, pair in enumerate(op.crops) if max(pair))
    begin = tuple(op.crops[axis][0] for axis in axes)
    end = tuple(shape[axis] - op.crops[axis][1] for axis in axes)
    if any(isinstance(e, int) and e <= b for b, e in zip(begin, end, strict=True)):
        # `slice` reads end = 0 as "to the end" and has no other form of an empty result.
        out.refuse("nothing is left after the crop", remedy="remove the empty branch")
    out.call("slice", axes=axes, begin=begin, end=end)
