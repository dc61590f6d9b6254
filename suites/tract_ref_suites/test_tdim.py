"""Symbolic dimensions: floor values, normal form, questions.

The oracle of a value is plain Python arithmetic on the expression as written, never
`tract_ref.dim` itself.
"""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest

from tract_ref.dim import (
    Dim,
    TDim,
    broadcast,
    ceil_div,
    dim_max,
    dim_min,
    eq,
    evaluate,
    ge,
    is_concrete,
    maybe_div,
    parse_dim,
    period,
    product,
    slope,
    solve_for,
    substitute,
    sym,
    symbols,
)
from tract_ref.errors import EvalError, Inconclusive, InvalidModel

S, T, P = sym("S"), sym("T"), sym("P")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("(S-2)/2", "S/2-1"),
        ("(S-2*(S/2))/2", "0"),
        ("S/2+1", "(S+2)/2"),
        ("(4*S+8)/4", "S+2"),
        ("(14*S+6)/8", "(7*S+3)/4"),
        ("(S/2+1)/2", "(S+2)/4"),
        ("((S+1)/2+1)/2", "(S+3)/4"),
        ("(S/2+T)/3", "(S+2*T)/6"),
        ("(T+1)*P-T*P", "P"),
        ("(S+1)*(S+1)-S*S-2*S-1", "0"),
        ("8*(-1*B)", "-8*B"),
        ("min(S+3,S+2)", "S+2"),
        ("max(S+3,S+2)", "S+3"),
        ("min(S,min(T,P))", "min(T,S,P)"),
        ("max(0,S-2)-2", "max(-2,S-4)"),
        ("max(0,max(0,S-2)-2)", "max(0,S-4)"),
        ("max(0,S-2)/2", "max(0,S/2-1)"),
        ("3*max(0,S-2)", "max(0,3*S-6)"),
        ("-max(0,S-2)", "min(0,2-S)"),
        ("S-max(0,S-4)", "min(4,S)"),
        ("max(S,4)+min(S,4)", "S+4"),
        ("min(0,max(0,S-5))", "0"),
        ("min(1,max(0,S))-min(1,max(0,S))", "0"),
        ("max(0,S)+max(0,T)-max(0,T)", "max(0,S)"),
        ("S#S#1", "S"),
        ("S#(T#S)", "T#S"),
        ("(S>=2)*(S>=2)", "(S>=2)"),
        ("(2*S>=3)", "(S>=2)"),
        ("(S==T)", "(T==S)"),
        ("(2*S==3)", "0"),
    ],
)
def test_normal_form(left: str, right: str) -> None:
    assert parse_dim(left) == parse_dim(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("S/2*2", "S"), ("S", "T"), ("max(0,S)", "S"), ("(S+1)/2", "S/2"), ("S#T", "max(S,T)")],
)
def test_different_dimensions_stay_different(left: str, right: str) -> None:
    assert parse_dim(left) != parse_dim(right)


