"""Pools over the spatial axes: largest value, sum, average.

    MaxPool  out[n, c, t] = max over k of data[n, c, t*stride - before + k*dilation]
    SumPool  out[n, c, t] = sum over k of data[n, c, t*stride - before + k*dilation]   (/ divisor)

Positions outside the data never win a max and add nothing to a sum. The divisor of an average is
the number of positions inside the data, or inside data and padding when padding is counted.

Source: spec/nnef.md 5, spec/pulse.md 8.14 and 8.15; ONNX MaxPool and AveragePool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tract_ref.dim import Dim
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.shapes import contradicts
from tract_ref.nnef.table import NNEF, Dump, DumpValue, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis
from tract_ref.stream.tables import (
    BATCH_ONLY,
    FILL_LOWEST,
    FILL_ZERO,
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)
from tract_ref.stream.window import (
    Explicit,
    Padding,
    SameUpper,
    WindowSpec,
    data_stream,
    explicit,
    lowest,
    onnx_window,
    padded,
    region_window,
    stream_window,
)


def _pool_facts(window: WindowSpec, data: Fact) -> tuple[Fact, ...]:
    window.check(data.rank)
    if data.dtype == TDIM:
        raise InvalidModel(f"data {data}; a pool needs numbers")
    return (data.with_shape((*data.shape[:2], *window.lengths(data.shape))),)


def _pool_axes(window: WindowSpec, rank: int) -> AxesMapping:
    """Batch, channels, and spatial axes that a 1-wide window leaves alone."""
    slid = (2 + i for i in range(window.rank) if not window.is_pointwise(i))
    return AxesMapping.natural(1, 1, rank, skip=slid)


@dataclass(frozen=True)
class MaxPool(Op):
    """Largest value of each window; NaN if the window holds one.

    A window that lies in padding alone gives the type's lowest value.

    Shapes:
        data   [N, C, spatial..]
        out    [N, C, spatial'..]
    """

    window: WindowSpec

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Lengths as in stream/window."""
        return _pool_facts(self.window, inputs[0])

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take the maximum over kernel positions, one by one."""
        (data,) = inputs
        outs = self.window.sizes(data.shape)
        x = padded(data, self.window.pads(data.shape), lowest(data.dtype))
        out = np.full((*data.shape[:2], *outs), lowest(data.dtype), data.dtype)
        with np.errstate(invalid="ignore"):
            for position in np.ndindex(*self.window.kernel):
                np.maximum(out, x[(..., *self.window.taps(outs, position))], out=out)
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes along which every position is pooled alone."""
        return _pool_axes(self.window, inputs[0].rank)


@dataclass(frozen=True)
class SumPool(Op):
    """Sum of each window, or its average.

    Attributes:
        window: geometry per spatial axis.
        count_include_pad: the divisor counts padding, but never what ceil mode hangs over it.
        normalize: divide.

    Shapes:
        data   [N, C, spatial..]
        out    [N, C, spatial'..]
    """

    window: WindowSpec
    count_include_pad: bool
    normalize: bool

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Lengths as in stream/window; an average needs a float type."""
        (data,) = inputs
        if data.dtype.kind not in "iuf" or (self.normalize and data.dtype.kind != "f"):
            raise InvalidModel(f"data {data}; a sum needs a number type, an average a float type")
        return _pool_facts(self.window, data)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add over kernel positions, one by one, then divide.

        f16 accumulates in f32; the sum is rounded to f16 before it is divided.
        """
        (data,) = inputs
        outs = self.window.sizes(data.shape)
        work = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
        x = padded(data, self.window.pads(data.shape), 0).astype(work, copy=False)
        acc = np.zeros((*data.shape[:2], *outs), work)
        with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
            for position in np.ndindex(*self.window.kernel):
                acc += x[(..., *self.window.taps(outs, position))]
            out = acc.astype(data.dtype, copy=False)
            if self.normalize:
                out = out / self.divisor(data.shape).astype(data.dtype)
            return (out,)

    def divisor(self, shape: tuple[int, ...]) -> Tensor:
        """Return the number of counted positions of each window, one array per output position."""
        outs = self.window.sizes(shape)
        counts = np.ones(outs, np.int64)
        for spatial, out in enumerate(outs):
            per_window = self._counts(spatial, shape[2 + spatial], out)
            aligned = [1] * len(outs)
            aligned[spatial] = out
            counts *= per_window.reshape(aligned)
        return counts

    def _counts(self, spatial: int, n: int, out: int) -> Tensor:
        window = self.window.axis(spatial)
        before, after = window.pads(n)
        first, last = 0, n
        if self.count_include_pad:
            given = window.padding
            first = -before
            last = n + (given.after if isinstance(given, Explicit) else after)
        starts = np.arange(out, dtype=np.int64) * window.stride - before
        counts = np.zeros(out, np.int64)
        for k in range(window.kernel):
            position = starts + k * window.dilation
            counts += (position >= first) & (position < last)
        return counts

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes along which every position is pooled alone."""
        return _pool_axes(self.window, inputs[0].rank)


@dataclass(frozen=True)
class PoolMean(Op):
    """Divide the sums of a streamed average pool by its counts: out = sum / (count + ..).

    Shapes:
        sum    [N, C, spatial..]
        count  [1, 1, spatial..], one or two
    """

    arity = (2, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact of the sums."""
        total, *counts = inputs
        for count in counts:
            is_apart = count.shape[:2] != (1, 1) or contradicts(count.shape[2:], total.shape[2:])
            if total.dtype != count.dtype or is_apart:
                raise InvalidModel(f"counts {count} do not fit sums {total}")
        return (total.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Divide; 0 / 0 outside the stream is NaN."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return (inputs[0] / sum(inputs[2:], inputs[1]),)


@INPUT_ROI.rule(MaxPool, SumPool)
def roi_pool(op: MaxPool | SumPool, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Data is read by the windows that reach it."""
    data, out = ctx.inputs[0].shape, ctx.outputs[0].shape
    return (roi_moves.slid(ctx.regions[0], op.window, data, out),)


INPUT_ROI.refuse(PoolMean, **BATCH_ONLY)


@PULSIFY_V1.rule(MaxPool)
def pulsify_max_pool(op: MaxPool, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a max pool; padding is filled with what never wins.

    Errors:
        Refused: SAME padding that depends on the length; frames of a turn that are not a multiple
            of the stride.
    """
    if _slides(op.window, ctx):
        framed, out, window = stream_window(ctx, ctx.inputs[0], op.window, fill=FILL_LOWEST)
        return ctx.wire(replace(op, window=window), (framed,), out)
    return along_tracked_axis(op, node, ctx)


@REGION_V2.rule(MaxPool, SumPool)
def region_pool(op: MaxPool | SumPool, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each window reads its frames.

    Errors:
        Refused: SAME padding that depends on the length.
    """
    if not _slides(op.window, ctx):
        return region_along_tracked_axis(op, node, ctx)
    fill = FILL_LOWEST if isinstance(op, MaxPool) else FILL_ZERO
    plan = region_window(ctx, op.window, lambda window: replace(op, window=window), fill=fill)
    if isinstance(op, SumPool) and _varies(op, plan.axis, ctx):
        return replace(plan, lowered=partial(_pulsed_mean, op))
    return plan


@PULSIFY_V1.rule(SumPool)
def pulsify_sum_pool(op: SumPool, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a sum or average pool; padding on the stream axis adds zeros.

    Where the divisor is not the same for all windows of the stream axis, a stream of ones goes
    through the same windows and counts the frames that exist.

    Errors:
        Refused: as MaxPool.
    """
    if not _slides(op.window, ctx):
        return along_tracked_axis(op, node, ctx)
    data = ctx.inputs[0]
    stream = ctx.stream(data)
    if stream is not None and _varies(op, stream.axis, ctx):
        return _pulsed_mean(op, ctx)
    framed, out, window = stream_window(ctx, data, op.window, fill=FILL_ZERO)
    return ctx.wire(replace(op, window=window), (framed,), out)


def _varies(op: SumPool, axis: int, ctx: NodeContext) -> bool:
    """Say whether the divisor is not the same for all windows of the stream axis."""
    padding = op.window.padding[axis - 2]
    pads = op.window.axis(axis - 2).fixed_pads(ctx.batch_input(0).shape[axis])
    if not op.normalize or pads == (0, 0):
        return False
    return not op.count_include_pad or (isinstance(padding, Explicit) and padding.ceil)


def _pulsed_mean(op: SumPool, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Wire the sum of the windows over the counts of what is in them."""
    framed, out, window = stream_window(ctx, ctx.inputs[0], op.window, fill=FILL_ZERO)
    plain = SumPool(window, count_include_pad=op.count_include_pad, normalize=False)
    total = ctx.wire(plain, (framed,), out, suffix="sum")
    wires, latest = ctx.sync((*total, *_stream_counts(op, ctx, data_stream(ctx))))
    return ctx.wire(PoolMean(), wires, latest)


def _slides(window: WindowSpec, ctx: NodeContext) -> bool:
    """Say whether the stream axis is one that the windows slide over."""
    stream = data_stream(ctx)
    return stream.axis >= 2 and not window.is_pointwise(stream.axis - 2)


def _stream_counts(op: SumPool, ctx: PulsifyContext, stream: Linear) -> tuple[Outlet, ...]:
    """Pool streams of ones through the windows of `op`: what they count adds up.

    In ceil mode counted padding is one more stretch of the ones at their end, since what hangs over
    it does not count, and ones before a stream of zeros in front.
    """
    fact = ctx.fact(ctx.inputs[0])
    spec, shape = op.window, [1, 1]
    for axis, n in enumerate(fact.shape[2:], start=2):
        if axis == stream.axis:
            shape.append(1)
            continue
        if not isinstance(n, int):
            ctx.refuse(f"the length {n} of axis {axis} is not known", "set its symbol")
        extra = 0
        if op.count_include_pad:
            # Counted padding of the other axes is ones as well, so it joins the ones.
            given = spec.padding[axis - 2]
            ceil = isinstance(given, Explicit) and given.ceil
            before, after = spec.axis(axis - 2).pads(n)
            extra = before + (given.after if isinstance(given, Explicit) else after)
            spec = spec.with_padding(axis - 2, explicit(0, 0, ceil=ceil))
        shape.append(n + extra)
    given = spec.padding[stream.axis - 2]
    streams = [(stream, 1, given, 0)]
    if op.count_include_pad and isinstance(given, Explicit):
        longer = replace(stream, length=stream.length + given.after)
        streams = [(longer, 1, explicit(given.before, 0, ceil=True), 0)]
        if given.before:
            streams.append((stream, 0, explicit(given.before, 0), 1))
    counts: list[Outlet] = []
    for counted, value, padding, fill in streams:
        steady = ctx.steady(np.full(shape, value, fact.dtype), counted, "ones" if value else "none")
        padded_spec = spec.with_padding(stream.axis - 2, padding)
        beside = np.asarray(fill, fact.dtype)
        framed, out, window = stream_window(ctx, steady, padded_spec, fill=beside)
        counter = SumPool(window, count_include_pad=False, normalize=False)
        counts += ctx.wire(counter, (framed,), out, suffix="count" if value else "front")
    return tuple(counts)


refuse_streaming(
    PoolMean,
    reason="is part of a streamed average pool, which cannot be pulsified again",
    remedy="pulsify the batch model",
)


def _nnef_window(call: Invocation) -> WindowSpec:
    """Read size, padding, stride and dilation: one entry per axis, batch and channel included.

    Differs from tract: a size or padding on the first two axes is refused, because ignoring it
    would be another pool.
    """
    size = call.integers("size")
    rank = len(size)
    ones = (1,) * rank
    stride = call.integers("stride") or ones
    dilation = call.integers("dilation") or ones
    pairs = call.pairs("padding")
    spec = (stride, dilation) if not pairs else (stride, dilation, pairs)
    if rank < 3 or any(len(values) != rank for values in spec):
        call.malformed(
            "size, padding, stride and dilation have one entry per axis of the input",
            remedy="begin each list with the batch and channel axes, as in size = [1, 1, 3]",
        )
    heads = (*size[:2], *stride[:2], *dilation[:2], *(p + 1 for pair in pairs[:2] for p in pair))
    if any(value != 1 for value in heads):
        call.malformed(
            "windows on the batch or channel axis: size, stride and dilation are 1 and padding is "
            "(0, 0) there"
        )
    padding: tuple[Padding, ...] = tuple(explicit(b, a) for b, a in pairs[2:])
    return WindowSpec(size[2:], stride[2:], dilation[2:], padding or (SameUpper(),) * (rank - 2))


def _border(call: Invocation) -> str:
    border = call.string("border")
    if border not in ("constant", "ignore"):
        call.refuse(
            f"border {border!r} of a pool", remedy="use 'constant' or 'ignore', or pad first"
        )
    return border


@NNEF.load("max_pool", "input", "size", border="constant", padding=(), stride=(), dilation=())
def load_max_pool(call: Invocation) -> tuple[Outlet, ...]:
    """max_pool(input, size, border, padding, stride, dilation); no border wins a max."""
    _border(call)
    return call.wire(MaxPool(_nnef_window(call)), call.tensor("input"))


@NNEF.load(
    "box",
    "input",
    "size",
    border="constant",
    padding=(),
    stride=(),
    dilation=(),
    normalize=False,
)
def load_box(call: Invocation) -> tuple[Outlet, ...]:
    """box(input, size, border, padding, stride, dilation, normalize); 'constant' counts padding."""
    counted = _border(call) == "constant"
    op = SumPool(_nnef_window(call), counted, call.logical("normalize"))
    return call.wire(op, call.tensor("input"))


def average(call: Invocation) -> SumPool:
    """Return the op of avg_pool: box with normalize = true."""
    return SumPool(_nnef_window(call), _border(call) == "constant", normalize=True)


@NNEF.load("avg_pool", "input", "size", border="constant", padding=(), stride=(), dilation=())
def load_avg_pool(call: Invocation) -> tuple[Outlet, ...]:
    """avg_pool(..): box with normalize = true."""
    return call.wire(average(call), call.tensor("input"))


NNEF.refuse_load(
    "max_pool_with_index",
    reason="gives indices, which are not defined for a stream",
    remedy="use max_pool",
)


def _dump_padding(window: WindowSpec, shape: tuple[Dim, ...], out: Dump) -> DumpValue:
    padding: tuple[DumpValue, ...] = ()
    if not all(isinstance(padding, SameUpper) for padding in window.padding):
        pads = window.explicit_pads(shape)
        if pads is None:
            out.refuse(
                "padding that depends on a symbolic length (ceil mode, or SAME with a stride)",
                remedy="set the symbol, or give explicit padding without ceil mode",
            )
        padding = ((0, 0), (0, 0), *pads)
    return padding


@NNEF.dump(MaxPool)
def dump_max_pool(op: MaxPool, node: Node, out: Dump) -> None:
    """Write max_pool."""
    out.call(
        "max_pool",
        size=(1, 1, *op.window.kernel),
        border="ignore",
        padding=_dump_padding(op.window, out.fact(node.inputs[0]).shape, out),
        stride=(1, 1, *op.window.stride),
        dilation=(1, 1, *op.window.dilation),
    )


@NNEF.dump(SumPool)
def dump_sum_pool(op: SumPool, node: Node, out: Dump) -> None:
    """Write box."""
    rounds_up = any(isinstance(p, Explicit) and p.ceil for p in op.window.padding)
    if rounds_up and op.normalize and op.count_include_pad:
        out.refuse("an average in ceil mode that counts padding", remedy="set count_include_pad=0")
    out.call(
        "box",
        size=(1, 1, *op.window.kernel),
        border="constant" if op.count_include_pad else "ignore",
        padding=_dump_padding(op.window, out.fact(node.inputs[0]).shape, out),
        stride=(1, 1, *op.window.stride),
        dilation=(1, 1, *op.window.dilation),
        normalize=op.normalize,
    )


@NNEF.dump(PoolMean)
def dump_pool_mean(op: PoolMean, node: Node, out: Dump) -> None:
    """Write div."""
    out.call("div")


def _onnx_pool(call: OnnxCall) -> WindowSpec:
    ceil = bool(call.integer("ceil_mode", 0))
    return onnx_window(call, call.integers("kernel_shape"), ceil=ceil)


@ONNX.rule("MaxPool")
def import_max_pool(call: OnnxCall) -> tuple[Outlet, ...]:
    """MaxPool without the Indices output."""
    if call.wants_output(1):
        call.refuse("the output Indices is used", remedy="use the values only")
    if call.integer("storage_order", 0):
        call.refuse("storage_order=1 (column major)", remedy="use storage_order=0")
    return call.wire(MaxPool(_onnx_pool(call)), call.input(0))


@ONNX.rule("AveragePool")
def import_average_pool(call: OnnxCall) -> tuple[Outlet, ...]:
    """AveragePool with ceil_mode, count_include_pad and dilations."""
    counted = bool(call.integer("count_include_pad", 0))
    return call.wire(SumPool(_onnx_pool(call), counted, normalize=True), call.input(0))


ONNX.refuse(
    "LpPool",
    reason="pools by a p-norm",
    remedy="write it as (AveragePool(|x|^p) * window size)^(1/p)",
)
