"""Random regions: 0/1 dimensions over the coordinates of a shape, and what they are read on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, eq, evaluate, ge, sym
from tract_ref.ir.per_element import coordinate
from tract_ref.stream.positions import positions
from tract_ref.stream.roi import as_region
from tract_ref_suites.problems.base import SYMBOL

SIZES: tuple[Dim, ...] = (1, 2, 4, sym(SYMBOL), sym(SYMBOL) + 1)
DEPTH = 2


@dataclass(frozen=True)
class Place:
    """A shape at one value of the stream symbol.

    Attributes:
        shape: dims.
        length: value of the symbol.
    """

    shape: tuple[Dim, ...]
    length: int

    @property
    def bindings(self) -> dict[str, int]:
        """Values of the symbols."""
        return {SYMBOL: self.length}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape as integers."""
        return tuple(evaluate(dim, self.bindings) for dim in self.shape)

    def mask(self, region: Dim | None) -> Array:
        """Return where a region holds."""
        return positions(region, self.sizes, self.bindings)


@st.composite
def places(draw: st.DrawFn, *, rank: int | None = None) -> Place:
    """Draw a shape of 1 to 3 axes and a length from 0 to 6."""
    axes = draw(st.integers(1, 3)) if rank is None else rank
    return Place(tuple(draw(st.sampled_from(SIZES)) for _ in range(axes)), draw(st.integers(0, 6)))


@st.composite
def comparisons(draw: st.DrawFn, *, rank: int, linear: bool = False) -> Dim:
    """Draw one comparison; linear ones have coordinates with factors 1 and -1, and no quotient."""
    axis = draw(st.integers(0, rank - 1))
    at, number = coordinate(axis), draw(st.integers(-2, 6))
    other: Dim = coordinate((axis + 1) % rank) if rank > 1 else sym(SYMBOL)
    size = draw(st.integers(2, 3))
    kinds: list[Dim] = [
        ge(at, number),
        ge(number, at),
        ge(at - other, number - 3),
        ge(number - 2, at - other),
        ge(sym(SYMBOL) - number, at),
        eq(at, number),
    ]
    if not linear:
        quotients = at // size - other // size
        kinds += [
            ge(quotients, 0),
            ge(number // 3, quotients),
            ge(2 * at, number),
            eq(at, 2 * other),
        ]
    return draw(st.sampled_from(kinds))


@st.composite
def conjunctions(draw: st.DrawFn, *, rank: int) -> Dim:
    """Draw a product of 1 to 4 linear comparisons."""
    whole: Dim = 1
    for _ in range(draw(st.integers(1, 4))):
        whole = whole * draw(comparisons(rank=rank, linear=True))
    return whole


@st.composite
def regions(draw: st.DrawFn, *, rank: int, depth: int = DEPTH) -> Dim:
    """Draw comparisons under and, or, not."""
    kind = draw(st.sampled_from(["one", "and", "or", "not"])) if depth else "one"
    if kind == "one":
        return draw(comparisons(rank=rank))
    a = draw(regions(rank=rank, depth=depth - 1))
    if kind == "not":
        return as_region(1 - a)
    b = draw(regions(rank=rank, depth=depth - 1))
    return a * b if kind == "and" else a + b - a * b


def seen_along(mask: Array, axis: int) -> Array:
    """Return a mask with every position of an axis observed where one of them is."""
    return np.broadcast_to(mask.any(axis, keepdims=True), mask.shape)