def test_constant_results_are_plain_integers() -> None:
    results = [S - S, S * 0, (S - 2 * (S // 2)) // 2, dim_max(3, 5), broadcast(1, 7), ge(S + 1, S)]
    assert results == [0, 0, 0, 5, 7, 1]
    assert all(type(r) is int for r in results)
    assert is_concrete(results[0])
    assert not is_concrete(S)


def test_reflected_operators_and_numpy_integers() -> None:
    assert 3 - S == -(S - 3)
    assert np.int64(3) + S == S + 3  # type: ignore[operator]
    assert np.int64(3) - S == 3 - S  # type: ignore[operator]
    assert S * np.int32(2) == 2 * S  # type: ignore[operator]
    assert type(evaluate(S + 1, {"S": np.int64(4)})) is int  # type: ignore[dict-item]


@pytest.mark.parametrize("divisor", [0, -1, -3])
def test_divisor_must_be_positive(divisor: int) -> None:
    with pytest.raises(InvalidModel, match=r"a divisor must be a positive integer"):
        _ = S // divisor
    with pytest.raises(InvalidModel, match=r"a divisor must be a positive integer"):
        ceil_div(S, divisor)


def test_division_by_a_symbol_is_refused() -> None:
    with pytest.raises(InvalidModel, match=r"a divisor must be a positive integer"):
        S // T  # type: ignore[operator]


def test_a_dimension_has_no_truth_and_no_order() -> None:
    with pytest.raises(TypeError, match="the truth of S is not known"):
        bool(S)
    with pytest.raises(TypeError):
        sorted([S, T])  # type: ignore[type-var]


def test_copies_and_pickles_are_the_same_object() -> None:
    dim = dim_max(0, (S - 3) // 2 + T) * P
    assert isinstance(dim, TDim)
    assert copy.copy(dim) is dim
    assert copy.deepcopy([dim])[0] is dim
    assert pickle.loads(pickle.dumps(dim)) is dim


def test_empty_min_and_max_are_refused() -> None:
    for empty in (dim_min, dim_max):
        with pytest.raises(InvalidModel, match="needs at least one dimension"):
            empty()


def test_broadcast_of_unequal_numbers_is_invalid() -> None:
    with pytest.raises(InvalidModel, match="broadcast of 14 and 15"):
        broadcast(S, 14, 15)
    kept = broadcast(P, P + 1)
    assert evaluate(kept, {"P": 0}) == 0
    with pytest.raises(EvalError, match="4 and 5 must be equal or 1"):
        evaluate(kept, {"P": 4})
    with pytest.raises(InvalidModel):
        substitute(kept, {"P": 4})


def test_product_and_symbols() -> None:
    assert product([]) == 1
    assert product([2, S, T + 1]) == 2 * S * T + 2 * S
    assert symbols(product([2, S, dim_max(0, T)])) == {"S", "T"}
    assert symbols(7) == frozenset()


def test_symbol_names_are_identifiers() -> None:
    assert str(sym("audio.len/T")) == "audio.len/T"
    assert str(sym("\U0001f3af0") + 1) == "\U0001f3af0+1"
    for name in ("", "2S", "a b", "a+b"):
        with pytest.raises(InvalidModel, match="is not an identifier"):
            sym(name)


def test_missing_symbols_are_named() -> None:
    with pytest.raises(Inconclusive, match="symbols P, T not set"):
        evaluate(S + T * P, {"S": 1})


def test_substitution_is_simultaneous() -> None:
    dim = dim_max(0, S - T) + S // 2
    swapped = substitute(dim, {"S": T, "T": S})
    assert swapped == dim_max(0, T - S) + T // 2
    assert substitute(dim, {"X": 3}) is dim
    assert substitute(dim, {"S": 8, "T": 3}) == 9


@pytest.mark.parametrize(
    ("text", "symbol", "rate"),
    [
        ("12", "a", Fraction(0)),
        ("a", "a", Fraction(1)),
        ("2*a", "a", Fraction(2)),
        ("2*a+a/2", "a", Fraction(5, 2)),
        ("a", "b", Fraction(0)),
        ("max(0,S-2)", "S", Fraction(1)),
        ("max(S,2*S-9,T)", "S", Fraction(2)),
        ("min(S,T)", "S", Fraction(0)),
        ("min(S,2*S)", "S", Fraction(1)),
        ("(2*S)/3", "S", Fraction(2, 3)),
        ("S-2*(S/2)", "S", Fraction(0)),
        ("S+(S>=3)", "S", Fraction(1)),
        ("S#S", "S", Fraction(1)),
    ],
)
def test_slope(text: str, symbol: str, rate: Fraction) -> None:
    assert slope(parse_dim(text), symbol) == rate


@pytest.mark.parametrize("text", ["S*S", "S*T", "S#T", "max(0,S*T)", "(S*S)/2"])
def test_slope_of_what_has_none_is_inconclusive(text: str) -> None:
    with pytest.raises(Inconclusive):
        slope(parse_dim(text), "S")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("S", 1), ("7", 1), ("S/2", 2), ("(3*S)/4", 4), ("(2*S)/4", 2), ("S/2+S/3", 6),
     ("(S/2+S)/3", 2), ("max(0,(S+1)/4)", 4), ("(S/2+S/3)/2", 12)],
)  # fmt: skip
def test_period(text: str, expected: int) -> None:
    dim = parse_dim(text)
    assert period(dim, "S") == expected
    rate = slope(dim, "S")
    for n in range(40, 70):
        step = evaluate(dim, {"S": n + expected}) - evaluate(dim, {"S": n})
        assert step == rate * expected


@pytest.mark.parametrize(
    ("left", "right", "quotient", "divisor"),
    [
        ("12*S", "4*S", "3", 1),
        ("13*S", "4*S", "13", 4),
        ("80*S-160", "S-2", "80", 1),
        ("256*S*b", "S*b", "256", 1),
        ("8*slice*((T+7)/8)+8*((T+7)/8)", "8*((T+7)/8)", "slice+1", 1),
        ("12", "8", "3", 2),
        ("S*S-T*T", "S-T", "S+T", 1),
        ("6*S", "-4", "-3*S", 2),
        ("0", "S", "0", 1),
    ],
)
def test_maybe_div(left: str, right: str, quotient: str, divisor: int) -> None:
    assert maybe_div(parse_dim(left), parse_dim(right)) == (parse_dim(quotient), divisor)


@pytest.mark.parametrize(("left", "right"), [("S+1", "4*S"), ("3", "S"), ("S", "T"), ("S", "S+1")])
def test_maybe_div_without_common_factor_is_inconclusive(left: str, right: str) -> None:
    with pytest.raises(Inconclusive, match="is not known to be a multiple of"):
        maybe_div(parse_dim(left), parse_dim(right))


def test_maybe_div_by_zero() -> None:
    with pytest.raises(EvalError, match="division by zero"):
        maybe_div(S, 0)


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        ("a", "3", 3),
        ("a+3", "0", -3),
        ("3*a+1", "7", 2),
        ("3*a+1", "2*a", -1),
        ("a/4", "2", None),
        ("a*a", "4", None),
        ("a*b", "4", None),
        ("2*a", "7", None),
        ("2*a", "2*b+4", "b+2"),
        ("7-a", "b", "7-b"),
        ("a+1", "b", "b-1"),
        ("b", "4", None),
    ],
)
def test_solve_for(left: str, right: str, value: int | str | None) -> None:
    expected = parse_dim(value) if isinstance(value, str) else value
    assert solve_for("a", parse_dim(left), parse_dim(right)) == expected


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (S - 1, "S+-1"),
        (1 - S, "1+-1*S"),
        (2 * (3 + 7 * S), "6+14*S"),
        ((S + 1) // 2, "(S+1)/2"),
        (S * T, "(S)*(T)"),
        (dim_max(0, S - 2), "max(0,S+-2)"),
        (dim_min(4, S), "min(4,S)"),
        (broadcast(S, T), "broadcast((S), (T))"),
        (broadcast(14 * S + 6, T), "broadcast((6+14*S), (T))"),
        (ge(S, T), "(S>=T)"),
        (eq(S, 3), "(S==3)"),
        (S // 2 - S, "-1*S+(S)/2"),
    ],
)
def test_printed_text(dim: Dim, text: str) -> None:
    assert str(dim) == text
    assert parse_dim(text) is dim
