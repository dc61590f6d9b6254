"""Reductions, with or without the axes that they leave."""

from __future__ import annotations

from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.recipes.chain import Chain
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import RmAxis
from tract_ref.ops.binary import Add, Mul, Sub
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.structure import Identity
from tract_ref.ops.unary import Abs, Exp, Ln, Sqrt

_PLAIN = {
    "ReduceSum": "sum",
    "ReduceProd": "prod",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceMean": "mean",
}
_COMPOSED = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")


def _reduced_axes(call: OnnxCall, rank: int) -> tuple[int, ...] | None:
    """Return the axes, an attribute or the second input; None when nothing is to be reduced."""
    if call.input_count > 1 and call.optional(1) is not None:
        values = tuple(int(str(dim)) for dim in call.dims(1))
    else:
        values = call.integers("axes", ())
    if not values:
        return None if call.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    if not all(-rank <= axis < rank for axis in values):
        call.malformed(f"axes={list(values)} of a tensor of {rank} axes")
    return tuple(sorted({axis % rank for axis in values}))


def _drop_axes(call: OnnxCall, chain: Chain, axes: tuple[int, ...]) -> tuple[Outlet, ...]:
    """Remove the reduced axes unless keepdims."""
    if not call.integer("keepdims", 1):
        for axis in reversed(axes):
            chain.then(f"without-{axis}", RmAxis(axis))
    return chain.finish()


@ONNX.rule(*_PLAIN)
def import_reduce(call: OnnxCall) -> tuple[Outlet, ...]:
    """ReduceSum, ReduceProd, ReduceMax, ReduceMin, ReduceMean."""
    data = call.input(0)
    axes = _reduced_axes(call, call.fact(data).rank)
    if axes is None:
        return call.wire(Identity(), data)
    chain = Chain(call, data).then("reduced", Reduce(axes, _PLAIN[call.operator]))
    return _drop_axes(call, chain, axes)


@ONNX.rule(*_COMPOSED)
def import_composed_reduce(call: OnnxCall) -> tuple[Outlet, ...]:
    """Norms and logarithms of sums: an element-wise op before the sum, another after it.

    ReduceLogSumExp subtracts the maximum first: log sum exp(x - m) + m.
    """
    data = call.input(0)
    axes = _reduced_axes(call, call.fact(data).rank)
    if axes is None:
        call.refuse(
            f"{call.operator} with noop_with_empty_axes=1 and no axes",
            remedy="name the axes",
        )
    chain = Chain(call, data)
    add = Reduce(axes, "sum")
    match call.operator:
        case "ReduceL1":
            chain.then("abs", Abs()).then("sum", add)
        case "ReduceL2":
            chain.then("square", Mul(), data).then("sum", add).then("root", Sqrt())
        case "ReduceSumSquare":
            chain.then("square", Mul(), data).then("sum", add)
        case "ReduceLogSum":
            chain.then("sum", add).then("log", Ln())
        case _:
            (top,) = call.wire(Reduce(axes, "max"), data, suffix="max")
            chain.then("shifted", Sub(), top).then("exp", Exp()).then("sum", add)
            chain.then("log", Ln()).then("restored", Add(), top)
    return _drop_axes(call, chain, axes)


@ONNX.rule("ArgMax", "ArgMin")
def import_arg(call: OnnxCall) -> tuple[Outlet, ...]:
    """ArgMax, ArgMin with axis, keepdims, select_last_index."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", 0)
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    last = "_last" if call.integer("select_last_index", 0) else ""
    axes = (axis % rank,)
    chain = Chain(call, data).then("found", Reduce(axes, call.operator.lower() + last))
    return _drop_axes(call, chain, axes)
