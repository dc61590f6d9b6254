"""What the simplifier cannot do yet, written down so that the day it can is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from tract_ref.dim import Scope, evaluate, parse_dim
from tract_ref_suites.dims_text import NoValueError, holds, names_of, value_of


def expect(text: str, *, best: str, current: str, known: Iterable[str] = ()) -> None:
    """Assert that a dimension simplifies to `current`, though `best` is equal and better.

    Args:
        text: the dimension as written.
        best: the form that it should have.
        current: the form that it has, as it is printed.
        known: the assertions.

    Raises:
        AssertionError: the forms differ in value somewhere, or the simplifier gives another form;
            when it gives `best` the record has had its time.
    """
    assertions = list(known)
    simple = Scope(assertions).simplify(parse_dim(text))
    assert simple != parse_dim(best), f"{text} is {best} now: delete the record"
    assert str(simple) == current, f"{text} is {simple}, neither {current} nor {best}"
    points = 0
    for bindings in integers_where(assertions, names_of(f"({text})+({best})")):
        try:
            value = value_of(text, bindings)
        except NoValueError:
            continue
        points += 1
        assert value_of(best, bindings) == value, f"{text} is not {best} at {bindings}"
        assert evaluate(simple, bindings) == value, f"{text} is not {current} at {bindings}"
    assert points > 1, f"{assertions} hold nowhere"


def integers_where(assertions: Iterable[str], names: Iterable[str]) -> Iterator[dict[str, int]]:
    """Yield integers at which the assertions hold, for these names and those of the assertions."""
    known = list(assertions)
    wanted = sorted({*names, *(name for text in known for name in names_of(text))})
    spread = range(-12, 25) if len(wanted) < 3 else range(-3, 9)
    for values in itertools.product(spread, repeat=len(wanted)):
        bindings = dict(zip(wanted, values, strict=True))
        if all(holds(text, bindings) for text in known):
            yield bindings
