"""ONNX operators that become several nodes, most of ops that live in several families."""

from __future__ import annotations

import numpy as np

from tract_ref.dim import Dim, product
from tract_ref.ir.fact import dtype_name
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.shapes import inferred_shape
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis, reshaped
from tract_ref.ops.binary import Add, Div, Eq, Lt, Mul, Sub
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.fft import Fft, Stft
from tract_ref.ops.norm import RmsNorm
from tract_ref.ops.padding import Pad
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Slice, parts
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


def _centred(call: OnnxCall, data: Outlet, axes: tuple[int, ...], epsilon: float) -> _Chain:
    """Subtract the mean over axes, divide by the root of the variance + epsilon."""
    (mean,) = call.wire(Reduce(axes, "mean"), data, suffix="mean")
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    (power,) = call.wire(Reduce(axes, "mean_of_squares"), centred, suffix="variance")
    small = _like(call, data, epsilon, "epsilon")
    (steady,) = call.wire(Add(), power, small, suffix="steady")
    (deviation,) = call.wire(Sqrt(), steady, suffix="deviation")
    return _Chain(call, centred).then("normal", Div(), deviation)


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
    chain = _centred(call, data, tuple(range(axis % rank, rank)), call.scalar("epsilon", 1e-5))
    normal, scale = call.align(chain.so_far(), call.input(1))
    chain = _Chain(call, normal).then("scaled", Mul(), scale)
    bias = call.optional(2)
    if bias is not None:
        scaled, offset = call.align(chain.so_far(), bias)
        chain = _Chain(call, scaled).then("biased", Add(), offset)
    return chain.finish()


