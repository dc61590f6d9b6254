"""Broadcasts and tiles, of streams and of constants that become as long as the stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.binary import Add
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.ops.slicing import Slice
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
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


def repeated(data: Array, counts: tuple[int, ...]) -> Array:
    """Repeat the whole of an array along each axis, element by element."""
    shape = tuple(n * count for n, count in zip(data.shape, counts, strict=True))
    out = np.zeros(shape, data.dtype)
    for index in np.ndindex(*shape):
        out[index] = data[tuple(i % n for i, n in zip(index, data.shape, strict=True))]
    return out


@dataclass(frozen=True, kw_only=True)
class RepeatProblem(Streamed):
    """A stream is repeated on its other axes.

    Attributes:
        op: Broadcast or Tile.
        counts: how many times, per axis of the output; more than the rank adds axes in front.
    """

    family = "repeat"
    op: str  # pyright: ignore[reportIncompatibleVariableOverride]
    counts: tuple[int, ...]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        shape = model.fact(wire).shape
        op: Op = Tile(self.counts)
        if self.op == "Broadcast":
            ones = (1,) * (len(self.counts) - len(shape))
            pairs = zip((*ones, *shape), self.counts, strict=True)
            op = Broadcast(tuple(n * count for n, count in pairs))
        return model.wire("op", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        ones = (1,) * (len(self.counts) - data.ndim)
        return repeated(data.reshape(*ones, *data.shape), self.counts)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def repeat_problems(draw: st.DrawFn, *, op: str) -> RepeatProblem:
    """Draw a repeated stream."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    pulse = draw(pulses())
    crop = draw(crops())
    shape = (1,) * rank if op == "Broadcast" else draw(sizes(rank))
    length = draw(lengths(pulse[0], field=sum(crop)))
    counts = list(draw(sizes(rank)))
    counts[axis] = 1
    front = draw(st.lists(st.integers(1, 2), max_size=2)) if op == "Broadcast" else []
    return RepeatProblem(
        shape=placed(shape, axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        op=op,
        counts=(*front, *counts),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i4", "b1"])),
    )


@dataclass(frozen=True, kw_only=True)
class LongConstant(Streamed):
    """A constant becomes as long as the stream and is added to it.

    Attributes:
        op: Broadcast or Tile.
    """

    family = "repeat"
    op: str  # pyright: ignore[reportIncompatibleVariableOverride]

    def constant(self) -> Array:
        """Return one frame."""
        return self.values.array(placed(self.shape, self.axis, 1), salt=1)

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        shape = model.fact(wire).shape
        frame = model.add_const("frame", self.constant())
        length = shape[self.axis]
        ones = (1,) * len(shape)
        tile = Tile((*ones[: self.axis], length, *ones[self.axis + 1 :]))
        op = Broadcast(shape) if self.op == "Broadcast" else tile
        (long,) = model.wire("op", op, (frame,))
        return model.wire("add", Add(), (wire, long))[0]

    def oracle(self, data: Array) -> Array:
        frame = self.constant()
        out = data.copy()
        for index in np.ndindex(*data.shape):
            out[index] = data[index] + frame[(*index[: self.axis], 0, *index[self.axis + 1 :])]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def long_constants(draw: st.DrawFn, *, op: str) -> LongConstant:
    """Draw a frame and a stream."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    return LongConstant(
        shape=placed(draw(sizes(3)), axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        op=op,
        values=draw(values()),
    )


STRATEGIES = {
    "Broadcast-stream": lambda: repeat_problems(op="Broadcast"),
    "Broadcast-constant": lambda: long_constants(op="Broadcast"),
    "Tile-stream": lambda: repeat_problems(op="Tile"),
    "Tile-constant": lambda: long_constants(op="Tile"),
}


def _line(
    op: str, length: int, pulses_: tuple[int, ...], *, crop: tuple[int, int] = (0, 0)
) -> RepeatProblem:
    return RepeatProblem(shape=(1, length), axis=1, sizes=pulses_, op=op, counts=(3, 1), crop=crop)


HAND: dict[str, Problem] = {
    "Broadcast-whole-axis": _line("Broadcast", 8, (8,)),
    "Broadcast-one-frame": _line("Broadcast", 1, (1, 4)),
    "Broadcast-empty-stream": _line("Broadcast", 0, (1, 4)),
    "Broadcast-keeps-the-delay": _line("Broadcast", 9, (4,), crop=(2, 0)),
    "Broadcast-pulse-longer-than-stream": _line("Broadcast", 5, (16,)),
    "Broadcast-constant-next-to-a-crop": LongConstant(
        shape=(9, 2), axis=0, sizes=(4,), op="Broadcast", crop=(2, 1)
    ),
    "Tile-keeps-the-delay": _line("Tile", 9, (4,), crop=(2, 0)),
    "Tile-empty-stream": _line("Tile", 0, (1, 4)),
}


def _refused(op: Op, starts: str, text: str, *, pulse: int = 4) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(text)), pulse=pulse)
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _constant(op: Op, starts: str, shape: tuple[int, ...], *, pulse: int = 4) -> ErrorCase:
    def model() -> Model:
        built = Model()
        x = built.add_source("x", facts("S,f32")[0])
        frame = built.add_const("frame", Values().array(shape))
        built.set_outputs([x, *built.wire("op", op, (frame,))], ["x", "y"])
        return built

    starts = f'pulsify v1: node "op" ({op.name}): {starts}'
    return ErrorCase(pulsing(model, pulse=pulse), Refused, starts)


def _first_frame_repeated() -> Model:
    built = Model()
    x = built.add_source("x", facts("1,S,f32")[0])
    first = built.wire("first", Slice(1, 0, 1), (x,))
    built.set_outputs(built.wire("op", Broadcast((1, S)), first), ["y"])
    return built


ERRORS: dict[str, ErrorCase] = {
    "Broadcast-one-frame-of-a-stream": ErrorCase(
        pulsing(_first_frame_repeated),
        Refused,
        'pulsify v1: node "op" (Broadcast): repeats the stream axis:',
    ),
    "Broadcast-two-axes": _constant(Broadcast((S, S)), "the output S,S,f32 has 2 axes", (1, 1)),
    "Broadcast-uneven": _constant(Broadcast((S * S,)), "its length ", (1,)),
    "Broadcast-half-a-frame": _constant(
        Broadcast((S // 2,)), "pulse=3 makes 3/2 frames of a wire of length", (1,), pulse=3
    ),
    "Tile-stream-axis": _refused(
        Tile((1, 2)), "repeats the stream axis 1 2 times: the second copy", "1,S,f32"
    ),
    "Tile-two-axes": _constant(Tile((S, S)), "the output S,S,f32 has 2 axes", (1, 1)),
    "Broadcast-shape": _invalid(Broadcast((3, 4)), "2,f32 does not broadcast to [3,4]", "2,f32"),
    "Broadcast-rank": _invalid(Broadcast((4,)), "1,4,f32 does not broadcast to [4]", "1,4,f32"),
    "Tile-rank": _invalid(Tile((2,)), "multipliers [2] for an input 1,S,f32", "1,S,f32"),
    "Tile-negative": _invalid(Tile((1, -1)), "multipliers [1,-1] for an input", "1,S,f32"),
}
