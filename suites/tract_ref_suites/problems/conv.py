"""Convolutions: single ones, chains, and a pad or a crop in front."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.stream.window import SameUpper, Valid, WindowSpec
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    Values,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses
from tract_ref_suites.strategies.tensors import values
from tract_ref_suites.strategies.windows import Along, plain_windows, window_spec, windows


def convolve(
    data: Array, kernel: Array, bias: Array | None, axes: tuple[Along, ...], groups: int
) -> Array:
    """Convolve element by element, in f64."""
    per_group, per_out = kernel.shape[1], kernel.shape[0] // groups
    taps = [axis.taps(n) for axis, n in zip(axes, data.shape[2:], strict=True)]
    out = np.zeros((data.shape[0], kernel.shape[0], *(len(t) for t in taps)), np.float64)
    for index in np.ndindex(*out.shape):
        n, o, *at = index
        reads = [list(enumerate(t[i])) for t, i in zip(taps, at, strict=True)]
        total = 0.0 if bias is None else float(bias.ravel()[o])
        for c, where in itertools.product(range(per_group), itertools.product(*reads)):
            place = tuple(position for _, position in where)
            inside = (0 <= p < size for p, size in zip(place, data.shape[2:], strict=True))
            if all(inside):
                weight = kernel[(o, c, *(k for k, _ in where))]
                total += float(weight) * float(data[(n, o // per_out * per_group + c, *place)])
        out[index] = total
    return out.astype(data.dtype)


@dataclass(frozen=True, kw_only=True)
class ConvProblem(Streamed):
    """One convolution of [N, C, spatial..].

    Attributes:
        along: windows per spatial axis.
        outs: output channels per group.
        groups: groups of channels; C is a multiple.
        bias: `none`, `flat` for [O], or `shaped` for [1, O, 1..].
    """

    family = "conv"
    op = "Conv"
    along: tuple[Along, ...]
    outs: int = 1
    groups: int = 1
    bias: str = "none"

    def weights(self) -> tuple[Array, Array | None]:
        """Return the kernel and the bias."""
        channels = self.outs * self.groups
        sizes = tuple(axis.kernel for axis in self.along)
        shape = (channels, self.shape[1] // self.groups, *sizes)
        kernel = self.values.array(shape, self.dtype, salt=1)
        if self.bias == "none":
            return kernel, None
        shape = (channels,) if self.bias == "flat" else (1, channels, *(1 for _ in sizes))
        return kernel, self.values.array(shape, self.dtype, salt=2)

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        kernel, bias = self.weights()
        inputs = [wire, model.add_const("kernel", kernel)]
        if bias is not None:
            inputs.append(model.add_const("bias", bias))
        return model.wire("conv", Conv(window_spec(self.along), self.groups), inputs)[0]

    def oracle(self, data: Array) -> Array:
        return convolve(data, *self.weights(), self.along, self.groups)

    def least_delay(self, pulse: int) -> int | None:
        early, late = (self.delay_for(end_sensitive=ends) for ends in (False, True))
        return early if self.axis == 0 else self.along[self.axis - 2].least_delay(early, late)


@st.composite
def conv_problems(draw: st.DrawFn, *, spatial: int = 1, batch: bool = False) -> ConvProblem:
    """Draw a convolution that streams along one of its spatial axes, or along the batch axis."""
    axis = 0 if batch else draw(st.integers(2, 1 + spatial))
    along = tuple(draw(windows() if k + 2 == axis else plain_windows()) for k in range(spatial))
    window = Along() if batch else along[axis - 2]
    sizes = draw(pulses(window.stride))
    groups, per_group, outs = draw(st.tuples(*(st.integers(1, 2) for _ in range(3))))
    crop = draw(crops())
    length = draw(lengths(sizes[0], field=window.field + sum(crop)))
    others = tuple(draw(st.integers(1, 4)) for _ in range(spatial))
    return ConvProblem(
        shape=placed((1, per_group * groups, *others), axis, length),
        axis=axis,
        sizes=sizes,
        crop=crop,
        along=along,
        outs=outs,
        groups=groups,
        bias=draw(st.sampled_from(["none", "flat", "shaped"])),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8", "i4"])),
    )


@dataclass(frozen=True, kw_only=True)
class ConvChain(Streamed):
    """Convolutions of one channel, one after the other, kernels 0, 1, 2, ..

    Attributes:
        chain: windows of each.
        kernels: kernel per convolution.
    """

    family = "conv"
    op = "Conv"
    chain: tuple[Along, ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def rounds(self) -> str:
        strides = any(along.stride > 1 or any(along.pads(1)) for along in self.chain)
        return "each convolution rounds its own delay" if strides else ""

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        for number, (along, kernel) in enumerate(zip(self.chain, self.kernels, strict=True)):
            weights = model.add_const(f"kernel{number}", np.array([[kernel]], np.float32))
            op = Conv(window_spec((along,)), 1)
            (wire,) = model.wire(f"conv{number}", op, (wire, weights))
        return wire

    def oracle(self, data: Array) -> Array:
        for along, kernel in zip(self.chain, self.kernels, strict=True):
            data = convolve(data, np.array([[kernel]], np.float32), None, (along,), 1)
        return data


@st.composite
def conv_plus_conv(draw: st.DrawFn) -> ConvChain:
    """Draw 1 to 4 convolutions: stride 1..3, dilation 1..3, kernel 0..K-1 with K in 1..4."""
    chain: list[Along] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 3, 3))
        field = (kernel - 1) * dilation
        right = draw(st.integers(0, field))
        padding = draw(st.sampled_from(["valid", (field - right, right)]))
        chain.append(Along(kernel, stride, dilation, padding))
    stride = int(np.prod([along.stride for along in chain]))
    least = 1
    for along in reversed(chain):
        least = max(1, (least - 1) * along.stride + along.field + 1 - sum(along.pads(1)))
    sizes = draw(pulses(stride, most=4))
    length = draw(st.integers(0, min(3 * least, 60)))
    return ConvChain(
        shape=(1, 1, length),
        axis=2,
        sizes=sizes,
        chain=tuple(chain),
        kernels=tuple(tuple(range(along.kernel)) for along in chain),
        values=Values(draw(st.integers(0, 99))),
    )


@dataclass(frozen=True, kw_only=True)
class PadConv(Streamed):
    """A Pad, then a convolution.

    Attributes:
        pad: frames before and after.
        mode: of the Pad.
        along: windows of the convolution.
        kernel: its weights.
    """

    family = "conv"
    op = "Conv"
    pad: tuple[int, int]
    mode: str
    along: Along
    kernel: tuple[int, ...]
    fill: float = 9999

    @property
    def shortest(self) -> int:
        return 1 if self.mode == "edge" and any(self.pad) else 0

    @property
    def rounds(self) -> str:
        return "a pad that is not folded is translated alone, then the convolution"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        if any(self.pad):
            pads = ((0, 0), (0, 0), self.pad)
            (wire,) = model.wire("pad", Pad(pads, self.mode, self.fill), (wire,))
        weights = model.add_const("kernel", np.array([[self.kernel]], np.float32))
        return model.wire("conv", Conv(window_spec((self.along,)), 1), (wire, weights))[0]

    def oracle(self, data: Array) -> Array:
        line = [float(v) for v in data[0, 0]]
        before, after = self.pad
        first, last = (line[0], line[-1]) if self.mode == "edge" else (self.fill, self.fill)
        line = [first] * before + line + [last] * after
        padded = np.array([[line]], np.float32).reshape(1, 1, -1)
        return convolve(padded, np.array([[self.kernel]], np.float32), None, (self.along,), 1)


@st.composite
def pad_plus_conv(draw: st.DrawFn) -> PadConv:
    """Draw spec/pulse.md 6.5: pads 0..15, edge or constant 9999, kernel of length 1..3."""
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = tuple(draw(st.lists(st.integers(-5, 4), min_size=1, max_size=3)))
    pad = (draw(st.integers(0, 15)), draw(st.integers(0, 15)))
    sizes = draw(pulses(stride, most=3))
    mode = draw(st.sampled_from(["constant", "edge"]))
    least = max(len(kernel) * dilation, sizes[0])
    return PadConv(
        shape=(1, 1, draw(st.integers(1 if mode == "edge" else 0, 3 * least))),
        axis=2,
        sizes=sizes,
        pad=pad,
        mode=mode,
        along=Along(len(kernel), stride, dilation),
        kernel=kernel,
        fill=draw(st.sampled_from([9999.0, 0.0])),
        values=Values(draw(st.integers(0, 99))),
    )


STRATEGIES = {
    "Conv-1d": conv_problems,
    "Conv-2d": lambda: conv_problems(spatial=2),
    "Conv-batch-axis": lambda: conv_problems(batch=True),
    "Conv-plus-conv": conv_plus_conv,
    "Conv-after-pad": pad_plus_conv,
}


def _line(length: int, pulse: tuple[int, ...], along: Along, **rest: object) -> ConvProblem:
    return ConvProblem(shape=(1, 1, length), axis=2, sizes=pulse, along=(along,), **rest)  # pyright: ignore[reportArgumentType]


def _chain(length: int, pulse: int, *parts: tuple[Along, tuple[int, ...]]) -> ConvChain:
    chain, kernels = zip(*parts, strict=True)
    return ConvChain(shape=(1, 1, length), axis=2, sizes=(pulse,), chain=chain, kernels=kernels)


def _padded(
    pad: tuple[int, int], mode: str, stride: int, dilation: int, pulse: int, *rest: tuple[int, ...]
) -> PadConv:
    kernel, x = rest
    return PadConv(
        shape=(1, 1, len(x)),
        axis=2,
        sizes=(pulse,),
        pad=pad,
        mode=mode,
        along=Along(len(kernel), stride, dilation),
        kernel=kernel,
    )


_K3 = Along(3)
_UP = "upper"

HAND: dict[str, Problem] = {
    "Conv-whole-axis": _line(8, (8,), _K3),
    "Conv-one-frame": _line(1, (1, 4), Along(1)),
    "Conv-empty-stream": _line(0, (1, 4), _K3),
    "Conv-empty-stream-padded": _line(0, (1, 4), Along(3, 1, 1, (1, 1))),
    "Conv-shorter-than-field": _line(2, (1, 2, 4), _K3),
    "Conv-pulse-longer-than-stream": _line(5, (16,), _K3),
    "Conv-pulse-shorter-than-field": _line(9, (1,), Along(5, 1, 2)),
    "Conv-whole-pulses": _line(12, (4,), _K3),
    "Conv-rest": _line(13, (4,), _K3),
    "Conv-causal": _line(9, (4,), Along(3, 1, 1, (2, 0))),
    "Conv-looks-ahead": _line(9, (4,), Along(3, 1, 1, (0, 2))),
    "Conv-same": _line(9, (2, 3), Along(3, 1, 1, "upper")),
    "Conv-same-lower-even": _line(9, (2, 3), Along(4, 1, 1, "lower")),
    "Conv-more-padding-than-field": _line(6, (2, 4), Along(3, 1, 1, (5, 5))),
    "Conv-gaps-between-windows": _line(14, (3, 6), Along(2, 3), crop=(1, 0)),
    "Conv-gaps-padded": _line(14, (5, 10), Along(2, 5, 1, (1, 1)), crop=(2, 0)),
    "Conv-after-end-crop": _line(12, (4, 3, 1), Along(3, 1, 1, (0, 2)), crop=(0, 4)),
    "Conv-after-crops": _line(13, (4, 2), Along(3, 2, 1, (1, 1)), crop=(3, 3)),
    "Conv-strides-misaligned": _line(11, (2, 4), Along(2, 2), crop=(1, 0)),
    "Conv-simple": _chain(8, 4, (_K3, (5, 10, -1))),
    "Conv-prob-1": _chain(7, 1, (Along(1), (1,)), (Along(2, 1, 2), (1, 2))),
    "Conv-prob-2": _chain(10, 2, (Along(1, 2, 1, _UP), (0,)), (Along(1), (1,))),
    "Conv-prob-3": _chain(10, 1, (Along(1), (0,)), (Along(2, 1, 1, _UP), (1, 0))),
    "Conv-prob-7": _chain(4, 4, (Along(2, 1, 2), (0, 0)), (Along(1, 2), (1,))),
    "Conv-same-upper": _chain(4, 1, (Along(2, 1, 1, _UP), (1, 0))),
    "Conv-stride": _chain(4, 2, (Along(2, 2, 1, (1, 0)), (0, 1))),
    "Conv-three": _chain(
        5,
        1,
        (Along(2, 1, 2), (0, 1)),
        (Along(3), (0, 1, 2)),
        (Along(2, 1, 1, (1, 0)), (0, 1)),
    ),
    "Conv-three-stride": _chain(4, 2, (Along(2), (0, 1)), (Along(1), (0,)), (Along(1, 2, 2), (0,))),
    "Conv-first-pads-short-stream": _chain(1, 6, (Along(2, 1, 1, (1, 0)), (1, 2))),
    "Conv-pad-1": _padded((0, 0), "constant", 1, 1, 1, (0,), (0, 0)),
    "Conv-pad-2": _padded((0, 0), "constant", 2, 2, 2, (0,), (0, 0)),
    "Conv-pad-3": _padded((0, 0), "constant", 2, 1, 2, (0,), (0, 0, 0)),
    "Conv-pad-4": _padded((0, 0), "constant", 2, 2, 2, (0,), (0, 0, 0)),
    "Conv-pad-5": _padded((2, 0), "constant", 2, 1, 2, (0, 1), (1, 0)),
    "Conv-pad-7": _padded((0, 1), "edge", 1, 1, 1, (0,), (0,)),
    "Conv-pad-8": _padded((1, 0), "edge", 2, 2, 2, (0,), (0, 0)),
    "Conv-pad-kaldi": _padded((5, 15), "edge", 3, 1, 9, (1, 0, 0, 0, 0), tuple(range(10))),
    "Conv-pad-9": _padded((13, 9), "constant", 2, 2, 2, (0, 0), (0, 0, 0, 0)),
}


def _window(kernel: int = 3, stride: int = 1) -> WindowSpec:
    return WindowSpec((kernel,), (stride,), (1,), (Valid(),))


def _refused(op: Conv, *texts: str, starts: str, pulse: int = 4) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)), pulse=pulse)
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" (Conv): {starts}')


def _invalid(op: Conv, *texts: str, starts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" (Conv): {starts}')


_SAME = WindowSpec((3,), (2,), (1,), (SameUpper(),))
_X, _W = "1,2,S,f32", "4,2,3,f32"

ERRORS: dict[str, ErrorCase] = {
    "Conv-channel-axis": _refused(
        Conv(_window(), 1), "1,S,8,f32", _W, starts="the stream axis is the channel axis (1)"
    ),
    "Conv-stride": _refused(
        Conv(_window(3, 3), 1), _X, _W, starts="pulse=4 brings 4 frames on axis 2, not a multiple"
    ),
    "Conv-same-stride": _refused(
        Conv(_SAME, 1), _X, _W, starts="SAME padding with stride=2 on the stream axis"
    ),
    "Conv-kernel-streams": _refused(
        Conv(_window(), 1), "1,2,9,f32", "S,2,3,f32", starts="its kernel streams"
    ),
    "Conv-window-rank": _invalid(
        Conv(_window(), 1), "1,2,S,3,f32", _W, starts="windows over 1 spatial axes, data of rank 4"
    ),
    "Conv-window-empty": _invalid(Conv(_window(0), 1), _X, "4,2,0,f32", starts="kernel=[0]"),
    "Conv-dtypes": _invalid(Conv(_window(), 1), _X, "4,2,3,f64", starts="inputs ["),
    "Conv-kernel-shape": _invalid(Conv(_window(), 1), _X, "4,2,5,f32", starts="kernel 4,2,5,f32"),
    "Conv-groups": _invalid(Conv(_window(), 3), _X, _W, starts="4 output channels do not divide"),
    "Conv-channels": _invalid(Conv(_window(), 2), _X, _W, starts="2 channels where kernel"),
    "Conv-bias": _invalid(Conv(_window(), 1), _X, _W, "3,f32", starts="bias 3,f32 for 4 channels"),
}
