"""What a model promises about its symbols, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tract_ref.dim.parse import Assertion, parse_assertion
from tract_ref.dim.prove import Prover
from tract_ref.dim.simplify import Simplifier
from tract_ref.dim.tdim import Dim


class Scope:
    """An immutable list of assertions, with memoised proofs.

    Args:
        assertions: relations, or their texts.
    """

    __slots__ = ("_prover", "_simplifier", "assertions")

    def __init__(self, assertions: Iterable[Assertion | str] = ()) -> None:
        self.assertions: tuple[Assertion, ...] = tuple(
            parse_assertion(a) if isinstance(a, str) else a for a in assertions
        )
        self._prover: Prover | None = None
        self._simplifier: Simplifier | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self.assertions == other.assertions

    def __hash__(self) -> int:
        return hash(self.assertions)

    def __repr__(self) -> str:
        return f"Scope({[str(a) for a in self.assertions]})"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Scope, (self.assertions,)

    def asserting(self, assertion: Assertion | str) -> Scope:
        """Return a scope that also knows this relation."""
        added = parse_assertion(assertion) if isinstance(assertion, str) else assertion
        return self if added in self.assertions else Scope((*self.assertions, added))

    def substitute(self, mapping: Mapping[str, Dim]) -> Scope:
        """Return a scope with symbols replaced; relations between integers are kept if false."""
        replaced = (a.substitute(mapping) for a in self.assertions)
        return Scope(a for a in replaced if a.holds({}) is not True)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols that assertions speak of."""
        return frozenset[str]().union(*(a.symbols for a in self.assertions))

    def bounds(self, dim: Dim) -> tuple[int | None, int | None]:
        """Return the smallest and largest value known, None where unbounded."""
        dim, prover = self.simplify(dim), self._proofs()
        return prover.lower(dim), prover.upper(dim)

    def proves_ge(self, left: Dim, right: Dim) -> bool | None:
        """Tell whether left >= right always (True), never (False), or unknown (None)."""
        low, high = self.bounds(left - right)
        if low is not None and low >= 0:
            return True
        return False if high is not None and high < 0 else None

    def proves_positive(self, dim: Dim) -> bool | None:
        """Tell whether a dimension is >= 1 always, never, or unknown."""
        return self.proves_ge(dim, 1)

    def decide_equal(self, left: Dim, right: Dim) -> bool | None:
        """Tell whether two dimensions are equal always, never, or unknown."""
        if left is right:
            return True
        difference = self.simplify(left - right)
        return self._proofs().decide_zero(difference)

    def simplify(self, dim: Dim) -> Dim:
        """Rewrite a dimension with what the assertions say."""
        if self._simplifier is None:
            self._simplifier = Simplifier(self._proofs())
        return self._simplifier.simplify(dim)

    def holds(self, bindings: Mapping[str, int]) -> bool | None:
        """Tell whether values satisfy all assertions; None when an undecided one is left."""
        answers = [a.holds(bindings) for a in self.assertions]
        if False in answers:
            return False
        return None if None in answers else True

    def smallest(self, symbol: str) -> int:
        """Return the smallest value the assertions about that symbol alone admit; 0 by default."""
        prover = self._proofs()
        value = prover.equalities.get(symbol)
        low = prover.symbol_bounds(symbol)[0] if value is None else prover.lower(value)
        return 0 if low is None else low

    @property
    def steps(self) -> int:
        """Number of proof steps done so far; tests bound it."""
        return self._proofs().steps

    def _proofs(self) -> Prover:
        if self._prover is None:
            self._prover = Prover(self.assertions)
        return self._prover
