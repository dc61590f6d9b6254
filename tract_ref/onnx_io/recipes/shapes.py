"""Reshape, Flatten, Split, Slice, Range; blocks of pixels."""

from __future__ import annotations

from tract_ref.calls import chain
from tract_ref.dim import Dim, TDim, dim_max, dim_min, maybe_div, product
from tract_ref.ir.fact import Shape
from tract_ref.ir.model import Outlet
from tract_ref.ir.shapes import inferred_shape
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import reshape_ops, reshaped
from tract_ref.ops.slicing import parts, strided
from tract_ref.ops.transpose import move_ops

# ONNX writes "to the end" as any huge number; torch uses both 2^31-1 and 2^63-1.
_TO_THE_END = (1 << 31) - 1


@ONNX.rule("Reshape")
def import_reshape(call: OnnxCall) -> tuple[Outlet, ...]:
    """Reshape: -1 is inferred; 0 copies the dim of that index unless `allowzero`."""
    shape = call.fact(call.input(0)).shape
    copies = not call.integer("allowzero", 0)
    return reshaped(call, call.input(0), inferred_shape(shape, call.dims(1), zero_copies=copies))


@ONNX.rule("Flatten")
def import_flatten(call: OnnxCall) -> tuple[Outlet, ...]:
    """Flatten: the axes before `axis` become one, those from it on another."""
    shape = call.fact(call.input(0)).shape
    axis = call.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        call.malformed(f"axis={axis} for an input of rank {len(shape)}")
    axis += len(shape) if axis < 0 else 0
    return reshaped(call, call.input(0), (product(shape[:axis]), product(shape[axis:])))


@ONNX.rule("Split")
def import_split(call: OnnxCall) -> tuple[Outlet, ...]:
    """Split, by `split` (an attribute before opset 13, an input since) or in equal parts.

    Uneven `num_outputs` (opset 18) give a shorter last part.
    """
    data = call.input(0)
    shape = call.fact(data).shape
    axis = call.integer("axis", 0)
    if not -len(shape) <= axis < len(shape):
        call.malformed(f"axis={axis} for an input {call.fact(data)}")
    axis %= len(shape)
    dim, count = shape[axis], call.output_count
    sizes: tuple[Dim, ...] = ()
    if call.optional(1) is not None:
        sizes = call.dims(1)
    elif call.has("split"):
        sizes = call.integers("split")
    elif isinstance(dim, int):
        most = -(-dim // count)
        uneven = dim % count and not call.has("num_outputs")
        if uneven or (dim % count and most * (count - 1) >= dim):
            call.malformed(f"{dim} positions do not split in {count} parts")
        sizes = tuple(max(0, min(most, dim - most * part)) for part in range(count))
    whole = [size for size in sizes if isinstance(size, int)]
    if not sizes or len(whole) != len(sizes) or (isinstance(dim, int) and sum(whole) != dim):
        call.refuse(
            f"parts {[str(size) for size in sizes]} of axis {axis}, which has {dim} positions",
            remedy="give the sizes of the parts, as numbers that add up to the axis",
        )
    return parts(call, data, axis, whole)


@ONNX.rule("DepthToSpace", "SpaceToDepth")
def import_blocks(call: OnnxCall) -> tuple[Outlet, ...]:
    """DepthToSpace, SpaceToDepth: blocks of pixels to and from channels, of [N, C, H, W]."""
    data, size = call.input(0), call.integer("blocksize")
    shape = call.fact(data).shape
    if len(shape) != 4 or size < 1:
        call.malformed(f"blocksize={size} of data {call.fact(data)}; it is [N, C, H, W]")
    batch, channels, height, width = shape
    spread = call.operator == "DepthToSpace"
    cut = (channels,) if spread else (height, width)
    by = size * size if spread else size
    parts_of = [maybe_div(dim, by) for dim in cut]
    if any(rest != 1 for _, rest in parts_of):
        call.malformed(f"blocksize={size} does not divide {', '.join(str(dim) for dim in cut)}")
    if not spread:
        rows, columns = (part for part, _ in parts_of)
        split: Shape = (batch, channels, rows, size, columns, size)
        joined: Shape = (batch, product((channels, size, size)), rows, columns)
        order = (0, 3, 5, 1, 2, 4)
    else:
        ((depth, _),) = parts_of
        mode = call.string("mode", "DCR")
        if mode not in ("DCR", "CRD"):
            call.malformed(f"mode={mode!r}", remedy="use DCR or CRD")
        block: Shape = (size, size, depth) if mode == "DCR" else (depth, size, size)
        split = (batch, *block, height, width)
        joined = (batch, depth, product((height, size)), product((width, size)))
        order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
    moved = tuple(split[axis] for axis in order)
    ops = [*reshape_ops(shape, split), *move_ops(order), *reshape_ops(moved, joined)]
    return chain(call, data, ops)


@ONNX.rule("Slice")
def import_slice(call: OnnxCall) -> tuple[Outlet, ...]:
    """Slice: attributes in opset 9, inputs since; negative positions count from the end."""
    data = call.input(0)
    shape = call.fact(data).shape
    if call.has("starts"):
        starts, ends = call.integers("starts"), call.integers("ends")
        axes = call.integers("axes", tuple(range(len(starts))))
        steps: tuple[Dim, ...] = (1,) * len(starts)
    else:
        starts, ends = call.dims(1), call.dims(2)
        given = call.dims(3) if call.optional(3) is not None else tuple(range(len(starts)))
        axes = tuple(int(axis) for axis in given if isinstance(axis, int))
        steps = call.dims(4) if call.optional(4) is not None else (1,) * len(starts)
    if not len(axes) == len(starts) == len(ends) == len(steps):
        call.malformed(
            f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes, {len(steps)} steps; "
            "there is one of each per sliced axis"
        )
    parts: list[tuple[int, Dim, Dim, int]] = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if not -len(shape) <= axis < len(shape) or isinstance(step, TDim) or not step:
            call.malformed(f"axis {axis} and step {step} for an input {call.fact(data)}")
        bounds = _forward if step > 0 else _backward
        first, last = bounds(shape[axis], start, end)
        parts.append((axis % len(shape), first, last, step))
    return strided(call, data, parts)


def _forward(dim: Dim, start: Dim, end: Dim) -> tuple[Dim, Dim]:
    """Return start and end as positions, clamped as ONNX says."""
    if isinstance(start, int):
        start = start if start >= 0 else dim_max(0, dim + start)
        start = min(start, dim) if isinstance(start, int) and isinstance(dim, int) else start
    if isinstance(end, int):
        end = dim if end >= _TO_THE_END else end if end >= 0 else dim + end
        end = min(max(end, 0), dim) if isinstance(end, int) and isinstance(dim, int) else end
    return start, end


def _backward(dim: Dim, start: Dim, end: Dim) -> tuple[Dim, Dim]:
    """Return the range [end + 1, start + 1) that a negative step reads from its last position."""
    if isinstance(start, int):
        start = dim - 1 if start >= _TO_THE_END else start if start >= 0 else dim + start
    if isinstance(end, int):
        low = -_TO_THE_END if isinstance(dim, TDim) else -dim - 1
        end = -1 if end <= low else end if end >= 0 else dim + end
    # A start before the axis is position 0, unlike NumPy; -1 is the last position, kept short.
    last = dim if start + 1 == dim else dim_min(dim_max(1, start + 1), dim)
    return dim_max(0, dim_min(end + 1, dim)) if end != -1 else 0, last
