"""Bounds of dimensions under assertions.

A lower bound is the best of four sound estimates; an upper bound is minus the lower bound of -d.

    interval   sum the bounds of the terms
    clamp      max(a, b) >= any piece; min(a, b) >= the smallest bound of its pieces
    quotient   (x - q + 1)/q <= floor(x/q) <= x/q
    assertion  d >= d - k*f for a dimension f that is known to be >= 0

Each question has a budget of steps, and answers are memoised, so no question is exponential.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import gcd

from tract_ref.dim import trace
from tract_ref.dim.limits import is_writable
from tract_ref.dim.parse import Assertion
from tract_ref.dim.points import Points
from tract_ref.dim.query import solve_for, substitute
from tract_ref.dim.tdim import (
    Atom,
    Dim,
    Monomial,
    TDim,
    atom_dim,
    build,
    clamp_of,
    combine,
    content,
    divide_exactly,
    pieces,
)

BUDGET = 200
_DEPTH = 3
_FACTS = 64

Bounds = tuple[int | None, int | None]


class Prover:
    """Memoised bounds under a list of assertions.

    Args:
        assertions: the relations taken as true.
    """

    def __init__(self, assertions: Iterable[Assertion]) -> None:
        self.steps = 0
        self.equalities: dict[str, Dim] = {}
        self._facts: list[TDim] = []
        self._symbols: dict[str, Bounds] = {}
        self._atoms: dict[Atom, Bounds] = {}
        self._lower: dict[Dim, int | None] = {}
        self._left = 0
        self.assertions = tuple(assertions)
        with trace.silent():
            self._learn()
        self.points = Points(self.symbol_bounds, self._facts)

    def _learn(self) -> None:
        for assertion in self.assertions:
            if assertion.relation == "==":
                self._learn_equality(assertion)
        for assertion in self.assertions:
            for fact in assertion.nonnegative:
                self._learn_fact(substitute(fact, self.equalities))

    def _learn_equality(self, assertion: Assertion) -> None:
        left = substitute(assertion.left, self.equalities)
        right = substitute(assertion.right, self.equalities)
        for symbol in sorted(assertion.symbols - self.equalities.keys()):
            value = solve_for(symbol, left, right)
            if value is None:
                continue
            found = {symbol: value}
            self.equalities = {s: substitute(d, found) for s, d in self.equalities.items()}
            self.equalities[symbol] = value
            return

    def _learn_fact(self, fact: Dim) -> None:
        if not isinstance(fact, TDim):
            return
        clamped = clamp_of(fact)
        if clamped is not None and clamped[1] < 0:
            for piece in pieces(fact):
                self._learn_fact(piece)
            return
        common = content(fact)
        fact = build(fact.constant // common, {m: c // common for m, c in fact.terms})
        assert isinstance(fact, TDim)
        monomial, coefficient = fact.terms[0]
        if len(fact.terms) == 1 and len(monomial) == 1 and monomial[0].kind == "floor":
            self._learn_fact(_without_quotient(monomial[0], coefficient, fact.constant))
        if len(fact.terms) == 1 and len(monomial) == 1 and monomial[0].kind == "symbol":
            low, high = self._symbols.get(monomial[0].name, (None, None))
            if coefficient > 0:
                low = -fact.constant if low is None else max(low, -fact.constant)
            else:
                high = fact.constant if high is None else min(high, fact.constant)
            self._symbols[monomial[0].name] = low, high
        elif len(self._facts) < _FACTS and fact not in self._facts:
            self._facts.append(fact)

    def symbol_bounds(self, symbol: str) -> Bounds:
        """Return the bounds that assertions give to a symbol alone."""
        value = self.equalities.get(symbol)
        if isinstance(value, int):
            return value, value
        return self._symbols.get(symbol, (None, None))

    def lower(self, dim: Dim) -> int | None:
        """Return a number the dimension is never below, None if none was found."""
        if not isinstance(dim, TDim):
            return dim
        if trace.on and trace.heard():
            with trace.silent():
                return self.lower(dim)
        # A constant does not change the work: remember the answer without it.
        shifted = dim - dim.constant
        if shifted not in self._lower:
            self._left = BUDGET
            self._prepare(dim)
            self._left = BUDGET
            self._lower[shifted] = self._search(shifted, _DEPTH, {})
        found = self._lower[shifted]
        if found is None or not is_writable(found + dim.constant):
            return None
        return found + dim.constant

    def upper(self, dim: Dim) -> int | None:
        """Return a number the dimension is never above, None if none was found."""
        low = self.lower(combine(0, dim, -1))
        return None if low is None else -low

    def denies(self, assertion: Assertion, form: Callable[[Dim], Dim]) -> bool:
        """Tell whether an assertion is proved false by all assertions together.

        Args:
            assertion: one of them.
            form: simplifies a dimension.
        """
        highs = (self.upper(form(dim)) for dim in assertion.nonnegative)
        return any(high is not None and high < 0 for high in highs)

    def never_negative(self, dim: Dim) -> bool:
        """Tell whether a dimension is proved to be >= 0.

        A point where it is not, or bounds of its terms that are enough, save the search.
        """
        if not isinstance(dim, TDim):
            return dim >= 0
        if trace.on and trace.heard():
            with trace.silent():
                return self.never_negative(dim)
        if self.points.is_negative(dim):
            return False
        self._prepare(dim)
        low = self._interval(dim)[0]
        if low is None or low < 0:
            low = self.lower(dim)
        return low is not None and low >= 0

    def decide_nonnegative(self, dim: Dim) -> bool | None:
        """Tell whether a dimension is >= 0 always, never, or unknown."""
        if self.never_negative(dim):
            return True
        if self.points.is_negative(combine(-1, dim, -1)):
            return None
        high = self.upper(dim)
        return False if high is not None and high < 0 else None

    def decide_zero(self, dim: Dim) -> bool | None:
        """Tell whether a dimension is zero always, never, or unknown."""
        if not isinstance(dim, TDim):
            return dim == 0
        if dim.constant % content(dim):
            return False
        low, high = self.lower(dim), self.upper(dim)
        if (low is not None and low > 0) or (high is not None and high < 0):
            return False
        return True if low == high == 0 else None

    def _prepare(self, dim: TDim) -> None:
        """Bound inner atoms first, so that no question recurses through the whole nesting."""
        for atom in dim.atoms:
            self._left = BUDGET // 4
            self._atom(atom)

    def _search(self, dim: Dim, depth: int, seen: dict[Dim, int | None]) -> int | None:
        """Return the best of the four estimates, within what is left of the budget."""
        if not isinstance(dim, TDim):
            return dim
        if dim in seen:
            return seen[dim]
        self.steps += 1
        self._left -= 1
        best = self._interval(dim)[0]
        seen[dim] = best
        if self._left <= 0:
            return best
        common = content(dim)
        if common > 1:
            constant = dim.constant
            inner = self._search(divide_exactly(dim - constant, common), depth, seen)
            found = None if inner is None else inner * common + constant
        else:
            found = _best(
                self._by_clamp(dim, depth, seen),
                self._by_quotient(dim, depth, seen),
                self._by_fact(dim, depth, seen),
            )
        seen[dim] = _best(best, found)
        return seen[dim]

    def _by_clamp(self, dim: TDim, depth: int, seen: dict[Dim, int | None]) -> int | None:
        """Replace one maximum by its pieces: all of them for a minimum, the best otherwise.

        Minima go first, in any order; which maximum goes next matters, so each one is tried.
        """
        clamps = [(m[0], c) for m, c in dim.terms if len(m) == 1 and m[0].kind == "max"]
        clamps.sort(key=lambda clamp: (clamp[1] > 0, clamp[0].key))
        best: int | None = None
        for atom, factor in clamps:
            rest = dim - factor * atom_dim(atom)
            found = [self._search(rest + factor * p, depth, seen) for p in atom.pieces]
            if factor < 0:
                numbers = [low for low in found if low is not None]
                return min(numbers) if len(numbers) == len(found) else None
            best = _best(best, *found)
        return best

    def _by_quotient(self, dim: TDim, depth: int, seen: dict[Dim, int | None]) -> int | None:
        """Multiply by the divisor and replace one quotient by its linear bound."""
        for monomial, factor in dim.terms:
            atom = monomial[0]
            if len(monomial) > 1 or atom.kind != "floor":
                continue
            slack = atom.divisor - 1 if factor > 0 else 0
            rest = dim - factor * atom_dim(atom)
            linear = atom.divisor * rest + factor * (atom.pieces[0] - slack)
            low = self._search(linear, depth, seen)
            return None if low is None else -(-low // atom.divisor)
        return None

    def _by_fact(self, dim: TDim, depth: int, seen: dict[Dim, int | None]) -> int | None:
        """Subtract a multiple of a known non-negative dimension that cancels one term."""
        if depth == 0:
            return None
        best: int | None = None
        coefficients = dict(dim.terms)
        for fact in self._facts:
            for monomial, factor in fact.terms:
                mine = coefficients.get(monomial, 0)
                if mine * factor <= 0 or self._left <= 0:
                    continue
                common = gcd(mine, factor)
                weight = abs(factor) // common
                low = self._search(weight * dim - abs(mine) // common * fact, depth - 1, seen)
                best = _best(best, None if low is None else -(-low // weight))
        return best

    def _interval(self, dim: TDim) -> Bounds:
        low: int | None = dim.constant
        high: int | None = dim.constant
        for monomial, factor in dim.terms:
            bottom, top = self._monomial(monomial)
            if factor < 0:
                bottom, top = top, bottom
            low = None if low is None or bottom is None else low + factor * bottom
            high = None if high is None or top is None else high + factor * top
        return low, high

    def _monomial(self, monomial: Monomial) -> Bounds:
        result = self._atom(monomial[0])
        for i, atom in enumerate(monomial[1:], 1):
            result = _times(result, self._atom(atom), same=atom is monomial[0] and i == 1)
        return result

    def _atom(self, atom: Atom) -> Bounds:
        found = self._atoms.get(atom)
        if found is None:
            # An assertion may speak of the atom that is being bounded: unknown meanwhile.
            self._atoms[atom] = None, None
            found = self._atoms[atom] = self._bound_atom(atom)
        return found

    def _bound_atom(self, atom: Atom) -> Bounds:
        if atom.kind == "symbol":
            return self.symbol_bounds(atom.name)
        if atom.kind in ("ge", "eq"):
            return 0, 1
        lows = [self._search(p, 1, {}) for p in atom.pieces]
        highs = [self._search(-p, 1, {}) for p in atom.pieces]
        tops = [None if h is None else -h for h in highs]
        known = [top for top in tops if top is not None]
        top = max(known) if len(known) == len(tops) else None
        if atom.kind == "max":
            return _best(*lows), top
        if atom.kind == "floor":
            low = lows[0]
            return (
                None if low is None else low // atom.divisor,
                None if top is None else top // atom.divisor,
            )
        return _of_broadcast(lows, tops, top)


def _of_broadcast(lows: list[int | None], tops: list[int | None], top: int | None) -> Bounds:
    """A broadcast is one of its sizes; it is 1 only when all are."""
    numbers = [low for low in lows if low is not None]
    low = min(numbers) if len(numbers) == len(lows) else None
    # A size that cannot be 1 is the result.
    for bottom, ceiling in zip(lows, tops, strict=True):
        if bottom is not None and bottom > 1:
            low = bottom if low is None else max(low, bottom)
            if ceiling is not None:
                top = ceiling if top is None else min(top, ceiling)
    return low, top


def _without_quotient(atom: Atom, sign: int, constant: int) -> Dim:
    """x/q >= c exactly when x >= q*c; x/q <= c exactly when x <= q*c + q - 1."""
    slack = atom.divisor - 1 if sign < 0 else 0
    return sign * atom.pieces[0] + atom.divisor * constant + slack


def _best(*lows: int | None) -> int | None:
    return max((low for low in lows if low is not None), default=None)


def _times(left: Bounds, right: Bounds, *, same: bool) -> Bounds:
    """Return the bounds of a product; a square is never negative."""
    (a, b), (c, d) = left, right
    if a is not None and b is not None and c is not None and d is not None:
        corners = (a * c, a * d, b * c, b * d)
        low, high = min(corners), max(corners)
        return (max(low, 0) if same else low), high
    if a is not None and c is not None and a >= 0 and c >= 0:
        # 0 * unbounded is unbounded above, since nothing pins the unbounded factor.
        zero = b == 0 or d == 0
        return a * c, 0 if zero else None
    return (0 if same else None), None
