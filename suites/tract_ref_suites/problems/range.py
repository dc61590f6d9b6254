"""Ranges as long as a stream, added to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.nnef.writer import model_files
from tract_ref.ops.binary import Add
from tract_ref.ops.cast import Cast
from tract_ref.ops.range import PositionalRange, Range
from tract_ref.ops.slicing import Downsample
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    Values,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, pulses
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


@dataclass(frozen=True, kw_only=True)
class RangeProblem(Streamed):
    """Every stride-th frame of [S], plus a range of as many numbers.

    Attributes:
        start: first number.
        step: distance of two numbers.
        short: how much before its last multiple of the step the range ends, less than a step.
        stride: frames of the source per frame that is kept.
    """

    family = "range"
    op = "Range"
    start: int = 0
    step: int = 1
    short: int = 0
    stride: int = 1

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        if self.stride > 1:
            (wire,) = model.wire("sampled", Downsample(0, self.stride), (wire,))
        frames = model.fact(wire).shape[0]
        short = self.short if self.step > 0 else -self.short
        op = Range(self.start, self.start + frames * self.step - short, self.step)
        (numbers,) = model.wire("range", op, ())
        (numbers,) = model.wire("cast", Cast(np.dtype(self.dtype)), (numbers,))
        return model.wire("add", Add(), (wire, numbers))[0]

    def oracle(self, data: Array) -> Array:
        out: list[object] = []
        for frame, value in enumerate(data.tolist()[:: self.stride]):
            number = np.asarray(self.start + frame * self.step).astype(self.dtype)
            out.append(np.asarray(value, self.dtype) + number)
        return np.asarray(out, self.dtype)

    @property
    def oracle_approx(self) -> str:
        """One rounding on both roads."""
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.delay_for(end_sensitive=False) // self.stride


@st.composite
def range_problems(draw: st.DrawFn, *, stride: int = 1) -> RangeProblem:
    """Draw a range next to a stream."""
    step = draw(st.sampled_from([1, 2, 3, -1, -2]))
    pulse = draw(pulses(stride))
    crop = draw(crops())
    return RangeProblem(
        shape=(draw(lengths(pulse[0], field=sum(crop))),),
        axis=0,
        sizes=pulse,
        crop=crop,
        start=draw(st.integers(-5, 5)),
        step=step,
        short=draw(st.integers(0, abs(step) - 1)),
        stride=stride,
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class NumbersProblem(Streamed):
    """A range that is longer than the stream by a constant, or the state op in its first turn.

    Attributes:
        made: the op, without inputs.
        numbers: what it makes of a stream of `length` frames.
    """

    family = "range"
    op = "Range"
    made: Range | PositionalRange
    numbers: tuple[int, ...]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("range", self.made, ())[0]

    def oracle(self, data: Array) -> Array:
        return np.asarray(self.numbers, np.int64)

    @property
    def oracle_approx(self) -> str:
        return "exact"


@dataclass(frozen=True, kw_only=True)
class TurnProblem(NumbersProblem):
    """The state op, in its first turn."""

    op = "PositionalRange"


@st.composite
def turn_problems(draw: st.DrawFn) -> TurnProblem:
    """Draw one turn of numbers."""
    start, step, frames = (draw(st.integers(low, 5)) for low in (-5, -3, 0))
    numbers = tuple(start + step * i for i in range(frames))
    made = PositionalRange(start, step, frames)
    return TurnProblem(shape=(3,), axis=0, sizes=(), made=made, numbers=numbers)


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "Range-stream": range_problems,
    "Range-half-rate": lambda: range_problems(stride=2),
    "PositionalRange-turn": turn_problems,
}


def _line(length: int, pulses: tuple[int, ...], **rest: object) -> RangeProblem:
    return RangeProblem(shape=(length,), axis=0, sizes=pulses, **rest)  # pyright: ignore[reportArgumentType]


def _numbers(length: int, pulses: tuple[int, ...], made: Range, *numbers: int) -> NumbersProblem:
    return NumbersProblem(shape=(length,), axis=0, sizes=pulses, made=made, numbers=numbers)


HAND: dict[str, Problem] = {
    "Range-whole-axis": _line(8, (8, 3)),
    "Range-one-frame": _line(1, (1, 4)),
    "Range-empty-stream": _line(0, (1, 4)),
    "Range-pulse-longer-than-stream": _line(5, (16,)),
    "Range-rest": _line(9, (4,), start=3, step=2, short=1),
    "Range-downwards": _line(9, (4,), start=3, step=-2, short=1),
    "Range-after-crops": _line(9, (4, 1), crop=(3, 2), dtype="i8", values=Values(3)),
    "Range-half-rate": _line(9, (2, 6), stride=2),
    "Range-longer-than-stream": _numbers(3, (4, 1), Range(0, S + 2, 1), 0, 1, 2, 3, 4),
    "Range-shorter-than-stream": _numbers(4, (4, 1), Range(0, S - 3, 1), 0),
    "Range-of-nothing": _numbers(2, (4, 1), Range(0, S - 3, 1)),
    "Range-every-second": _numbers(5, (4, 2), Range(1, S + 1, 2), 1, 3, 5),
    "PositionalRange-first-turn": TurnProblem(
        shape=(3,), axis=0, sizes=(), made=PositionalRange(2, -1, 3), numbers=(2, 1, 0)
    ),
}


def _refused(start: Dim, end: Dim, step: int, starts: str, *, pulse: int = 4) -> ErrorCase:
    def model() -> Model:
        built = Model()
        wire = built.add_source("x", facts("S,f32")[0])
        (numbers,) = built.wire("op", Range(start, end, step), ())
        built.set_outputs([wire, numbers], ["x", "y"])
        return built

    starts = f'pulsify v1: node "op" (Range): {starts}'
    return ErrorCase(pulsing(model, pulse=pulse), Refused, starts)


ERRORS: dict[str, ErrorCase] = {
    "Range-start-of-the-end": _refused(S - 4, S, 1, "start="),
    "Range-of-bounded-length": _refused(0, 8 - S, 1, "a range of"),
    "Range-of-uneven-length": _refused(0, S * S, 1, "a range of"),
    "Range-pulse": _refused(0, S, 3, "pulse=4 brings 4/3 numbers of a range of"),
    "Range-start-symbol": _refused(sym("B"), sym("B") + S, 1, "start=B of a range along"),
    "Range-step": ErrorCase(
        wiring(Range(0, 4, 0)), InvalidModel, 'node "op" (Range): a range from 0 to 4 in steps of 0'
    ),
    "PositionalRange-frames": ErrorCase(
        wiring(PositionalRange(0, 1, -1)), InvalidModel, 'node "op" (PositionalRange): frames=-1'
    ),
    "PositionalRange-in-nnef": ErrorCase(
        lambda: model_files(single(PositionalRange(0, 1, 4))),
        Refused,
        'write: node "op" (PositionalRange): has no NNEF operator',
        refusal="NNEF dump:PositionalRange",
    ),
}
