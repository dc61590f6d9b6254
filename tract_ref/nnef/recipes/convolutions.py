"""conv and deconv: lists that may be empty, biases of several shapes, lengths asked for."""

from __future__ import annotations

import numpy as np

from tract_ref.dim import Dim
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.conv import Conv
from tract_ref.ops.deconv import AxisDeconv, Deconv, same_crops, surplus_of
from tract_ref.stream.window import Padding, SameUpper, WindowSpec, explicit


@NNEF.load(
    "conv",
    "input",
    "filter",
    bias=0.0,
    border="constant",
    padding=(),
    stride=(),
    dilation=(),
    groups=1,
)
def load_conv(call: Invocation) -> tuple[Outlet, ...]:
    """conv(input, filter, bias, border, padding, stride, dilation, groups).

    `padding = []` is same_upper; groups 0 is depth-wise; a bias of zeros is left out.
    """
    data, kernel = call.tensor("input"), call.tensor("filter")
    if call.string("border") != "constant":
        call.refuse(
            f"border {call.string('border')!r} of a convolution",
            remedy="pad with that border first, then convolve with padding = [(0, 0)]",
        )
    sizes = _filter_sizes(call, kernel)
    if not sizes:
        call.malformed(f"filter {call.fact(kernel)} is not [O, C/groups, one or more sizes]")
    padding = _padding(call, len(sizes))
    groups = _groups(call, data)
    window = _window(call, sizes, padding)
    return call.wire(Conv(window, groups), data, kernel, *_bias(call, data, kernel))


@NNEF.load(
    "deconv",
    "input",
    "filter",
    bias=0.0,
    border="constant",
    padding=(),
    stride=(),
    dilation=(),
    output_shape=(),
    groups=1,
)
def load_deconv(call: Invocation) -> tuple[Outlet, ...]:
    """deconv(input, filter, bias, border, padding, stride, dilation, output_shape, groups).

    The filter is [O, I/groups, spatial]. `padding = []` gives output_shape, or length*stride;
    groups 0 is depth-wise; a bias of zeros is left out.
    """
    data, kernel = call.tensor("input"), call.tensor("filter")
    if call.string("border") != "constant":
        call.refuse(
            f"border {call.string('border')!r} of a deconvolution",
            remedy='use border = "constant"',
        )
    sizes = _filter_sizes(call, kernel)
    if not sizes or call.fact(data).rank != len(sizes) + 2:
        call.malformed(
            f"filter {call.fact(kernel)} for an input {call.fact(data)} is not "
            "[O, I/groups, one or more sizes]"
        )
    window = _window(call, sizes, _padding(call, len(sizes)))
    window.check(len(sizes) + 2)
    groups = _groups(call, data)
    bias = _bias(call, data, kernel)
    window, adjustments = _sized(call, window, call.fact(data).shape[2:])
    return call.wire(Deconv(window, groups, adjustments), data, kernel, *bias)


def _filter_sizes(call: Invocation, kernel: Outlet) -> tuple[int, ...]:
    """Return the kernel size per spatial axis, nothing when there is none or one is not known."""
    shape = call.fact(kernel).shape
    sizes = tuple(n for n in shape[2:] if isinstance(n, int))
    return sizes if len(sizes) == len(shape) - 2 else ()


def _padding(call: Invocation, rank: int) -> tuple[Padding, ...]:
    """Return the padding per spatial axis, same_upper for an empty list."""
    pairs = call.pairs("padding")
    if pairs and len(pairs) != rank:
        call.malformed(
            f"padding has {len(pairs)} pairs for {rank} spatial axes",
            remedy="give one (before, after) per spatial axis, or none",
        )
    return tuple(explicit(b, a) for b, a in pairs) or (SameUpper(),) * rank


def _groups(call: Invocation, data: Outlet) -> int:
    """Return the number of groups, one per channel for 0."""
    groups = call.integer("groups")
    if groups:
        return groups
    channels = call.fact(data).shape[1]
    if not isinstance(channels, int):
        call.refuse(f"groups=0 with {channels} channels", remedy="set the symbol")
    return channels


def _window(call: Invocation, sizes: tuple[int, ...], padding: tuple[Padding, ...]) -> WindowSpec:
    rank = len(sizes)
    stride, dilation = _per_axis(call, "stride", rank), _per_axis(call, "dilation", rank)
    return WindowSpec(sizes, stride, dilation, padding)


def _per_axis(call: Invocation, parameter: str, rank: int) -> tuple[int, ...]:
    """Return a list of one entry per spatial axis, ones for an empty list."""
    values = call.integers(parameter)
    if values and len(values) != rank:
        call.malformed(
            f"{parameter}={list(values)} has {len(values)} entries for {rank} spatial axes",
            remedy=f"give one {parameter} per spatial axis, or none",
        )
    return values or (1,) * rank


def _bias(call: Invocation, data: Outlet, kernel: Outlet) -> tuple[Outlet, ...]:
    """Return the bias input, none for zeros."""
    if call.is_absent("bias"):
        return ()
    bias = call.tensor("bias", like=data)
    value = call.fact(bias).const
    if value is None:
        return (bias,)
    if not np.any(value != 0):
        return ()
    return (_channel_bias(call, bias, value, call.fact(kernel).shape[0]),)


def _channel_bias(call: Invocation, bias: Outlet, value: Tensor, outs: Dim) -> Outlet:
    """Return a bias of one entry per channel from a scalar, [O], [1,O] or [1,O,1..]."""
    if value.ndim == 1 and value.shape[0] == outs:
        return bias
    count = outs if isinstance(outs, int) else 1
    if value.size not in (1, count) or (value.ndim > 1 and value.shape[1] != value.size):
        call.malformed(f"bias of shape {list(value.shape)} for {outs} channels")
    return call.const(np.broadcast_to(value.reshape(-1), (count,)).copy(), "bias")


def _sized(
    call: Invocation, window: WindowSpec, sizes: tuple[Dim, ...]
) -> tuple[WindowSpec, tuple[int, ...]]:
    """Return explicit crops and adjustments that give `output_shape`, or n*stride without it."""
    wanted = call.dims("output_shape")
    if wanted and len(wanted) != window.rank:
        call.malformed(
            f"output_shape has {len(wanted)} entries for {window.rank} spatial axes",
            remedy="give one length per spatial axis, or none",
        )
    adjustments: list[int] = []
    for spatial, n in enumerate(sizes):
        axis = window.axis(spatial)
        same = isinstance(axis.padding, SameUpper)
        surplus = 0 if same else AxisDeconv(axis, 0).surplus
        if wanted:
            surplus = surplus_of(wanted[spatial], n, axis.stride)
        less = -axis.stride - surplus
        padding = explicit(*same_crops(axis, less, upper=True)) if same else axis.padding
        window = window.with_padding(spatial, padding)
        adjustment = surplus - AxisDeconv(window.axis(spatial), 0).surplus
        made = AxisDeconv(window.axis(spatial), adjustment).length(n)
        plain = n * axis.stride + surplus
        if adjustment < 0 or (wanted and wanted[spatial] not in (made, plain)):
            call.malformed(
                f"output_shape {wanted[spatial]} from {n} positions, stride={axis.stride} and "
                f"padding={padding}",
                remedy="give padding = [], or the length that this padding leaves, or a longer one",
            )
        adjustments.append(adjustment)
    return window, tuple(adjustments)