@ONNX.rule("RMSNormalization")
def import_rms_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """RMSNormalization: x / sqrt(mean(x^2) + epsilon) * scale, over the axes from `axis` on."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis, epsilon = call.integer("axis", -1), call.scalar("epsilon", 1e-5)
    if call.integer("stash_type", 1) != 1:
        call.refuse(
            f"stash_type={call.integer('stash_type', 1)}", remedy="export with stash_type=1"
        )
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    if axis % rank == rank - 1:
        chain = _Chain(call, data).then("normal", RmsNorm(rank - 1, epsilon))
    else:
        axes = tuple(range(axis % rank, rank))
        root = _Chain(call, data).then("power", Reduce(axes, "mean_of_squares"))
        root.then("steady", Add(), _like(call, data, epsilon, "epsilon")).then("root", Sqrt())
        chain = _Chain(call, data).then("normal", Div(), root.so_far())
    normal, scale = call.align(chain.so_far(), call.input(1))
    return call.wire(Mul(), normal, scale)


def _per_channel(call: OnnxCall, slot: int, rank: int) -> Outlet:
    """Return a list of one number per channel as [1, C, 1, ..]."""
    wire = call.input(slot)
    if call.fact(wire).rank != 1:
        call.malformed(f"the input {slot} is {call.fact(wire)}; it has one number per channel")
    value = call.const(slot)
    if value is not None:
        return call.add_const(value.reshape((1, -1, *(1,) * (rank - 2))), f"channels{slot}")
    chain = _Chain(call, wire).then(f"channels{slot}", AddAxis(0))
    for axis in range(2, rank):
        chain.then(f"channels{slot}-{axis}", AddAxis(axis))
    return chain.so_far()


def _channels(call: OnnxCall) -> tuple[Outlet, int]:
    """Return data of [N, C, ..] and its rank."""
    data = call.input(0)
    rank = call.fact(data).rank
    if rank < 2:
        call.malformed(f"data {call.fact(data)}; it is [batch, channels, ..]")
    return data, rank


@ONNX.rule("BatchNormalization")
def import_batch_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """BatchNormalization at inference: x * a + b, a and b per channel, computed here in f64."""
    data, rank = _channels(call)
    call.scalar("momentum", 0.9)
    if call.integer("training_mode", 0) or any(call.wants_output(slot) for slot in range(1, 5)):
        call.refuse("training_mode=1", remedy="export the model for inference")
    found = [v.astype(np.float64) for slot in range(1, 5) if (v := call.const(slot)) is not None]
    if len(found) < 4:
        call.refuse("its statistics are known only at run time", remedy="make them constants")
    scale, bias, mean, variance = found
    epsilon = call.scalar("epsilon", 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    shape, dtype = (1, -1, *(1,) * (rank - 2)), call.fact(data).dtype
    scaled = call.add_const(factor.reshape(shape).astype(dtype), "factor")
    offset = call.add_const((bias - mean * factor).reshape(shape).astype(dtype), "offset")
    return _Chain(call, data).then("scaled", Mul(), scaled).then("shifted", Add(), offset).finish()


@ONNX.rule("InstanceNormalization")
def import_instance_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """InstanceNormalization: each channel of each item, over its spatial axes."""
    data, rank = _channels(call)
    chain = _centred(call, data, tuple(range(2, rank)), call.scalar("epsilon", 1e-5))
    chain.then("scaled", Mul(), _per_channel(call, 1, rank))
    return chain.then("biased", Add(), _per_channel(call, 2, rank)).finish()


@ONNX.rule("GroupNormalization")
def import_group_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """GroupNormalization: groups of channels, over the group's channels and the spatial axes.

    Scale and bias are per channel; before opset 21, per group.
    """
    data, rank = _channels(call)
    groups, dim = call.integer("num_groups"), call.fact(data).shape[1]
    if call.integer("stash_type", 1) != 1:
        call.refuse(
            f"stash_type={call.integer('stash_type', 1)}", remedy="export with stash_type=1"
        )
    if not isinstance(dim, int) or groups < 1 or dim % groups:
        call.malformed(f"num_groups={groups} of {dim} channels")
    split = (groups, dim // groups)
    (grouped,) = call.wire(Reshape(1, (dim,), split), data, suffix="groups")
    chain = _centred(call, grouped, tuple(range(2, rank + 1)), call.scalar("epsilon", 1e-5))
    merge = Reshape(1, split, (dim,))
    if call.opset < 21:
        chain.then("scaled", Mul(), _per_channel(call, 1, rank + 1))
        chain.then("biased", Add(), _per_channel(call, 2, rank + 1))
        return chain.then("channels", merge).finish()
    chain.then("channels", merge).then("scaled", Mul(), _per_channel(call, 1, rank))
    return chain.then("biased", Add(), _per_channel(call, 2, rank)).finish()


@ONNX.rule("MeanVarianceNormalization")
def import_mean_variance_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over axes."""
    data = call.input(0)
    rank = call.fact(data).rank
    given = call.integers("axes", (0, 2, 3))
    if not all(-rank <= axis < rank for axis in given):
        call.malformed(f"axes={list(given)} of a tensor of {rank} axes")
    axes = tuple(sorted({axis % rank for axis in given}))
    (mean,) = call.wire(Reduce(axes, "mean"), data, suffix="mean")
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    chain = _Chain(call, centred).then("variance", Reduce(axes, "mean_of_squares"))
    chain.then("deviation", Sqrt()).then("steady", Add(), _like(call, data, 1e-9, "epsilon"))
    return call.wire(Div(), centred, chain.so_far())


