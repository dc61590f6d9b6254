"""Norms: over the last axes, over channels, over a window of channels."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.recipes.chain import Chain, like
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis
from tract_ref.ops.binary import Add, Div, Eq, Mul, Pow, Sub
from tract_ref.ops.norm import RmsNorm
from tract_ref.ops.pool import SumPool
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.select import Select
from tract_ref.ops.unary import Abs, Sqrt
from tract_ref.stream.window import WindowSpec, explicit


def _centred(call: OnnxCall, data: Outlet, axes: tuple[int, ...], epsilon: float) -> Chain:
    """Subtract the mean over axes, divide by the root of the variance + epsilon."""
    (mean,) = call.wire(Reduce(axes, "mean"), data, suffix="mean")
    (centred,) = call.wire(Sub(), data, mean, suffix="centred")
    (power,) = call.wire(Reduce(axes, "mean_of_squares"), centred, suffix="variance")
    small = like(call, data, epsilon, "epsilon")
    (steady,) = call.wire(Add(), power, small, suffix="steady")
    (deviation,) = call.wire(Sqrt(), steady, suffix="deviation")
    return Chain(call, centred).then("normal", Div(), deviation)


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
    chain = Chain(call, normal).then("scaled", Mul(), scale)
    bias = call.optional(2)
    if bias is not None:
        scaled, offset = call.align(chain.so_far(), bias)
        chain = Chain(call, scaled).then("biased", Add(), offset)
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
        chain = Chain(call, data).then("normal", RmsNorm(rank - 1, epsilon))
    else:
        axes = tuple(range(axis % rank, rank))
        root = Chain(call, data).then("power", Reduce(axes, "mean_of_squares"))
        root.then("steady", Add(), like(call, data, epsilon, "epsilon")).then("root", Sqrt())
        chain = Chain(call, data).then("normal", Div(), root.so_far())
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
    chain = Chain(call, wire).then(f"channels{slot}", AddAxis(0))
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
    return Chain(call, data).then("scaled", Mul(), scaled).then("shifted", Add(), offset).finish()


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
    chain = Chain(call, centred).then("variance", Reduce(axes, "mean_of_squares"))
    chain.then("deviation", Sqrt()).then("steady", Add(), like(call, data, 1e-9, "epsilon"))
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
    chain = Chain(call, data)
    if p == 1:
        chain.then("abs", Abs()).then("sum", add)
    else:
        chain.then("square", Mul(), data).then("sum", add).then("root", Sqrt())
    norm = chain.so_far()
    (is_zero,) = call.wire(Eq(), norm, like(call, data, 0, "zero"), suffix="is-zero")
    (divisor,) = call.wire(Select(), is_zero, like(call, data, 1, "one"), norm, suffix="divisor")
    return call.wire(Div(), data, divisor)


@ONNX.rule("LRN")
def import_lrn(call: OnnxCall) -> tuple[Outlet, ...]:
    """LRN: x / (bias + alpha / size * sum x^2)^beta, the sum over `size` channels around each."""
    data, rank = _channels(call)
    size = call.integer("size")
    if size < 1:
        call.malformed(f"size={size}; a window has 1 or more channels")
    # The channels become an axis that a window slides over.
    window = WindowSpec(
        (size, *(1,) * (rank - 2)),
        (1,) * (rank - 1),
        (1,) * (rank - 1),
        (explicit((size - 1) // 2, size // 2), *(explicit(0, 0),) * (rank - 2)),
    )
    chain = Chain(call, data).then("square", Mul(), data).then("plane", AddAxis(1))
    chain.then("mean", SumPool(window, count_include_pad=True, normalize=True))
    chain.then("channels", RmAxis(1))
    chain.then("scaled", Mul(), like(call, data, call.scalar("alpha", 1e-4), "alpha"))
    chain.then("biased", Add(), like(call, data, call.scalar("bias", 1.0), "bias"))
    chain.then("divisor", Pow(), like(call, data, call.scalar("beta", 0.75), "beta"))
    return call.wire(Div(), data, chain.so_far())
