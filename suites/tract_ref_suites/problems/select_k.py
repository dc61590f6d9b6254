"""TopK and Trilu, judged by sorting pairs and by visiting elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.select_k import TopK, Trilu
from tract_ref.runtime.plan import Plan
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    Values,
    facts,
    pulsing,
    single,
    sliced,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values


@dataclass(frozen=True, kw_only=True)
class TopKProblem(Streamed):
    """The best elements of an axis; both outputs are judged.

    Attributes:
        on: the axis chosen from.
        k: how many.
        largest: the largest are best.
    """

    family = "select_k"
    op = "TopK"
    on: int
    k: int
    largest: bool = True

    def model(self) -> Model:
        model = Model()
        wire = sliced(model, "crop", model.add_source("x", self.fact), self.axis, self.crop)
        model.set_outputs(
            model.wire("op", TopK(self.k, self.on, self.largest), (wire,)), ["y", "i"]
        )
        return model

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", TopK(self.k, self.on, self.largest), (wire,))[0]

    def expected(self) -> dict[str, Array]:
        values_ = super().expected()["y"]
        return {"y": values_[0], "i": values_[1].astype(np.int64)}

    def oracle(self, data: Array) -> Array:
        """Return values and indices, stacked."""
        lead, trail = data.shape[: self.on], data.shape[self.on + 1 :]
        out = np.zeros((2, *lead, self.k, *trail), data.dtype)
        for index in np.ndindex(*lead, *trail):
            before, after = index[: self.on], index[self.on :]
            line = [(data[(*before, i, *after)], i) for i in range(data.shape[self.on])]
            line.sort(key=lambda pair: (-pair[0] if self.largest else pair[0], pair[1]))
            for place, (value, i) in enumerate(line[: self.k]):
                out[(0, *before, place, *after)] = value
                out[(1, *before, place, *after)] = i
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def loose(self) -> str:
        return super().loose or ("the index alone never moves" if self.shape[self.on] < 2 else "")

    @property
    def shortest(self) -> int:
        return self.k + sum(self.crop) if self.on == self.axis else 0

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def top_k_problems(draw: st.DrawFn) -> TopKProblem:
    """Draw a choice within each frame, or over a whole stream in batch."""
    axis, on = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    k = draw(st.integers(0, 3))
    length = draw(lengths(pulse[0], field=sum(crop), least=k + sum(crop) if on == axis else 0))
    other = draw(st.integers(1 if on == axis else max(1, k), 4))
    return TopKProblem(
        shape=placed((other, other), axis, length),
        axis=axis,
        sizes=() if on == axis else pulse,
        crop=crop,
        on=on,
        k=k,
        largest=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class TriluProblem(Streamed):
    """A triangle of matrices.

    Attributes:
        k: the diagonal that bounds it.
        upper: on and above, else on and below.
    """

    family = "select_k"
    op = "Trilu"
    k: int = 0
    upper: bool = True

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Trilu(self.k, self.upper), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = data.copy()
        for index in np.ndindex(*data.shape):
            distance = index[-1] - index[-2] - self.k
            if distance < 0 if self.upper else distance > 0:
                out[index] = 0
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def loose(self) -> str:
        empty = not self.oracle(np.ones((1, *self.shape[1:]), np.int64)).any()
        return super().loose or ("nothing is kept" if empty else "")

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def trilu_problems(draw: st.DrawFn) -> TriluProblem:
    """Draw triangles of matrices that follow each other in a stream, or of one in batch."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    crop = draw(crops())
    return TriluProblem(
        shape=placed(draw(sizes(3, most=4)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=() if axis else pulse,
        crop=crop,
        k=draw(st.integers(-3, 3)),
        upper=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8", "?"])),
    )


STRATEGIES = {"TopK": top_k_problems, "Trilu": trilu_problems}


def _best(length: int, pulses_: tuple[int, ...], **rest: object) -> TopKProblem:
    given = {"on": 0, "k": 2} | rest
    return TopKProblem(shape=(5, length), axis=1, sizes=pulses_, **given)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "TopK-whole-axis": _best(8, (8,)),
    "TopK-one-frame": _best(1, (1, 4)),
    "TopK-empty-stream": _best(0, (1, 4)),
    "TopK-smallest": _best(7, (2,), largest=False, crop=(1, 0)),
    "TopK-all": _best(7, (2,), k=5),
    "TopK-over-the-stream": TopKProblem(shape=(3, 5), axis=1, sizes=(), on=1, k=2),
    "Trilu-stream-of-matrices": TriluProblem(shape=(5, 3, 3), axis=0, sizes=(2,)),
    "Trilu-lower": TriluProblem(shape=(5, 3, 4), axis=0, sizes=(2,), k=1, upper=False),
    "Trilu-empty-stream": TriluProblem(shape=(0, 3, 3), axis=0, sizes=(2,)),
    "Trilu-over-the-stream": TriluProblem(shape=(5, 3), axis=0, sizes=(), k=-1),
}


def _refused(op: Op, starts: str, text: str) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(text)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, text: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _too_short() -> object:
    return Plan(single(TopK(3, 0), *facts("S,f32"))).run({"x0": Values().array((2,))})


ERRORS: dict[str, ErrorCase] = {
    "TopK-stream-axis": _refused(TopK(2, 1), "chooses from the stream axis 1", "1,S,f32"),
    "TopK-too-many": _invalid(TopK(4, 1), "k=4 of the 3 positions on axis 1", "S,3,f32"),
    "TopK-too-short": ErrorCase(
        _too_short, EvalError, 'run: node "op" (TopK): k=3 of the 2 positions on axis 0'
    ),
    "TopK-axis": _invalid(TopK(1, 2), "axis=2 of data S,3,f32", "S,3,f32"),
    "Trilu-stream-axis": _refused(Trilu(), "works over the stream axis (0 of input 0)", "S,3,f32"),
    "Trilu-rank": _invalid(Trilu(), "data S,f32; a triangle", "S,f32"),
}
