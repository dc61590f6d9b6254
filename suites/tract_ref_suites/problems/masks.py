"""Masks from positions: every wire of them is annotated, and a Select hides what they mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref.ops.cast import Cast
from tract_ref.ops.select import Select
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    facts,
    pulsing,
    small_integers,
    wiring,
)
from tract_ref_suites.strategies.annotated import (
    COLUMNS,
    DEPTH,
    ROWS,
    Builder,
    Line,
    Move,
    Term,
    masks,
    wholes,
)
from tract_ref_suites.strategies.shapes import lengths, pulses

F32 = np.dtype(np.float32)
FILL = Term("number", number=-7)


def value(term: Term, place: tuple[int, int], sizes: tuple[int, int]) -> Any:
    """Return a term's value at one row and column, by plain Python numbers."""
    if term.kind == "line":
        return _position(term.line, place[term.line.axis], sizes[term.line.axis])
    if term.kind in ("number", "single"):
        return int(term.number)
    if term.kind == "later":
        row, column = place
        earlier = (row - 1, column)
        return bool(term.number) if not row else value(term.args[0], earlier, sizes)
    args = [value(arg, place, sizes) for arg in term.args]
    return _OPS[term.kind](term, *args)


def _position(line: Line, at: int, size: int) -> int:
    lengths = [size]
    for move in reversed(line.moves):
        taken = move.taken(lengths[-1])
        assert isinstance(taken, int)
        lengths.append(taken)
    for step, move in enumerate(reversed(line.moves)):
        last = lengths[step] - 1
        if move.behind:
            # Mirrored, a pad behind is one in front.
            at = last - at
        match move.kind:
            case "slice":
                at += move.by
            case "sample":
                at = move.number + move.by * at
            case "pad":
                if at < move.by:
                    return move.number
                at -= move.by
            case "edge":
                at = max(0, at - move.by)
            case "reflect":
                at = abs(at - move.by)
            case _:
                at = last - at
        if move.behind:
            at = last - at
    return line.start + line.step * at


def _number(term: Term, like: object) -> object:
    return np.float32(term.number) if isinstance(like, np.floating) else int(term.number)


def _cut(a: int, b: int) -> int:
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def _quotient(term: Term, a: object) -> object:
    if isinstance(a, np.floating):
        return np.float32(a / np.float32(term.number))
    assert isinstance(a, int)
    return _cut(a, int(term.number))


def _rem(term: Term, a: int) -> int:
    n = int(term.number)
    return a - n * _cut(a, n)


def _rounded(x: np.float32) -> np.float32:
    return np.float32(math.copysign(math.floor(abs(float(x)) + 0.5), float(x)))


def _via(term: Term, a: int) -> int:
    there = np.asarray(a, np.int64)
    names = {"i32": "i4", "u8": "u1", "i8": "i1", "f32": "f4", "f64": "f8"}
    return int(there.astype(names[term.via]))


_OPS: dict[str, Callable[..., object]] = {
    "add": lambda _, a, b: a + b,
    "sub": lambda _, a, b: a - b,
    "min": lambda _, a, b: b if b < a else a,
    "max": lambda _, a, b: b if b > a else a,
    "lt": lambda _, a, b: bool(a < b),
    "le": lambda _, a, b: bool(a <= b),
    "gt": lambda _, a, b: bool(a > b),
    "ge": lambda _, a, b: bool(a >= b),
    "eq": lambda _, a, b: bool(a == b),
    "ne": lambda _, a, b: bool(a != b),
    "and": lambda _, a, b: a and b,
    "or": lambda _, a, b: a or b,
    "xor": lambda _, a, b: a != b,
    "times": lambda term, a: a * _number(term, a),
    "quotient": _quotient,
    "rem": _rem,
    "mod": lambda term, a: a % int(term.number),
    "plus": lambda term, a: a + _number(term, a),
    "below": lambda term, a: bool(a < _number(term, a)),
    "above": lambda term, a: bool(a > _number(term, a)),
    "neg": lambda _, a: -a,
    "abs": lambda _, a: a if a > 0 else -a,
    "sign": lambda _, a: (a > 0) - (a < 0),
    "square": lambda _, a: a * a,
    "floor": lambda _, a: np.float32(math.floor(a)),
    "ceil": lambda _, a: np.float32(math.ceil(a)),
    "round": lambda _, a: _rounded(a),
    "not": lambda _, a: not a,
    "float": lambda _, a: np.float32(a),
    "whole": lambda _, a: math.trunc(float(a)),
    "truth": lambda _, a: bool(a != 0),
    "bit": lambda _, a: int(a),
    "via": _via,
    "choose": lambda _, c, a, b: a if c else b,
    "wide": lambda _, a: a,
    "twist": lambda _, a: a,
}


