"""DynSlice, DynTile, DynRange and NonZero, judged by loops over positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.fact import TDIM, Fact
from tract_ref.ir.model import Model
from tract_ref.ir.op import Op
from tract_ref.nnef.reader import parse_model
from tract_ref.nnef.writer import model_files
from tract_ref.ops.binary import Add
from tract_ref.ops.cast import Cast
from tract_ref.ops.dynamic import DynRange, DynSlice, DynTile, NonZero
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Values,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

I64 = np.dtype(np.int64)
ORDINARY = Values()


def _scalar(value: int) -> Array:
    return np.asarray(value, np.int64)


@dataclass(frozen=True, kw_only=True)
class LateProblem(Problem):
    """An op over x and integers that are inputs; then its double, of the same late size.

    Attributes:
        shape: shape of x; the stream's length on the stream axis.
        axis: the stream axis.
        sizes: the pulses; empty when nothing streams.
        values: values of x.
        dtype: NumPy name of the dtype of x.
    """

    family = "dynamic"
    shape: tuple[int, ...]
    axis: int = 0
    sizes: tuple[int, ...] = ()
    values: Values = ORDINARY
    dtype: str = "f4"

    @property
    def length(self) -> int:
        return self.shape[self.axis]

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def longest(self) -> int | None:
        # The integers are drawn for this length.
        return None if self.sizes else self.length

    @property
    def shortest(self) -> int:
        return 0 if self.sizes else self.length

    def data(self) -> Array:
        """Return x."""
        return self.values.array(self.shape, self.dtype)

    def start(self) -> tuple[Model, int]:
        """Return a model with the source x, and the id of its node."""
        model = Model()
        dims: list[Dim] = list(self.shape)
        dims[self.axis] = sym(SYMBOL)
        return model, model.add_source("x", Fact(np.dtype(self.dtype), tuple(dims))).node

    def finished(self, model: Model, op: Op, *inputs: object) -> Model:
        """Add the op, and its double."""
        (wire,) = model.wire("late", op, inputs)  # pyright: ignore[reportArgumentType]
        model.set_outputs(model.wire("y", Add(), [wire, wire]), ["y"])
        return model


@dataclass(frozen=True, kw_only=True)
class DynSliceProblem(LateProblem):
    """Positions [first, last) of an axis, both inputs.

    Attributes:
        sliced: the axis.
        first: the first position.
        last: one past the last.
        declared: the length is known before running.
        of_dims: `last` is a constant dim.
    """

    op = "DynSlice"
    sliced: int
    first: int
    last: int
    declared: bool = True
    of_dims: bool = False

    def model(self) -> Model:
        model, _ = self.start()
        (x,) = model.inputs
        first = model.add_source("first", Fact(I64, ()))
        if self.of_dims:
            last = model.add_const("last", np.asarray(self.last, TDIM))
        else:
            last = model.add_source("last", Fact(I64, ()))
        count = self.last - self.first if self.declared else sym("count")
        return self.finished(model, DynSlice(self.sliced, count), x, first, last)

    def inputs(self) -> dict[str, Array]:
        given = {"x": self.data(), "first": _scalar(self.first)}
        return given if self.of_dims else {**given, "last": _scalar(self.last)}

    @property
    def sizes_found(self) -> dict[str, int]:
        return {"count": self.last - self.first}

    def expected(self) -> dict[str, Array]:
        kept = np.arange(self.first, self.last)
        return {"y": np.take(self.data(), kept, self.sliced) * 2}

    def least_delay(self, pulse: int) -> int | None:
        return 0


@st.composite
def dyn_slice_problems(draw: st.DrawFn) -> DynSliceProblem:
    """Draw a slice of the stream's own axis, which then does not stream, or of another one."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    shape = placed(draw(sizes(rank, most=4)), axis, draw(st.integers(0, 7)))
    sliced = draw(st.integers(0, rank - 1))
    ends = sorted(draw(st.tuples(*(st.integers(0, shape[sliced]),) * 2)))
    declared = draw(st.booleans())
    streams = sliced != axis and declared
    return DynSliceProblem(
        shape=shape,
        axis=axis,
        sizes=draw(pulses()) if streams else (),
        sliced=sliced,
        first=ends[0],
        last=ends[1],
        declared=declared,
        of_dims=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8"])),
    )


