"""Wrong rewrites, proofs and prints of dimensions: contexts that put everything back.

The first ones are what tract does, or did: spec rows of its own results, made once more here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from functools import reduce
from math import gcd
from typing import Any

from tract_ref.dim import algebra, build, prove, query, tdim
from tract_ref.dim.parse import Assertion
from tract_ref.dim.prove import Prover
from tract_ref.dim.scope import Scope
from tract_ref.dim.simplify import Simplifier
from tract_ref.dim.tdim import Atom, Dim, TDim, atom_dim, content, divide_exactly, make_atom
from tract_ref_suites.meta.broken import Break, Broken, patched

Divide = Callable[[TDim, int], Dim]


# Quotients


def truncates() -> Broken:
    """Evaluate a quotient rounded towards zero, after rewriting it with the laws of floor."""

    def make(old: Any) -> Any:
        def value(atom: Atom, values: Mapping[Atom, int]) -> int:
            if atom.kind != "floor":
                return old(atom, values)
            return int(query.value_of(atom.pieces[0], values) / atom.divisor)

        return value

    return patched(query, "atom_value", make)


def sign_leaves_quotient() -> Broken:
    """(-x + y)/q = -((x - y)/q), which truncation allows and floor does not."""

    def make(old: Divide) -> Divide:
        def quotient(dim: TDim, divisor: int) -> Dim:
            turned = any(c == -1 and m[0].kind == "symbol" for m, c in dim.terms)
            return -old(-dim, divisor) if turned else old(dim, divisor)

        return quotient

    return patched(tdim, "_quotient", make)


def whole_part_truncates() -> Broken:
    """Take trunc(c/q) out of (x + c)/q and leave c mod q inside."""

    def make(old: Divide) -> Divide:
        def quotient(dim: TDim, divisor: int) -> Dim:
            off = dim.constant < 0 and dim.constant % divisor != 0
            return old(dim, divisor) + int(off)

        return quotient

    return patched(tdim, "_quotient", make)


@contextmanager
def one_quotient_of_a_sum() -> Break:
    """S/2 - S = (S - 2*S)/2 = -(S/2): right over one quotient, wrong sign move after."""
    inside: list[int] = []

    def make(old: Any) -> Any:
        def combine(left: Dim, right: Dim, factor: int = 1) -> Dim:
            found = old(left, right, factor)
            if inside or not isinstance(found, TDim) or len(found.terms) != 2 or found.constant:
                return found
            (first, down), (second, up) = found.terms
            atom = second[0]
            if (down, up, len(first), atom.kind) != (-1, 1, 1, "floor"):
                return found
            inside.append(1)
            try:
                return -((atom.divisor * atom_dim(first[0]) - atom.pieces[0]) // atom.divisor)
            finally:
                inside.pop()

        return combine

    def one_by_one(old: Any) -> Any:
        return lambda first, others, factor: reduce(
            lambda total, dim: tdim.combine(total, dim, factor), others, first
        )

    with patched(tdim, "combine", make), patched(algebra, "combine_all", one_by_one):
        yield


def factor_leaves_quotient() -> Broken:
    """(c*x)/q = c*(x/q)."""

    def make(old: Divide) -> Divide:
        def quotient(dim: TDim, divisor: int) -> Dim:
            common = content(dim)
            if dim.constant or common == 1:
                return old(dim, divisor)
            reduced = divide_exactly(dim, common)
            return common * old(reduced, divisor) if isinstance(reduced, TDim) else 0

        return quotient

    return patched(tdim, "_quotient", make)


# Sums, products, clamps


def factor_overflows() -> Broken:
    """A factor above 64 bits becomes -1, as a saturated greatest common divisor does."""

    def make(old: Any) -> Any:
        def scale(dim: TDim, factor: int) -> TDim:
            found = old(dim, factor)
            wide = any(abs(c) >= 2**63 for _, c in found.terms)
            return old(dim, -1) if wide and factor > 0 else found

        return scale

    return patched(tdim, "scale", make)


def cross_terms_lost() -> Broken:
    """(a + c)*(b + d) = a*b + a*d + c*d for constants c, d: one of the four products is lost."""

    def make(old: Any) -> Any:
        def multiply(left: TDim, right: TDim) -> Dim:
            found = old(left, right)
            if left.constant and right.constant:
                return found - left.constant * (right - right.constant)
            return found

        return multiply

    return patched(tdim, "_multiply", make)


def terms_unsorted() -> Broken:
    """The terms of a sum stay in the order in which they came."""

    def make(old: Any) -> Any:
        def build_sum(constant: int, terms: dict[Any, int]) -> Dim:
            kept = tuple(item for item in terms.items() if item[1])
            return tdim._intern(constant, kept) if kept else constant

        return build_sum

    return patched(tdim, "build", make)


def absorbs_any() -> Broken:
    """max(a, min(a+1, b)) = a: the offset of the piece is not looked at."""

    def make(old: Any) -> Any:
        def absorb(best: dict[Any, int]) -> None:
            old(best)
            for terms, constant in list(best.items()):
                dim = tdim._intern(constant, terms) if terms else constant
                clamped = tdim.clamp_of(dim) if isinstance(dim, TDim) else None
                if isinstance(dim, TDim) and clamped is not None and clamped[1] < 0:
                    parts = [p.terms for p in tdim.pieces(dim) if isinstance(p, TDim)]
                    if any(part != terms and part in best for part in parts):
                        del best[terms]

        return absorb

    return patched(tdim, "_absorb", make)


# Broadcasts and comparisons


@contextmanager
def broadcast_is_max() -> Break:
    """A # b = max(a, b), which 0 # 1 is not."""
    with ExitStack() as stack:
        for owner in (algebra, query):
            stack.enter_context(patched(owner, "broadcast", lambda _: tdim.dim_max))
        yield


