"""Rules that many ops choose, by name: `PULSIFY_V1.use(elementwise, Add, Mul)`.

Those of INPUT_ROI are `same_positions`, `bubble_through_axes` and `sees_everything`.
"""

from __future__ import annotations

from dataclasses import replace

from tract_ref.dim import Dim
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.per_element import coordinate_axes, remap
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.roi_moves import renamed
from tract_ref.stream.tables import PulsifyContext, RoiContext


def elementwise(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream an op that treats every frame of every input alone, at the same index.

    out[t] = f(a[t], b[t], ...)      delay = the largest input delay

    Inputs of smaller delay are delayed. A constant must not extend along the stream axis.
    """
    axes = {s.axis for wire in ctx.inputs if (s := ctx.stream(wire)) is not None}
    if len(axes) > 1:
        ctx.refuse(
            f"streams arrive on different axes {sorted(axes)}",
            "a product of two streams grows with their length; bound it by a mask",
        )
    wires, stream = ctx.sync(ctx.inputs)
    if stream is None:
        ctx.refuse(
            "the output depends on the stream length, no input streams",
            "compute it outside the streamed model",
        )
    for slot, wire in enumerate(ctx.inputs):
        if ctx.stream(wire) is None and ctx.batch_input(slot).shape[stream.axis] != 1:
            ctx.refuse(
                f"input {slot} is constant but has {ctx.batch_input(slot).shape[stream.axis]} "
                f"positions on the stream axis {stream.axis}",
                "give it one position there, or make it a stream",
            )
    length = ctx.batch_output().shape[stream.axis]
    return ctx.wire(op, wires, replace(stream, length=length))


def along_tracked_axis(op: Op, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream an op that keeps the stream axis as an independent axis, wherever it puts it.

    The op's axes mapping must connect the stream axis of every streaming input with one axis of
    output 0; then each frame is treated alone and the op is kept as it is.
    """
    tracked: dict[int, Linear] = {}
    batch_inputs = tuple(ctx.batch_input(slot) for slot in range(len(ctx.inputs)))
    mapping = op.axes(batch_inputs, (ctx.batch_output(),))
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
        tracked[slot] = replace(stream, axis=axis)
    axes = {stream.axis for stream in tracked.values()}
    if not axes:
        ctx.refuse(
            "the output depends on the stream length, no input streams",
            "compute it outside the streamed model",
        )
    if len(axes) > 1:
        ctx.refuse(
            f"streams arrive on different output axes {sorted(axes)}",
            "a product of two streams grows with their length; bound it by a mask",
        )
    _refuse_long_constants(op, ctx, mapping_axis=next(iter(axes)), tracked=tracked)
    wires, stream = ctx.sync(ctx.inputs)
    if stream is None:
        ctx.refuse("no input streams", "compute it outside the streamed model")
    out_axis = next(iter(axes))
    length = ctx.batch_output().shape[out_axis]
    return ctx.wire(op, wires, Linear(out_axis, length, stream.delay, stream.rate))


def _refuse_long_constants(
    op: Op, ctx: PulsifyContext, *, mapping_axis: int, tracked: dict[int, Linear]
) -> None:
    """A static input must not extend along the stream axis: its frames would repeat every turn."""
    batch_inputs = tuple(ctx.batch_input(slot) for slot in range(len(ctx.inputs)))
    mapping = op.axes(batch_inputs, (ctx.batch_output(),))
    for slot in range(len(ctx.inputs)):
        if slot in tracked:
            continue
        axis = mapping.input_axis(0, mapping_axis, slot)
        if axis is not None and batch_inputs[slot].shape[axis] != 1:
            ctx.refuse(
                f"input {slot} is constant but has {batch_inputs[slot].shape[axis]} positions "
                "along the stream axis",
                "give it one position there, or make it a stream",
            )


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