@dataclass(frozen=True, kw_only=True)
class DynTileProblem(LateProblem):
    """Repeats that are an input.

    Attributes:
        repeats: per axis.
        declared: per axis, whether the repeats are known before running.
    """

    op = "DynTile"
    repeats: tuple[int, ...]
    declared: tuple[bool, ...]

    def model(self) -> Model:
        model, _ = self.start()
        (x,) = model.inputs
        wire = model.add_source("repeats", Fact(I64, (len(self.repeats),)))
        pairs = enumerate(zip(self.repeats, self.declared, strict=True))
        dims = tuple(n if known else sym(f"times{k}") for k, (n, known) in pairs)
        return self.finished(model, DynTile(dims), x, wire)

    def inputs(self) -> dict[str, Array]:
        return {"x": self.data(), "repeats": np.asarray(self.repeats, np.int64)}

    @property
    def sizes_found(self) -> dict[str, int]:
        return {f"times{axis}": number for axis, number in enumerate(self.repeats)}

    def expected(self) -> dict[str, Array]:
        data = self.data()
        out = np.zeros([n * m for n, m in zip(data.shape, self.repeats, strict=True)], data.dtype)
        for index in np.ndindex(*out.shape):
            out[index] = data[tuple(i % n for i, n in zip(index, data.shape, strict=True))] * 2
        return {"y": out}

    def least_delay(self, pulse: int) -> int | None:
        return 0


@st.composite
def dyn_tile_problems(draw: st.DrawFn) -> DynTileProblem:
    """Draw repeats of a stream on both sides of its axis, or of anything."""
    streams = draw(st.booleans())
    rank = 3 if streams else draw(st.integers(1, 3))
    axis = 1 if streams else draw(st.integers(0, rank - 1))
    declared = draw(st.tuples(*(st.booleans(),) * rank))
    repeats = draw(st.tuples(*(st.integers(0, 3),) * rank))
    if streams:
        # P8 feeds the inputs from back to front too.
        declared, repeats = (True,) * rank, (repeats[0], 1, repeats[0])
    return DynTileProblem(
        shape=placed(draw(sizes(rank)), axis, draw(st.integers(0, 6))),
        axis=axis,
        sizes=draw(pulses()) if streams else (),
        repeats=repeats,
        declared=declared,
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8"])),
    )


@dataclass(frozen=True, kw_only=True)
class DynRangeProblem(LateProblem):
    """A range between inputs.

    Attributes:
        first: where it starts.
        last: where it stops, excluded.
        step: distance of two numbers.
        of_dims: the inputs are cast to dims first.
    """

    op = "DynRange"
    first: int
    last: int
    step: int
    of_dims: bool = False

    def model(self) -> Model:
        # x is not read: it only brings the symbol that every problem has.
        model, dtype = self.start()[0], np.dtype(self.dtype)
        wires = [model.add_source(name, Fact(dtype, ())) for name in ("first", "last", "step")]
        if self.of_dims:
            wires = [model.wire(f"dim{k}", Cast(TDIM), [wire])[0] for k, wire in enumerate(wires)]
        return self.finished(model, DynRange(sym("count")), *wires)

    def inputs(self) -> dict[str, Array]:
        named = {"first": self.first, "last": self.last, "step": self.step}
        given = {name: np.asarray(value, self.dtype) for name, value in named.items()}
        return {"x": self.data(), **given}

    @property
    def sizes_found(self) -> dict[str, int]:
        return {"count": len(range(self.first, self.last, self.step))}

    def expected(self) -> dict[str, Array]:
        dtype = "i8" if self.of_dims else self.dtype
        found = [2 * number for number in range(self.first, self.last, self.step)]
        return {"y": np.asarray(found, dtype)}


@st.composite
def dyn_range_problems(draw: st.DrawFn) -> DynRangeProblem:
    """Draw ranges up and down, empty ones too."""
    step = draw(st.integers(1, 3)) * draw(st.sampled_from([1, -1]))
    dtype = draw(st.sampled_from(["i8", "i4"]))
    return DynRangeProblem(
        shape=(0,),
        first=draw(st.integers(-4, 4)),
        last=draw(st.integers(-6, 6)),
        step=step,
        dtype=dtype,
        of_dims=dtype == "i8" and draw(st.booleans()),
    )


