"""Updates written by index, and indices turned into lines, judged element by element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.nnef.writer import model_text
from tract_ref.ops.scatter import OneHot, ScatterElements, ScatterNd
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

_D = TypeVar("_D")
_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "min": min,
    "max": max,
}


@dataclass(frozen=True, kw_only=True)
class ScatterProblem(Streamed):
    """Updates written into each frame; everything streams but the indices of ScatterNd.

    Attributes:
        on: the scattered axis; None for ScatterNd, whose indices stand on the leading axes.
        rows: indices of ScatterNd, a list of positions on the leading axes.
        reduction: none, add, mul, min or max.
    """

    family = "scatter"
    op = "ScatterElements"
    reduction: str
    on: int | None = None
    rows: tuple[tuple[int, ...], ...] = ()

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        fact = self.fact
        fact = fact if self.on is not None else fact.with_shape(self._slices(fact.shape))
        updates = model.add_source("u", fact)
        if self.on is None:
            where = model.add_const("rows", np.array(self.rows, np.int64))
            wires = (wire, where, updates)
            op: Op = ScatterNd(self.reduction)
        else:
            indices = model.add_source("i", facts("1,i64")[0].with_shape(self.fact.shape))
            wires = (wire, indices, updates)
            op = ScatterElements(self.on, self.reduction)
        return model.wire("op", op, wires)[0]

    def _slices(self, shape: tuple[_D, ...]) -> tuple[_D | int, ...]:
        """Return the shape of the updates of ScatterNd."""
        return (len(self.rows), *shape[len(self.rows[0]) :])

    def inputs(self) -> dict[str, Array]:
        given = super().inputs()
        if self.on is None:
            return given | {"u": self.values.array(self._slices(self.shape), self.dtype, salt=1)}
        size = self.shape[self.on]
        rows = np.random.default_rng(self.values.seed).integers(-size, max(size, 1), self.shape)
        return given | {"i": rows, "u": self.values.array(self.shape, self.dtype, salt=1)}

    def oracle(self, data: Array) -> Array:
        given = self.inputs()
        out, updates = data.copy(), given["u"]
        fold = _FOLDS[self.reduction]
        if self.on is None:
            for number, row in enumerate(self.rows):
                for rest in np.ndindex(*updates.shape[1:]):
                    place = (*row, *rest)
                    out[place] = fold(out[place], updates[(number, *rest)])
            return out
        for index in np.ndindex(*updates.shape):
            row = int(given["i"][index]) % out.shape[self.on]
            place = (*index[: self.on], row, *index[self.on + 1 :])
            out[place] = fold(out[place], updates[index])
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def shortest(self) -> int:
        # Other lengths keep the indices drawn for this one.
        return self.length if self.on == self.axis else 0

    @property
    def loose(self) -> str:
        return "an update may hide the data that it replaces"

    def least_delay(self, pulse: int) -> int | None:
        return 0


@st.composite
def scatter_elements_problems(draw: st.DrawFn) -> ScatterProblem:
    """Draw updates of each frame, or along a whole stream in batch."""
    axis, on = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    pulse = draw(pulses())
    length = draw(lengths(pulse[0], least=1 if on == axis else 0))
    return ScatterProblem(
        # Two positions or more: 1, which fills up streams longer than this one, is an index.
        shape=placed(draw(sizes(2, least=2)), axis, length),
        axis=axis,
        sizes=() if on == axis else pulse,
        on=on,
        reduction=draw(st.sampled_from(sorted(_FOLDS))),
        values=draw(values(palettes=("integers",))),
        dtype=draw(st.sampled_from(["f4", "i8"])),
    )


@st.composite
def scatter_nd_problems(draw: st.DrawFn) -> ScatterProblem:
    """Draw slices, of which the stream is one axis."""
    depth = draw(st.integers(1, 2))
    shape = draw(sizes(3))
    pulse = draw(pulses())
    row = st.tuples(*(st.integers(-shape[a], shape[a] - 1) for a in range(depth)))
    return ScatterProblem(
        shape=placed(shape, 2, draw(lengths(pulse[0]))),
        axis=2,
        sizes=pulse,
        rows=tuple(draw(st.lists(row, min_size=1, max_size=4))),
        reduction=draw(st.sampled_from(sorted(_FOLDS))),
        values=draw(values(palettes=("integers",))),
        dtype=draw(st.sampled_from(["f4", "i8"])),
    )


@dataclass(frozen=True, kw_only=True)
class OneHotProblem(Streamed):
    """Lines for the small integers of a stream.

    Attributes:
        at: where the new axis stands.
        depth: its positions.
        result: name of the output's dtype.
    """

    family = "scatter"
    op = "OneHot"
    at: int
    depth: int
    result: str = "f32"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", OneHot(self.at, self.depth, -1, 7, self.result), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        shape = (*data.shape[: self.at], self.depth, *data.shape[self.at :])
        out = np.full(shape, -1, {"f32": "f4", "i64": "i8", "f16": "f2"}[self.result])
        for index in np.ndindex(*data.shape):
            place = int(data[index])
            if -self.depth <= place < self.depth:
                out[(*index[: self.at], place % self.depth, *index[self.at :])] = 7
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def loose(self) -> str:
        return super().loose or ("a line may hold no index" if self.depth < 6 else "")

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def one_hot_problems(draw: st.DrawFn) -> OneHotProblem:
    """Draw lines of 0 to 7 positions for numbers from -5 to 5."""
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    return OneHotProblem(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        at=draw(st.integers(0, 2)),
        depth=draw(st.integers(0, 7)),
        result=draw(st.sampled_from(["f32", "i64", "f16"])),
        values=draw(values(palettes=("integers",))),
        dtype=draw(st.sampled_from(["i8", "i4", "f4"])),
    )


STRATEGIES = {
    "ScatterElements": scatter_elements_problems,
    "ScatterNd": scatter_nd_problems,
    "OneHot": one_hot_problems,
}


def _elements(length: int, pulses_: tuple[int, ...], reduction: str) -> ScatterProblem:
    return ScatterProblem(
        shape=(3, length), axis=1, sizes=pulses_, on=0, reduction=reduction, dtype="i8"
    )


def _slices(length: int, reduction: str, *rows: tuple[int, ...]) -> ScatterProblem:
    return ScatterProblem(
        shape=(3, 2, length), axis=2, sizes=(2, 3), rows=rows, reduction=reduction
    )


def _hot(length: int, pulses_: tuple[int, ...], at: int) -> OneHotProblem:
    return OneHotProblem(shape=(length, 2), axis=0, sizes=pulses_, at=at, depth=6, dtype="i8")


HAND: dict[str, Problem] = {
    "ScatterElements-last-one-wins": _elements(7, (2, 3), "none"),
    "ScatterElements-adds": _elements(7, (2,), "add"),
    "ScatterElements-empty-stream": _elements(0, (2,), "max"),
    "ScatterElements-over-the-stream": ScatterProblem(
        shape=(3, 5), axis=1, sizes=(), on=1, reduction="mul", dtype="i8"
    ),
    "ScatterNd-last-one-wins": _slices(7, "none", (0,), (0,)),
    "ScatterNd-one-element-of-two-axes": _slices(7, "add", (2, 1), (-1, -1)),
    "ScatterNd-empty-stream": _slices(0, "min", (1,)),
    "OneHot-whole-axis": _hot(8, (8,), 2),
    "OneHot-new-axis-first": _hot(7, (2,), 0),
    "OneHot-empty-stream": _hot(0, (1, 4), 1),
}


def _refused(op: Op, starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _beyond(op: Op, *shapes: str) -> Callable[[], object]:
    def attempt() -> object:
        inputs = {"x0": np.zeros(3, "f4"), "x1": np.full((1, 1), 3), "x2": np.ones((1,), "f4")}
        if isinstance(op, ScatterElements):
            inputs["x1"] = np.full((1,), 3)
        return Plan(single(op, *facts(*shapes))).run(inputs)

    return attempt


_OVER = "works over the stream axis (0 of input"
ERRORS: dict[str, ErrorCase] = {
    "ScatterElements-stream-axis": _refused(
        ScatterElements(0), _OVER, "S,3,f32", "S,3,i64", "S,3,f32"
    ),
    "ScatterElements-part-of-the-stream": _refused(
        ScatterElements(1), _OVER, "S,3,f32", "2,3,i64", "2,3,f32"
    ),
    "ScatterNd-rows-of-the-stream": _refused(ScatterNd(), _OVER, "S,3,f32", "2,1,i64", "2,3,f32"),
    "ScatterElements-outside": ErrorCase(
        _beyond(ScatterElements(0), "3,f32", "1,i64", "1,f32"),
        EvalError,
        'run: node "op" (ScatterElements): index 3 of axis 0, which has 3 positions',
    ),
    "ScatterNd-outside": ErrorCase(
        _beyond(ScatterNd(), "3,f32", "1,1,i64", "1,f32"),
        EvalError,
        'run: node "op" (ScatterNd): index 3 of axis 0, which has 3 positions',
    ),
    "ScatterElements-reduction": _invalid(
        ScatterElements(0, "avg"), "reduction='avg'", "S,f32", "S,i64", "S,f32"
    ),
    "ScatterElements-float-indices": _invalid(
        ScatterElements(0), "indices S,f32; an index is an integer", "S,f32", "S,f32", "S,f32"
    ),
    "ScatterElements-dtypes": _invalid(
        ScatterElements(0), "updates S,f64 for data S,f32", "S,f32", "S,i64", "S,f64"
    ),
    "ScatterElements-bools": _invalid(
        ScatterElements(0, "add"), "reduction='add' of S,bool", "S,bool", "S,i64", "S,bool"
    ),
    "ScatterElements-axis": _invalid(
        ScatterElements(1), "axis=1 of data S,f32", "S,f32", "S,i64", "S,f32"
    ),
    "ScatterElements-shapes": _invalid(
        ScatterElements(0), "indices 2,i64 and updates 3,f32", "S,f32", "2,i64", "3,f32"
    ),
    "ScatterElements-beyond": _invalid(
        ScatterElements(0), "indices S,4,i64 reach beyond axis 1", "S,3,f32", "S,4,i64", "S,4,f32"
    ),
    "ScatterNd-depth": _invalid(
        ScatterNd(), "indices 1,2,i64 for data S,f32", "S,f32", "1,2,i64", "1,f32"
    ),
    "ScatterNd-updates": _invalid(
        ScatterNd(), "updates 2,4,f32 for data S,3,f32", "S,3,f32", "2,1,i64", "2,4,f32"
    ),
    "OneHot-indices": _invalid(OneHot(0, 3), "indices S,bool; an index is a number", "S,bool"),
    "OneHot-axis": _invalid(OneHot(2, 3), "axis=2, depth=3 for indices S,i64", "S,i64"),
    "OneHot-value-without-text": ErrorCase(
        lambda: model_text(single(OneHot(0, 3, 0.0, 0.1, "f64"), *facts("S,i64"))),
        Refused,
        'write: node "op" (OneHot): its value 0.1 is no f32 number',
    ),
}
