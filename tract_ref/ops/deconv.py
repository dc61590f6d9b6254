"""Transposed convolution.

    full[n, o, i*stride + k*dilation] += kernel[o, c, k] * data[n, g*C/groups + c, i]
    out[n, o, t] = full[n, o, t + before] + bias[o],   0 <= t < length

    length = max(0, (n - 1)*stride + field + 1 + adjustment - before - after), 0 when n = 0;
    field = (K - 1)*dilation;  g = the group of o;  positions that no frame reaches hold the bias

Source: spec/nnef.md 5, spec/ir.md 6, spec/pulse.md 2.10, 8.1, 9.2; ONNX ConvTranspose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.dim import Dim, TDim, dim_max, dim_min, substitute
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, DumpValue
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import Increment, Reach, RegionPlan
from tract_ref.stream.roi_moves import Region, spread
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis, weighted
from tract_ref.stream.tables import (
    FILL_ZERO,
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    PulsifyContext,
    RegionContext,
    RoiContext,
)
from tract_ref.stream.window import (
    AxisWindow,
    Explicit,
    SameLower,
    SameUpper,
    Valid,
    WindowSpec,
    explicit,
    is_bias,
    onnx_window,
    weighted_stream,
)

# A symbol this large is beyond every min and max of a real length.
_LARGE = 1 << 40


@dataclass(frozen=True, slots=True)
class AxisDeconv:
    """A transposed convolution along one axis.

    Attributes:
        window: kernel, stride and dilation; its padding says how much is cropped.
        adjustment: positions added at the end, which hold the bias where nothing reaches them.
    """

    window: AxisWindow
    adjustment: int

    @property
    def crops(self) -> tuple[int, int]:
        """Positions dropped before and after; SAME keeps n*stride, the odd one on its named end."""
        match self.window.padding:
            case Valid():
                return 0, 0
            case Explicit(before, after):
                return before, after
            case SameUpper():
                upper = True
            case SameLower():
                upper = False
        return same_crops(self.window, self.adjustment - self.window.stride, upper=upper)

    @property
    def surplus(self) -> int:
        """Length minus n*stride, where neither is clamped."""
        whole = self.window.field + 1 + self.adjustment
        return whole - sum(self.crops) - self.window.stride

    def length(self, n: Dim) -> Dim:
        """Return the output length: 0 for no input at all, whatever the adjustment."""
        if self.surplus > 0:
            return n * self.window.stride + dim_min(1, n) * self.surplus
        grown = n * self.window.stride + self.surplus
        return dim_max(0, grown) if self.surplus else grown

    def size(self, n: int) -> int:
        """Return the output length for a known number of positions."""
        grown = n * self.window.stride + self.surplus
        return max(0, grown) if n else 0

    def taps(self, n: int, k: int) -> tuple[slice, slice]:
        """Return which of n input positions one kernel position uses, and where they are added."""
        stride = self.window.stride
        shift = k * self.window.dilation - self.crops[0]
        first = max(0, -(shift // stride))
        last = min(n, (self.size(n) - 1 - shift) // stride + 1)
        if last <= first:
            return slice(0, 0), slice(0, 0)
        start = first * stride + shift
        return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)


def same_crops(window: AxisWindow, less: int, *, upper: bool) -> tuple[int, int]:
    """Share out field + 1 + less positions to crop; none where that is negative."""
    total = max(0, window.field + 1 + less)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


@dataclass(frozen=True)
class Deconv(Op):
    """Spread every position of the spatial axes over a kernel, and add up.

    Differs from tract: SAME padding gives n*stride with an adjustment too, and no input gives no
    output, because an adjustment must not change how long "the same" is, nor make something of
    nothing.

    Attributes:
        window: geometry per spatial axis; its padding is cropped from the output.
        groups: channels are cut into this many groups, convolved independently.
        adjustments: positions added at the end, per spatial axis.

    Shapes:
        data    [N, C, spatial..]
        kernel  [O, C/groups, kernel..]
        bias    [O] or [1, O, 1..], optional
        out     [N, O, spatial'..]
    """

    window: WindowSpec
    groups: int
    adjustments: tuple[int, ...]
    arity: ClassVar[tuple[int, int | None]] = (2, 3)

    def along(self, spatial: int) -> AxisDeconv:
        """Return the geometry of one spatial axis, counted from 0."""
        return AxisDeconv(self.window.axis(spatial), self.adjustments[spatial])

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Lengths as in the module's formula; every input has one dtype."""
        data, kernel = inputs[:2]
        self.window.check(data.rank)
        self._check_geometry()
        if len({fact.dtype for fact in inputs}) > 1 or data.dtype == TDIM:
            raise InvalidModel(f"inputs {[str(fact) for fact in inputs]}; all have one number type")
        if kernel.rank != data.rank or kernel.shape[2:] != self.window.kernel:
            raise InvalidModel(
                f"kernel {kernel} where window={list(self.window.kernel)} and data {data} need "
                "[O, C/groups, window..]"
            )
        outs, per_group = kernel.shape[:2]
        channels = data.shape[1]
        if self.groups < 1 or (isinstance(outs, int) and outs % self.groups):
            raise InvalidModel(f"{outs} output channels do not divide into groups={self.groups}")
        known = isinstance(channels, int) and isinstance(per_group, int)
        if known and channels != per_group * self.groups:
            raise InvalidModel(
                f"{channels} channels where kernel {kernel} with groups={self.groups} needs "
                f"{per_group * self.groups}"
            )
        if len(inputs) == 3 and not is_bias(inputs[2].shape, outs):
            raise InvalidModel(f"bias {inputs[2]} for {outs} channels; bias is [{outs}]")
        lengths = (self.along(i).length(n) for i, n in enumerate(data.shape[2:]))
        return (Fact(data.dtype, (data.shape[0], outs, *lengths)),)

    def _check_geometry(self) -> None:
        if len(self.adjustments) != self.window.rank or min(self.adjustments) < 0:
            raise InvalidModel(
                f"adjustments={list(self.adjustments)} for {self.window.rank} spatial axes; there "
                "is one per axis, 0 or more"
            )
        if any(isinstance(p, Explicit) and p.ceil for p in self.window.padding):
            raise InvalidModel(
                "a transposed convolution does not round its length",
                remedy="use an adjustment to make it longer",
            )

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add kernel * data over channel then kernel position; the bias last.

        f16 accumulates in f32 and is rounded once.
        """
        data, kernel = inputs[:2]
        work = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
        groups, per_group = self.groups, kernel.shape[1]
        sizes = data.shape[2:]
        outs = tuple(self.along(i).size(n) for i, n in enumerate(sizes))
        x = data.astype(work, copy=False)
        x = x.reshape(data.shape[0], groups, per_group, *sizes)
        w = kernel.astype(work, copy=False)
        w = w.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
        acc = np.zeros((data.shape[0], groups, w.shape[1], *outs), work)
        ones = (1,) * len(outs)
        every = slice(None)
        with np.errstate(all="ignore"):
            for c in range(per_group):
                for position in np.ndindex(*self.window.kernel):
                    reads, writes = self.taps(sizes, position)
                    weight = w[(every, every, c, *position)]
                    tap = x[(every, every, None, c, *reads)]
                    acc[(..., *writes)] += weight.reshape(*weight.shape, *ones) * tap
            out = acc.reshape(data.shape[0], kernel.shape[0], *outs)
            if len(inputs) == 3:
                out = out + inputs[2].astype(work, copy=False).reshape(-1, *ones)
            return (out.astype(data.dtype, copy=False),)

    def taps(
        self, sizes: tuple[int, ...], position: tuple[int, ...]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return where one kernel position reads the data, and where it adds to the output."""
        found = [self.along(i).taps(n, position[i]) for i, n in enumerate(sizes)]
        return tuple(reads for reads, _ in found), tuple(writes for _, writes in found)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """The batch axis, spatial axes that a 1-wide window leaves alone, and output channels."""
        rest = (None,) * (len(inputs) - 1)
        tracks = [Track((0, *rest), (0,))]
        for spatial in range(self.window.rank):
            if self.window.is_pointwise(spatial) and not self.adjustments[spatial]:
                tracks.append(Track((2 + spatial, *rest), (2 + spatial,)))
        if self.groups == 1:
            bias = (0 if inputs[2].rank == 1 else 1,) if len(inputs) == 3 else ()
            tracks.append(Track((None, 0, *bias), (1,)))
        return AxesMapping(tuple(tracks))


@INPUT_ROI.rule(Deconv)
def roi_deconv(op: Deconv, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A position shows in all the positions that it is spread over, in every channel."""
    crops = [op.along(spatial).crops[0] for spatial in range(op.window.rank)]
    return weighted(spread(ctx.regions[0], op.window, crops, ctx.outputs[0].shape), op, ctx)


@PULSIFY_V1.rule(Deconv)
def pulsify_deconv(op: Deconv, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a transposed convolution along the batch axis or one spatial axis.

    A turn sees the field // stride frames before its own, and keeps the frames * stride positions
    that are complete: d' = stride*d + before, rate' = stride*rate.

    Units: history and end in frames of the input; the result's delay in output frames.
    Errors:
        Refused: the stream axis is the channel axis; the kernel or the bias streams.
    Source: spec/pulse.md 9.2. Differs from tract: the delay counts output frames (8.1), and what is
    kept is frames of the input, not sums of the output: adding up in one go makes streamed and
    batch bit-equal on any axis, and the bias comes once by itself.
    """
    stream = weighted_stream(ctx)
    if stream.axis == 0:
        return along_tracked_axis(op, node, ctx)
    data, *weights = ctx.inputs
    spatial = stream.axis - 2
    along = op.along(spatial)
    before, after = along.crops
    field, stride = along.window.field, along.window.stride
    framed, out, history = ctx.accumulate(
        data,
        field=field,
        stride=stride,
        dilation=along.window.dilation,
        before=before,
        after=after - along.adjustment,
    )
    kept = explicit(history * stride, max(0, field + 1 - stride))
    window = op.window.with_padding(spatial, kept)
    gap = max(0, stride - field - 1)
    adjustments = (*op.adjustments[:spatial], gap, *op.adjustments[spatial + 1 :])
    return ctx.wire(Deconv(window, op.groups, adjustments), (framed, *weights), out)


@REGION_V2.rule(Deconv)
def region_deconv(op: Deconv, node: Node, ctx: RegionContext) -> RegionPlan:
    """Output frame j reads the frames i with i*stride <= j + before <= i*stride + field."""
    stream = weighted_stream(ctx)
    if stream.axis == 0:
        return region_along_tracked_axis(op, node, ctx)
    spatial = stream.axis - 2
    along = op.along(spatial)
    before, field, stride = along.crops[0], along.window.field, along.window.stride
    # In a gap between two frames the one before it is read, so that it has a place to start from;
    # so is the last one by what is added after it.
    low = min(before, before - field + stride - 1)
    beyond = max(0, (field - along.crops[1] + along.adjustment) // stride)
    step = along.window.dilation
    reach = Reach(per=stride, low=low, high=before, back=1, beyond=beyond, step=step)

    def main(made: Increment) -> tuple[Op, ...]:
        first, stop = made.windows[0]
        front = made.start + before - first * stride
        spare = (stop - first - 1) * stride + field + 1 - front - made.frames
        window = op.window.with_padding(spatial, explicit(front, max(0, spare)))
        added = (*op.adjustments[:spatial], max(0, -spare), *op.adjustments[spatial + 1 :])
        return (Deconv(window, op.groups, added),)

    inputs = (reach, *(None,) * (len(ctx.inputs) - 1))
    length = ctx.batch_output().shape[stream.axis]
    return RegionPlan(stream.axis, length, stream.rate * stride, inputs, main, FILL_ZERO)


def surplus_of(wanted: Dim, n: Dim, stride: int) -> int:
    """Return wanted - n*stride for a long input."""
    difference = wanted - n * stride
    if isinstance(difference, TDim):
        large: dict[str, Dim] = dict.fromkeys(difference.symbols, _LARGE)
        difference = substitute(difference, large)
    return difference if isinstance(difference, int) else 0


@NNEF.dump(Deconv)
def dump_deconv(op: Deconv, node: Node, out: Dump) -> None:
    """Write deconv with explicit padding, and output_shape where there is an adjustment.

    The shape is the plain n*stride + surplus: other readers know no clamp for no input at all.
    """
    padding = tuple(op.along(spatial).crops for spatial in range(op.window.rank))
    inputs: tuple[DumpValue, ...] = (*node.inputs, 0.0) if len(node.inputs) == 2 else node.inputs
    sized: dict[str, DumpValue] = {}
    if any(op.adjustments):
        lengths = enumerate(out.fact(node.inputs[0]).shape[2:])
        sized["output_shape"] = tuple(
            n * op.window.stride[spatial] + op.along(spatial).surplus for spatial, n in lengths
        )
    out.call(
        "deconv",
        inputs=inputs,
        padding=padding,
        stride=op.window.stride,
        dilation=op.window.dilation,
        **sized,
        groups=op.groups,
    )


NNEF.refuse_load(
    "debox",
    reason="is a deconvolution of each channel with a kernel of ones",
    remedy="write it as a depth-wise deconv (groups = 0) with a filter of ones",
)


@ONNX.rule("ConvTranspose")
def import_conv_transpose(call: OnnxCall) -> tuple[Outlet, ...]:
    """ConvTranspose with every attribute; W is [C, M/group, kernel..] and is turned around."""
    data, kernel = call.input(0), call.const(1)
    if kernel is None:
        call.refuse("W is known only at run time", remedy="store W as an initializer")
    if kernel.ndim < 3:
        call.malformed(f"W of shape {list(kernel.shape)} is not [C, M/group, one or more sizes]")
    sizes = kernel.shape[2:]
    if call.has("kernel_shape") and call.integers("kernel_shape") != sizes:
        call.malformed(
            f"kernel_shape={list(call.integers('kernel_shape'))} where W is {list(kernel.shape)}"
        )
    groups = call.integer("group", 1)
    if groups < 1 or kernel.shape[0] % groups:
        call.malformed(f"{kernel.shape[0]} channels do not divide into group={groups}")
    split = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
    turned = split.swapaxes(1, 2).reshape(-1, split.shape[1], *sizes)
    weights = call.add_const(np.ascontiguousarray(turned), "kernel")
    window, adjustments = _onnx_geometry(call, sizes, call.fact(data).shape[2:])
    inputs = [data, weights]
    bias, value = call.optional(2), call.const(2)
    if bias is not None and (value is None or np.any(value != 0)):
        inputs.append(bias)
    return call.wire(Deconv(window, groups, adjustments), *inputs)


def _onnx_geometry(
    call: OnnxCall, kernel: tuple[int, ...], sizes: tuple[Dim, ...]
) -> tuple[WindowSpec, tuple[int, ...]]:
    """Return windows and adjustments; an output_shape takes the place of pads."""
    rank = len(kernel)
    window = onnx_window(call, kernel)
    adjustments = call.integers("output_padding", (0,) * rank)
    upper = call.string("auto_pad", "NOTSET") == "SAME_UPPER"
    if len(adjustments) != rank or len(sizes) != rank:
        call.malformed(f"output_padding={list(adjustments)} for {rank} spatial axes")
    wanted = call.integers("output_shape", ()) if call.has("output_shape") else ()
    if not wanted:
        return window, adjustments
    # Exporters write the spatial lengths, or the whole shape.
    wanted = wanted[-rank:]
    if len(wanted) != rank or any(isinstance(n, TDim) for n in sizes):
        call.refuse(
            f"output_shape={list(wanted)} from an input {call.fact(call.input(0))}",
            remedy="give pads and output_padding, which hold for every length",
        )
    for spatial, (n, out) in enumerate(zip(sizes, wanted, strict=True)):
        axis = window.axis(spatial)
        surplus = surplus_of(out, n, axis.stride)
        less = adjustments[spatial] - axis.stride - surplus
        crops = explicit(*same_crops(axis, less, upper=upper))
        window = window.with_padding(spatial, crops)
        longer = max(adjustments[spatial], surplus + axis.stride - axis.field - 1)
        adjustments = (*adjustments[:spatial], longer, *adjustments[spatial + 1 :])
    return window, adjustments
