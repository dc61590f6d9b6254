"""Random masks and position arithmetic: what models compute from ranges, for [rows, columns].

A mask is plain data, a tree of `Term`; `build` makes its wires. Its leaves are lines of positions
along the rows or the columns, moved about by slices, pads, samples and look-ups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tract_ref.dim import Dim
from tract_ref.ir.fact import dtype_named
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops import binary, unary
from tract_ref.ops.axes import AddAxis, Reshape
from tract_ref.ops.cast import Cast
from tract_ref.ops.gather import Gather
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.transpose import MoveAxis

ROWS, COLUMNS = 0, 1
DEPTH = 3
NEAR = (0.5, 2.0, 1e-7, -1e-7, 0.0)
"""Float constants next to positions; the small ones are not 0."""
FACTORS = (0.5, -2.0, 3.0, 1 / 3, 0.1)
DIVISORS = (2, 3, -2, 4)
FLOAT_DIVISORS = (3, 2, -3, 4, 5)
"""Most of them round."""
VIA = ("i32", "u8", "i8", "f32", "f64")


@dataclass(frozen=True)
class Move:
    """One step of a line of positions.

    Attributes:
        kind: `slice`, `sample`, `pad`, `edge`, `reflect`, `back` or `gather`.
        by: positions that are skipped or added in front; the stride of a sample.
        number: what a pad adds; the first position of a sample.
        behind: a pad stands behind, and as many positions in front are dropped.
    """

    kind: str
    by: int = 1
    number: int = 0
    behind: bool = False

    def taken(self, length: Dim) -> Dim:
        """Return how many positions must come in for `length` to come out."""
        if self.kind == "slice":
            return length + self.by
        return length * self.by + self.number if self.kind == "sample" else length


@dataclass(frozen=True)
class Line:
    """Positions along one axis: start + step * i, moved about.

    Attributes:
        axis: ROWS or COLUMNS.
        start: the number of position 0.
        step: distance of two numbers.
        moves: what happens to them.
        turned: the line is laid along its axis by a MoveAxis.
    """

    axis: int = ROWS
    start: int = 0
    step: int = 1
    moves: tuple[Move, ...] = ()
    turned: bool = False


@dataclass(frozen=True)
class Term:
    """One op over terms: of whole numbers (i64), of floats (f32) or of bools.

    Attributes:
        kind: `line`, `number`, `single` (a range of one position), or what is done to `args`.
        args: what it is applied to.
        number: its constant, where it has one.
        line: the positions of a `line`.
        via: the dtype of a cast forth and back.
    """

    kind: str
    args: tuple[Term, ...] = ()
    number: float = 0
    line: Line = field(default=Line())
    via: str = ""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines that it is made of."""
        own = (self.line,) if self.kind == "line" else ()
        return own + tuple(line for arg in self.args for line in arg.lines)


PAIRS: dict[str, type[Op]] = {
    "add": binary.Add, "sub": binary.Sub, "min": binary.Min, "max": binary.Max,
    "lt": binary.Lt, "le": binary.Le, "gt": binary.Gt, "ge": binary.Ge,
    "eq": binary.Eq, "ne": binary.Ne,
    "and": binary.And, "or": binary.Or, "xor": binary.Xor,
}  # fmt: skip
BY_NUMBER: dict[str, type[Op]] = {
    "times": binary.Mul, "quotient": binary.Div, "rem": binary.Rem, "mod": binary.Mod,
    "plus": binary.Add, "below": binary.Lt, "above": binary.Gt,
}  # fmt: skip
SINGLE: dict[str, type[Op]] = {
    "neg": unary.Neg, "abs": unary.Abs, "sign": unary.Sign, "square": unary.Square,
    "floor": unary.Floor, "ceil": unary.Ceil, "round": unary.Round, "not": unary.Not,
}  # fmt: skip
CASTS = {"float": "f32", "whole": "i64", "truth": "bool", "bit": "i64"}


