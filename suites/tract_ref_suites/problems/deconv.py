"""Transposed convolutions: single ones, after a strided convolution, and in chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.conv import Conv
from tract_ref.ops.deconv import Deconv
from tract_ref.stream.window import Explicit, Valid, WindowSpec
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
from tract_ref_suites.strategies.windows import Along, window_spec


@dataclass(frozen=True)
class Spread:
    """A transposed convolution along one axis.

    Attributes:
        kernel: positions that every frame is spread over.
        stride: positions between two frames.
        dilation: positions between two of the kernel.
        crop: `valid`, `upper`, `lower` (SAME), or the positions dropped before and after.
        more: positions added at the end.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    crop: tuple[int, int] | str = "valid"
    more: int = 0

    @property
    def field(self) -> int:
        """Distance from the first position of a kernel to its last."""
        return (self.kernel - 1) * self.dilation

    @property
    def along(self) -> Along:
        """The same numbers as a window."""
        return Along(self.kernel, self.stride, self.dilation, self.crop)

    def cropped(self) -> tuple[int, int]:
        """Return the positions dropped before and after."""
        if isinstance(self.crop, tuple):
            return self.crop
        if self.crop == "valid":
            return 0, 0
        before = after = 0
        # SAME keeps stride positions per frame: drop one after the other, from the ends in turn.
        for number in range(self.field + 1 + self.more - self.stride):
            if (number % 2 == 0) == (self.crop == "upper"):
                after += 1
            else:
                before += 1
        return before, after

    def places(self, n: int) -> list[list[tuple[int, int]]]:
        """Return, per output position, the (input position, kernel position) pairs added there."""
        if not n:
            return []
        whole: list[list[tuple[int, int]]] = [
            [] for _ in range((n - 1) * self.stride + self.field + 1 + self.more)
        ]
        for i in range(n):
            for k in range(self.kernel):
                whole[i * self.stride + k * self.dilation].append((i, k))
        before, after = self.cropped()
        return whole[before : max(before, len(whole) - after)]

    @property
    def waits(self) -> bool:
        """A frame after the last one would be added to a position that is kept."""
        return self.field + self.more - self.cropped()[1] >= self.stride


