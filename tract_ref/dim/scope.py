"""What a model promises about its symbols, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tract_ref.dim import trace
from tract_ref.dim.parse import Assertion, parse_assertion
from tract_ref.dim.proof import needed
from tract_ref.dim.prove import Bounds, Prover
from tract_ref.dim.simplify import Simplifier
from tract_ref.dim.tdim import Dim, combine
from tract_ref.errors import EvalError, InvalidModel

Promises: TypeAlias = Iterable[Assertion | str]


def _equal_in(case: Scope, left: Dim, right: Dim) -> bool:
    """Say whether two dimensions are proved equal in a scenario, both having a value there."""
    try:
        return case.decide_equal(left, right) is True
    except InvalidModel:
        return False


@dataclass(frozen=True)
class Scenario:
    """Assertions that hold together in one of the ways a model may be used.

    Args:
        name: how the model calls it.
        assertions: what it adds to the assertions of the scope; at least one.

    Raises:
        InvalidModel: it has no assertion, or its name cannot be written before a colon.
    """

    name: str
    assertions: tuple[Assertion, ...]

    def __post_init__(self) -> None:
        name = self.name
        if not name or name != name.strip() or set(name) & set(":;\n"):
            remedy = "use a name without blanks around, : or ;"
            raise InvalidModel(f"the scenario name {name!r}", remedy=remedy)
        if not self.assertions:
            raise InvalidModel(f"the scenario {self.name!r} asserts nothing", remedy="leave it out")

    def holds(self, bindings: Mapping[str, int]) -> bool | None:
        """Tell whether values satisfy its own assertions; None when an undecided one is left."""
        return _all(a.holds(bindings) for a in self.assertions)

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(str(a) for a in self.assertions)}"


class Scope:
    """An immutable list of assertions and of scenarios, with memoised proofs.

    Scenarios are exhaustive: when there are any, at least one of them holds besides the assertions.

    Args:
        assertions: relations, or their texts.
        scenarios: per name, what holds besides in that scenario.
    """

    __slots__ = (
        "_cases",
        "_contradictory",
        "_dims",
        "_prover",
        "_simplifier",
        "assertions",
        "scenarios",
    )

    def __init__(
        self, assertions: Promises = (), scenarios: Mapping[str, Promises] | None = None
    ) -> None:
        self.assertions: tuple[Assertion, ...] = _read(assertions)
        self.scenarios: tuple[Scenario, ...] = tuple(
            Scenario(name, _read(added)) for name, added in (scenarios or {}).items()
        )
        self._prover: Prover | None = None
        self._simplifier: Simplifier | None = None
        self._cases: tuple[Scope, ...] | None = None
        self._contradictory: bool | None = None
        self._dims: dict[Dim, Dim] = {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Scope)
            and self.assertions == other.assertions
            and self.scenarios == other.scenarios
        )

    def __hash__(self) -> int:
        return hash((self.assertions, self.scenarios))

    def __repr__(self) -> str:
        known = str([str(a) for a in self.assertions])
        named = {s.name: [str(a) for a in s.assertions] for s in self.scenarios}
        return f"Scope({known}, {named})" if named else f"Scope({known})"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Scope, (self.assertions, self._named())

    def _named(self) -> dict[str, tuple[Assertion, ...]]:
        return {scenario.name: scenario.assertions for scenario in self.scenarios}

    def asserting(self, assertion: Assertion | str, *, scenario: str = "") -> Scope:
        """Return a scope that also knows this relation, in one scenario when that is named."""
        (added,) = _read((assertion,))
        if not scenario:
            known = self.assertions
            return self if added in known else Scope((*known, added), self._named())
        named = self._named()
        mine = named.get(scenario, ())
        if added in mine:
            return self
        return Scope(self.assertions, {**named, scenario: (*mine, added)})

    def substitute(self, mapping: Mapping[str, Dim]) -> Scope:
        """Return a scope with symbols replaced; relations between integers are kept if false.

        A scenario keeps all of its relations, so that it can still be told from the others.
        """
        replaced = (a.substitute(mapping) for a in self.assertions)
        return Scope(
            (a for a in replaced if a.holds({}) is not True),
            {s.name: [a.substitute(mapping) for a in s.assertions] for s in self.scenarios},
        )

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols that assertions speak of, those of scenarios included."""
        promises = (self.assertions, *(s.assertions for s in self.scenarios))
        return frozenset[str]().union(*(a.symbols for known in promises for a in known))

    @property
    def lines(self) -> tuple[str, ...]:
        """The text of each relation; those of a scenario as `NAME: RELATION`, after the others."""
        inner = (f"{s.name}: {a}" for s in self.scenarios for a in s.assertions)
        return (*(str(a) for a in self.assertions), *inner)

    def bounds(self, dim: Dim) -> Bounds:
        """Return the smallest and largest value known, None where unbounded.

        Of assertions that contradict each other anything follows; they give no bounds.
        """
        if trace.on and trace.heard():
            with trace.silent():
                return self.bounds(dim)
        dim, prover = self.simplify(dim), self._proofs()
        low, high = prover.lower(dim), prover.upper(dim)
        if not self.cases:
            return _in_order(low, high)
        known = [case.bounds(form) for case, form in self._forms(dim)]
        lows = [bottom for bottom, _ in known if bottom is not None]
        highs = [top for _, top in known if top is not None]
        if lows and len(lows) == len(known):
            low = min(lows) if low is None else max(low, min(lows))
        if highs and len(highs) == len(known):
            high = max(highs) if high is None else min(high, max(highs))
        return _in_order(low, high)

    def proves_ge(self, left: Dim, right: Dim) -> bool | None:
        """Tell whether left >= right always (True), never (False), or unknown (None)."""
        if trace.on and trace.heard():
            with trace.silent():
                return self.proves_ge(left, right)
        if not self.cases:
            return self._proofs().decide_nonnegative(self.simplify(left - right))
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
        if trace.on and trace.heard():
            with trace.silent():
                return self.decide_equal(left, right)
        difference = self.simplify(left - right)
        answer = self._proofs().decide_zero(difference)
        if answer is not None or not self.cases:
            return answer
        answers = {case.decide_equal(form, 0) for case, form in self._forms(difference)}
        return answers.pop() if len(answers) == 1 else None

    def simplify(self, dim: Dim) -> Dim:
        """Rewrite a dimension with what the assertions say, and what all scenarios agree on."""
        plain = self._plain(dim)
        if not self.cases:
            return plain
        found = self._dims.get(plain)
        if found is None:
            found = self._dims[plain] = self._agreed(plain)
        return found

    def _plain(self, dim: Dim) -> Dim:
        """Rewrite a dimension with what the assertions say, scenarios left out."""
        if self._simplifier is None:
            self._simplifier = Simplifier(self._proofs())
        return self._simplifier.simplify(dim)

    def _agreed(self, dim: Dim) -> Dim:
        """Return the first form of a scenario that equals the dimension in every scenario."""
        with trace.silent():
            forms = self._forms(dim)
        for form in dict.fromkeys(form for _, form in forms):
            if all(_equal_in(case, form, mine) for case, mine in forms):
                if trace.on and form is not dim:
                    self._tell_agreed(dim, form)
                return form
        return dim

    def _forms(self, dim: Dim) -> list[tuple[Scope, Dim]]:
        """Return each scenario with the form of a dimension in it.

        A scenario in which a broadcast of the dimension has no value says nothing about it.
        """
        found: list[tuple[Scope, Dim]] = []
        for case in self.cases:
            try:
                found.append((case, case.simplify(dim)))
            except InvalidModel:
                continue
        return found

    def _tell_agreed(self, dim: Dim, form: Dim) -> None:
        """Tell the form and, per scenario, what shows that it equals the dimension."""
        difference = combine(dim, form, -1)
        proofs = tuple(
            trace.Proof(
                difference,
                "==",
                0,
                needed(case.assertions, lambda known: _equal_in(Scope(known), dim, form)),
            )
            for case, _ in (self._forms(dim) if trace.heard() else ())
        )
        trace.tell(trace.SCENARIOS, "value", (dim,), form, proofs=proofs)

    @property
    def cases(self) -> tuple[Scope, ...]:
        """One scope without scenarios per scenario that the assertions do not exclude."""
        if self._cases is None:
            added = (Scope((*self.assertions, *s.assertions)) for s in self.scenarios)
            with trace.silent():
                self._cases = tuple(case for case in added if not case.is_contradictory)
        return self._cases

    @property
    def is_contradictory(self) -> bool:
        """Nothing is admitted: an assertion is proved false by the others, or each scenario is.

        False when no contradiction is found.
        """
        if self._contradictory is None:
            with trace.silent():
                self._contradictory = self._is_denied() or bool(self.scenarios and not self.cases)
        return self._contradictory

    def _is_denied(self) -> bool:
        try:
            return any(self._proofs().denies(a, self._plain) for a in self.assertions)
        except InvalidModel:
            # A broadcast of an assertion has no value, or a number is too long: nothing is shown.
            return False

    @property
    def contradiction(self) -> tuple[str, ...]:
        """Lines of relations that contradict each other; empty when no contradiction is found."""
        if not self.is_contradictory:
            return ()
        named = {} if self._is_denied() else self._named()
        known = needed(self.assertions, lambda fewer: Scope(fewer, named).is_contradictory)
        return Scope(known, named).lines

    def require_possible(self, *, stage: str = "") -> None:
        """Check that no contradiction is found.

        Raises:
            InvalidModel: the assertions contradict each other; names them.
        """
        broken = self.contradiction
        if broken:
            listed = "; ".join(broken)
            raise InvalidModel(
                f"the assertions contradict each other: nothing admits {listed}",
                stage=stage,
                remedy="leave one out",
            )

    def scenario(self, bindings: Mapping[str, int]) -> str | None:
        """Return the scenario that values select.

        A scenario with a false assertion is discarded; the first one whose assertions are all true
        is selected, else the only one that is left.

        Returns:
            Its name; None when two or more are left, or when there are no scenarios.

        Raises:
            EvalError: every scenario is discarded.
        """
        answers = {s.name: s.holds(bindings) for s in self.scenarios}
        for name, answer in answers.items():
            if answer:
                return name
        left = [name for name, answer in answers.items() if answer is None]
        if answers and not left:
            values = ", ".join(f"{name}={value}" for name, value in sorted(bindings.items()))
            listed = "; ".join(str(s) for s in self.scenarios)
            raise EvalError(f"no possible scenario for {values or 'these symbols'} ({listed})")
        return left[0] if len(left) == 1 else None

    def holds(self, bindings: Mapping[str, int]) -> bool | None:
        """Tell whether values satisfy all assertions and some scenario; None when undecided."""
        known = _all(a.holds(bindings) for a in self.assertions)
        if known is False or not self.scenarios:
            return known
        answers = [s.holds(bindings) for s in self.scenarios]
        if True in answers:
            return known
        return None if None in answers else False

    def determined(self, bindings: Mapping[str, int]) -> dict[str, int]:
        """Return the values that equalities give to further symbols once some have a value."""
        try:
            with trace.silent():
                solved = Prover(a.substitute(bindings) for a in self.assertions).equalities
        except InvalidModel:
            # A broadcast of an assertion has no value there.
            return {}
        return {name: value for name, value in solved.items() if isinstance(value, int)}

    def smallest(self, symbol: str) -> int:
        """Return the smallest value the assertions about that symbol alone admit; 0 by default."""
        prover = self._proofs()
        value = prover.equalities.get(symbol)
        low = prover.symbol_bounds(symbol)[0] if value is None else prover.lower(value)
        if self.cases:
            inner = min(case.smallest(symbol) for case in self.cases)
            return inner if low is None else max(inner, low)
        return 0 if low is None else low

    @property
    def steps(self) -> int:
        """Number of proof steps done so far, in scenarios too; tests bound it."""
        return self._proofs().steps + sum(case.steps for case in self._cases or ())

    def _proofs(self) -> Prover:
        if self._prover is None:
            self._prover = Prover(self.assertions)
        return self._prover


def _in_order(low: int | None, high: int | None) -> Bounds:
    return (None, None) if low is not None and high is not None and low > high else (low, high)


def _read(promises: Promises) -> tuple[Assertion, ...]:
    if isinstance(promises, str):
        raise InvalidModel(f"{promises!r}: assertions are a list of texts, not one text")
    return tuple(parse_assertion(a) if isinstance(a, str) else a for a in promises)


def _all(answers: Iterable[bool | None]) -> bool | None:
    """Combine answers: False if one is, None if one is undecided, else True."""
    found = list(answers)
    if False in found:
        return False
    return None if None in found else True
