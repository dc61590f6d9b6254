"""Cumulative sums, along the stream and across it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.nnef.writer import model_files
from tract_ref.ops.cumulative import CumSum, RunningSum
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
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values


def summed(data: Array, axis: int, *, exclusive: bool, reverse: bool) -> Array:
    """Add up every prefix (or suffix) from scratch, row by row."""
    rows = np.moveaxis(data, axis, -1)
    out = np.empty(rows.shape, data.dtype)
    for index in np.ndindex(*rows.shape[:-1]):
        row = rows[index].tolist()
        for i in range(len(row)):
            part = row[i + exclusive :] if reverse else row[: i + 1 - exclusive]
            out[(*index, i)] = np.asarray(sum(part)).astype(data.dtype)
    return np.moveaxis(out, -1, axis)


@dataclass(frozen=True, kw_only=True)
class CumSumProblem(Streamed):
    """One cumulative sum.

    Attributes:
        on: the axis that is added up.
        exclusive: a position does not count itself.
        reverse: from the last position to the first.
    """

    family = "cumulative"
    op = "CumSum"
    on: int
    exclusive: bool = False
    reverse: bool = False

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("sum", CumSum(self.on, self.exclusive, self.reverse), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        return summed(data, self.on, exclusive=self.exclusive, reverse=self.reverse)

    def least_delay(self, pulse: int) -> int | None:
        return self.delay_for(end_sensitive=False)

    @property
    def loose(self) -> str:
        """Why no sum moves: a position alone is not counted."""
        alone = self.on != self.axis and self.exclusive and self.shape[self.on] == 1
        return super().loose or ("the only position is not counted" if alone else "")

    @property
    def rounds(self) -> str:
        """Why a smaller delay of fixed pulses would do: a frame does not count itself."""
        late = self.on == self.axis and self.exclusive
        return "the last position is not counted" if late else ""


@st.composite
def cumsum_problems(draw: st.DrawFn, *, along: bool = True) -> CumSumProblem:
    """Draw a sum along the stream axis, or along another one."""
    axis, on = draw(st.permutations(range(3)))[:2]
    if along:
        on = axis
    pulse = draw(pulses())
    crop = draw(crops())
    return CumSumProblem(
        shape=placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        on=on,
        exclusive=draw(st.booleans()),
        reverse=not along and draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class RunningProblem(Streamed):
    """The state op of a sum along the stream, in its first turn."""

    family = "cumulative"
    op = "RunningSum"
    exclusive: bool = False
    begin: int = 0

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("sum", RunningSum(self.axis, self.exclusive, self.begin), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        valid = np.moveaxis(data, self.axis, 0).copy()
        valid[: self.begin] = 0
        valid = np.moveaxis(valid, 0, self.axis)
        return summed(valid, self.axis, exclusive=self.exclusive, reverse=False)


@st.composite
def running_problems(draw: st.DrawFn) -> RunningProblem:
    """Draw one turn."""
    return RunningProblem(
        shape=(2, draw(st.integers(0, 8))),
        axis=1,
        sizes=(),
        exclusive=draw(st.booleans()),
        begin=draw(st.integers(0, 9)),
        values=draw(values()),
    )


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "CumSum-along-stream": cumsum_problems,
    "CumSum-off-axis": lambda: cumsum_problems(along=False),
    "RunningSum-turn": running_problems,
}


def _line(length: int, pulses: tuple[int, ...], **rest: object) -> CumSumProblem:
    return CumSumProblem(shape=(2, length), axis=1, sizes=pulses, on=1, **rest)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "CumSum-whole-axis": _line(8, (8, 3)),
    "CumSum-one-frame": _line(1, (1, 4)),
    "CumSum-empty-stream": _line(0, (1, 4)),
    "CumSum-pulse-longer-than-stream": _line(5, (16,)),
    "CumSum-rest": _line(9, (4,), values=Values(1, "normal")),
    "CumSum-exclusive": _line(9, (4, 1), exclusive=True),
    "CumSum-after-front-crop": _line(9, (4, 2), crop=(3, 0)),
    "CumSum-after-end-crop": _line(9, (4, 2), crop=(0, 3)),
    "CumSum-after-crops-exclusive": _line(11, (3,), crop=(5, 2), exclusive=True),
    "CumSum-i64": _line(9, (4,), dtype="i8"),
    "CumSum-half": _line(9, (4,), dtype="f2"),
    "CumSum-reverse-off-axis": CumSumProblem(
        shape=(3, 7), axis=1, sizes=(2, 3), on=0, reverse=True, crop=(1, 1)
    ),
    "CumSum-reverse-exclusive": CumSumProblem(
        shape=(3, 7), axis=1, sizes=(2, 3), on=0, reverse=True, exclusive=True
    ),
    "RunningSum-first-turn": RunningProblem(shape=(1, 6), axis=1, sizes=(), begin=2),
}


def _invalid(op: Op, starts: str, text: str = "1,S,f32") -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _not_written(op: Op) -> ErrorCase:
    return ErrorCase(
        lambda: model_files(single(op, *facts("1,S,f32"))),
        Refused,
        f'write: node "op" ({op.name}): has no NNEF operator',
        refusal=f"NNEF dump:{op.name}",
    )


ERRORS: dict[str, ErrorCase] = {
    "CumSum-reverse": ErrorCase(
        pulsing(lambda: single(CumSum(1, reverse=True), *facts("1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (CumSum): a reverse sum along the stream axis (1) is not causal',
    ),
    "RunningSum-state": ErrorCase(
        pulsing(lambda: single(RunningSum(1, False, 0), *facts("1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (RunningSum): is a state op of a pulsed model',
        refusal="PULSIFY_V1:RunningSum",
    ),
    "CumSum-axis": _invalid(CumSum(2), "axis=2 for an input 1,S,f32"),
    "CumSum-bool": _invalid(CumSum(1), "a cumulative sum of 1,S,bool", "1,S,bool"),
    "RunningSum-axis": _invalid(RunningSum(-1, False, 0), "axis=-1 for an input"),
    "RunningSum-begin": _invalid(RunningSum(1, False, -1), "begin=-1"),
    "RunningSum-in-nnef": _not_written(RunningSum(1, False, 0)),
}
