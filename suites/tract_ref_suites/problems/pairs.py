"""Products of every frame with every other: outer products, attention with and without masks.

out[i, j] = x[i] . x[j] has two axes that grow. Unless a mask bounds how far apart i and j may be,
no turn can give its part of such a wire for good; the reference refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Mul
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.select import Select
from tract_ref.ops.softmax import Softmax
from tract_ref.ops.transpose import MoveAxis
from tract_ref_suites.problems.base import SYMBOL, ErrorCase, Problem, Streamed, Values, pulsing
from tract_ref_suites.problems.masks import COLUMN, ROW, band, chunk, of, value
from tract_ref_suites.strategies.annotated import Builder, Term, masks
from tract_ref_suites.strategies.shapes import crops, lengths, pulses
from tract_ref_suites.strategies.tensors import values

HIDDEN = -1000.0
"""Score of a masked pair; its share of a row that is not masked as a whole rounds to 0."""


@dataclass(frozen=True, kw_only=True)
class PairsProblem(Streamed):
    """Scores of all pairs of frames of x [S, k], and what is made of them.

    Attributes:
        asked: pulses at which it must be refused.
        how: `einsum`, or `mul` of a column and a row (of the first numbers).
        then: `scores`, their `sum` over j, or the sum of x weighted by them (`values`).
    """

    family = "pairs"
    op = "Product"
    asked: tuple[int, ...]
    how: str = "einsum"
    then: str = "scores"

    @property
    def refused_at(self) -> tuple[int, ...]:
        return self.asked

    @property
    def refusal(self) -> str:
        return 'pulsify v1: node "scores" ('

    def scores(self, model: Model, wire: Outlet) -> Outlet:
        """Add the product of all pairs."""
        if self.how == "einsum":
            return model.wire("scores", EinSum("ik,jk->ij", "f32"), (wire, wire))[0]
        (row,) = model.wire("row", MoveAxis(0, 1), (wire,))
        return model.wire("scores", Mul(), (wire, row))[0]

    def weights(self, model: Model, scores: Outlet) -> Outlet:
        """Add what is done with the scores; nothing here."""
        return scores

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        weights = self.weights(model, self.scores(model, wire))
        if self.then == "sum":
            return model.wire("sum", Reduce((1,), "sum"), (weights,))[0]
        if self.then == "values":
            return model.wire("out", EinSum("ij,jk->ik", "f32"), (weights, wire))[0]
        return weights

    def weigh(self, row: list[float], i: int) -> list[float]:
        """Return what is made of row i of the scores; itself here."""
        return row

    def oracle(self, data: Array) -> Array:
        frames = data.tolist()
        rows = [
            self.weigh([sum(a * b for a, b in zip(x, y, strict=True)) for y in frames], i)
            for i, x in enumerate(frames)
        ]
        n = len(frames)
        if self.then == "scores":
            return np.array(rows, data.dtype).reshape(n, n)
        if self.then == "sum":
            return np.array([[math.fsum(row)] for row in rows], data.dtype).reshape(n, 1)
        width = range(data.shape[1])
        sums = [
            [math.fsum(w * y[k] for w, y in zip(row, frames, strict=True)) for k in width]
            for row in rows
        ]
        return np.array(sums, data.dtype).reshape(n, data.shape[1])


@dataclass(frozen=True, kw_only=True)
class AttentionProblem(PairsProblem):
    """Self-attention: scores, masked by positions, softmax over j.

    Attributes:
        mask: which pairs count, None for all of them.
    """

    op = "Attention"
    mask: Term | None = None

    @property
    def refusal(self) -> str:
        # Its own positions may be refused before the scores.
        return "pulsify v1: node " if self.mask is not None else super().refusal

    def weights(self, model: Model, scores: Outlet) -> Outlet:
        if self.mask is not None:
            mask = Builder(model, (sym(SYMBOL), sym(SYMBOL))).wire(self.mask)
            hidden = model.add_const("hidden", np.full((1, 1), HIDDEN, np.float32))
            (scores,) = model.wire("masked", Select(), (mask, scores, hidden))
        return model.wire("softmax", Softmax((1,), "softmax"), (scores,))[0]

    def weigh(self, row: list[float], i: int) -> list[float]:
        if self.mask is not None:
            size = len(row)
            kept = (bool(value(self.mask, (i, j), (size, size))) for j in range(size))
            row = [v if keep else HIDDEN for v, keep in zip(row, kept, strict=True)]
        shares = [math.exp(v - max(row)) for v in row]
        return [share / math.fsum(shares) for share in shares]

    @property
    def shortest(self) -> int:
        """Edge and reflect pads of the positions need something to repeat."""
        return 3 if self.mask is not None else 0

    @property
    def oracle_approx(self) -> str:
        return "close"

    @property
    def fast_approx(self) -> str:
        return "close"


@st.composite
def products(draw: st.DrawFn) -> PairsProblem:
    """Draw a product of all pairs."""
    how = draw(st.sampled_from(["einsum", "mul"]))
    pulse, crop = draw(pulses()), draw(crops(most=2))
    width = 1 if how == "mul" else draw(st.integers(1, 2))
    return PairsProblem(
        shape=(draw(lengths(pulse[0], field=sum(crop))), width),
        axis=0,
        sizes=(),
        crop=crop,
        asked=pulse,
        how=how,
        then=draw(st.sampled_from(["scores", "sum", "values"])),
        values=Values(draw(st.integers(0, 99))),
    )


def _number(number: int) -> Term:
    return Term("number", number=number)


_DISTANCE = of("sub", ROW, COLUMN)


@st.composite
def windows(draw: st.DrawFn) -> Term:
    """Draw how far apart two frames, or two chunks of frames, may be."""
    size = draw(st.integers(1, 3))
    distance = of("sub", chunk(ROW, size), chunk(COLUMN, size)) if size > 1 else _DISTANCE
    kind = draw(st.sampled_from(["causal", "window", "strict", "around"]))
    most = draw(st.integers(0, 2))
    if kind == "causal":
        return of("ge", distance, _number(0))
    if kind == "strict":
        return band(distance, most)
    if kind == "around":
        return of("le", of("abs", distance), _number(most))
    least = draw(st.integers(-1, 0))
    return of("and", of("ge", distance, _number(least)), of("le", distance, _number(most)))


@st.composite
def attentions(draw: st.DrawFn, *, kind: str) -> AttentionProblem:
    """Draw attention without mask (`all`), in a window (`window`), or with any mask (`any`)."""
    pulse = draw(pulses())
    mask = None
    if kind != "all":
        mask = draw(windows() if kind == "window" else masks(2, stream=False))
    return AttentionProblem(
        shape=(draw(lengths(pulse[0], field=2, least=3)), draw(st.integers(1, 2))),
        axis=0,
        sizes=(),
        asked=pulse,
        then="values",
        mask=mask,
        values=draw(values(palettes=("normal",))),
    )


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "Product-pairs": products,
    "Attention-all": lambda: attentions(kind="all"),
    "Attention-window": lambda: attentions(kind="window"),
    "Attention-any-mask": lambda: attentions(kind="any"),
}

_NORMAL = Values(0, "normal")


def _attention(mask: Term | None, *pulse: int, length: int = 9) -> AttentionProblem:
    return AttentionProblem(
        shape=(length, 2), axis=0, sizes=(), asked=pulse, then="values", mask=mask, values=_NORMAL
    )


def _product(how: str, then: str, *, length: int = 8) -> PairsProblem:
    return PairsProblem(shape=(length, 1), axis=0, sizes=(), asked=(2, 4), how=how, then=then)


HAND: dict[str, Problem] = {
    "Product-outer": _product("einsum", "scores"),
    "Product-outer-by-mul": _product("mul", "scores"),
    "Product-outer-sum": _product("mul", "sum"),
    "Product-weighted": _product("einsum", "values"),
    "Product-empty-stream": _product("einsum", "values", length=0),
    "Attention-everything": _attention(None, 2, 4),
    "Attention-causal": _attention(of("ge", _DISTANCE, _number(0)), 2, 4),
    "Attention-last-three": _attention(band(_DISTANCE, 2), 2, 4),
    "Attention-neighbours": _attention(of("le", of("abs", _DISTANCE), _number(1)), 2),
    "Attention-one-frame": _attention(of("ge", _DISTANCE, _number(0)), 2, length=1),
}

ERRORS: dict[str, ErrorCase] = {
    slug: ErrorCase(pulsing(problem.model, pulse=2), Refused, problem.refusal)
    for slug, problem in HAND.items()
}
