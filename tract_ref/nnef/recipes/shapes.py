"""Reshape, stack and split; repeated positions."""

from __future__ import annotations

from tract_ref.calls import chain
from tract_ref.dim import product
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.shapes import inferred_shape
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis, reshaped
from tract_ref.ops.concat import Concat
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.resize import Resize
from tract_ref.ops.slicing import Slice, parts


@NNEF.load("reshape", "input", "shape", axis_start=0, axis_count=-1)
def load_reshape(call: Invocation) -> tuple[Outlet, ...]:
    """reshape(input, shape, axis_start, axis_count): in the window, 0 copies and -1 is inferred."""
    data, wanted = call.tensor("input"), call.dims("shape")
    shape, start, count = (
        call.fact(data).shape,
        call.integer("axis_start"),
        call.integer("axis_count"),
    )
    end = len(shape) if count < 0 else start + count
    if not wanted:
        call.malformed("shape=[] is not read", remedy="squeeze the axes")
    if not 0 <= start <= end <= len(shape):
        call.malformed(
            f"axes {start} to {end} of an input of rank {len(shape)}",
            remedy="use axis_start and axis_count inside the rank",
        )
    dims = inferred_shape(shape[start:end], wanted, zero_copies=True)
    return reshaped(call, data, (*shape[:start], *dims, *shape[end:]))


@NNEF.load("nearest_upsample", "input", "factor")
def load_nearest_upsample(call: Invocation) -> tuple[Outlet, ...]:
    """nearest_upsample(input, factor): repeat each position; factor lists the axes from 2 on."""
    data, factors = call.tensor("input"), call.integers("factor")
    shape = call.fact(data).shape
    if len(factors) != len(shape) - 2 or any(factor < 1 for factor in factors):
        call.malformed(f"factor={list(factors)} for an input {call.fact(data)}")
    ops: list[Op] = []
    dims = list(shape)
    for axis, factor in enumerate(factors, start=2):
        if factor == 1:
            continue
        wide = (*dims[: axis + 1], factor, *dims[axis + 1 :])
        made = product((dims[axis], factor))
        ops += [AddAxis(axis + 1), Broadcast(wide), Reshape(axis, wide[axis : axis + 2], (made,))]
        dims[axis] = made
    return chain(call, data, ops)


@NNEF.load("multilinear_upsample", "input", "factor", method="symmetric", border="replicate")
def load_multilinear_upsample(call: Invocation) -> tuple[Outlet, ...]:
    """multilinear_upsample(input, factor, method, border): a Resize of the axes from 2 on.

    Positions outside are those of the border, as `symmetric` and `aligned` define them.
    """
    data, factors = call.tensor("input"), call.integers("factor")
    rank = call.fact(data).rank
    if len(factors) != rank - 2 or any(factor < 1 for factor in factors):
        call.malformed(f"factor={list(factors)} for an input {call.fact(data)}")
    methods = {"symmetric": "half_pixel", "aligned": "align_corners", "asymmetric": "asymmetric"}
    method, border = call.string("method"), call.string("border")
    if method not in methods:
        call.malformed(f"method={method!r}", remedy="use " + ", ".join(methods))
    if border not in ("replicate", "replicated"):
        call.refuse(f"border {border!r}", remedy="use border = 'replicate'")
    scales = (1.0, 1.0, *(float(factor) for factor in factors))
    return call.wire(Resize(scales, None, methods[method], "linear"), data)


@NNEF.load("stack", "values", "axis")
def load_stack(call: Invocation) -> tuple[Outlet, ...]:
    """stack(values, axis): a new axis of one position each, joined."""
    axis = call.integer("axis")
    values = tuple(
        call.wire(AddAxis(axis), wire, suffix=f"axis{number}")[0]
        for number, wire in enumerate(call.tensors("values"))
    )
    return call.wire(Concat(axis), *values)


@NNEF.load("unstack", "value", "axis")
def load_unstack(call: Invocation) -> tuple[Outlet, ...]:
    """unstack(value, axis): one tensor per position."""
    data, axis = call.tensor("value"), call.integer("axis")
    shape = call.fact(data).shape
    count = shape[axis] if 0 <= axis < len(shape) else None
    if not isinstance(count, int):
        call.malformed(
            f"axis={axis} of {call.fact(data)} does not have a fixed number of positions"
        )
    results: list[Outlet] = []
    for number in range(count):
        (part,) = call.wire(Slice(axis, number, number + 1), data, suffix=f"slice{number}")
        results.append(call.wire(RmAxis(axis), part, suffix=f"part{number}")[0])
    return tuple(results)


@NNEF.load("split", "value", "axis", "ratios")
def load_split(call: Invocation) -> tuple[Outlet, ...]:
    """split(value, axis, ratios): parts in proportion to the ratios."""
    data, axis, ratios = call.tensor("value"), call.integer("axis"), call.integers("ratios")
    shape = call.fact(data).shape
    total = sum(ratios)
    dim = shape[axis] if 0 <= axis < len(shape) else None
    if not isinstance(dim, int) or min(ratios, default=0) < 0 or total <= 0 or dim % total:
        call.malformed(f"axis {axis} of {dim} positions does not split by ratios {list(ratios)}")
    return parts(call, data, axis, [dim // total * ratio for ratio in ratios])
