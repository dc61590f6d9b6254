"""Encoders and decoders with skips: strided convolutions down, transposed ones up.

At every level the stream is coded (a convolution of stride s), goes through the levels below, is
decoded (a transposed convolution of stride s) and meets itself as it was (spec/pulse.md 8.1, T4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import dim_max, sym
from tract_ref.errors import Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Add
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.slicing import Slice
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    facts,
    pulsing,
    small_integers,
)
from tract_ref_suites.problems.deconv import Spread, deconv_op, spread
from tract_ref_suites.strategies.models import least_drop
from tract_ref_suites.strategies.shapes import lengths, pulses
from tract_ref_suites.strategies.windows import Along, window_spec

_AXIS = 2
# Beyond as many source frames no length of a network that is drawn changes its form.
_LONG = 600


@dataclass(frozen=True)
class Level:
    """What one level does with its stream x.

    Attributes:
        down: windows of the convolution that codes x.
        up: the transposed convolution that decodes what the levels below make of the code.
        skip: frames of x dropped in front where both meet.
        offset: frames of the decoded stream dropped in front where both meet.
    """

    down: Along
    up: Spread
    skip: int = 0
    offset: int = 0

    @property
    def stride(self) -> int:
        """Frames of x per frame of the code."""
        return self.down.stride

    def decoded(self, n: Array) -> Array:
        """Return the frames decoded from each of many n."""
        before, after = self.up.cropped()
        grown = (n - 1) * self.stride + self.up.field + 1 + self.up.more - before - after
        return np.maximum(grown, 0) * (n > 0)


@dataclass(frozen=True, kw_only=True)
class UNetProblem(Problem):
    """A network of one channel.

    Attributes:
        levels: from the outermost to the innermost.
        merge: `add` or `concat`.
        frames: stream length.
        sizes: the pulses.
        seed: of the input and the weights.
    """

    family = "unets"
    op = "UNet"
    levels: tuple[Level, ...]
    merge: str = "add"
    frames: int
    sizes: tuple[int, ...]
    seed: int = 0

    @property
    def length(self) -> int:
        return self.frames

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    @property
    def stride(self) -> int:
        """Source frames per innermost frame: pulses are multiples of it."""
        return int(np.prod([level.stride for level in self.levels], dtype=int))

    @property
    def rounds(self) -> str:
        return "the kernels of both ways meet in some phases only"

    def rates(self) -> list[int]:
        """Return the source frames per frame of the stream of every level."""
        strides = [level.stride for level in self.levels]
        return [int(np.prod(strides[:number], dtype=int)) for number in range(len(strides))]

    def weights(self, number: int) -> tuple[Array, Array]:
        """Return the kernels of the way down and of the way up of a level."""
        level = self.levels[number]
        inner = 2 if self.merge == "concat" and number + 1 < len(self.levels) else 1
        shapes = (1, 1, level.down.kernel), (1, inner, level.up.kernel)
        drawn = (small_integers(self.seed + 7 * number + i, s, "f8") for i, s in enumerate(shapes))
        first, second = (np.clip(kernel, -2, 2) for kernel in drawn)
        return first, second

    def drops(self) -> list[int]:
        """Return, per level, the source frames by which the common length is shorter."""
        found: list[int] = []

        def meet(number: int, have: Array) -> Array:
            level, rate = self.levels[number], self.rates()[number]
            coded = np.maximum(level.down.count(have), 0)
            if number + 1 < len(self.levels):
                coded = meet(number + 1, coded)
            both = np.minimum(have - level.skip, level.decoded(coded) - level.offset)
            drop = least_drop(both, rate)
            found.insert(0, drop)
            return np.maximum((np.arange(_LONG) - drop) // rate, 0)

        meet(0, np.arange(_LONG))
        return found

    def model(self) -> Model:
        model = Model()
        wire = model.add_source("x", facts("1,1,S,f64")[0])
        drops, rates = self.drops(), self.rates()

        def cut(name: str, stream: Outlet, number: int, front: int) -> Outlet:
            common = dim_max(0, (sym(SYMBOL) - drops[number]) // rates[number])
            op = Slice(_AXIS, front, common + front, exact=True)
            return model.wire(name, op, (stream,))[0]

        def pass_level(number: int, stream: Outlet) -> Outlet:
            level = self.levels[number]
            first, second = self.weights(number)
            kernel = model.add_const(f"first{number}", first)
            down = Conv(window_spec((level.down,)), 1)
            (code,) = model.wire(f"down{number}", down, (stream, kernel))
            if number + 1 < len(self.levels):
                code = pass_level(number + 1, code)
            kernel = model.add_const(f"second{number}", second)
            (out,) = model.wire(f"up{number}", deconv_op((level.up,), 1), (code, kernel))
            both = (
                cut(f"skip{number}", stream, number, level.skip),
                cut(f"decoded{number}", out, number, level.offset),
            )
            op = Add() if self.merge == "add" else Concat(1)
            return model.wire(f"merge{number}", op, both)[0]

        model.set_outputs([pass_level(0, wire)], ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.seed, (1, 1, self.frames), "f8")}

    def expected(self) -> dict[str, Array]:
        drops, rates = self.drops(), self.rates()

        def pass_level(number: int, data: Array) -> Array:
            level = self.levels[number]
            first, second = self.weights(number)
            code = _coded(data, first, level.down)
            if number + 1 < len(self.levels):
                code = pass_level(number + 1, code)
            out = spread(code[None], second, None, (level.up,), 1)[0]
            common = max(0, (self.frames - drops[number]) // rates[number])
            kept = data[:, level.skip : level.skip + common]
            made = out[:, level.offset : level.offset + common]
            return kept + made if self.merge == "add" else np.vstack([kept, made])

        return {"y": pass_level(0, self.inputs()["x"][0])[None]}

    def least_delay(self, pulse: int) -> int | None:
        """Return the delay by the closed forms, level by level."""
        received = np.arange(0, _LONG, pulse)
        drops, rates = self.drops(), self.rates()

        def late(delay: int, rate: int, have: Array) -> int:
            return max(delay, int((received // rate - have).max()))

        def pass_level(number: int, delay: int, have: Array) -> tuple[int, Array]:
            level, rate = self.levels[number], rates[number]
            code = level.down.least_delay(delay, late(delay, rate, have))
            coded = np.maximum(level.down.count(have), 0)
            if number + 1 < len(self.levels):
                code, coded = pass_level(number + 1, code, coded)
            if level.up.waits:
                code = late(code, rate * level.stride, coded)
            out = level.stride * code + level.up.cropped()[0]
            common = np.maximum((received - drops[number]) // rate, 0)
            return max(delay + level.skip, out + level.offset), common

        return pass_level(0, 0, received)[0]


def _coded(data: Array, kernel: Array, along: Along) -> Array:
    line = data[0].tolist()
    weights = kernel[0, 0].tolist()
    sums: list[float] = []
    for tap in along.taps(len(line)):
        reads = zip(weights, tap, strict=True)
        sums.append(sum(w * line[i] for w, i in reads if 0 <= i < len(line)))
    return np.array(sums, np.float64).reshape(1, -1)


@st.composite
def levels(draw: st.DrawFn) -> Level:
    """Draw spec/pulse.md T4: one stride both ways, kernels of s to 2s+1, pads of 0 to K-1."""
    stride = draw(st.integers(1, 3))
    first, second = (draw(st.integers(stride, 2 * stride + 1)) for _ in range(2))
    pads, crop = (
        (draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in (first, second)
    )
    return Level(
        Along(first, stride, 1, pads),
        Spread(second, stride, 1, crop),
        draw(st.integers(0, 2)),
        draw(st.integers(0, 2)),
    )


@st.composite
def unet_problems(draw: st.DrawFn) -> UNetProblem:
    """Draw 1 to 3 levels, a length around the field or longer, and two pulses."""
    drawn = tuple(draw(st.lists(levels(), min_size=1, max_size=3)))
    shape = UNetProblem(levels=drawn, frames=0, sizes=())
    sizes = draw(pulses(shape.stride, most=3))
    return UNetProblem(
        levels=drawn,
        merge=draw(st.sampled_from(["add", "concat"])),
        frames=draw(lengths(sizes[0], field=min(40, max(shape.drops()) + 1))),
        sizes=sizes,
        seed=draw(st.integers(0, 999)),
    )


STRATEGIES = {"UNet-random": unet_problems}


def _unet(frames: int, sizes: tuple[int, ...], *drawn: Level, merge: str = "add") -> UNetProblem:
    return UNetProblem(levels=drawn, merge=merge, frames=frames, sizes=sizes)


_HALF = Level(Along(3, 2), Spread(2, 2), 1)
_ODD = Level(Along(4, 2, 1, (1, 1)), Spread(4, 2, 1, (1, 1)))
_THIRD = Level(Along(5, 3, 1, (2, 0)), Spread(7, 3, 1, (1, 2)), 0, 2)

HAND: dict[str, Problem] = {
    "UNet-one-level": _unet(12, (2, 4), _HALF),
    "UNet-odd-alignment": _unet(13, (2, 4, 6), _ODD, merge="concat"),
    "UNet-two-levels": _unet(25, (4, 8), _ODD, _HALF),
    "UNet-three-levels": _unet(40, (12,), _HALF, _THIRD, _ODD, merge="concat"),
    # The last of three decoded frames reads two frames back, its skip one frame ahead.
    "UNet-phases-of-the-field": _unet(12, (3, 6), Level(Along(3, 3), Spread(3, 3), 1)),
    "UNet-one-frame": _unet(1, (2, 4), _ODD),
    "UNet-empty-stream": _unet(0, (6, 12), _ODD, _THIRD),
    "UNet-pulse-longer-than-the-stream": _unet(7, (16,), _ODD, _ODD),
}

ERRORS: dict[str, ErrorCase] = {
    "UNet-pulse-of-half-a-frame": ErrorCase(
        pulsing(_unet(8, (), _ODD, _HALF).model, pulse=2),
        Refused,
        'pulsify v1: node "down1" (Conv): pulse=2 brings 1 frames on axis 2, not a multiple of str',
    ),
}
