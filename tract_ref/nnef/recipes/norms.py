"""Norms that are a formula of other ops."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.axes import AddAxis, RmAxis
from tract_ref.ops.binary import Add, Div, Max, Mul, Pow, Sub
from tract_ref.ops.pool import SumPool
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.unary import Abs, Sqrt
from tract_ref.stream.window import SameUpper, WindowSpec


@NNEF.load("moments", "input", "axes")
def load_moments(call: Invocation) -> tuple[Outlet, ...]:
    """moments(input, axes): the mean, and the mean of the squared distance from it."""
    axes = tuple(sorted(set(call.integers("axes"))))
    data = call.tensor("input")
    (mean,) = call.wire(Reduce(axes, "mean"), data)
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    (variance,) = call.wire(Reduce(axes, "mean_of_squares"), centred, suffix="variance")
    return mean, variance


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


@NNEF.load("local_response_normalization", "input", "size", alpha=1.0, beta=0.5, bias=1.0)
def load_local_response_norm(call: Invocation) -> tuple[Outlet, ...]:
    """local_response_normalization: input / (bias + alpha * mean of input^2 over a box)^beta.

    The box has a size per axis, channels among them; positions outside it count as 0.
    """
    data, size = call.tensor("input"), call.integers("size")
    fact = call.fact(data)
    if len(size) != fact.rank or fact.rank < 2 or size[0] != 1 or min(size) < 1:
        call.malformed(
            f"size={list(size)} for an input {fact}; it has one entry per axis, 1 for the batch"
        )
    rank = len(size) - 1
    window = WindowSpec(size[1:], (1,) * rank, (1,) * rank, (SameUpper(),) * rank)
    (square,) = call.wire(Mul(), data, data, suffix="square")
    # The channels become an axis that a window slides over.
    (plane,) = call.wire(AddAxis(1), square, suffix="plane")
    (mean,) = call.wire(SumPool(window, True, normalize=True), plane, suffix="mean")
    (wire,) = call.wire(RmAxis(1), mean, suffix="channels")
    for name, op in (("alpha", Mul()), ("bias", Add()), ("beta", Pow())):
        number = np.full((1,) * fact.rank, call.scalar(name), fact.dtype)
        (wire,) = call.wire(op, wire, call.const(number, name), suffix=f"after_{name}")
    return call.wire(Div(), data, wire)