@dataclass(frozen=True, kw_only=True)
class NonZeroProblem(LateProblem):
    """Coordinates of what is not 0.

    Attributes:
        zeros: one element in so many is not 0.
    """

    op = "NonZero"
    zeros: int = 2

    def data(self) -> Array:
        drawn = self.values.array(self.shape, self.dtype)
        kept = np.random.default_rng(self.values.seed).integers(0, self.zeros + 1, self.shape)
        return np.where(kept == 0, drawn, np.zeros((), drawn.dtype)).astype(drawn.dtype)

    def model(self) -> Model:
        model, _ = self.start()
        return self.finished(model, NonZero(sym("count")), *model.inputs)

    def inputs(self) -> dict[str, Array]:
        return {"x": self.data()}

    @property
    def sizes_found(self) -> dict[str, int]:
        return {"count": int(np.count_nonzero(self.data()))}

    def expected(self) -> dict[str, Array]:
        found = np.argwhere(self.data()).T.astype(np.int64)
        return {"y": 2 * found}


@st.composite
def non_zero_problems(draw: st.DrawFn) -> NonZeroProblem:
    """Draw tensors with zeros, of numbers and bools."""
    rank = draw(st.integers(1, 3))
    return NonZeroProblem(
        shape=(draw(st.integers(0, 5)), *draw(sizes(rank - 1))),
        zeros=draw(st.integers(0, 3)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8", "?"])),
    )


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "DynSlice": dyn_slice_problems,
    "DynTile": dyn_tile_problems,
    "DynRange": dyn_range_problems,
    "NonZero": non_zero_problems,
}
HAND: dict[str, Problem] = {
    "DynSlice-middle": DynSliceProblem(
        shape=(6, 3), axis=0, sizes=(2, 4), sliced=1, first=1, last=3
    ),
    "DynSlice-of-the-stream": DynSliceProblem(
        shape=(6, 3), sliced=0, first=1, last=3, declared=False
    ),
    "DynSlice-empty": DynSliceProblem(shape=(6, 3), sliced=0, first=4, last=4, declared=False),
    "DynTile-beside-the-stream": DynTileProblem(
        shape=(2, 5, 2), axis=1, sizes=(1, 3), repeats=(3, 1, 3), declared=(True,) * 3
    ),
    "DynTile-late": DynTileProblem(shape=(2, 2), repeats=(2, 3), declared=(False, False)),
    "DynRange-up": DynRangeProblem(shape=(0,), first=1, last=8, step=3, dtype="i8"),
    "DynRange-down": DynRangeProblem(shape=(0,), first=3, last=-4, step=-2, dtype="i8"),
    "DynRange-empty": DynRangeProblem(shape=(0,), first=3, last=3, step=1, dtype="i4"),
    "NonZero-some": NonZeroProblem(shape=(3, 4)),
    "NonZero-all": NonZeroProblem(shape=(3,), zeros=0),
    "NonZero-of-nothing": NonZeroProblem(shape=(0, 2)),
}


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    starts = f'node "op" ({op.name}): {starts}'
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, starts)


def _running(
    op: Op, starts: str, *inputs: Array, symbols: dict[str, int] | None = None
) -> ErrorCase:
    def attempt() -> object:
        model = single(op, *(Fact(array.dtype, array.shape) for array in inputs))
        given = dict(zip(model.input_names, inputs, strict=True))
        return Plan(model, fast=False).run(given, symbols=symbols or {})

    return ErrorCase(attempt, EvalError, f'run: node "op" ({op.name}): {starts}')


def _refused(op: Op, starts: str, *texts: str, refusal: str = "") -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}', refusal)


_ROW = Values().array((4,))
_HEAD = "version 1.0;\nextension tract_registry tract_core;\nextension tract_symbol S;\n"


def _ragged() -> object:
    body = "x = external(shape=[2, S]); n = external<integer>(shape=[3]); "
    body += "y = slice(x, axes=[1], begin=[n], end=[2]);"
    return parse_model(f"{_HEAD}graph g(x, n) -> (y) {{ {body} }}")


