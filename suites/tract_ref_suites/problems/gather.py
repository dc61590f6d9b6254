"""Rows looked up by index or by distance: streams of indices, and positions of streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.nnef.writer import model_files
from tract_ref.ops.axes import Reshape
from tract_ref.ops.diagonal import DiagGather
from tract_ref.ops.gather import Gather, GatherElements, GatherNd
from tract_ref.ops.padding import Pad
from tract_ref.ops.slicing import Slice
from tract_ref.runtime.plan import Plan
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


def gathered(data: Array, indices: Array, axis: int) -> Array:
    """Look up element by element; negative indices count from the end."""
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    out = np.zeros(shape, data.dtype)
    for index in np.ndindex(*shape):
        row = int(indices[index[axis : axis + indices.ndim]])
        place = row if row >= 0 else data.shape[axis] + row
        out[index] = data[(*index[:axis], place, *index[axis + indices.ndim :])]
    return out


@dataclass(frozen=True, kw_only=True)
class GatherProblem(Streamed):
    """A lookup: of a table by a stream of indices, or in a stream by fixed indices.

    Attributes:
        at: the gathered axis.
        other: shape of what does not stream: the table, or the indices.
        lookup: the stream holds indices.
    """

    family = "gather"
    op = "Gather"
    at: int
    other: tuple[int, ...]
    lookup: bool

    def _indices(self, shape: tuple[int, ...], rows: int) -> Array:
        rng = np.random.default_rng(self.values.seed)
        return rng.integers(-rows, rows, shape).astype(np.int64)

    def inputs(self) -> dict[str, Array]:
        if self.lookup:
            return {"x": self._indices(self.shape, self.other[self.at])}
        return super().inputs()

    def static(self) -> Array:
        """Return the table, or the indices."""
        if self.lookup:
            return self.values.array(self.other, "f4", salt=1)
        return self._indices(self.other, self.shape[self.at])

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        static = model.add_const("static", self.static())
        wires = (static, wire) if self.lookup else (wire, static)
        return model.wire("op", Gather(self.at), wires)[0]

    def oracle(self, data: Array) -> Array:
        pair = (self.static(), data) if self.lookup else (data, self.static())
        return gathered(*pair, self.at)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def gather_problems(draw: st.DrawFn, *, lookup: bool) -> GatherProblem:
    """Draw a lookup."""
    rank = draw(st.integers(1, 2)) if lookup else draw(st.integers(2, 3))
    axis = draw(st.integers(0, rank - 1))
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    other = draw(sizes(draw(st.integers(1, 2)), least=2 if lookup else 1, most=4))
    at = draw(st.integers(0, len(other) - 1))
    if not lookup:
        at = (axis + draw(st.integers(1, rank - 1))) % rank
    return GatherProblem(
        shape=placed(draw(sizes(rank)), axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        at=at,
        other=other,
        lookup=lookup,
        values=draw(values()),
        dtype="i8" if lookup else "f4",
    )


@dataclass(frozen=True, kw_only=True)
class ElementsProblem(Streamed):
    """Elements of a table at a stream of positions, one table row per position off the axis.

    Attributes:
        nd: look up by GatherNd: each index holds both coordinates of the table.
        rows: positions of the table.
    """

    family = "gather"
    op = "GatherElements"
    rows: int = 3
    nd: bool = False

    def table(self) -> Array:
        """Return [rows, other axis]; the stream holds [S, other axis], or [S, 2] for GatherNd."""
        return self.values.array((self.rows, 2 if self.nd else self.shape[1]), "f4", salt=1)

    def inputs(self) -> dict[str, Array]:
        most = min(self.rows, 2) if self.nd else self.rows
        rng = np.random.default_rng(self.values.seed)
        return {"x": rng.integers(-most, most, self.shape).astype(np.int64)}

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        table = model.add_const("table", self.table())
        op: Op = GatherNd() if self.nd else GatherElements(0)
        return model.wire("op", op, (table, wire))[0]

    def oracle(self, data: Array) -> Array:
        table = self.table().tolist()
        if self.nd:
            return np.array([table[i][j] for i, j in data.tolist()], np.float32)
        out = [[table[i][j] for j, i in enumerate(row)] for row in data.tolist()]
        return np.array(out, np.float32).reshape(data.shape)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def loose(self) -> str:
        alike = len({tuple(row) for row in self.inputs()["x"].tolist()}) < 2
        return super().loose or ("frames that are all alike show nothing" if alike else "")

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def elements_problems(draw: st.DrawFn, *, nd: bool) -> ElementsProblem:
    """Draw a stream of positions in a table of 2 to 4 rows."""
    pulse = draw(pulses())
    crop = draw(crops())
    return ElementsProblem(
        shape=(draw(lengths(pulse[0], field=sum(crop))), 2 if nd else draw(st.integers(1, 3))),
        axis=0,
        sizes=pulse,
        crop=crop,
        rows=draw(st.integers(2, 4)),
        nd=nd,
        values=draw(values()),
        dtype="i8",
    )


@dataclass(frozen=True, kw_only=True)
class DiagProblem(Streamed):
    """Rows of scores by distance become rows by position; the stream is another axis.

    Attributes:
        offset: column of the data on the diagonal.
        columns: columns of the output.
    """

    family = "gather"
    op = "DiagGather"
    offset: int
    columns: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", DiagGather(self.offset, self.columns), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros((*data.shape[:-1], self.columns), data.dtype)
        for index in np.ndindex(*out.shape):
            column = self.offset + index[-1] - index[-2]
            if 0 <= column < data.shape[-1]:
                out[index] = data[(*index[:-1], column)]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def loose(self) -> str:
        return super().loose or "the last two axes decide whether anything of a frame is read"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def diag_problems(draw: st.DrawFn) -> DiagProblem:
    """Draw scores; the diagonal may stand outside of them."""
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    return DiagProblem(
        shape=placed(draw(sizes(4, most=4)), axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        offset=draw(st.integers(-2, 5)),
        columns=draw(st.integers(0, 5)),
        values=draw(values(palettes=("integers", "special"))),
        dtype=draw(st.sampled_from(["f4", "i4", "b1"])),
    )


@dataclass(frozen=True, kw_only=True)
class SkewProblem(DiagProblem):
    """The five ops that DiagGather stands for: pad, reshape, drop a row, reshape, keep columns."""

    @property
    def rows(self) -> int:
        """Rows T of T by 2*T - 1 scores."""
        return self.shape[-2]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        rows = self.rows
        chain: tuple[Op, ...] = (
            Pad(((0, 0), (0, 0), (1, 0)), "constant", 0.0),
            Reshape(1, (rows, 2 * rows), (2 * rows, rows)),
            Slice(1, 1, 2 * rows),
            Reshape(1, (2 * rows - 1, rows), (rows, 2 * rows - 1)),
            Slice(2, 0, rows),
        )
        for number, op in enumerate(chain):
            (wire,) = model.wire(f"skew{number}", op, (wire,))
        return wire


STRATEGIES = {
    "GatherElements": lambda: elements_problems(nd=False),
    "GatherNd": lambda: elements_problems(nd=True),
    "Gather-lookup": lambda: gather_problems(lookup=True),
    "Gather-positions": lambda: gather_problems(lookup=False),
    "DiagGather": diag_problems,
}


def _skew(rows: int) -> SkewProblem:
    return SkewProblem(
        shape=(5, rows, 2 * rows - 1), axis=0, sizes=(2,), offset=rows - 1, columns=rows
    )


def _lookup(length: int, pulses_: tuple[int, ...], front: int = 0) -> GatherProblem:
    return GatherProblem(
        shape=(length,),
        axis=0,
        sizes=pulses_,
        crop=(front, 0),
        at=0,
        other=(5, 2),
        lookup=True,
        dtype="i8",
    )


def _elements(length: int, pulses_: tuple[int, ...], **rest: object) -> ElementsProblem:
    return ElementsProblem(shape=(length, 2), axis=0, sizes=pulses_, dtype="i8", **rest)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "DiagGather-skew-of-1": _skew(1),
    "DiagGather-skew-of-4": _skew(4),
    "DiagGather-skew-of-7": _skew(7),
    "DiagGather-outside": DiagProblem(shape=(3, 2, 3), axis=0, sizes=(1,), offset=9, columns=2),
    "GatherElements-table": _elements(7, (2, 3), crop=(1, 1)),
    "GatherElements-empty-stream": _elements(0, (2,)),
    "GatherNd-table": _elements(7, (2, 3), nd=True, crop=(1, 1)),
    "GatherNd-empty-stream": _elements(0, (2,), nd=True),
    "Gather-whole-axis": _lookup(8, (8,)),
    "Gather-one-frame": _lookup(1, (1, 4)),
    "Gather-empty-stream": _lookup(0, (1, 4)),
    "Gather-pulse-longer-than-stream": _lookup(5, (16,)),
    "Gather-after-a-crop": _lookup(9, (4,), 2),
}


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _refused(op: Op, starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _out_of_range() -> object:
    model = single(Gather(0), *facts("3,f32", "S,i64"))
    return Plan(model).run({"x0": Values().array((3,)), "x1": np.array([0, 3])})


ERRORS: dict[str, ErrorCase] = {
    "GatherElements-stream-axis": _refused(
        GatherElements(0), "takes elements of the stream axis 0 by index", "S,2,f32", "3,2,i64"
    ),
    "GatherNd-stream-axis": _refused(
        GatherNd(), "works over the stream axis (0 of input 0)", "S,2,f32", "3,1,i64"
    ),
    "GatherElements-rank": _invalid(
        GatherElements(0), "axis=0, indices 3,i64 for data S,2,f32", "S,2,f32", "3,i64"
    ),
    "GatherElements-floats": _invalid(
        GatherElements(0), "indices are 3,2,f32", "S,2,f32", "3,2,f32"
    ),
    "GatherElements-beyond": _invalid(
        GatherElements(0), "indices 3,4,i64 reach beyond axis 1", "S,2,f32", "3,4,i64"
    ),
    "GatherNd-depth": _invalid(
        GatherNd(), "batch_dims=0, indices 3,3,i64 for data S,2,f32", "S,2,f32", "3,3,i64"
    ),
    "GatherNd-shared": _invalid(
        GatherNd(1), "indices 3,1,i64 and data 2,S,f32 do not share", "2,S,f32", "3,1,i64"
    ),
    "Gather-stream-axis": ErrorCase(
        pulsing(lambda: single(Gather(0), *facts("S,2,f32", "3,i64"))),
        Refused,
        'pulsify v1: node "op" (Gather): takes positions of the stream axis 0 by index',
    ),
    "DiagGather-rows-stream": ErrorCase(
        pulsing(lambda: single(DiagGather(2, 3), *facts("1,S,5,f32"))),
        Refused,
        'pulsify v1: node "op" (DiagGather): its rows stream (axis 1)',
    ),
    "DiagGather-distances-stream": ErrorCase(
        pulsing(lambda: single(DiagGather(2, 3), *facts("1,5,S,f32"))),
        Refused,
        'pulsify v1: node "op" (DiagGather): its distances stream (axis 2)',
    ),
    "DiagGather-rank": _invalid(DiagGather(0, 3), "columns=3 for data S,f32", "S,f32"),
    "DiagGather-columns": _invalid(DiagGather(0, -1), "columns=-1 for data", "1,S,f32"),
    "DiagGather-in-nnef": ErrorCase(
        lambda: model_files(single(DiagGather(0, 3), *facts("2,3,f32"))),
        Refused,
        'write: node "op" (DiagGather): has no NNEF operator',
        refusal="NNEF dump:DiagGather",
    ),
    "Gather-out-of-range": ErrorCase(
        _out_of_range, EvalError, 'run: node "op" (Gather): index 3 of axis 0'
    ),
    "Gather-axis": _invalid(Gather(2), "axis=2 for data 1,S,f32", "1,S,f32", "3,i64"),
    "Gather-floats": _invalid(Gather(0), "indices are 3,f32", "1,S,f32", "3,f32"),
}