@dataclass(frozen=True, kw_only=True)
class MaskProblem(Problem):
    """A stream [S, 1] shows where a mask [S, columns] holds; elsewhere a number of the position.

    Attributes:
        mask: the condition.
        other: the whole number that stands where it does not hold.
        rows: stream length.
        columns: how many; None: as many as rows, which cannot stream.
        sizes: the pulses.
        seed: of the stream.
    """

    family = "masks"
    op = "Mask"
    mask: Term
    other: Term = FILL
    rows: int
    columns: int | None = None
    sizes: tuple[int, ...] = ()
    seed: int = 0

    @property
    def length(self) -> int:
        return self.rows

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes if self.columns is not None else ()

    @property
    def loose(self) -> str:
        return "a mask may hide what a smaller delay would get wrong"

    @property
    def shortest(self) -> int:
        """Edge and reflect pads need something to repeat."""
        needs = {"edge": 1, "reflect": 3}
        lines = (*self.mask.lines, *self.other.lines)
        kinds = [move.kind for line in lines for move in line.moves]
        return max((needs.get(kind, 0) for kind in kinds), default=0)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def model(self) -> Model:
        model = Model()
        x = model.add_source("x", Fact(F32, (sym(SYMBOL), 1)))
        columns: Dim = sym(SYMBOL) if self.columns is None else self.columns
        builder = Builder(model, (sym(SYMBOL), columns))
        (other,) = model.wire("other", Cast(F32), (builder.wire(self.other),))
        model.set_outputs(
            model.wire("select", Select(), (builder.wire(self.mask), x, other)), ["y"]
        )
        return model

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.seed, (self.rows, 1), "f4")}

    def expected(self) -> dict[str, Array]:
        x = self.inputs()["x"]
        model = self.model()
        columns = model.fact(model.outputs[0]).shape[1]
        sizes = (self.rows, self.rows if self.columns is None else self.columns)
        out = np.zeros((self.rows, 1 if columns == 1 else sizes[1]), np.float32)
        for place in np.ndindex(*out.shape):
            holds = value(self.mask, place, sizes)
            out[place] = x[place[0], 0] if holds else np.float32(value(self.other, place, sizes))
        return {"y": out}


@st.composite
def mask_problems(draw: st.DrawFn, *, square: bool) -> MaskProblem:
    """Draw a mask, a stream length and two pulses."""
    mask = draw(masks(DEPTH, stream=not square))
    other = draw(st.just(FILL) | wholes(2, stream=not square))
    sizes = draw(pulses())
    drawn = MaskProblem(mask=mask, other=other, rows=1, sizes=sizes)
    return MaskProblem(
        mask=mask,
        other=other,
        rows=draw(lengths(sizes[0], least=drawn.shortest)),
        columns=None if square else draw(st.integers(3, 5)),
        sizes=() if square else sizes,
        seed=draw(st.integers(0, 999)),
    )


STRATEGIES = {
    "Mask-stream": lambda: mask_problems(square=False),
    "Mask-square": lambda: mask_problems(square=True),
}

ROW = Term("line", line=Line(ROWS))
COLUMN = Term("line", line=Line(COLUMNS))
ONE = Term("number", number=1)
ZERO = Term("number")
SEVEN = Term("number", number=7)


def of(kind: str, *args: Term, number: float = 0) -> Term:
    """Return a term."""
    return Term(kind, args, number)


def moved(*moves: Move, axis: int = ROWS, start: int = 0) -> Term:
    """Return a line with moves."""
    return Term("line", line=Line(axis, start, 1, moves))


def _behind(kind: str) -> Term:
    return moved(Move(kind, 2, 3 if kind == "pad" else 0, behind=True))


def chunk(positions: Term, size: int) -> Term:
    """Return the chunk of a position, by floats."""
    return of("whole", of("floor", of("quotient", of("float", positions), number=size)))


def band(distance: Term, most: int) -> Term:
    """Return where 0 <= distance < most + 1, spelled with strict comparisons."""
    upper = of("lt", distance, Term("number", number=most + 1))
    return of("and", upper, of("gt", distance, Term("number", number=-1)))


_FIRST = of("gt", ROW, ZERO)
_HALVES = of("sub", *(of("quotient", of("float", p), number=2) for p in (ROW, COLUMN)))
_CHUNKS = of("sub", chunk(ROW, 2), chunk(COLUMN, 2))
_BEFORE = of("lt", ROW, COLUMN)
_TURNED = [Term("line", line=Line(axis, turned=True)) for axis in (ROWS, COLUMNS)]
_THIRDS = (of("quotient", of("float", ROW), number=3), of("times", of("float", ROW), number=1 / 3))
_UNFLOORED = of(
    "and",
    of("not", of("below", _HALVES, number=0.0)),
    of("not", of("above", _HALVES, number=1.0)),
)