@ONNX.rule("LpNormalization")
def import_lp_norm(call: OnnxCall) -> tuple[Outlet, ...]:
    """LpNormalization: x / norm over one axis, p = 1 or 2; a line of zeros stays."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis, p = call.integer("axis", -1), call.integer("p", 2)
    if not -rank <= axis < rank or p not in (1, 2):
        call.malformed(f"axis={axis}, p={p} of a tensor of {rank} axes; p is 1 or 2")
    add = Reduce((axis % rank,), "sum")
    chain = _Chain(call, data)
    if p == 1:
        chain.then("abs", Abs()).then("sum", add)
    else:
        chain.then("square", Mul(), data).then("sum", add).then("root", Sqrt())
    norm = chain.so_far()
    (is_zero,) = call.wire(Eq(), norm, _like(call, data, 0, "zero"), suffix="is-zero")
    (divisor,) = call.wire(Select(), is_zero, _like(call, data, 1, "one"), norm, suffix="divisor")
    return call.wire(Div(), data, divisor)


ONNX.refuse(
    "LRN",
    reason="normalises over a window of channels, which no op of the set does",
    remedy="replace it by its formula: squares, an average pool, a power, a quotient",
)


def _as_complex(call: OnnxCall, data: Outlet) -> Outlet:
    """Return numbers with a last axis of 2: a real number gets an imaginary part of 0."""
    shape = call.fact(data).shape
    if len(shape) < 2 or shape[-1] not in (1, 2):
        call.malformed(f"signal {call.fact(data)}; its last axis has 1 or 2 positions")
    if shape[-1] == 2:
        return data
    pads = (*((0, 0),) * (len(shape) - 1), (0, 1))
    return call.wire(Pad(pads, "constant", 0.0), data, suffix="complex")[0]


def _size(call: OnnxCall, slot: int) -> int | None:
    """Return an optional constant integer."""
    if call.optional(slot) is None:
        return None
    dims = call.dims(slot)
    if len(dims) != 1 or not isinstance(dims[0], int):
        call.refuse(f"the input {slot} is {[str(d) for d in dims]}", remedy="make it a number")
    return dims[0]


@ONNX.rule("DFT")
def import_dft(call: OnnxCall) -> tuple[Outlet, ...]:
    """DFT: pad or cut to dft_length, transform, keep one side, divide an inverse by its length."""
    data = _as_complex(call, call.input(0))
    rank = call.fact(data).rank
    axis = call.integer("axis", 1) if call.opset < 20 else _size(call, 2)
    axis = -2 if axis is None else axis
    inverse, one_sided = call.integer("inverse", 0), call.integer("onesided", 0)
    if not -rank <= axis < rank or axis % rank == rank - 1:
        call.malformed(f"axis={axis} of a signal of {rank} axes, the last of which is complex")
    if inverse and one_sided:
        call.refuse("onesided=1 with inverse=1", remedy="give the whole spectrum")
    axis %= rank
    size, wanted = call.fact(data).shape[axis], _size(call, 1)
    wanted = size if wanted is None else wanted
    if not isinstance(size, int) or not isinstance(wanted, int):
        call.refuse(f"a transform of {size} positions", remedy="set its symbol")
    chain = _Chain(call, data)
    if wanted > size:
        pads = tuple((0, wanted - size if a == axis else 0) for a in range(rank))
        chain.then("padded", Pad(pads, "constant", 0.0))
    elif wanted < size:
        chain.then("cut", Slice(axis, 0, wanted))
    chain.then("transform", Fft(axis, bool(inverse)))
    if one_sided:
        chain.then("side", Slice(axis, 0, wanted // 2 + 1))
    if inverse:
        chain.then("normal", Mul(), _like(call, data, 1 / max(wanted, 1), "share"))
    return chain.finish()


@ONNX.rule("STFT")
def import_stft(call: OnnxCall) -> tuple[Outlet, ...]:
    """STFT of [batch, length, 1 or 2]: frames, then frequencies, of which one side by default."""
    data = _as_complex(call, call.input(0))
    stride, frame, window = _size(call, 1), _size(call, 3), call.optional(2)
    if frame is None and window is not None:
        size = call.fact(window).shape[0]
        frame = size if isinstance(size, int) else None
    if stride is None or frame is None or call.fact(data).rank != 3:
        call.malformed(f"signal {call.fact(data)}, frame_step={stride}, frame_length={frame}")
    wires = (data,) if window is None else (data, window)
    (spectrum,) = call.wire(Stft(1, frame, stride), *wires, suffix="spectrum")
    bins = frame // 2 + 1 if call.integer("onesided", 1) else frame
    return _Chain(call, spectrum).then("side", Slice(2, 0, bins)).finish()


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
