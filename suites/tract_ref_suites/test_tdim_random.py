"""Symbolic dimensions at random, on grids of integers.

The oracle of a value is plain Python arithmetic on the expression as written.
"""

from __future__ import annotations

import contextlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from tract_ref.dim import (
    Scope,
    dim_max,
    evaluate,
    maybe_div,
    parse_assertion,
    parse_dim,
    period,
    slope,
    substitute,
    sym,
)
from tract_ref.dim.prove import Prover
from tract_ref.errors import Inconclusive, InvalidModel
from tract_ref_suites.dims_text import NoValueError, value_of
from tract_ref_suites.strategies.dims import NAMES, Written, tdims

S, T, P = sym("S"), sym("T"), sym("P")


GRID: list[dict[str, int]] = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product((-3, -1, 0, 1, 2, 5, 8), (-2, 0, 1, 7), (-1, 1, 4))
]


WIDE: list[dict[str, int]] = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product(range(-3, 9, 2), range(-4, 9, 3), range(-2, 7, 2))
]


ASSERTIONS = (
    "S >= 0",
    "S <= 7",
    "S < T",
    "T >= 1",
    "P == 2",
    "S == T + 1",
    "2*S <= T + P",
    "S + T <= 9",
    "max(S,T) >= 3",
    "min(S,P) >= 1",
    "S*T >= P",
    "S/2 >= P",
    "S >= -2",
    "S <= 0",
    "T >= -3",
    "T <= 3",
)


@given(written=tdims())
def test_normal_form_keeps_the_value(written: Written) -> None:
    for bindings in GRID:
        assert evaluate(written.dim, bindings) == written.raw(bindings), bindings


@given(written=tdims())
def test_text_round_trip(written: Written) -> None:
    assert parse_dim(str(written.dim)) == written.dim
    assert parse_dim(written.text) == written.dim


@given(written=tdims(), other=tdims(max_leaves=4))
def test_substitution_keeps_the_value(written: Written, other: Written) -> None:
    replaced = substitute(written.dim, {"S": other.dim})
    for bindings in GRID[::3]:
        inner = {**bindings, "S": other.raw(bindings)}
        assert evaluate(replaced, bindings) == written.raw(inner), bindings


@given(left=tdims(max_leaves=5), right=tdims(max_leaves=5))
def test_sums_and_products_are_canonical(left: Written, right: Written) -> None:
    a, b = left.dim, right.dim
    assert a + b - b == a
    assert a * b == b * a
    assert a - b == -(b - a)
    assert dim_max(a, b) == dim_max(b, a)
    assert dim_max(a, b, a) == dim_max(a, dim_max(a, b))
    assert (7 * a) // 7 == a


@given(written=tdims(), known=st.lists(st.sampled_from(ASSERTIONS), max_size=4, unique=True))
def test_scope_answers_are_true(written: Written, known: list[str]) -> None:
    scope = Scope(known)
    simple = scope.simplify(written.dim)
    low, high = scope.bounds(written.dim)
    assert low is None or high is None or low <= high
    equal = scope.decide_equal(written.dim, 3)
    for bindings in WIDE:
        if scope.holds(bindings):
            assert not scope.is_contradictory
            value = written.raw(bindings)
            assert evaluate(simple, bindings) == value
            assert low is None or low <= value
            assert high is None or value <= high
            assert equal is None or equal == (value == 3)


@given(written=tdims(), known=st.lists(st.sampled_from(ASSERTIONS), max_size=4, unique=True))
def test_no_point_denies_what_is_proved(written: Written, known: list[str]) -> None:
    prover = Prover(parse_assertion(text) for text in known)
    low, high = prover.lower(written.dim), prover.upper(written.dim)
    if low is not None and high is not None and low > high:
        # The assertions exclude each other; anything follows.
        return
    if low is not None:
        assert prover.never_negative(written.dim - low)
        assert prover.decide_nonnegative(written.dim - low) is True
        assert not prover.points.is_negative(written.dim - low)
    if high is not None:
        assert prover.decide_nonnegative(written.dim - high - 1) is False
    if low is not None and low == high:
        assert not prover.points.varies(written.dim)


@given(low=st.integers(-2, 0), width=st.integers(1, 3), shift=st.integers(-3, 3))
def test_a_comparison_of_a_bounded_symbol_keeps_its_value(low: int, width: int, shift: int) -> None:
    scope = Scope([f"S >= {low - shift}", f"S <= {low + width - shift}"])
    for text, relation in (("(S+{}>=0)", int.__ge__), ("(S+{}==0)", int.__eq__)):
        simple = scope.simplify(parse_dim(text.format(shift)))
        for value in range(low, low + width + 1):
            assert evaluate(simple, {"S": value - shift}) == int(relation(value, 0)), value


@given(box=st.tuples(*[st.integers(-3, 3)] * 2), widths=st.tuples(*[st.integers(0, 4)] * 2))
def test_the_bounds_of_a_product_are_reached(box: tuple[int, int], widths: tuple[int, int]) -> None:
    (s, t), (wide, tall) = box, widths
    scope = Scope([f"S >= {s}", f"S <= {s + wide}", f"T >= {t}", f"T <= {t + tall}"])
    values = [a * b for a in range(s, s + wide + 1) for b in range(t, t + tall + 1)]
    assert scope.bounds(S * T) == (min(values), max(values))


@given(written=tdims(comparisons=False, names=("S",)))
def test_rate_and_period_describe_large_values(written: Written) -> None:
    try:
        rate, step = slope(written.dim, "S"), period(written.dim, "S")
    except Inconclusive:
        return
    start = 10**9
    for s in range(start, start + 3):
        moved = written.raw({"S": s + step}) - written.raw({"S": s})
        assert moved == rate * step


@given(left=tdims(max_leaves=5, comparisons=False), right=tdims(max_leaves=4, comparisons=False))
def test_a_product_divides_back(left: Written, right: Written) -> None:
    if right.dim == 0:
        return
    quotient, divisor = maybe_div(left.dim * right.dim, right.dim)
    assert quotient == left.dim * divisor


def _defined(written: Written) -> list[tuple[dict[str, int], int]]:
    """Return the points at which every broadcast is defined, with the value there."""
    found: list[tuple[dict[str, int], int]] = []
    for bindings in WIDE:
        with contextlib.suppress(NoValueError):
            found.append((bindings, written.raw(bindings)))
    return found


@given(written=tdims(broadcasts=True, comparisons=False))
def test_broadcasts_keep_the_value_where_they_are_defined(written: Written) -> None:
    for bindings, value in _defined(written):
        assert evaluate(written.dim, bindings) == value
        assert value_of(written.text, bindings) == value


@given(
    written=tdims(broadcasts=True, comparisons=False),
    known=st.lists(st.sampled_from(ASSERTIONS), max_size=3, unique=True),
)
def test_broadcasts_keep_the_value_under_assertions(written: Written, known: list[str]) -> None:
    scope = Scope(known)
    points = [(bindings, value) for bindings, value in _defined(written) if scope.holds(bindings)]
    try:
        simple = scope.simplify(written.dim)
        low, high = scope.bounds(written.dim)
    except InvalidModel:
        # The assertions leave no size that the broadcast could take.
        assert not points
        return
    for bindings, value in points:
        assert evaluate(simple, bindings) == value
        assert low is None or low <= value
        assert high is None or value <= high


@given(written=tdims(broadcasts=True))
def test_text_with_broadcasts_round_trips(written: Written) -> None:
    assert parse_dim(str(written.dim)) == written.dim
    assert parse_dim(written.text) == written.dim
