"""The strategies and named units of spec/pulse.md 6, with their ranges and their numbers.

What the families already draw in wider ranges (6.1 crop, 6.2 pad, 6.4 and 6.5 conv, 6.7 downsample)
is theirs; here are those whose shapes or numbers differ from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.fft import Fft
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Values,
    facts,
    pulsing,
    single,
    small_integers,
)
from tract_ref_suites.problems.conv import ConvChain, ConvProblem
from tract_ref_suites.problems.deconv import DeconvProblem, Spread
from tract_ref_suites.problems.einsum import EinSumProblem
from tract_ref_suites.problems.fft import FftProblem, StftProblem
from tract_ref_suites.problems.pool import PoolProblem
from tract_ref_suites.strategies.shapes import pulses
from tract_ref_suites.strategies.windows import Along

Numbers = tuple[float, ...]
_NAN = float("nan")


@dataclass(frozen=True)
class Given(Values):
    """Written numbers.

    Attributes:
        data: the input, in row-major order.
        weights: kernel, bias, .. in row-major order.
    """

    data: Numbers = ()
    weights: tuple[Numbers, ...] = ()

    def array(self, shape: tuple[int, ...], dtype: str = "f4", *, salt: int = 0) -> Array:
        """Return the numbers in a shape; `salt` counts the weights from 1."""
        numbers = self.weights[salt - 1] if salt else self.data
        return np.array(numbers, np.dtype(dtype)).reshape(shape)


@dataclass(frozen=True)
class Ramp(Values):
    """Multiples of a step, by the index of each element.

    Attributes:
        step: what the second element is; sums are exact when it is 1.
    """

    palette: str = "normal"
    step: float = 0.01

    def array(self, shape: tuple[int, ...], dtype: str = "f4", *, salt: int = 0) -> Array:
        """Return the ramp, the same for every salt."""
        return (np.arange(np.prod(shape)) * self.step).astype(dtype).reshape(shape)


COUNT = Ramp(palette="integers", step=1.0)
"""0, 1, 2, .."""


@dataclass(frozen=True, kw_only=True)
class FftThereAndBack(FftProblem):
    """A transform and its inverse: the input times the number of bins."""

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        (there,) = model.wire("there", Fft(self.on), (wire,))
        return model.wire("back", Fft(self.on, True), (there,))[0]

    def oracle(self, data: Array) -> Array:
        return data * data.dtype.type(data.shape[self.on])


@st.composite
def fft_problems(draw: st.DrawFn) -> FftProblem:
    """Draw 6.10: rank 3 to 5, 1..16 frames of 2, 4, 8 or 16 bins, both directions."""
    lead = (1,) * draw(st.integers(0, 2))
    frames, bins = draw(st.integers(0, 16)), draw(st.sampled_from([2, 4, 8, 16]))
    return FftProblem(
        shape=(*lead, frames, bins, 2),
        axis=len(lead),
        sizes=(draw(st.integers(1, 4)),),
        on=len(lead) + 1,
        inverse=draw(st.booleans()),
        values=Ramp(),
    )


@st.composite
def stft_problems(draw: st.DrawFn) -> StftProblem:
    """Draw 6.11: [S, T, 2] over T, 1..6 frames, T in 4..16, windows of 2 or 4, hops of 1 or 2."""
    return StftProblem(
        shape=(draw(st.integers(0, 6)), draw(st.integers(4, 16)), 2),
        axis=0,
        sizes=(draw(st.integers(1, 3)),),
        on=1,
        frame=draw(st.sampled_from([2, 4])),
        stride=draw(st.integers(1, 2)),
        values=Ramp(),
    )


@st.composite
def deconv_problems(draw: st.DrawFn) -> DeconvProblem:
    """Draw 6.8: strides, dilations, kernels 1..4, adjustments 0..4, Valid or SAME, no bias."""
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kernel = draw(st.integers(1, 4))
    has_same = (kernel - 1) * dilation > stride - 1
    crop = draw(st.sampled_from(["valid", "upper", "lower"] if has_same else ["valid"]))
    sizes = draw(pulses(stride, most=3))
    length = draw(st.integers(0, 12))
    seed = draw(st.integers(0, 99))
    drawn = small_integers(seed, (length + kernel,), "f4").tolist()
    return DeconvProblem(
        shape=(1, 1, length),
        axis=2,
        sizes=sizes,
        axes=(Spread(kernel, stride, dilation, crop, draw(st.integers(0, 4))),),
        values=Given(seed, data=tuple(drawn[kernel:]), weights=(tuple(drawn[:kernel]),)),
    )


@st.composite
def long_chains(draw: st.DrawFn) -> ConvChain:
    """Draw 6.4 with its lengths, from one frame of output to three times as many frames."""
    chain: list[Along] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 3, 3))
        right = draw(st.integers(0, (kernel - 1) * dilation))
        padded = ((kernel - 1) * dilation - right, right)
        chain.append(Along(kernel, stride, dilation, draw(st.sampled_from(["valid", padded]))))
    least = 1
    for along in reversed(chain):
        least = max(1, (least - 1) * along.stride + along.field + 1 - sum(along.pads(1)))
    length = draw(st.integers(least, 3 * least))
    stride = int(np.prod([along.stride for along in chain]))
    return ConvChain(
        shape=(1, 1, length),
        axis=2,
        sizes=(stride * draw(st.integers(1, 4)),),
        chain=tuple(chain),
        kernels=tuple(tuple(range(along.kernel)) for along in chain),
        values=COUNT,
    )


STRATEGIES = {
    "Fft-6-10": fft_problems,
    "Stft-6-11": stft_problems,
    "Deconv-6-8": deconv_problems,
    "Conv-6-4": long_chains,
}


def _deconv(x: Numbers, pulse: int, along: Spread, kernel: Numbers) -> DeconvProblem:
    given = Given(data=x, weights=(kernel,))
    return DeconvProblem(shape=(1, 1, len(x)), axis=2, sizes=(pulse,), axes=(along,), values=given)


def _pool(
    x: Numbers, pulse: int, delay: int, stride: int, window: int, pad: tuple[int, int] | str
) -> PoolProblem:
    return PoolProblem(
        shape=(1, 1, len(x)),
        axis=2,
        sizes=(pulse,),
        crop=(delay, 0),
        along=(Along(window, stride, 1, pad),),
        values=Given(data=x),
    )


def _fft(length: int, pulse: int, bins: int, *, rank: int = 4, **rest: bool) -> FftProblem:
    lead = (1,) * (rank - 3)
    return FftProblem(
        shape=(*lead, length, bins, 2),
        axis=rank - 3,
        sizes=(pulse,),
        on=rank - 2,
        values=Ramp(),
        **rest,  # pyright: ignore[reportArgumentType]
    )


def _stft(batch: int, pulse: int, positions: int, frame: int, stride: int) -> StftProblem:
    return StftProblem(
        shape=(batch, positions, 2),
        axis=0,
        sizes=(pulse,),
        on=1,
        frame=frame,
        stride=stride,
        values=Ramp(),
    )


def _biased(per_group: int, groups: int, bias: Numbers) -> DeconvProblem:
    """A kernel of 32 positions at stride 16 over 8 frames of 8 channels."""
    channels = 8
    kernel = tuple(0.001 * (i + 1) for i in range(channels * per_group * 32))
    x = tuple(0.1 * (i + 1) for i in range(channels * 8))
    return DeconvProblem(
        shape=(1, channels, 8),
        axis=2,
        sizes=(2,),
        axes=(Spread(32, 16, 1, (0, 0)),),
        outs=channels // groups,
        groups=groups,
        bias="flat",
        values=Given(palette="normal", data=x, weights=(kernel, bias)),
    )


_ONE = (0.0, 0.0, 1.0, 0.0)
_LAST = (0.0, 0.0, 0.0, 1.0)
_ZEROS = (0.0, 0.0, 0.0, 0.0)

HAND: dict[str, Problem] = {
    "Conv-simple": ConvProblem(
        shape=(1, 1, 8),
        axis=2,
        sizes=(4,),
        along=(Along(3),),
        values=Given(
            palette="normal",
            data=(1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0),
            weights=((0.5, 1.0, -0.1),),
        ),
    ),
    "Conv-same-of-a-stride": ConvChain(
        shape=(1, 1, 4),
        axis=2,
        sizes=(2,),
        chain=(Along(1), Along(2, 2, 1, "upper")),
        kernels=((0,), (0, 0)),
    ),
    "Pool-basic": _pool((0, 0, 0, 0, 1), 2, 0, 1, 2, "valid"),
    "Pool-stride": _pool((0, 0, 0), 2, 0, 2, 1, "valid"),
    "Pool-misaligned-stride": _pool((0, 1), 2, 1, 2, 1, "valid"),
    "Pool-overlap": _pool((0, 1), 1, 0, 1, 2, "valid"),
    "Pool-overlap-realign": _pool((_NAN, 2, 3, 4, 5, 6), 2, 1, 2, 3, "valid"),
    "Pool-long-overlap-1": _pool((0, 0, 0), 1, 0, 1, 3, "valid"),
    "Pool-long-overlap-2": _pool((0, 0, 0, 0), 1, 2, 1, 2, "valid"),
    "Pool-long-overlap-3": _pool((-1, -1, 0), 2, 0, 2, 3, "valid"),
    "Pool-pad-right": _pool((0, 0), 1, 0, 1, 2, (0, 1)),
    "Pool-pad-right-2": _pool((_NAN, 0, 1), 2, 1, 2, 2, (0, 1)),
    "Deconv-ex0": _deconv(_ONE, 1, Spread(1), (1,)),
    "Deconv-ex1": _deconv(_ZEROS, 1, Spread(2), (0, 0)),
    "Deconv-ex2": _deconv(_LAST, 1, Spread(2), (0, 1)),
    "Deconv-ex3": _deconv((*_ZEROS, 1), 2, Spread(2), (0, 1)),
    "Deconv-dil0": _deconv(_ZEROS, 1, Spread(2, 1, 2), (0, 0)),
    "Deconv-dil1": _deconv(_ONE, 1, Spread(2, 1, 2, "upper"), (0, 1)),
    "Deconv-stride0": _deconv(_LAST, 2, Spread(1, 2), (1,)),
    "Deconv-same-upper0": _deconv(_LAST, 1, Spread(2, 1, 1, "upper"), (0, 1)),
    "Deconv-adj0": _deconv(_ZEROS, 1, Spread(1, 1, 1, "valid", 1), (0,)),
    "Deconv-2d": DeconvProblem(
        shape=(1, 2, 5, 8),
        axis=2,
        sizes=(1,),
        axes=(Spread(1, 1, 1, (0, 0)), Spread(3, 2, 1, (1, 1))),
        outs=2,
        values=COUNT,
    ),
    "Deconv-bias-dense": _biased(8, 1, (0.5,) * 8),
    "Deconv-bias-depthwise": _biased(1, 8, tuple(0.001 * (i + 1) for i in range(8))),
    "EinSum-of-zeros": EinSumProblem(
        shape=(5, 8, 2),
        axis=0,
        sizes=(1,),
        expression="sij,ijk->sik",
        others=(8, 2, 4),
        values=Given(data=tuple(float(i) for i in range(80)), weights=((0.0,) * 64,)),
    ),
    "Fft-8-2-4": _fft(8, 2, 4),
    "Fft-4-1-8": _fft(4, 1, 8),
    "Fft-6-3-4": _fft(6, 3, 4),
    "Fft-inverse-8-2-4": _fft(8, 2, 4, inverse=True),
    "Fft-rank-3": _fft(8, 2, 4, rank=3),
    "Fft-rank-5": _fft(8, 2, 4, rank=5),
    "Fft-there-and-back": FftThereAndBack(
        shape=(1, 8, 4, 2), axis=1, sizes=(2,), on=2, values=Ramp()
    ),
    "Stft-4-2-8": _stft(4, 2, 8, 4, 2),
    "Stft-3-1-6": _stft(3, 1, 6, 3, 1),
    "Stft-2-2-12": _stft(2, 2, 12, 4, 4),
}

ERRORS: dict[str, ErrorCase] = {
    "Fft-over-the-stream": ErrorCase(
        pulsing(lambda: single(Fft(2), *facts("1,4,S,2,f32"))),
        Refused,
        'pulsify v1: node "op" (Fft): works over the stream axis (2 of input 0)',
    ),
}
