"""ONNX operators that become several nodes, most of ops that live in several families."""

from __future__ import annotations

import numpy as np

from tract_ref.dim import Dim, product
from tract_ref.ir.fact import Tensor, dtype_name
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.shapes import inferred_shape
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import RmAxis, reshaped
from tract_ref.ops.binary import Add, Div, Lt, Mul, Sub
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import parts
from tract_ref.ops.structure import Identity
from tract_ref.ops.unary import Abs, Exp, Ln, Sqrt


class _Chain:
    """Adds nodes one after the other; the last one is to be called `last`, which names the node."""

    def __init__(self, call: OnnxCall, wire: Outlet) -> None:
        self.call = call
        self.wire = wire
        self._pending: tuple[str, Op, tuple[Outlet, ...]] | None = None

    def then(self, suffix: str, op: Op, *others: Outlet) -> _Chain:
        """Append an op that reads the chain's wire, then `others`."""
        self._flush()
        self._pending = (suffix, op, (self.wire, *others))
        return self

    def _flush(self) -> None:
        if self._pending is not None:
            suffix, op, inputs = self._pending
            (self.wire,) = self.call.wire(op, *inputs, suffix=suffix)
            self._pending = None

    def so_far(self) -> Outlet:
        """Return the wire after everything appended."""
        self._flush()
        return self.wire

    def finish(self) -> tuple[Outlet, ...]:
        """Give the last op the ONNX node's name."""
        if self._pending is None:
            return self.call.wire(Identity(), self.wire)
        _, op, inputs = self._pending
        self._pending = None
        return self.call.wire(op, *inputs)


def _like(call: OnnxCall, wire: Outlet, value: float, suffix: str) -> Outlet:
    """Add a number as a constant of a wire's dtype and rank."""
    fact = call.fact(wire)
    return call.add_const(np.full((1,) * fact.rank, value, fact.dtype), suffix)


@ONNX.rule("Gemm")
def import_gemm(call: OnnxCall) -> tuple[Outlet, ...]:
    """Gemm: alpha * A' * B' + beta * C, C broadcast to the product."""
    a, b = call.input(0), call.input(1)
    if call.fact(a).rank != 2 or call.fact(b).rank != 2:
        call.malformed(f"Gemm of {call.fact(a)} and {call.fact(b)}; both are matrices")
    left = "km" if call.integer("transA", 0) else "mk"
    right = "nk" if call.integer("transB", 0) else "kn"
    acc = dtype_name(call.fact(a).dtype)
    chain = _Chain(call, a).then("product", EinSum(f"{left},{right}->mn", acc), b)
    alpha = call.scalar("alpha", 1.0)
    if alpha != 1.0:
        chain.then("scaled", Mul(), _like(call, a, alpha, "alpha"))
    c = call.optional(2)
    beta = call.scalar("beta", 1.0)
    if c is None or beta == 0.0:
        return chain.finish()
    if beta != 1.0:
        (c,) = call.wire(Mul(), c, _like(call, c, beta, "beta"), suffix="offset")
    product, offset = call.align(chain.so_far(), c)
    return call.wire(Add(), product, offset)


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


def _drop_axes(call: OnnxCall, chain: _Chain, axes: tuple[int, ...]) -> tuple[Outlet, ...]:
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
    chain = _Chain(call, data).then("reduced", Reduce(axes, _PLAIN[call.operator]))
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
    chain = _Chain(call, data)
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
    chain = _Chain(call, data).then("found", Reduce(axes, call.operator.lower() + last))
    return _drop_axes(call, chain, axes)


@ONNX.rule("LayerNormalization")
def import_layer_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """LayerNormalization: (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias.

    Every step has the dtype of x; f16 sums are accumulated in f32 by the reductions.
    """
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", -1)
    if call.wants_output(1) or call.wants_output(2):
        call.refuse("Mean or InvStdDev of LayerNormalization is used", remedy="use only Y")
    if call.integer("stash_type", 1) != 1:
        call.refuse(
            f"stash_type={call.integer('stash_type', 1)}", remedy="export with stash_type=1"
        )
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    axes = tuple(range(axis % rank, rank))
    (mean,) = call.wire(Reduce(axes, "mean"), data, suffix="mean")
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    (power,) = call.wire(Reduce(axes, "mean_of_squares"), centred, suffix="variance")
    small: Tensor = np.full((1,) * rank, call.scalar("epsilon", 1e-5), call.fact(data).dtype)
    (steady,) = call.wire(Add(), power, call.add_const(small, "epsilon"), suffix="steady")
    (deviation,) = call.wire(Sqrt(), steady, suffix="deviation")
    chain = _Chain(call, centred).then("normal", Div(), deviation)
    normal, scale = call.align(chain.so_far(), call.input(1))
    chain = _Chain(call, normal).then("scaled", Mul(), scale)
    bias = call.optional(2)
    if bias is not None:
        scaled, offset = call.align(chain.so_far(), bias)
        chain = _Chain(call, scaled).then("biased", Add(), offset)
    return chain.finish()


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


@ONNX.rule("PRelu")
def import_prelu(call: OnnxCall) -> tuple[Outlet, ...]:
    """PRelu(x, slope) is x where x >= 0, else slope * x."""
    x, slope = call.align(call.input(0), call.input(1))
    (negative,) = call.wire(Lt(), x, _like(call, x, 0, "zero"), suffix="negative")
    (scaled,) = call.wire(Mul(), slope, x, suffix="scaled")
    return call.wire(Select(), negative, scaled, x)