ERRORS: dict[str, ErrorCase] = {
    "DynSlice-axis": _invalid(DynSlice(2, 1), "axis=2, len=1 for an input", "3,f32", "i64", "i64"),
    "DynSlice-float-bound": _invalid(
        DynSlice(0, 1), "start f32; it holds 1 integers", "3,f32", "f32", "i64"
    ),
    "DynSlice-past-the-end": _running(
        DynSlice(0, 2),
        "start=3, end=5 on axis 0, which has 4 positions",
        _ROW,
        _scalar(3),
        _scalar(5),
    ),
    "DynSlice-backwards": _running(
        DynSlice(0, 2), "start=3, end=1 on axis 0", _ROW, _scalar(3), _scalar(1)
    ),
    "DynSlice-another-length": _running(
        DynSlice(0, 2), "the length of [1:4] is 3, declared 2", _ROW, _scalar(1), _scalar(4)
    ),
    "DynSlice-stream-axis": _refused(
        DynSlice(1, 2), "works over the stream axis", "3,S,f32", "i64", "i64"
    ),
    "DynTile-multipliers": _invalid(
        DynTile((2,)), "multipliers [2] for an input 3,4,f32", "3,4,f32", "2,i64"
    ),
    "DynTile-count": _invalid(
        DynTile((2, 2)), "multipliers 3,i64; it holds 2 integers", "3,4,f32", "3,i64"
    ),
    "DynTile-negative": _running(
        DynTile((sym("n"),)), "multipliers [-1]; none is negative", _ROW, np.asarray([-1])
    ),
    "DynTile-another-number": _running(
        DynTile((2,)), "the multiplier of axis 0 is 3, declared 2", _ROW, np.asarray([3])
    ),
    "DynTile-stream-axis": _refused(
        DynTile((2, 1)), "works over the stream axis", "S,2,f32", "2,i64"
    ),
    "DynRange-types": _invalid(
        DynRange(sym("n")), "a range of f32, i64, f32; they are numbers", "f32", "i64", "f32"
    ),
    "DynRange-lists": _invalid(
        DynRange(sym("n")), "a range of 2,i64, i64, i64; each has one", "2,i64", "i64", "i64"
    ),
    "DynRange-step": _running(
        DynRange(sym("n")), "a range from 0 to 4 in steps of 0", *map(_scalar, (0, 4, 0))
    ),
    "DynRange-of-nan": _running(
        DynRange(sym("n")),
        "a range from nan to 2.0 in steps of 1.0",
        *(np.asarray(number, "f4") for number in (np.nan, 2, 1)),
    ),
    "DynRange-another-length": _running(
        DynRange(3), "the length of a range from 0 to 4 is 4, declared 3", *map(_scalar, (0, 4, 1))
    ),
    "DynTile-nnef": ErrorCase(
        lambda: model_files(single(DynTile((2,)), *facts("4,f32", "1,i64"))),
        Refused,
        'write: node "op" (DynTile): multipliers [2] of a wire',
    ),
    "DynRange-nnef": ErrorCase(
        lambda: model_files(single(DynRange(2), *facts("i64", "i64", "i64"))),
        Refused,
        'write: node "op" (DynRange): a length of 2 of a range between wires',
    ),
    "NonZero-another-number": _running(
        NonZero(3), "the number of elements that are not 0 is 4, declared 3", _ROW
    ),
    "NonZero-dims": _invalid(NonZero(sym("n")), "data 3,tdim; dims have no zeros", "3,tdim"),
    "NonZero-streams": _refused(
        NonZero(sym("n")),
        "makes as many positions as the data of the whole stream says",
        "S,f32",
        refusal="PULSIFY_V1:NonZero",
    ),
    "NonZero-set-count": ErrorCase(
        lambda: model_files(single(NonZero(3), *facts("4,f32"))),
        Refused,
        'write: node "op" (NonZero): a count of 3, which is no symbol',
    ),
    "slice-bound-of-several": ErrorCase(
        _ragged, Refused, "read: graph.nnef:4:90: slice: begin is known only at run time"
    ),
}
