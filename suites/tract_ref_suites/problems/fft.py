"""Fourier transforms, judged by their sums, term by term."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.fft import Fft, Stft
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values


def transformed(line: list[complex], *, inverse: bool = False) -> list[complex]:
    """Return the sums of a line times exponentials; parts are summed without rounding."""
    sign = 1 if inverse else -1
    out: list[complex] = []
    for f in range(len(line)):
        angles = [sign * 2 * math.pi * (f * n % len(line)) / len(line) for n in range(len(line))]
        real = [
            part
            for x, a in zip(line, angles, strict=True)
            for part in (x.real * math.cos(a), -x.imag * math.sin(a))
        ]
        imaginary = [
            part
            for x, a in zip(line, angles, strict=True)
            for part in (x.real * math.sin(a), x.imag * math.cos(a))
        ]
        out.append(complex(math.fsum(real), math.fsum(imaginary)))
    return out


def _complex(data: Array, at: tuple[int, ...]) -> complex:
    return complex(float(data[(*at, 0)]), float(data[(*at, 1)]))


@dataclass(frozen=True, kw_only=True)
class FftProblem(Streamed):
    """A transform of an axis that does not stream, or of a whole stream in batch.

    Attributes:
        on: the axis transformed.
        inverse: with the opposite sign.
    """

    family = "fft"
    op = "Fft"
    on: int
    inverse: bool = False

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Fft(self.on, self.inverse), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros(data.shape, data.dtype)
        others = [1 if axis == self.on else n for axis, n in enumerate(data.shape[:-1])]
        for index in np.ndindex(*others):
            places = [
                (*index[: self.on], i, *index[self.on + 1 :]) for i in range(data.shape[self.on])
            ]
            line = transformed([_complex(data, at) for at in places], inverse=self.inverse)
            for at, value in zip(places, line, strict=True):
                out[at] = value.real, value.imag
        return out

    @property
    def oracle_approx(self) -> str:
        return "close"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def fft_problems(draw: st.DrawFn) -> FftProblem:
    """Draw a transform of 1 to 5 positions, or of a whole stream in batch."""
    axis, on = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    shape = (*draw(sizes(2, most=5)), 2)
    return FftProblem(
        shape=placed(shape, axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=() if on == axis else pulse,
        crop=crop,
        on=on,
        inverse=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class StftProblem(Streamed):
    """Transforms of windows.

    Attributes:
        on: the axis that the windows slide over.
        frame: positions of a window.
        stride: positions between two windows.
        window: length of the window's weights, 0 for none.
    """

    family = "fft"
    op = "Stft"
    on: int
    frame: int
    stride: int
    window: int = 0

    def weights(self) -> Array:
        """Return the weights."""
        return self.values.array((self.window,), self.dtype, salt=1)

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        inputs = [wire]
        if self.window:
            inputs.append(model.add_const("window", self.weights()))
        return model.wire("op", Stft(self.on, self.frame, self.stride), inputs)[0]

    def oracle(self, data: Array) -> Array:
        n = data.shape[self.on]
        starts = [i for i in range(0, n, self.stride) if i + self.frame <= n]
        weights = [1.0] * self.frame
        if self.window:
            given = [float(w) for w in self.weights()]
            before = (self.frame - self.window) // 2
            weights = [0.0] * before + given + [0.0] * (self.frame - self.window - before)
        lead, trail = data.shape[: self.on], data.shape[self.on + 1 :]
        out = np.zeros((*lead, len(starts), self.frame, *trail), data.dtype)
        for index in np.ndindex(*lead, *trail[:-1]):
            before, after = index[: self.on], index[self.on :]
            for t, start in enumerate(starts):
                line = [
                    _complex(data, (*before, start + k, *after)) * weights[k]
                    for k in range(self.frame)
                ]
                for f, value in enumerate(transformed(line)):
                    out[(*before, t, f, *after)] = value.real, value.imag
        return out

    @property
    def oracle_approx(self) -> str:
        return "close"

    @property
    def loose(self) -> str:
        cut = "weights of 0 at the ends of a window hide what they read"
        return super().loose or (cut if 0 < self.window < self.frame else "")

    def least_delay(self, pulse: int) -> int | None:
        if self.on != self.axis:
            return self.crop[0]
        # Window j is complete with frame j*stride + frame - 1.
        return max(0, -(-(self.crop[0] + self.frame - self.stride) // self.stride))


@st.composite
def stft_problems(draw: st.DrawFn, *, along: bool) -> StftProblem:
    """Draw windows along the stream, or along another axis."""
    axis = draw(st.integers(0, 1))
    stride, frame = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    pulse = draw(pulses(stride if along else 1, most=4))
    crop = draw(crops())
    shape = (*draw(sizes(2, most=5)), 2)
    length = draw(lengths(pulse[0], field=frame + sum(crop)))
    return StftProblem(
        shape=placed(shape, axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        on=axis if along else 1 - axis,
        frame=frame,
        stride=stride,
        window=draw(st.integers(0, frame)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


STRATEGIES = {
    "Fft": fft_problems,
    "Stft-stream": lambda: stft_problems(along=True),
    "Stft-off-axis": lambda: stft_problems(along=False),
}


def _rows(length: int, pulse: int, bins: int, **rest: object) -> FftProblem:
    return FftProblem(shape=(length, bins, 2), axis=0, sizes=(pulse,), on=1, **rest)  # pyright: ignore[reportArgumentType]


def _windows(length: int, pulse: int, frame: int, stride: int, front: int = 0) -> StftProblem:
    return StftProblem(
        shape=(length, 2),
        axis=0,
        sizes=(pulse,),
        crop=(front, 0),
        on=0,
        frame=frame,
        stride=stride,
    )


def _across(batch: int, pulse: int, frame: int, stride: int) -> StftProblem:
    return StftProblem(
        shape=(batch, 3 * frame, 2), axis=0, sizes=(pulse,), on=1, frame=frame, stride=stride
    )


HAND: dict[str, Problem] = {
    "Fft-8-frames": _rows(8, 2, 4),
    "Fft-pulse-1": _rows(4, 1, 8),
    "Fft-uneven": _rows(6, 3, 4, crop=(1, 0)),
    "Fft-inverse": _rows(8, 2, 4, inverse=True),
    "Fft-empty-stream": _rows(0, 2, 4),
    "Fft-one-bin": _rows(3, 2, 1),
    "Fft-over-the-stream": FftProblem(shape=(5, 2), axis=0, sizes=(), on=0),
    "Stft-hop-half": _windows(11, 4, 4, 2),
    "Stft-hop-whole": _windows(12, 4, 4, 4),
    "Stft-hop-1": _windows(9, 4, 4, 1),
    "Stft-hop-3": _windows(13, 3, 4, 3),
    "Stft-odd-frame": _windows(11, 2, 5, 2),
    "Stft-after-a-crop": _windows(11, 2, 4, 2, 1),
    "Stft-gaps": _windows(13, 4, 2, 4),
    "Stft-shorter-than-a-frame": _windows(3, 2, 4, 2),
    "Stft-empty-stream": _windows(0, 2, 4, 2),
    "Stft-batch-axis": _across(4, 2, 4, 2),
    "Stft-batch-axis-1": _across(3, 1, 3, 1),
}


def _refused(op: Op, starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "Fft-stream-axis": _refused(Fft(0), "works over the stream axis (0 of input 0)", "S,2,f32"),
    "Fft-real": _invalid(Fft(0), "data 4,3,f32; complex numbers", "4,3,f32"),
    "Fft-symbolic-parts": _invalid(Fft(0), "data 4,S,f32; complex numbers", "4,S,f32"),
    "Fft-axis": _invalid(Fft(1), "axis=1 of data S,2,f32", "S,2,f32"),
    "Stft-pulse": _refused(
        Stft(0, 4, 3), "pulse=4 brings 4 frames on axis 0, not a multiple of stride=3", "S,2,f32"
    ),
    "Stft-frame": _invalid(Stft(0, 0, 1), "frame=0, stride=1", "S,2,f32"),
    "Stft-window": _invalid(Stft(0, 4, 2), "window 5,f32 for data S,2,f32", "S,2,f32", "5,f32"),
}