class Builder:
    """Makes the wires of terms; equal terms are made once.

    Args:
        model: where to.
        shape: rows and columns.
    """

    def __init__(self, model: Model, shape: tuple[Dim, Dim]) -> None:
        self.model = model
        self.shape = shape
        self._made: dict[Term, Outlet] = {}

    def wire(self, term: Term) -> Outlet:
        """Return the wire of a term, of rank 2, of one position along what it does not vary on."""
        if term not in self._made:
            self._made[term] = self._build(term)
        return self._made[term]

    def _add(self, op: Op, *inputs: Outlet) -> Outlet:
        name = self.model.unique_name(f"m{len(self.model.nodes)}.{op.name}")
        return self.model.wire(name, op, inputs)[0]

    def const(self, value: float | bool, like: Outlet) -> Outlet:
        """Add a constant of one position, of the dtype of a wire."""
        name = self.model.unique_name(f"c{len(self.model.nodes)}")
        return self.model.add_const(name, np.full((1, 1), value, self.model.fact(like).dtype))

    def _build(self, term: Term) -> Outlet:
        if term.kind == "line":
            return self._laid(term.line)
        if term.kind == "number":
            name = self.model.unique_name(f"c{len(self.model.nodes)}")
            return self.model.add_const(name, np.full((1, 1), int(term.number), np.int64))
        if term.kind == "single":
            start = int(term.number)
            return self._add(AddAxis(1), self._add(Range(start, start + 1, 1)))
        args = [self.wire(arg) for arg in term.args]
        if term.kind in PAIRS:
            return self._add(PAIRS[term.kind](), *args)
        if term.kind in BY_NUMBER:
            constant = self.const(term.number, args[0])
            return self._add(BY_NUMBER[term.kind](), args[0], constant)
        if term.kind in SINGLE:
            return self._add(SINGLE[term.kind](), *args)
        if term.kind in CASTS:
            return self._add(Cast(dtype_named(CASTS[term.kind])), *args)
        return SPECIAL[term.kind](self, term, *args)

    def via(self, term: Term, data: Outlet) -> Outlet:
        """Cast to another dtype and back."""
        there = self._add(Cast(dtype_named(term.via)), data)
        return self._add(Cast(self.model.fact(data).dtype), there)

    def choose(self, term: Term, condition: Outlet, a: Outlet, b: Outlet) -> Outlet:
        """Take a where the condition holds, else b."""
        return self._add(Select(), condition, a, b)

    def wide(self, term: Term, data: Outlet) -> Outlet:
        """Repeat along both axes."""
        return self._add(Broadcast(self.shape), data)

    def twist(self, term: Term, data: Outlet) -> Outlet:
        """Repeat along both axes, join them and part them again."""
        rows, columns = self.shape
        flat = self._add(Reshape(0, self.shape, (rows * columns,)), self.wide(term, data))
        return self._add(Reshape(0, (rows * columns,), self.shape), flat)

    def later(self, term: Term, data: Outlet) -> Outlet:
        """Put one row of a constant in front, and drop the last row."""
        whole = self.wide(term, data)
        dtype = self.model.fact(whole).dtype
        fill = bool(term.number) if dtype.kind == "b" else int(term.number)
        padded = self._add(Pad(((1, 0), (0, 0)), "constant", fill), whole)
        return self._add(Slice(0, 0, self.shape[0]), padded)

    def _laid(self, line: Line) -> Outlet:
        wire = self.positions(line)
        if not line.turned:
            return self._add(AddAxis(1 - line.axis), wire)
        return self._add(MoveAxis(1, 0), self._add(AddAxis(line.axis), wire))

    def positions(self, line: Line) -> Outlet:
        """Return the rank-1 wire of a line."""
        lengths = [self.shape[line.axis]]
        for move in reversed(line.moves):
            lengths.append(move.taken(lengths[-1]))
        first = lengths.pop()
        wire = self._add(Range(line.start, line.start + line.step * first, line.step))
        for move in line.moves:
            wire = self._moved(move, wire, lengths.pop())
        return wire

    def _moved(self, move: Move, wire: Outlet, length: Dim) -> Outlet:
        match move.kind:
            case "slice":
                return self._add(Slice(0, move.by, length + move.by), wire)
            case "sample":
                return self._add(Downsample(0, move.by, move.number), wire)
            case "back":
                return self._add(Downsample(0, -1), wire)
            case "gather":
                last = self._add(Downsample(0, -1), self._add(Range(0, length, 1)))
                return self._add(Gather(0), wire, last)
            case mode:
                name = "constant" if mode == "pad" else mode
                pads = (0, move.by) if move.behind else (move.by, 0)
                padded = self._add(Pad((pads,), name, move.number), wire)
                return self._add(Slice(0, pads[1], length + pads[1]), padded)


SPECIAL: dict[str, Callable[..., Outlet]] = {
    "via": Builder.via,
    "choose": Builder.choose,
    "wide": Builder.wide,
    "twist": Builder.twist,
    "later": Builder.later,
}


@st.composite
def moves(draw: st.DrawFn, *, stream: bool) -> Move:
    """Draw a move; a stream is not read backwards."""
    kinds = ["slice", "sample", "pad", "edge", "reflect"]
    kind = draw(st.sampled_from(kinds if stream else [*kinds, "back", "gather"]))
    if kind == "sample":
        return Move(kind, draw(st.integers(2, 3)), draw(st.integers(0, 1)))
    if kind in ("back", "gather"):
        return Move(kind)
    number = draw(st.integers(-1, 5)) if kind == "pad" else 0
    behind = kind != "slice" and draw(st.booleans())
    return Move(kind, draw(st.integers(1, 2)), number, behind)


