"""Axes sampled at other distances, judged one output position at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.resize import COORDINATES, INTERPOLATORS, NEAREST, Resize
from tract_ref.runtime.plan import Plan
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


@dataclass(frozen=True, kw_only=True)
class ResizeProblem(Streamed):
    """A resize of one axis, by a scale or to a size.

    Attributes:
        on: the axis resampled.
        scale: positions of the output per position of the input; 0 where `size` is given.
        size: positions of the output.
        coordinates: where an output position lies in the input.
        interpolator: nearest or linear.
        nearest_mode: how a position between two is rounded.
    """

    family = "resize"
    op = "Resize"
    on: int
    scale: float = 0.0
    size: int = 0
    coordinates: str = "half_pixel"
    interpolator: str = "nearest"
    nearest_mode: str = "floor"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        shape = model.fact(wire).shape
        scales: tuple[float, ...] | None = None
        wanted: tuple[Dim, ...] | None = None
        if self.scale:
            scales = tuple(self.scale if a == self.on else 1.0 for a in range(len(shape)))
        else:
            wanted = (*shape[: self.on], self.size, *shape[self.on + 1 :])
        op = Resize(scales, wanted, self.coordinates, self.interpolator, self.nearest_mode)
        return model.wire("op", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        n = data.shape[self.on]
        m = math.floor(n * self.scale) if self.scale else self.size
        # Frames are judged one by one along the resampled axis.
        lines = np.moveaxis(data, self.on, 0)
        out = np.zeros((m, *lines.shape[1:]), data.dtype)
        for i in range(m):
            x = self._position(i, n, m)
            if self.interpolator == "nearest":
                out[i] = lines[min(max(self._rounded(x), 0), n - 1)]
                continue
            x = min(max(x, 0.0), n - 1.0)
            left = math.floor(x)
            right = min(left + 1, n - 1)
            for rest in np.ndindex(*lines.shape[1:]):
                a, b = float(lines[(left, *rest)]), float(lines[(right, *rest)])
                out[(i, *rest)] = a if x == left else a + (b - a) * (x - left)
        return np.moveaxis(out, 0, self.on)

    def _position(self, i: int, n: int, m: int) -> float:
        scale = self.scale or m / n
        if self.coordinates == "asymmetric":
            return i / scale
        if self.coordinates == "align_corners":
            return i * (n - 1) / (m - 1) if m > 1 else 0.0
        if self.coordinates == "pytorch_half_pixel" and m == 1:
            return 0.0
        return (i + 0.5) / scale - 0.5

    def _rounded(self, x: float) -> int:
        down, up = math.floor(x), math.ceil(x)
        if self.nearest_mode == "floor" or self.nearest_mode == "ceil":
            return down if self.nearest_mode == "floor" else up
        if x - down == 0.5:
            return down if self.nearest_mode == "round_prefer_floor" else up
        return down if x - down < 0.5 else up

    @property
    def oracle_approx(self) -> str:
        return "exact" if self.interpolator == "nearest" else "close"

    @property
    def shortest(self) -> int:
        return 1 + sum(self.crop) if self.on == self.axis and not self.scale else 0

    @property
    def loose(self) -> str:
        dropped = math.floor(self.shape[self.on] * self.scale) == 0 if self.scale else not self.size
        return super().loose or ("no position is kept" if dropped else "")

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def resize_problems(draw: st.DrawFn, *, interpolator: str) -> ResizeProblem:
    """Draw a resize of an axis that does not stream, or of a whole stream in batch."""
    axis, on = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    by_scale = draw(st.booleans())
    # Powers of two: every position is exact in f32, so a tie is a tie on both roads.
    scale = draw(st.sampled_from([2.0, 4.0, 0.5, 0.25])) if by_scale else 0.0
    least = 1 + sum(crop) if on == axis and not by_scale else 0
    length = draw(lengths(pulse[0], field=sum(crop), least=least))
    shape = placed(draw(sizes(2, most=5)), axis, length)
    size = 0
    if not by_scale and on == axis:
        # Twice the length that is left, exact as well.
        size = 2 * max(0, length - sum(crop))
    elif not by_scale:
        size = draw(st.sampled_from([shape[on], 2 * shape[on], 4 * shape[on]]))
    aligned = interpolator == "linear"
    return ResizeProblem(
        shape=shape,
        axis=axis,
        sizes=() if on == axis else pulse,
        crop=crop,
        on=on,
        scale=scale,
        size=size,
        coordinates=draw(st.sampled_from(COORDINATES if aligned else COORDINATES[:3])),
        interpolator=interpolator,
        nearest_mode=draw(st.sampled_from(NEAREST)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


STRATEGIES = {
    f"Resize-{kind}": lambda kind=kind: resize_problems(interpolator=kind) for kind in INTERPOLATORS
}


def _line(length: int, pulses_: tuple[int, ...], **rest: object) -> ResizeProblem:
    given = {"on": 0, "scale": 2.0} | rest
    return ResizeProblem(shape=(4, length), axis=1, sizes=pulses_, **given)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "Resize-whole-axis": _line(8, (8,)),
    "Resize-empty-stream": _line(0, (1, 4)),
    "Resize-one-frame": _line(1, (1, 4)),
    "Resize-down": _line(7, (2,), scale=0.5, crop=(1, 0)),
    "Resize-to-its-own-size": _line(7, (2,), scale=0.0, size=4),
    "Resize-linear": _line(7, (2,), interpolator="linear"),
    "Resize-corners": _line(
        7, (2,), scale=0.0, size=7, interpolator="linear", coordinates="align_corners"
    ),
    "Resize-to-one": _line(
        7, (2,), scale=0.0, size=1, interpolator="linear", coordinates="pytorch_half_pixel"
    ),
    "Resize-over-the-stream": ResizeProblem(shape=(5,), axis=0, sizes=(), on=0, scale=2.0),
}


def _invalid(op: Resize, starts: str, text: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" (Resize): {starts}')


def _from_nothing() -> object:
    model = single(Resize(None, (3,)), *facts("S,f32"))
    return Plan(model).run({"x0": np.zeros(0, np.float32)})


ERRORS: dict[str, ErrorCase] = {
    "Resize-stream-axis": ErrorCase(
        pulsing(lambda: single(Resize((2.0, 1.0)), *facts("S,3,f32"))),
        Refused,
        'pulsify v1: node "op" (Resize): resamples the stream axis 0',
    ),
    "Resize-from-nothing": ErrorCase(
        _from_nothing, EvalError, 'run: node "op" (Resize): 3 positions of axis 0, which has none'
    ),
    "Resize-coordinates": _invalid(
        Resize((2.0,), coordinates="tf_crop_and_resize"), "coordinates='tf_crop", "S,f32"
    ),
    "Resize-interpolator": _invalid(
        Resize((2.0,), interpolator="cubic"), "interpolator='cubic'", "S,f32"
    ),
    "Resize-nearest-mode": _invalid(
        Resize((2.0,), nearest_mode="simple"), "nearest_mode='simple'", "S,f32"
    ),
    "Resize-neither": _invalid(Resize(), "scales=None, sizes=None for data S,f32", "S,f32"),
    "Resize-rank": _invalid(Resize((2.0,)), "scales=(2.0,), sizes=None for data S,3", "S,3,f32"),
    "Resize-scale": _invalid(Resize((0.0,)), "scales=(0.0,), sizes=None; every scale", "S,f32"),
    "Resize-integers": _invalid(
        Resize((2.0,), interpolator="linear"), "linear resize of data S,i64", "S,i64"
    ),
    "Resize-uneven-scale": _invalid(Resize((0.7,)), "scale=0.7 of an axis of S", "S,f32"),
}