def spread(
    data: Array, kernel: Array, bias: Array | None, axes: tuple[Spread, ...], groups: int
) -> Array:
    """Convolve transposed, output element by output element, in f64."""
    per_group, per_out = kernel.shape[1], kernel.shape[0] // groups
    places = [axis.places(n) for axis, n in zip(axes, data.shape[2:], strict=True)]
    out = np.zeros((data.shape[0], kernel.shape[0], *(len(p) for p in places)), np.float64)
    for index in np.ndindex(*out.shape):
        n, o, *at = index
        pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
        for place, i in zip(places, at, strict=True):
            pairs = [((*p, i2), (*q, k)) for p, q in pairs for i2, k in place[i]]
        total = 0.0 if bias is None else float(bias.ravel()[o])
        for where, taps in pairs:
            for c in range(per_group):
                value = float(data[(n, o // per_out * per_group + c, *where)])
                total += float(kernel[(o, c, *taps)]) * value
        out[index] = total
    return out.astype(data.dtype)


def deconv_op(axes: tuple[Spread, ...], groups: int) -> Deconv:
    """Return the op of some axes."""
    window = window_spec(tuple(axis.along for axis in axes))
    return Deconv(window, groups, tuple(axis.more for axis in axes))


@dataclass(frozen=True, kw_only=True)
class DeconvProblem(Streamed):
    """One transposed convolution of [N, C, spatial..].

    Attributes:
        axes: geometry per spatial axis.
        outs: output channels per group.
        groups: groups of channels; C is a multiple.
        bias: `none`, `flat` for [O], or `shaped` for [1, O, 1..].
    """

    family = "deconv"
    op = "Deconv"
    axes: tuple[Spread, ...]
    outs: int = 1
    groups: int = 1
    bias: str = "none"

    def weights(self) -> tuple[Array, Array | None]:
        """Return the kernel and the bias."""
        channels = self.outs * self.groups
        sizes = tuple(axis.kernel for axis in self.axes)
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
        return model.wire("deconv", deconv_op(self.axes, self.groups), inputs)[0]

    def oracle(self, data: Array) -> Array:
        return spread(data, *self.weights(), self.axes, self.groups)

    def least_delay(self, pulse: int) -> int | None:
        if self.axis == 0:
            return self.delay_for(end_sensitive=False)
        along = self.axes[self.axis - 2]
        late = self.delay_for(end_sensitive=along.waits)
        return along.stride * late + along.cropped()[0]

    @property
    def loose(self) -> str:
        """Why less would do: crops that leave nothing of some kernel positions."""
        for spatial, along in enumerate(self.axes, start=2):
            if spatial != self.axis and not any(along.places(self.shape[spatial])):
                return "no frame reaches what another axis keeps"
            gaps = along.field + 1 < along.stride
            if spatial == self.axis and (gaps or sum(along.cropped()) > along.field):
                return "whole frames are cropped, or positions between frames depend on none"
        return super().loose


@st.composite
def spreads(draw: st.DrawFn, *, most: int = 4) -> Spread:
    """Draw a transposed convolution along one axis."""
    kernel, stride = draw(st.integers(1, most)), draw(st.integers(1, most))
    dilation = draw(st.integers(1, 3))
    field = (kernel - 1) * dilation
    crop = draw(
        st.sampled_from(["valid", "upper", "lower"])
        | st.tuples(st.integers(0, field + 2), st.integers(0, field + 2))
    )
    return Spread(kernel, stride, dilation, crop, draw(st.just(0) | st.integers(0, 4)))


@st.composite
def deconv_problems(draw: st.DrawFn, *, spatial: int = 1, batch: bool = False) -> DeconvProblem:
    """Draw one that streams along one of its spatial axes, or along the batch axis."""
    axis = 0 if batch else draw(st.integers(2, 1 + spatial))
    axes = tuple(draw(spreads(most=4 if k + 2 == axis else 2)) for k in range(spatial))
    sizes = draw(pulses())
    groups, per_group, outs = draw(st.tuples(*(st.integers(1, 2) for _ in range(3))))
    crop = draw(crops())
    length = draw(lengths(sizes[0], field=2 + sum(crop)))
    others = tuple(draw(st.integers(1, 3)) for _ in range(spatial))
    return DeconvProblem(
        shape=placed((1, per_group * groups, *others), axis, length),
        axis=axis,
        sizes=sizes,
        crop=crop,
        axes=axes,
        outs=outs,
        groups=groups,
        bias=draw(st.sampled_from(["none", "flat", "shaped"])),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class Coder(Streamed):
    """An encoder (strided convolution, no padding) and its decoder, of one channel.

    Attributes:
        down: the windows of the convolution.
        up: the transposed convolution.
    """

    family = "deconv"
    op = "Deconv"
    down: Along
    up: Spread

    def kernels(self) -> tuple[Array, Array]:
        """Return both kernels."""
        sizes = (1, 1, self.down.kernel), (1, 1, self.up.kernel)
        first, second = (self.values.array(s, salt=n) for n, s in enumerate(sizes, start=1))
        return first, second

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        first, second = self.kernels()
        op = Conv(window_spec((self.down,)), 1)
        (wire,) = model.wire("down", op, (wire, model.add_const("first", first)))
        return model.wire(
            "up", deconv_op((self.up,), 1), (wire, model.add_const("second", second))
        )[0]

    def oracle(self, data: Array) -> Array:
        first, second = self.kernels()
        taps = self.down.taps(data.shape[2])
        line = [
            sum(
                (float(w) * float(data[0, 0, i]))
                for w, i in zip(first[0, 0], tap, strict=True)
                if 0 <= i < data.shape[2]
            )
            for tap in taps
        ]
        coded = np.array(line, np.float32).reshape(1, 1, -1)
        return spread(coded, second, None, (self.up,), 1)

    @property
    def rounds(self) -> str:
        """Why less would do: kernels of some phases never meet."""
        return "the kernels of both meet in some phases only"


@st.composite
def coders(draw: st.DrawFn) -> Coder:
    """Draw spec/pulse.md T4: one stride, kernels of s to 2s+1, pads of 0 to K-1."""
    stride = draw(st.integers(1, 3))
    first, second = (draw(st.integers(stride, 2 * stride + 1)) for _ in range(2))
    pads = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in (first, second)]
    sizes = draw(pulses(stride, most=4))
    crop = draw(crops())
    return Coder(
        shape=(1, 1, draw(lengths(sizes[0], field=first + sum(crop)))),
        axis=2,
        sizes=sizes,
        crop=crop,
        down=Along(first, stride, 1, pads[0]),
        up=Spread(second, stride, 1, pads[1], draw(st.integers(0, 1))),
        values=Values(draw(st.integers(0, 99))),
    )


STRATEGIES = {
    "Deconv-1d": deconv_problems,
    "Deconv-2d": lambda: deconv_problems(spatial=2),
    "Deconv-batch-axis": lambda: deconv_problems(batch=True),
    "Deconv-after-conv": coders,
}


def _line(length: int, pulse: tuple[int, ...], along: Spread, **rest: object) -> DeconvProblem:
    return DeconvProblem(shape=(1, 1, length), axis=2, sizes=pulse, axes=(along,), **rest)  # pyright: ignore[reportArgumentType]


_LONG = Spread(32, 16)

HAND: dict[str, Problem] = {
    "Deconv-whole-axis": _line(8, (8,), Spread(3)),
    "Deconv-one-frame": _line(1, (1, 4), Spread()),
    "Deconv-empty-stream": _line(0, (1, 4), Spread(3, 2)),
    "Deconv-empty-stream-adjusted": _line(0, (1, 4), Spread(3, 2, 1, "valid", 2)),
    "Deconv-nothing-left": _line(1, (1, 4), Spread(3, 1, 1, (2, 2))),
    "Deconv-pulse-longer-than-stream": _line(3, (8,), Spread(3, 2)),
    "Deconv-pulse-shorter-than-field": _line(9, (1,), Spread(4, 1, 3)),
    "Deconv-whole-pulses": _line(8, (4,), Spread(4, 2)),
    "Deconv-rest": _line(9, (4,), Spread(4, 2)),
    "Deconv-dilated": _line(5, (1, 2), Spread(2, 1, 2)),
    "Deconv-dilated-same": _line(5, (1, 2), Spread(2, 1, 2, "upper")),
    "Deconv-same-upper": _line(4, (1, 2), Spread(4, 1, 1, "upper")),
    "Deconv-same-lower": _line(4, (1, 2), Spread(4, 1, 1, "lower")),
    "Deconv-same-adjusted": _line(4, (1, 2), Spread(4, 2, 1, "upper", 1)),
    "Deconv-adjusted": _line(4, (1,), Spread(1, 1, 1, "valid", 1)),
    "Deconv-adjusted-past-the-end": _line(5, (2, 3), Spread(2, 2, 1, "valid", 3), bias="flat"),
    "Deconv-gaps-hold-the-bias": _line(5, (2, 3), Spread(1, 3), bias="flat"),
    "Deconv-gaps-after-crop": _line(8, (2, 3), Spread(2, 4), crop=(2, 0)),
    "Deconv-after-front-crop": _line(8, (2,), Spread(3, 2), crop=(2, 0)),
    "Deconv-after-end-crop": _line(12, (4, 3, 1), Spread(4, 2, 1, (1, 0)), crop=(0, 4)),
    "Deconv-after-crops": _line(13, (4, 2), Spread(5, 3, 1, (1, 2)), crop=(3, 3)),
    "Deconv-end-not-needed": _line(10, (3,), Spread(4, 2, 1, (0, 2)), crop=(1, 3)),
    "Deconv-integers": _line(9, (2, 4), Spread(4, 2, 1, (1, 0)), bias="flat", dtype="i4"),
    "Deconv-long-dense": DeconvProblem(
        shape=(1, 2, 8), axis=2, sizes=(2,), axes=(_LONG,), outs=2, bias="flat"
    ),
    "Deconv-long-depthwise": DeconvProblem(
        shape=(1, 3, 8), axis=2, sizes=(2,), axes=(_LONG,), groups=3, bias="flat"
    ),
    "Deconv-2d-1": DeconvProblem(
        shape=(1, 2, 5, 8),
        axis=2,
        sizes=(1,),
        axes=(Spread(1, 1), Spread(3, 2, 1, (1, 1))),
        outs=2,
    ),
    "Deconv-2d-second-axis": DeconvProblem(
        shape=(1, 2, 3, 7),
        axis=3,
        sizes=(2, 3),
        axes=(Spread(2, 2), Spread(4, 3, 1, (1, 0))),
        crop=(1, 1),
        values=Values(3, "normal"),
    ),
    "Deconv-after-conv-1": Coder(
        shape=(1, 1, 12), axis=2, sizes=(2, 4), down=Along(3, 2), up=Spread(2, 2)
    ),
    "Deconv-after-conv-2": Coder(
        shape=(1, 1, 13),
        axis=2,
        sizes=(2, 6),
        down=Along(4, 2, 1, (1, 1)),
        up=Spread(4, 2, 1, (1, 1)),
    ),
}


def _op(kernel: int = 3, groups: int = 1, *more: int) -> Deconv:
    return Deconv(WindowSpec((kernel,), (2,), (1,), (Valid(),)), groups, more or (0,))


def _refused(op: Deconv, *texts: str, starts: str) -> ErrorCase:
    attempt: Callable[[], object] = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" (Deconv): {starts}')


def _invalid(op: Deconv, *texts: str, starts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" (Deconv): {starts}')


_X, _W = "1,2,S,f32", "4,2,3,f32"
_CEIL = Deconv(WindowSpec((3,), (2,), (1,), (Explicit(0, 0, ceil=True),)), 1, (0,))

ERRORS: dict[str, ErrorCase] = {
    "Deconv-channel-axis": _refused(
        _op(), "1,S,8,f32", _W, starts="the stream axis is the channel axis (1)"
    ),
    "Deconv-kernel-streams": _refused(_op(), "1,2,9,f32", "S,2,3,f32", starts="its kernel streams"),
    "Deconv-bias-streams": _refused(
        _op(), "1,2,9,f32", "S,2,3,f32", "S,f32", starts="its kernel streams"
    ),
    "Deconv-adjustments": _invalid(_op(3, 1, 0, 0), _X, _W, starts="adjustments=[0, 0] for 1"),
    "Deconv-negative-adjustment": _invalid(_op(3, 1, -1), _X, _W, starts="adjustments=[-1]"),
    "Deconv-rounds-up": _invalid(_CEIL, _X, _W, starts="a transposed convolution does not round"),
    "Deconv-window-rank": _invalid(
        _op(), "1,2,S,3,f32", _W, starts="windows over 1 spatial axes, data of rank 4"
    ),
    "Deconv-window-empty": _invalid(_op(0), _X, "4,2,0,f32", starts="kernel=[0]"),
    "Deconv-dtypes": _invalid(_op(), _X, "4,2,3,f64", starts="inputs ["),
    "Deconv-kernel-shape": _invalid(_op(), _X, "4,2,5,f32", starts="kernel 4,2,5,f32"),
    "Deconv-groups": _invalid(_op(3, 3), _X, _W, starts="4 output channels do not divide"),
    "Deconv-channels": _invalid(_op(3, 2), _X, _W, starts="2 channels where kernel"),
    "Deconv-bias": _invalid(_op(), _X, _W, "3,f32", starts="bias 3,f32 for 4 channels"),
}
