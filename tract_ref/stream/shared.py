"""Rules that many ops choose, by name: `PULSIFY_V1.use(elementwise, Add, Mul)`.

Those of REGION_V2 are `region_elementwise`, `region_along_tracked_axis` and `region_carry_axis`;
those of INPUT_ROI are `same_positions`, `bubble_through_axes` and `sees_everything`.
"""

from __future__ import annotations

from dataclasses import replace

from tract_ref.dim import Dim
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.per_element import coordinate_axes, remap
from tract_ref.runtime.reach import POINTWISE, RegionPlan, whole
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.roi_moves import renamed
from tract_ref.stream.tables import (
    LENGTH_IN_VALUE,
    NOTHING_STREAMS,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
)

_PRODUCT = "a product of two streams grows with their length; bound it by a mask"


def elementwise(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream an op that treats every frame of every input alone, at the same index.

    out[t] = f(a[t], b[t], ...)      delay = the largest input delay

    Inputs of smaller delay are delayed. A constant must not extend along the stream axis.
    """
    _require_elementwise(ctx)
    wires, stream = ctx.sync(ctx.inputs)
    if stream is None:
        ctx.refuse(*NOTHING_STREAMS)
    return ctx.wire(op, wires, stream)


def region_elementwise(op: Op, node: Node, ctx: RegionContext) -> RegionPlan:
    """Tell that output frame j reads frame j of every stream."""
    axis = _require_elementwise(ctx)
    return pointwise(op, ctx, replace(ctx.meet(), axis=axis))


def pointwise(op: Op, ctx: RegionContext, out: Linear) -> RegionPlan:
    """Return the plan of an op that treats every frame alone, on a stream axis of its own."""
    inputs = tuple(POINTWISE if ctx.stream(wire) is not None else None for wire in ctx.inputs)
    return RegionPlan(out.axis, out.length, out.rate, inputs, whole(op))


def _require_elementwise(ctx: NodeContext) -> int:
    """Return the stream axis of an element-wise op.

    Raises:
        Refused: none or two; a constant has several positions there.
    """
    axes = {s.axis for wire in ctx.inputs if (s := ctx.stream(wire)) is not None}
    if len(axes) > 1:
        ctx.refuse(f"streams arrive on different axes {sorted(axes)}", _PRODUCT)
    if not axes:
        ctx.refuse(*NOTHING_STREAMS)
    axis = axes.pop()
    for slot, wire in enumerate(ctx.inputs):
        size = ctx.batch_input(slot).shape[axis]
        if ctx.stream(wire) is None and size != 1:
            ctx.refuse(
                f"input {slot} is constant but has {size} positions on the stream axis {axis}",
                "give it one position there, or make it a stream",
            )
    return axis


def along_tracked_axis(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream an op that keeps the stream axis as an independent axis, wherever it puts it.

    The op's axes mapping must connect the stream axis of every streaming input with one axis of
    output 0; then each frame is treated alone and the op is kept as it is.
    """
    axis = _require_tracked(op, ctx)
    wires, stream = ctx.sync(ctx.inputs)
    if stream is None:
        ctx.refuse(*NOTHING_STREAMS)
    return ctx.wire(op, wires, replace(stream, axis=axis))


def region_along_tracked_axis(op: Op, node: Node, ctx: RegionContext) -> RegionPlan:
    """Tell that output frame j, on whichever axis, reads frame j of every stream."""
    axis = _require_tracked(op, ctx)
    return pointwise(op, ctx, replace(ctx.meet(), axis=axis))


def _require_tracked(op: Op, ctx: NodeContext) -> int:
    """Return the output axis that the op's axes mapping gives to every streaming input.

    Raises:
        Refused: none or two; a constant has several positions there.
    """
    facts = tuple(ctx.batch_input(slot) for slot in range(len(ctx.inputs)))
    mapping = op.axes(facts, (ctx.batch_output(),))
    axes: dict[int, int] = {}
    for slot, wire in enumerate(ctx.inputs):
        stream = ctx.stream(wire)
        if stream is None:
            continue
        axis = mapping.output_axis(slot, stream.axis)
        if axis is None:
            ctx.refuse(
                f"works over the stream axis ({stream.axis} of input {slot}): it would need "
                "every frame of the stream at once",
                "apply it to another axis",
            )
        axes[slot] = axis
    found = sorted(set(axes.values()))
    if not found:
        ctx.refuse(*NOTHING_STREAMS)
    if len(found) > 1:
        ctx.refuse(f"streams arrive on different output axes {found}", _PRODUCT)
    for slot, fact in enumerate(facts):
        # The frames of a constant would repeat every turn.
        axis = mapping.input_axis(0, found[0], slot) if slot not in axes else None
        if axis is not None and fact.shape[axis] != 1:
            ctx.refuse(
                f"input {slot} is constant but has {fact.shape[axis]} positions along the stream "
                "axis",
                "give it one position there, or make it a stream",
            )
    return found[0]


def carry_axis(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Carry the one stream to wherever its axis goes; delay and rate are unchanged."""
    if ctx.stream(ctx.inputs[0]) is None:
        ctx.refuse(*LENGTH_IN_VALUE)
    return along_tracked_axis(op, node, ctx)


def region_carry_axis(op: Op, node: Node, ctx: RegionContext) -> RegionPlan:
    """Tell that frame j stays frame j, wherever its axis goes."""
    if ctx.stream(ctx.inputs[0]) is None:
        ctx.refuse(*LENGTH_IN_VALUE)
    return region_along_tracked_axis(op, node, ctx)


def keep_static(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Keep an op none of whose inputs streams."""
    return ctx.wire(op, ctx.inputs, *(None for _ in node.outputs))


def sees_everything(op: Op, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Any position of any input may show, or stop the run; also of ops without inputs."""
    return (None,) * len(ctx.inputs)


def same_positions(op: Op, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """An output position reads the same position of each input, or the one that is repeated."""
    return tuple(aligned(ctx.regions[0], slot, ctx) for slot in range(len(ctx.inputs)))


def bubble_through_axes(op: Op, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Keep what is observed along axes that the op treats as independent, see all of the others.

    A coordinate of an output is that of the input axis which the op's axes mapping names, when
    both dims are proved equal; other coordinates are projected out.
    """
    return tuple(bubbled(op, slot, ctx) for slot in range(len(ctx.inputs)))


def bubbled(op: Op, slot: int, ctx: RoiContext) -> Region:
    """Return what `bubble_through_axes` finds for one input."""
    mapping = op.axes(ctx.inputs, ctx.outputs)
    shape = ctx.inputs[slot].shape
    found: list[Region] = []
    for number, (output, region) in enumerate(zip(ctx.outputs, ctx.regions, strict=True)):
        axes: dict[int, int] = {}
        for axis, dim in enumerate(output.shape):
            source = mapping.input_axis(number, axis, slot)
            if source is not None and ctx.scope.decide_equal(shape[source], dim) is True:
                axes[axis] = source
        found.append(renamed(region, axes, output.shape))
    return ctx.union(slot, *found)


def weighted(data: Region, op: Op, ctx: RoiContext) -> tuple[Region, ...]:
    """Return the regions of an op whose inputs after the data are weights: by their channels."""
    return data, *(bubbled(op, slot, ctx) for slot in range(1, len(ctx.inputs)))


def aligned(region: Region, slot: int, ctx: RoiContext) -> Region:
    """Return a region of an element-wise op's output as one of an input of the same rank."""
    shape = ctx.outputs[0].shape
    pairs = enumerate(zip(ctx.inputs[slot].shape, shape, strict=True))
    same = {axis: axis for axis, (a, b) in pairs if ctx.scope.decide_equal(a, b) is True}
    return renamed(region, same, shape)


def value_over_output(slot: int, ctx: RoiContext) -> Dim | None:
    """Return the whole number that each position of an element-wise output reads from an input.

    None when it is not known, or when it is not known whether the input is repeated.
    """
    fact, shape = ctx.inputs[slot], ctx.outputs[0].shape
    value = fact.per_element.whole if fact.per_element is not None else None
    if value is None:
        return None
    repeated = {axis: 0 for axis in coordinate_axes(value) if fact.shape[axis] == 1}
    value = remap(value, repeated)
    known = all(
        ctx.scope.decide_equal(fact.shape[axis], shape[axis]) is True
        for axis in coordinate_axes(value)
    )
    return value if known else None