@st.composite
def leaves(draw: st.DrawFn, *, stream: bool) -> Term:
    """Draw positions along an axis, or a number."""
    kind = draw(st.sampled_from([ROWS, COLUMNS, "number", "moved", "single"]))
    if kind in ("number", "single"):
        return Term(str(kind), number=draw(st.integers(-2, 4)))
    if kind != "moved":
        return Term("line", line=Line(ROWS if kind == ROWS else COLUMNS))
    axis = draw(st.sampled_from([ROWS, COLUMNS]))
    each = moves(stream=stream and axis == ROWS)
    start, step = draw(st.integers(-2, 2)), draw(st.sampled_from([1, 2, -1]))
    chain = tuple(draw(st.lists(each, min_size=1, max_size=2)))
    return Term("line", line=Line(axis, start, step, chain, draw(st.booleans())))


@st.composite
def wholes(draw: st.DrawFn, depth: int, *, stream: bool) -> Term:
    """Draw whole numbers per position."""
    if not depth:
        return draw(leaves(stream=stream))
    inner = wholes(depth - 1, stream=stream)
    group = draw(st.sampled_from(_WHOLES))
    kind = draw(st.sampled_from(group))
    if kind == "leaf":
        return draw(leaves(stream=stream))
    if kind in ("cut", "whole"):
        number = draw(floats(depth - 1, stream=stream))
        if kind == "cut":
            rounding = draw(st.sampled_from(["floor", "ceil", "round"]))
            number = Term(rounding, (number,))
        return Term("whole", (number,))
    if kind == "bit":
        return Term("bit", (draw(masks(depth - 1, stream=stream)),))
    if kind == "choose":
        condition = draw(masks(depth - 1, stream=stream))
        return Term("choose", (condition, draw(inner), draw(inner)))
    first = draw(inner)
    if kind in PAIRS:
        return Term(kind, (first, draw(inner)))
    if kind == "via":
        return Term("via", (first,), via=draw(st.sampled_from(VIA)))
    positive = kind in ("mod", "times")
    divided = kind in ("quotient", "rem")
    numbers = DIVISORS[:2] if positive else DIVISORS if divided else (0,)
    return Term(kind, (first,), draw(st.sampled_from(numbers)))


@st.composite
def floats(draw: st.DrawFn, depth: int, *, stream: bool) -> Term:
    """Draw floats per position, quotients among them."""
    kind = draw(st.sampled_from(_FLOATS)) if depth else "float"
    if kind == "float":
        return Term("float", (draw(wholes(max(0, depth - 1), stream=stream)),))
    first = draw(floats(depth - 1, stream=stream))
    if kind in PAIRS:
        return Term(kind, (first, draw(floats(depth - 1, stream=stream))))
    numbers = {"quotient": FLOAT_DIVISORS, "times": FACTORS, "plus": NEAR}.get(kind, (0,))
    return Term(kind, (first,), draw(st.sampled_from(numbers)))


@st.composite
def masks(draw: st.DrawFn, depth: int, *, stream: bool) -> Term:
    """Draw a bool per position."""
    kind = draw(st.sampled_from(_MASKS)) if depth else "numbers"
    below = max(0, depth - 1)
    inner, numbers = masks(below, stream=stream), wholes(below, stream=stream)
    quotients = floats(below, stream=stream)
    if kind in ("numbers", "floats"):
        compared = numbers if kind == "numbers" else quotients
        return Term(draw(st.sampled_from(_COMPARED)), (draw(compared), draw(compared)))
    if kind in ("below", "above"):
        return Term(kind, (draw(quotients),), draw(st.sampled_from(NEAR)))
    if kind == "truth":
        return Term("truth", (draw(numbers | quotients),))
    count = 3 if kind == "choose" else 2 if kind in PAIRS else 1
    last = draw(st.integers(0, 1)) if kind == "later" else 0
    return Term(kind, tuple(draw(inner) for _ in range(count)), last)


_COMPARED = ["lt", "le", "gt", "ge", "eq", "ne"]
_WHOLES = [
    ["leaf"],
    ["add", "sub", "min", "max"],
    ["quotient", "times"],
    ["quotient", "times", "rem", "mod"],
    ["neg", "abs", "sign", "square"],
    ["whole", "cut"],
    ["bit", "choose", "via"],
    ["twist", "wide"],
]
_FLOATS = [
    *("float", "quotient", "quotient", "quotient", "times", "plus"),
    *("neg", "abs", "floor", "ceil", "round", "sub"),
]
_MASKS = [
    *("numbers", "floats", "below", "above", "and", "or", "xor", "eq", "ne", "not", "truth"),
    *("choose", "twist", "wide", "later"),
]