def _case(
    mask: Term, rows: int = 9, *, columns: int | None = 4, other: Term | None = None
) -> MaskProblem:
    sizes = () if columns is None else (4, 1)
    fill = FILL if other is None else other
    return MaskProblem(mask=mask, other=fill, rows=rows, columns=columns, sizes=sizes)


HAND: dict[str, Problem] = {
    "Mask-one-frame": _case(_FIRST, 1),
    "Mask-empty-stream": _case(_FIRST, 0),
    "Mask-whole-axis": MaskProblem(mask=_FIRST, rows=8, columns=4, sizes=(8,)),
    "Mask-pulse-longer-than-stream": MaskProblem(mask=_FIRST, rows=3, columns=4, sizes=(8,)),
    "Mask-whole-pulses": _case(of("ge", ROW, COLUMN), 8),
    "Mask-rest": _case(of("le", COLUMN, ROW), 9),
    "Mask-strictly-above": _case(_FIRST, columns=None),
    "Mask-tiny-constant": _case(of("below", of("float", ROW), number=1e-7), columns=None),
    "Mask-tiny-negative-constant": _case(of("above", of("float", ROW), number=-1e-7), columns=None),
    "Mask-unfloored-quotient": _case(_UNFLOORED, columns=None),
    "Mask-chunks": _case(of("and", of("le", _CHUNKS, ONE), of("ge", _CHUNKS, ZERO)), columns=None),
    "Mask-strict-band": _case(band(of("sub", ROW, COLUMN), 1), columns=None),
    "Mask-strict-chunk-band": _case(band(_CHUNKS, 1), columns=None),
    "Mask-two-positions": _case(of("ge", ROW, COLUMN), columns=None),
    "Mask-two-positions-strictly": _case(of("lt", COLUMN, ROW), columns=None),
    "Mask-slice-shift": _case(of("gt", moved(Move("slice", 2)), Term("number", number=3))),
    "Mask-pad-shift": _case(of("gt", moved(Move("pad", 2, 7)), ONE)),
    "Mask-edge-shift": _case(of("gt", moved(Move("edge", 2)), ONE)),
    "Mask-reflected": _case(of("gt", moved(Move("reflect", 2)), ONE)),
    "Mask-edge-behind": _case(of("gt", _behind("edge"), SEVEN)),
    "Mask-reflected-behind": _case(of("lt", _behind("reflect"), SEVEN)),
    "Mask-pad-behind": _case(of("lt", _behind("pad"), SEVEN)),
    "Mask-sampled": _case(of("lt", moved(Move("sample", 3, 1)), Term("number", number=8))),
    "Mask-negative-quotient": _case(
        of("eq", of("quotient", of("sub", ROW, Term("number", number=3)), number=2), ZERO)
    ),
    "Mask-one-position": _case(of("lt", of("single", number=2), ROW)),
    "Mask-either": _case(of("or", of("ge", ROW, COLUMN), of("le", ROW, COLUMN)), columns=None),
    "Mask-negative-floats-cut": _case(of("eq", of("whole", _HALVES), ZERO)),
    "Mask-third-equals-third": _case(of("eq", *_THIRDS)),
    "Mask-wraps-around": _case(
        of("lt", Term("via", (of("sub", ROW, COLUMN),), via="u8"), Term("number", number=200))
    ),
    "Mask-turned": _case(of("lt", _TURNED[ROWS], _TURNED[COLUMNS]), columns=None),
    "Mask-joined-and-parted": _case(of("twist", of("lt", ROW, COLUMN))),
    "Mask-row-in-front": _case(of("later", of("lt", ROW, COLUMN), number=1)),
    "Mask-chosen-numbers": _case(_FIRST, other=of("choose", _BEFORE, ROW, of("neg", COLUMN))),
    "Mask-looked-up": _case(of("ge", moved(Move("gather")), ONE), columns=None),
}  # fmt: skip

_CONDITION = facts("S,1,f32", "S,1,f32", "S,1,f32")
ERRORS: dict[str, ErrorCase] = {
    "Mask-number-as-condition": ErrorCase(
        wiring(Select(), *_CONDITION), InvalidModel, 'node "op" (Select): condition'
    ),
    "Mask-square-stream": ErrorCase(
        pulsing(lambda: _case(of("ge", ROW, COLUMN), columns=None).model()),
        Refused,
        "pulsify v1: ",
    ),
}
