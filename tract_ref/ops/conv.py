"""Convolution.

    out[n, o, t] = sum over (c, k) of kernel[o, c, k] * data[n, g*C/groups + c, i]  + bias[o]

    i = t*stride - before + k*dilation;  g = the group of o;  positions outside the data are 0

Source: spec/nnef.md 5, spec/ir.md 6; ONNX Conv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, DumpValue
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.roi import Region
from tract_ref.stream.roi_moves import all_along, slid
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
    SameUpper,
    WindowSpec,
    is_bias,
    onnx_window,
    padded,
    region_window,
    stream_window,
    weighted_stream,
)


@dataclass(frozen=True)
class Conv(Op):
    """Slide a kernel over the spatial axes.

    Attributes:
        window: geometry per spatial axis; its kernel sizes are those of the kernel input.
        groups: channels are cut into this many groups, convolved independently.

    Shapes:
        data    [N, C, spatial..]
        kernel  [O, C/groups, kernel..]
        bias    [O] or [1, O, 1..], optional
        out     [N, O, spatial'..]
    """

    window: WindowSpec
    groups: int
    arity: ClassVar[tuple[int, int | None]] = (2, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Lengths as in stream/window; every input has one dtype."""
        data, kernel = inputs[:2]
        self.window.check(data.rank)
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
        return (Fact(data.dtype, (data.shape[0], outs, *self.window.lengths(data.shape))),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add kernel * data over channel then kernel position; the bias last.

        f16 accumulates in f32 and is rounded once.
        """
        data, kernel = inputs[:2]
        work = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
        groups, per_group = self.groups, kernel.shape[1]
        pads = self.window.pads(data.shape)
        x = padded(data, pads, 0).astype(work, copy=False)
        outs = self.window.sizes(data.shape)
        x = x.reshape(data.shape[0], groups, per_group, *x.shape[2:])
        w = kernel.astype(work, copy=False)
        w = w.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
        acc = np.zeros((data.shape[0], groups, w.shape[1], *outs), work)
        ones = (1,) * len(outs)
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            for c in range(per_group):
                for position in np.ndindex(*self.window.kernel):
                    tap = x[(slice(None), slice(None), None, c, *self.window.taps(outs, position))]
                    weight = w[(slice(None), slice(None), c, *position)]
                    acc += weight.reshape(*weight.shape, *ones) * tap
            out = acc.reshape(data.shape[0], kernel.shape[0], *outs)
            if len(inputs) == 3:
                out = out + inputs[2].astype(work, copy=False).reshape(-1, *ones)
            return (out.astype(data.dtype, copy=False),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """The batch axis, spatial axes that a 1-wide window leaves alone, and output channels."""
        rest = (None,) * (len(inputs) - 1)
        tracks = [Track((0, *rest), (0,))]
        for spatial in range(self.window.rank):
            if self.window.is_pointwise(spatial):
                tracks.append(Track((2 + spatial, *rest), (2 + spatial,)))
        if self.groups == 1:
            bias = (0 if inputs[2].rank == 1 else 1,) if len(inputs) == 3 else ()
            tracks.append(Track((None, 0, *bias), (1,)))
        return AxesMapping(tuple(tracks))


@INPUT_ROI.rule(Conv)
def roi_conv(op: Conv, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Data is read by the windows that reach it, in every channel; weights by their channel."""
    data, out = ctx.inputs[0].shape, ctx.outputs[0].shape
    region = all_along(ctx.regions[0], (1,), out)
    return weighted(slid(region, op.window, data, out), op, ctx)


@PULSIFY_V1.rule(Conv)
def pulsify_conv(op: Conv, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a convolution along the batch axis or one spatial axis.

    Units: window, delay and overlap in frames of the input; the result's delay in output frames.

    Errors:
        Refused: the stream axis is the channel axis; the kernel or the bias streams; SAME padding
            that depends on the length; the frames of a turn are not a multiple of the stride.
    """
    if weighted_stream(ctx).axis == 0:
        return along_tracked_axis(op, node, ctx)
    data, *weights = ctx.inputs
    framed, out, window = stream_window(ctx, data, op.window, fill=FILL_ZERO)
    return ctx.wire(Conv(window, op.groups), (framed, *weights), out)


@REGION_V2.rule(Conv)
def region_conv(op: Conv, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each window reads its frames; along the batch axis, every frame is convolved alone."""
    if weighted_stream(ctx).axis == 0:
        return region_along_tracked_axis(op, node, ctx)
    return region_window(ctx, op.window, lambda window: Conv(window, op.groups), fill=FILL_ZERO)


@NNEF.dump(Conv)
def dump_conv(op: Conv, node: Node, out: Dump) -> None:
    """Write conv; `padding = []` when every axis is same_upper."""
    if all(isinstance(padding, SameUpper) for padding in op.window.padding):
        padding: tuple[DumpValue, ...] = ()
    else:
        pads = op.window.explicit_pads(out.fact(node.inputs[0]).shape)
        if pads is None:
            out.refuse(
                "SAME padding with a stride over a symbolic length, not same_upper on every axis",
                remedy="set the symbol, or give explicit padding",
            )
        padding = pads
    inputs: tuple[DumpValue, ...] = (*node.inputs, 0.0) if len(node.inputs) == 2 else node.inputs
    out.call(
        "conv",
        inputs=inputs,
        padding=padding,
        stride=op.window.stride,
        dilation=op.window.dilation,
        groups=op.groups,
    )


NNEF.refuse_load(
    "separable_conv",
    reason="is two convolutions with an order of padding that the standard leaves open",
    remedy="write it as a depth-wise conv (groups = 0) followed by a conv of size 1",
)


@ONNX.rule("Conv")
def import_conv(call: OnnxCall) -> tuple[Outlet, ...]:
    """Conv with every attribute; the kernel's sizes are those of W."""
    data, kernel = call.input(0), call.input(1)
    shape = call.fact(kernel).shape
    sizes = tuple(n for n in shape[2:] if isinstance(n, int))
    if len(shape) < 3 or len(sizes) != len(shape) - 2:
        call.refuse(f"kernel {call.fact(kernel)}", remedy="use a kernel of known sizes")
    if call.has("kernel_shape") and call.integers("kernel_shape") != sizes:
        call.malformed(
            f"kernel_shape={list(call.integers('kernel_shape'))} where W is {call.fact(kernel)}"
        )
    inputs = [data, kernel]
    bias = call.optional(2)
    value = call.const(2)
    if bias is not None and (value is None or np.any(value != 0)):
        inputs.append(bias)
    return call.wire(Conv(onnx_window(call, sizes), call.integer("group", 1)), *inputs)
