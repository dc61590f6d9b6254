"""Why a law under assertions applied: the question that was asked and assertions that suffice.

Asked while somebody records only. The assertions are found by leaving out one after the other as
long as the answer stays, so each one that is named is needed by the prover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tract_ref.dim import trace
from tract_ref.dim.build import sym
from tract_ref.dim.parse import Assertion
from tract_ref.dim.prove import Prover
from tract_ref.dim.tdim import Dim, combine
from tract_ref.dim.trace import Proof

Known = tuple[Assertion, ...]


def at_least(prover: Prover, question: Dim, bound: int) -> tuple[Proof, ...]:
    """Return the proof of question >= bound, none when nobody records."""
    if not trace.heard():
        return ()

    def enough(known: Known) -> bool:
        low = Prover(known).lower(question)
        return low is not None and low >= bound

    return (Proof(question, ">=", bound, needed(prover.assertions, enough)),)


def between(prover: Prover, question: Dim, low: int, high: int) -> tuple[Proof, ...]:
    """Return the proofs of low <= question <= high."""
    if not trace.heard():
        return ()
    negated = combine(0, question, -1)
    return (*at_least(prover, question, low), *at_least(prover, negated, -high))


def solutions(prover: Prover, symbols: Iterable[str]) -> tuple[Proof, ...]:
    """Return the proofs of the values that equalities give to symbols."""
    found: list[Proof] = []
    for symbol in symbols if trace.heard() else ():
        value = prover.equalities[symbol]

        def enough(known: Known, symbol: str = symbol, value: Dim = value) -> bool:
            return Prover(known).equalities.get(symbol) == value

        known = needed(prover.assertions, enough)
        found.append(Proof(combine(sym(symbol), value, -1), "==", 0, known))
    return tuple(found)


def needed(known: Known, enough: Callable[[Known], bool]) -> Known:
    """Leave out assertions, the last one first, as long as the others are enough."""
    with trace.silent():
        for assertion in reversed(known):
            fewer = tuple(a for a in known if a is not assertion)
            if enough(fewer):
                known = fewer
    return known
