"""Symbolic dimensions against sympy, an independent road to values, signs and expanded forms."""

from __future__ import annotations

import itertools

import pytest
import sympy
from hypothesis import given

from tract_ref.dim import Scope, broadcast, evaluate, parse_dim, sym
from tract_ref_suites.strategies.dims import NAMES, Written, tdims
from tract_ref_suites.sympy_dims import (
    NotExpressedError,
    from_sympy,
    symbol,
    text_to_sympy,
    to_sympy,
    value_by_sympy,
)

FEW = [dict(zip(NAMES, values, strict=True)) for values in ((-3, 7, 4), (5, 0, -1), (8, 3, 2))]
GRID = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product((-7, -2, 0, 1, 3, 6), repeat=3)
]
NONNEGATIVE = [point for point in GRID if min(point.values()) >= 0]


@given(written=tdims(comparisons=False))
def test_through_sympy_and_back_is_the_same_dimension(written: Written) -> None:
    assert from_sympy(to_sympy(written.dim, natural=False)) == written.dim


@given(written=tdims())
def test_what_sympy_makes_of_it_has_the_same_values(written: Written) -> None:
    back = from_sympy(to_sympy(written.dim))
    for bindings in GRID:
        assert evaluate(back, bindings) == written.raw(bindings), bindings


@given(written=tdims())
def test_sympy_reads_the_text_as_we_do(written: Written) -> None:
    as_read = text_to_sympy(written.text)
    as_printed = text_to_sympy(str(written.dim))
    for bindings in FEW:
        expected = evaluate(written.dim, bindings)
        assert value_by_sympy(as_read, bindings) == expected, bindings
        assert value_by_sympy(as_printed, bindings) == expected, bindings


@given(written=tdims(comparisons=False, clamps=False, quotients=False))
def test_polynomials_are_expanded_as_by_sympy(written: Written) -> None:
    expanded = sympy.expand(text_to_sympy(written.text))
    assert sympy.expand(to_sympy(written.dim) - expanded) == 0
    assert from_sympy(expanded) == written.dim


@given(
    left=tdims(clamps=False, quotients=False, comparisons=False, max_leaves=5),
    right=tdims(clamps=False, quotients=False, comparisons=False, max_leaves=5),
)
def test_polynomials_are_one_dimension_exactly_when_sympy_says_so(
    left: Written, right: Written
) -> None:
    is_zero = sympy.expand(text_to_sympy(left.text) - text_to_sympy(right.text)) == 0
    assert is_zero == (left.dim == right.dim)


@given(written=tdims())
def test_signs_proved_here_are_not_denied_by_sympy(written: Written) -> None:
    scope = Scope([f"{name}>=0" for name in NAMES])
    simple = scope.simplify(written.dim)
    ours = scope.proves_ge(written.dim, 0)
    expression = to_sympy(simple, nonnegative=NAMES)
    theirs = expression.is_nonnegative
    assert ours is None or theirs is None or ours == theirs, f"{written.dim}: {simple}"
    back = from_sympy(expression)
    for bindings in NONNEGATIVE:
        assert evaluate(back, bindings) == written.raw(bindings), bindings


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("7", sympy.Integer(7)),
        ("S-3", symbol("S") - 3),
        ("S*S*T", symbol("S") ** 2 * symbol("T")),
        ("(S+1)/2", sympy.floor((symbol("S") + 1) / 2)),
        ("(S+T/3)/2", sympy.floor((symbol("S") + sympy.floor(symbol("T") / 3)) / 2)),
        ("max(S,T,4)", sympy.Max(symbol("S"), symbol("T"), 4)),
        ("min(S,T,4)", sympy.Min(symbol("S"), symbol("T"), 4)),
        ("(S>=T)", sympy.Piecewise((1, symbol("S") >= symbol("T")), (0, True))),
        ("(S>=T+1)", sympy.Piecewise((1, symbol("S") > symbol("T")), (0, True))),
        ("(T>=S)", sympy.Piecewise((1, symbol("S") <= symbol("T")), (0, True))),
        ("(T>=S+1)", sympy.Piecewise((1, symbol("S") < symbol("T")), (0, True))),
        ("(S==T)", sympy.Piecewise((1, sympy.Eq(symbol("S"), symbol("T"))), (0, True))),
        ("1-(S==T)", sympy.Piecewise((1, sympy.Ne(symbol("S"), symbol("T"))), (0, True))),
        ("(S>=3)*(T>=3)",
         sympy.Piecewise((1, (symbol("S") >= 3) & (symbol("T") >= 3)), (0, True))),
        ("1-(1-(S>=3))*(1-(T>=3))",
         sympy.Piecewise((1, (symbol("S") >= 3) | (symbol("T") >= 3)), (0, True))),
        ("5*(S>=3)+2*(1-(S>=3))", sympy.Piecewise((5, symbol("S") >= 3), (2, True))),
    ],
)  # fmt: skip
def test_each_kind_of_sympy_is_read(text: str, expression: sympy.Expr) -> None:
    assert from_sympy(expression) == parse_dim(text)
    for bindings in ({"S": 3, "T": 3}, {"S": 2, "T": 9}, {"S": 5, "T": -4}):
        assert value_by_sympy(expression, bindings) == evaluate(parse_dim(text), bindings)


def test_a_condition_that_sympy_rewrites_without_an_end_has_its_value() -> None:
    text = "(min(0-4,S)-((T+4)/5)*P>=min((((T+5)/6)+3)/4,0-4))"
    assert value_by_sympy(text_to_sympy(text), {"S": -3, "T": 7, "P": 4}) == 0
    assert value_by_sympy(text_to_sympy(text), {"S": 9, "T": 7, "P": 0}) == 1


def test_one_symbol_with_and_without_a_sign_is_one_dimension() -> None:
    assert from_sympy(symbol("S", nonnegative=True)) is from_sympy(symbol("S")) is sym("S")


def test_sympy_knows_the_sign_that_it_is_told() -> None:
    assert to_sympy(sym("S") + 1, nonnegative=["S"]).is_positive is True
    assert to_sympy(sym("S") + 1).is_positive is None


@pytest.mark.parametrize(
    "expression",
    [symbol("S") / 2, sympy.sqrt(symbol("S")), 2 ** symbol("S"), sympy.sin(symbol("S"))],
    ids=str,
)
def test_what_no_dimension_says_is_refused(expression: sympy.Expr) -> None:
    with pytest.raises(NotExpressedError):
        from_sympy(expression)


def test_a_broadcast_is_refused() -> None:
    with pytest.raises(NotExpressedError, match="sympy has no broadcast"):
        to_sympy(broadcast(sym("S"), sym("T")))
    with pytest.raises(NotExpressedError, match="sympy has no broadcast"):
        text_to_sympy("broadcast(S,T)")