def stretches_zero() -> Broken:
    """A # b = a for 0 <= b <= a: a size of 0 is not stretched."""

    def make(old: Any) -> Any:
        def broadcast(self: Any, atom: Atom) -> Dim:
            kept = list(atom.pieces)
            for piece in atom.pieces:
                others = [k for k in kept if k is not piece]
                above = any(self._never_below(k, piece) for k in others)
                if above and self._never_below(piece, 0):
                    kept = others
            return build.broadcast(*kept)

        return broadcast

    return patched(Simplifier, "_broadcast", make)


def comparison_rounds_up() -> Broken:
    """(2*S >= 5) = (S >= 2): the constant is rounded the other way."""

    def make(old: Any) -> Any:
        def divide(dim: Dim, divisor: int) -> Dim:
            off = isinstance(dim, TDim) and dim.constant % divisor != 0
            return old(dim, divisor) + int(off)

        return divide

    return patched(build, "divide_exactly", make)


@contextmanager
def equality_rounds() -> Break:
    """(2*S == 5) = (S == 2): a constant that is no multiple is rounded."""

    def make(old: Any) -> Any:
        def eq(left: Dim, right: Dim) -> Dim:
            difference = left - right
            if not isinstance(difference, TDim):
                return old(left, right)
            return old(divide_exactly(difference, content(difference)), 0)

        return eq

    with ExitStack() as stack:
        for owner in (algebra, query):
            stack.enter_context(patched(owner, "eq", make))
        yield


# Proofs and scopes


def unknown_pieces_skipped() -> Broken:
    """The upper bound of max(0, X) is 0: pieces without a bound are left out."""

    def make(old: Any) -> Any:
        def bound(self: Any, atom: Atom) -> Any:
            low, high = old(self, atom)
            if atom.kind != "max" or high is not None:
                return low, high
            tops = [self._search(-p, 1, {}) for p in atom.pieces]
            known = [-top for top in tops if top is not None]
            return low, max(known, default=None)

        return bound

    return patched(Prover, "_bound_atom", make)


def strict_too_strict() -> Broken:
    """A > b is taken as a >= b + 2."""

    def make(old: Any) -> Any:
        def nonnegative(self: Any) -> tuple[Dim, ...]:
            return tuple(d - (self.relation in "<>") for d in old.fget(self))

        return property(nonnegative)

    return patched(Assertion, "nonnegative", make)


def broadcast_bound_is_largest() -> Broken:
    """The lower bound of a # b is the larger one of both, which is right for max only."""

    def make(old: Any) -> Any:
        def bounds(lows: list[int | None], tops: list[int | None], top: int | None) -> Any:
            return max((low for low in lows if low is not None), default=None), old(
                lows, tops, top
            )[1]

        return bounds

    return patched(prove, "_of_broadcast", make)


def quotient_without_slack() -> Broken:
    """x/q >= c for x >= q*c - q + 1: what was rounded down counts as exact."""

    def make(old: Any) -> Any:
        def by_quotient(self: Any, dim: TDim, depth: int, seen: Any) -> int | None:
            low = old(self, dim, depth, seen)
            single = len(dim.terms) == 1 and dim.terms[0][0][0].kind == "floor"
            return low + 1 if single and low is not None and dim.terms[0][1] == 1 else low

        return by_quotient

    return patched(Prover, "_by_quotient", make)


