"""NNEF operators that become several nodes, most of ops that live in several families."""

from __future__ import annotations

import numpy as np

from tract_ref.dim import product
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.shapes import inferred_shape
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis, chain, reshaped
from tract_ref.ops.binary import Add, Div, Lt, Max, Mul, Sub
from tract_ref.ops.concat import Concat
from tract_ref.ops.einsum import EinSum, accumulator, matmul_expression
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Slice, parts
from tract_ref.ops.unary import Abs, Sqrt


@NNEF.load("linear", "input", "filter", bias=0.0)
def load_linear(call: Invocation) -> tuple[Outlet, ...]:
    """linear(input, filter, bias): input x transposed filter + bias; a bias of zeros is left out.

    A bias of lower rank gets its missing axes at the end, as in every binary operator: one of rank
    1 is added per row. One entry per output channel is written [[b0, b1, ..]].
    """
    data, weights = call.tensor("input"), call.tensor("filter")
    ranks = call.fact(data).rank, call.fact(weights).rank
    if ranks[0] != ranks[1] or ranks[0] < 2:
        call.malformed(
            f"linear of tensors of rank {ranks[0]} and {ranks[1]}; ranks are equal and 2 or more",
            remedy="unsqueeze the smaller one",
        )
    expr = matmul_expression(*ranks, transpose_b=True)
    op = EinSum(expr, accumulator(call.fact(data).dtype))
    if call.is_absent("bias"):
        return call.wire(op, data, weights)
    bias = call.tensor("bias", like=data)
    value = call.fact(bias).const
    if value is not None and not value.any():
        return call.wire(op, data, weights)
    (product,) = call.wire(op, data, weights, suffix="product")
    return call.wire(Add(), *call.align(product, bias))


@NNEF.load("moments", "input", "axes")
def load_moments(call: Invocation) -> tuple[Outlet, ...]:
    """moments(input, axes): the mean, and the mean of the squared distance from it."""
    axes = tuple(sorted(set(call.integers("axes"))))
    data = call.tensor("input")
    (mean,) = call.wire(Reduce(axes, "mean"), data)
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    (variance,) = call.wire(Reduce(axes, "mean_of_squares"), centred, suffix="variance")
    return mean, variance


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


@NNEF.load("prelu", "x", "alpha")
def load_prelu(call: Invocation) -> tuple[Outlet, ...]:
    """prelu(x, alpha) is select(x < 0, alpha * x, x)."""
    x, alpha = call.align(call.tensor("x"), call.tensor("alpha"))
    fact = call.fact(x)
    zero = call.const(np.zeros((1,) * fact.rank, fact.dtype), "zero")
    (negative,) = call.wire(Lt(), x, zero, suffix="negative")
    (scaled,) = call.wire(Mul(), alpha, x, suffix="scaled")
    return call.wire(Select(), negative, scaled, x)


@NNEF.load("batch_normalization", "input", "mean", "variance", "offset", "scale", "epsilon")
def load_batch_norm(call: Invocation) -> tuple[Outlet, ...]:
    """batch_normalization: offset + scale * (input - mean) / sqrt(variance + epsilon)."""
    data = call.tensor("input")
    mean, variance, offset, scale = (
        call.align(data, call.tensor(name, like=data))[1]
        for name in ("mean", "variance", "offset", "scale")
    )
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    fact = call.fact(variance)
    epsilon = np.full((1,) * fact.rank, call.scalar("epsilon"), fact.dtype)
    (steady,) = call.wire(Add(), variance, call.const(epsilon, "small"), suffix="steady")
    (deviation,) = call.wire(Sqrt(), steady, suffix="deviation")
    (factor,) = call.wire(Div(), scale, deviation, suffix="factor")
    (scaled,) = call.wire(Mul(), centred, factor, suffix="scaled")
    return call.wire(Add(), scaled, offset)


@NNEF.load("l1_normalization", "input", "axes", bias=0.0, epsilon=0.0)
def load_l1_norm(call: Invocation) -> tuple[Outlet, ...]:
    """l1_normalization: input / max(sum |input| + bias, epsilon)."""
    data = call.tensor("input")
    (size,) = call.wire(Abs(), data, suffix="abs")
    return _over_norm(call, data, size, root=False)


@NNEF.load("l2_normalization", "input", "axes", bias=0.0, epsilon=0.0)
def load_l2_norm(call: Invocation) -> tuple[Outlet, ...]:
    """l2_normalization: input / max(sqrt(sum input^2 + bias), epsilon)."""
    data = call.tensor("input")
    (square,) = call.wire(Mul(), data, data, suffix="square")
    return _over_norm(call, data, square, root=True)


def _over_norm(call: Invocation, data: Outlet, size: Outlet, *, root: bool) -> tuple[Outlet, ...]:
    fact = call.fact(data)

    def number(parameter: str) -> Outlet:
        value = np.full((1,) * fact.rank, call.scalar(parameter), fact.dtype)
        return call.const(value, parameter)

    axes = tuple(sorted(set(call.integers("axes"))))
    (norm,) = call.wire(Reduce(axes, "sum"), size, suffix="sum")
    (norm,) = call.wire(Add(), norm, number("bias"), suffix="biased")
    if root:
        (norm,) = call.wire(Sqrt(), norm, suffix="root")
    (norm,) = call.wire(Max(), norm, number("epsilon"), suffix="norm")
    return call.wire(Div(), data, norm)


NNEF.refuse_load(
    "local_response_normalization",
    reason="normalises over a window of channels, which no op of the set does",
    remedy="replace it by its formula: sqr, a box over a spatial axis, pow, div",
)