def sum_of_three_values() -> Broken:
    """(S >= 0) = 1 + S also where S may be -2."""

    def make(old: Any) -> Any:
        def comparison(self: Any, dim: TDim, atom: Atom) -> Dim:
            found = old(self, dim, atom)
            difference = atom.pieces[0]
            low, high = self._prover.lower(difference), self._prover.upper(difference)
            three = low == -2 and high is not None and high == 0
            return 1 + difference if found is dim and three else found

        return comparison

    return patched(Simplifier, "_comparison", make)


def product_is_square() -> Broken:
    """The lower bound of S*T is at least 0."""

    def make(old: Any) -> Any:
        return lambda left, right, *, same: old(left, right, same=True)

    return patched(prove, "_times", make)


def one_scenario_is_enough() -> Broken:
    """What is true in the first scenario is taken as true."""

    def make(old: Any) -> Any:
        return lambda self, dim: self.cases[0].simplify(dim)

    return patched(Scope, "_agreed", make)


@contextmanager
def memo_shared() -> Break:
    """All scopes remember simplified atoms in one place."""
    atoms: dict[Atom, Dim] = {}

    def make(old: Any) -> Any:
        def init(self: Any, prover: Prover) -> None:
            old(self, prover)
            self._atoms = atoms

        return init

    with patched(Simplifier, "__init__", make):
        yield


@contextmanager
def bounds_shared() -> Break:
    """All scopes remember bounds in one place."""
    lows: dict[Dim, int | None] = {}

    def make(old: Any) -> Any:
        def init(self: Any, assertions: Any) -> None:
            old(self, assertions)
            self._lower = lows

        return init

    with patched(Prover, "__init__", make):
        yield


# Questions


def steepest_is_first() -> Broken:
    """The rate of a maximum is that of its first piece."""

    def make(old: Any) -> Any:
        def rate(atom: Atom, symbol: str, rates: Any) -> Any:
            if atom.kind != "max":
                return old(atom, symbol, rates)
            return query._rate(atom.pieces[0], symbol, rates)

        return rate

    return patched(query, "_atom_rate", make)


def period_of_one() -> Broken:
    """Every quotient is taken to advance with each frame."""
    return patched(query, "_period", lambda old: lambda dim, periods: 1)


def substitutes_in_turn() -> Broken:
    """Replace one symbol after the other, also in what has just been put in."""

    def make(old: Any) -> Any:
        def replaced(dim: Dim, mapping: Mapping[str, Dim]) -> Dim:
            for name, value in mapping.items():
                dim = old(dim, {name: value})
            return dim

        return replaced

    return patched(query, "substitute", make)


def clamps_not_substituted() -> Broken:
    """A maximum keeps the symbols it was made of."""

    def make(old: Any) -> Any:
        def rebuild(atom: Atom, sizes: Any) -> Dim:
            return atom_dim(atom) if atom.kind == "max" else old(atom, sizes)

        return rebuild

    return patched(query, "rebuild_atom", make)


def solution_of_wrong_sign() -> Broken:
    """3 - S = x gives S = x - 3."""

    def make(old: Any) -> Any:
        def solve(symbol: str, left: Dim, right: Dim) -> Dim | None:
            found = old(symbol, left, right)
            if found is None or not isinstance(left, TDim):
                return found
            own = dict(left.terms).get((make_atom("symbol", symbol),), 0)
            return -found if own < 0 else found

        return solve

    return patched(query, "solve_for", make)


def divisor_dropped() -> Broken:
    """(13*S)/(4*S) = 13: the divisor that is left is forgotten."""

    def make(old: Any) -> Any:
        def divide(left: Dim, right: Dim) -> tuple[Dim, int]:
            return old(left, right)[0], 1

        return divide

    return patched(query, "maybe_div", make)


# Text


@contextmanager
def _printing(name: str, make: Callable[[Any], Any]) -> Break:
    _forget_texts()
    try:
        with patched(tdim, name, make):
            yield
    finally:
        _forget_texts()


def _forget_texts() -> None:
    for made in (*tdim._DIMS.values(), *tdim._ATOMS.values()):
        made._text = None


def factor_printed_bare() -> Broken:
    """2*(3+7*S) prints 2*3+7*S, which reads back as 6+7*S."""

    def make(old: Any) -> Any:
        def text(dim: TDim) -> str:
            common = gcd(content(dim), dim.constant)
            if dim.constant and common > 1:
                return f"{common}*{old(divide_exactly(dim, common))}"
            return old(dim)

        return text

    return _printing("_text", make)


def sides_swapped() -> Broken:
    """(a >= b) prints (b >= a)."""
    return _printing("_both_sides", lambda old: lambda dim: old(dim)[::-1])
