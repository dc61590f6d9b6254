"""Symbolic dimensions: floor values, normal form, proofs, text, bounded work.

The oracle of a value is plain Python arithmetic on the expression as written, or sympy; never
`tract_ref.dim` itself.
"""

from __future__ import annotations

import copy
import itertools
import pickle
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import tract_ref.dim
from tract_ref.dim import (
    Dim,
    Scope,
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
    parse_assertion,
    parse_dim,
    period,
    product,
    slope,
    solve_for,
    substitute,
    sym,
    symbols,
)
from tract_ref.errors import EvalError, Inconclusive, InvalidModel, MalformedFile
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
)


def _nodes(dim: Dim) -> int:
    """Count the atoms and terms of a dimension, each shared atom once."""
    if not isinstance(dim, TDim):
        return 1
    inner = sum(len(p.terms) for a in dim.atoms for p in a.pieces if isinstance(p, TDim))
    return len(dim.terms) + len(dim.atoms) + inner


def _calls(work: Callable[[], object]) -> int:
    """Count the function calls a piece of work makes inside `tract_ref.dim`."""
    folder = str(Path(tract_ref.dim.__file__).parent)
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(folder):  # type: ignore[attr-defined]
            count += 1

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return count


# Values: division is floor.

FLOOR_ROWS: list[tuple[str, Callable[[int], int]]] = [
    ("(5-S)/4", lambda s: (5 - s) // 4),
    ("(4-S)/2", lambda s: (4 - s) // 2),
    ("(7-2*S)/2", lambda s: (7 - 2 * s) // 2),
    ("(10-3*S)/4", lambda s: (10 - 3 * s) // 4),
    ("S/2-S", lambda s: s // 2 - s),
    ("10+S/2-S", lambda s: 10 + s // 2 - s),
    ("(S+1)/2-S", lambda s: (s + 1) // 2 - s),
    ("(S-1)/2", lambda s: (s - 1) // 2),
    ("(S-5)/4", lambda s: (s - 5) // 4),
    ("(1-S)/2", lambda s: (1 - s) // 2),
    ("(-2*S+1)/2", lambda s: (-2 * s + 1) // 2),
    ("(S+1)/2+(1-S)/2", lambda s: (s + 1) // 2 + (1 - s) // 2),
    ("S-S/2", lambda s: s - s // 2),
    ("(S-S/2*2)/2", lambda s: 0),
    ("S/2/3", lambda s: s // 2 // 3),
    ("(S/2+1)/2", lambda s: (s // 2 + 1) // 2),
    ("((S+1)/2+1)/2", lambda s: ((s + 1) // 2 + 1) // 2),
    ("S/2*2", lambda s: s // 2 * 2),
    ("(14*S+6)/8", lambda s: (14 * s + 6) // 8),
    ("S*4611686018427387904*4", lambda s: s * 2**64),
]


@pytest.mark.parametrize(("text", "value"), FLOOR_ROWS, ids=[row[0] for row in FLOOR_ROWS])
def test_division_is_floor_after_rewriting(text: str, value: Callable[[int], int]) -> None:
    dim = parse_dim(text)
    for s in range(-12, 25):
        assert evaluate(dim, {"S": s}) == value(s), f"{text} became {dim}, S={s}"


@pytest.mark.parametrize(
    ("text", "s_values", "expected"),
    [
        ("(5-S)/4", range(6), [1, 1, 0, 0, 0, 0]),
        ("(4-S)/2", range(5), [2, 1, 1, 0, 0]),
        ("(7-2*S)/2", range(4), [3, 2, 1, 0]),
        ("(10-3*S)/4", range(4), [2, 1, 1, 0]),
        ("S/2-S", range(5), [0, -1, -1, -2, -2]),
        ("10+S/2-S", range(5), [10, 9, 9, 8, 8]),
        ("(S+1)/2-S", range(5), [0, 0, -1, -1, -2]),
        ("(S-1)/2", range(4), [-1, 0, 0, 1]),
        ("(S-5)/4", (0, 1, 2, 5), [-2, -1, -1, 0]),
    ],
)
def test_division_table(text: str, s_values: range, expected: list[int]) -> None:
    dim = parse_dim(text)
    assert [evaluate(dim, {"S": s}) for s in s_values] == expected


def test_whole_part_leaves_a_quotient_of_two_symbols() -> None:
    dim = parse_dim("(2*A+B)/2")
    assert dim is parse_dim("A+B/2")
    assert evaluate(dim, {"A": 1, "B": -1}) == 0


# The normal form: equal things are one object.


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


def test_clamp_keeps_its_other_bound() -> None:
    dim = parse_dim("min(1,max(0,X))")
    assert str(dim) == "min(1,max(0,X))"
    assert [evaluate(dim, {"X": x}) for x in (5, 1, 0, -3)] == [1, 1, 0, 0]
    assert Scope().simplify(dim) is dim


@pytest.mark.parametrize(("t", "p", "s", "expected"), [(1, 4, 3, 0), (0, 4, 3, 1), (0, 1, 1, 0)])
def test_difference_of_two_ramps(t: int, p: int, s: int, expected: int) -> None:
    dim = parse_dim("min(1,max(0,(T+1)*P-S)) - min(1,max(0,T*P-S))")
    simple = Scope(["T >= 0", "P >= 1", "S >= P"]).simplify(dim)
    bindings = {"T": t, "P": p, "S": s}
    assert evaluate(dim, bindings) == expected
    if s >= p:
        assert evaluate(simple, bindings) == expected


def test_ramp_values() -> None:
    ramp = dim_min(P, dim_max(0, (T + 1) * P - 4))
    assert [evaluate(ramp, {"T": t, "P": 3}) for t in range(3)] == [0, 2, 3]


# Operators.


def test_reflected_operators_and_numpy_integers() -> None:
    assert 3 - S == -(S - 3)
    assert np.int64(3) + S == S + 3  # type: ignore[operator]
    assert np.int64(3) - S == 3 - S  # type: ignore[operator]
    assert S * np.int32(2) == 2 * S  # type: ignore[operator]
    assert type(evaluate(S + 1, {"S": np.int64(4)})) is int  # type: ignore[dict-item]


@pytest.mark.parametrize("divisor", [0, -1, -3])
def test_divisor_must_be_positive(divisor: int) -> None:
    with pytest.raises(InvalidModel, match=r"a divisor must be a positive integer"):
        S // divisor
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


# Evaluation and substitution.


def test_missing_symbols_are_named() -> None:
    with pytest.raises(Inconclusive, match="symbols P, T not set"):
        evaluate(S + T * P, {"S": 1})


def test_substitution_is_simultaneous() -> None:
    dim = dim_max(0, S - T) + S // 2
    swapped = substitute(dim, {"S": T, "T": S})
    assert swapped == dim_max(0, T - S) + T // 2
    assert substitute(dim, {"X": 3}) is dim
    assert substitute(dim, {"S": 8, "T": 3}) == 9


# Rate and period.


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


# Division and equations.


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


# Text.


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


@pytest.mark.parametrize(
    ("text", "s", "value"),
    [
        ("3*S/2", 3, 3),
        ("S--1", 3, 4),
        ("S-1+2", 3, 4),
        ("S - 1 - 1", 3, 1),
        (" S\t+\n1 ", 3, 4),
        ("floor(S)", 3, 3),
        ("-S/2", 3, -2),
        ("1#S", 3, 3),
    ],
)
def test_parsed_value(text: str, s: int, value: int) -> None:
    assert evaluate(parse_dim(text), {"S": s}) == value


def test_a_slash_before_a_letter_belongs_to_the_name() -> None:
    assert symbols(parse_dim("S/T")) == {"S/T"}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("S / T", 5),
        ("S/-2", 3),
        ("S%2", 2),
        ("2S", 2),
        ("S/2/T", 5),
        ("S+", 3),
        ("max()", 5),
        ("(S", 3),
        ("S/0", 3),
        ("", 1),
    ],
)
def test_malformed_text_has_a_caret(text: str, column: int) -> None:
    with pytest.raises(MalformedFile) as caught:
        parse_dim(text)
    assert caught.value.column == column
    assert str(caught.value).startswith("read: dimension ")
    assert str(caught.value).endswith("\n    " + " " * (column - 1) + "^") or not text


def test_broadcast_of_two_numbers_in_text_is_malformed() -> None:
    with pytest.raises(MalformedFile, match="broadcast of 3 and 4"):
        parse_dim("3#4")


def test_deep_text_is_refused_before_the_stack_ends() -> None:
    with pytest.raises(MalformedFile, match="nested parentheses"):
        parse_dim("(" * 500 + "S" + ")" * 500)


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [("S == 3", 3, 4), ("S<=3", 3, 4), ("S >= 3", 3, 2), ("S<3", 2, 3), ("S > 3", 4, 3)],
)
def test_assertions(text: str, true: int, false: int) -> None:
    assertion = parse_assertion(text)
    assert assertion.holds({"S": true}) is True
    assert assertion.holds({"S": false}) is False
    assert assertion.holds({}) is None
    assert parse_assertion(str(assertion)) == assertion


def test_malformed_assertions() -> None:
    for text in ("S", "S=>1", "S >= ", "S >= 1 2"):
        with pytest.raises(MalformedFile):
            parse_assertion(text)


# Proofs.

PROOF_ROWS = [
    ("S>=0", "min(S,0)", "0"),
    ("S>=0", "max(S,0)", "S"),
    ("S>=0", "min(S,-1)", "-1"),
    ("S>=0", "max(S,-1)", "S"),
    ("S>8", "max(1,-1+(S+1)/4)", "-1+(S+1)/4"),
    ("S>8", "min(1,-1+(S+1)/4)", "1"),
    ("S>50", "min(-3+2*(S+1)/4,-1+(S+1)/4)", "-1+(S+1)/4"),
    ("S>=0;P>=0", "min(0,S#(P+S))", "0"),
    ("S>=0;P>=0", "min(S,S+P)", "S"),
    ("S>=0;P>=0", "max(S,S+P)", "S+P"),
    ("S>0;P>0", "S#min(S,P)", "S"),
    ("S<=4", "min(S,4)", "S"),
    ("S<=4", "max(S,4)", "4"),
    ("S<=4", "min(S,5)", "S"),
    ("P>=0;S>=0;P+S<4096", "max(0,4096-P)", "4096-P"),
    ("P>=0;S>=0;P+S<4096", "max(0,4095-P)", "4095-P"),
    ("P>=0;S>=0;P+S<4096", "max(0,4094-P)", "max(0,4094-P)"),
    ("P>=0;S>=0;P+S<4096", "min(4096,P+S)", "S+P"),
    ("S==3", "S+1", "4"),
    ("S==3", "2*S", "6"),
    ("S==T+1", "S-T", "1"),
    ("S>=2", "max(0,S-2)", "S-2"),
    ("S>=0;T>=0", "max(0,1+max(0,S-5))", "max(1,S-4)"),
    ("S>=0;T>=0", "max(0,S*T)", "S*T"),
    ("S>=0;T>=0", "max(0,S-S/2)", "S-S/2"),
    ("S>=0;T>=0", "max(0,S-2*(S/2))", "S-2*(S/2)"),
    ("H>=0;H<=4", "min(4,H)", "H"),
    ("H>=0;H<=4", "max(0,H)", "H"),
    ("H>=0;H<=4", "max(5,H)", "5"),
    ("H>=0;H<=4", "max(0,min(1,H))", "min(H,1)"),
    ("S>=P", "min(S,P)", "P"),
    ("S>=0", "(S>=0)", "1"),
    ("S>=0", "(S==-1)", "0"),
    ("min(S,T)>=2", "max(1,T)", "T"),
    ("2*S>=5", "max(3,S)", "S"),
    ("", "max(0,S)", "max(0,S)"),
    ("S>=0", "S#min(S,P)", "S#min(S,P)"),
    ("S>=0;P>=0", "S#min(S,P)", "S#min(S,P)"),
]


@pytest.mark.parametrize(("known", "text", "expected"), PROOF_ROWS)
def test_simplify_under_assertions(known: str, text: str, expected: str) -> None:
    scope = Scope(part for part in known.split(";") if part)
    assert scope.simplify(parse_dim(text)) == parse_dim(expected)


def test_bounds() -> None:
    scope = Scope(["S >= 2", "S <= 9", "T >= 1"])
    assert scope.bounds(S) == (2, 9)
    assert scope.bounds(7) == (7, 7)
    assert scope.bounds(2 * S - 3) == (1, 15)
    assert scope.bounds(S // 4) == (0, 2)
    assert scope.bounds(T * S) == (2, None)
    assert scope.bounds(P) == (None, None)
    # The bound of max needs all its pieces; tract once skipped the unknown one.
    assert scope.bounds(dim_max(0, P)) == (0, None)
    assert scope.bounds(dim_min(0, P)) == (None, 0)
    # A size that may be 1 stretches; one that is 2 or more is the result.
    assert scope.bounds(broadcast(S, P)) == (2, 9)
    assert Scope(["S >= 1", "S <= 9"]).bounds(broadcast(S, P)) == (None, None)


def test_proves_has_three_answers() -> None:
    scope = Scope(["S >= T + 2"])
    assert scope.proves_ge(S, T) is True
    assert scope.proves_ge(T, S) is False
    assert scope.proves_ge(S, P) is None
    assert scope.proves_positive(S - T) is True
    assert scope.proves_positive(T - S) is False
    assert scope.proves_positive(S) is None


def test_equality_has_three_answers() -> None:
    scope = Scope(["S >= 3"])
    assert scope.decide_equal(S + T, T + S) is True
    assert scope.decide_equal(S, S + 1) is False
    assert scope.decide_equal(2 * T, 3) is False
    assert scope.decide_equal(S, 2) is False
    assert scope.decide_equal(S, 3) is None
    assert scope.decide_equal(S, T) is None
    assert Scope(["S == T"]).decide_equal(S, T) is True
    assert Scope(["S <= T", "T <= S"]).decide_equal(S, T) is True
    assert scope.decide_equal(4, 4) is True


def test_scope_is_a_value() -> None:
    empty = Scope()
    known = empty.asserting("S >= 2")
    assert empty.assertions == ()
    assert known == Scope(["S >= 2"])
    assert hash(known) == hash(Scope([parse_assertion("S >= 2")]))
    assert known.asserting("S >= 2") is known
    assert known.symbols == {"S"}
    assert pickle.loads(pickle.dumps(known)) == known


def test_scope_holds_and_smallest() -> None:
    scope = Scope(["S >= 2", "2*T > 5", "S <= P"])
    assert scope.holds({"S": 2, "T": 3, "P": 4}) is True
    assert scope.holds({"S": 2}) is None
    assert scope.holds({"S": 1}) is False
    assert [scope.smallest(name) for name in ("S", "T", "P", "X")] == [2, 3, 0, 0]
    assert Scope(["S == 7"]).smallest("S") == 7


def test_scope_substitution_keeps_what_became_false() -> None:
    scope = Scope(["S >= 2", "T >= S"])
    assert scope.substitute({"S": 5}) == Scope(["T >= 5"])
    assert scope.substitute({"S": 1}).holds({"T": 9}) is False


# Random expressions.


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
    equal = scope.decide_equal(written.dim, 3)
    for bindings in WIDE:
        if scope.holds(bindings):
            value = written.raw(bindings)
            assert evaluate(simple, bindings) == value
            assert low is None or low <= value
            assert high is None or value <= high
            assert equal is None or equal == (value == 3)


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


# sympy as another road: its own floor, Max and Min on the same text.


@given(written=tdims(comparisons=False, max_leaves=5))
def test_sympy_agrees(written: Written) -> None:
    names = {name: sympy.Symbol(name, integer=True) for name in NAMES}
    text = written.text.replace("max(", "Max(").replace("min(", "Min(")
    expression = _sympy_of(text, names)
    for bindings in GRID[::17]:
        expected = expression.subs({names[name]: v for name, v in bindings.items()})
        assert sympy.Integer(evaluate(written.dim, bindings)) == expected


class _Floored:
    """A sympy expression whose `/` is floor, so that Python reads the written text."""

    def __init__(self, expression: sympy.Expr) -> None:
        self.expression = expression

    def __add__(self, other: object) -> _Floored:
        return _Floored(self.expression + _plain(other))

    def __sub__(self, other: object) -> _Floored:
        return _Floored(self.expression - _plain(other))

    def __mul__(self, other: object) -> _Floored:
        return _Floored(self.expression * _plain(other))

    def __truediv__(self, other: object) -> _Floored:
        return _Floored(sympy.floor(self.expression / _plain(other)))

    def __neg__(self) -> _Floored:
        return _Floored(-self.expression)


def _plain(value: object) -> sympy.Expr:
    return value.expression if isinstance(value, _Floored) else sympy.Integer(value)


def _sympy_of(text: str, names: dict[str, sympy.Symbol]) -> sympy.Expr:
    scope: dict[str, object] = {name: _Floored(s) for name, s in names.items()}
    scope["N"] = lambda n: _Floored(sympy.Integer(n))
    scope["Max"] = lambda a, b: _Floored(sympy.Max(_plain(a), _plain(b)))
    scope["Min"] = lambda a, b: _Floored(sympy.Min(_plain(a), _plain(b)))
    # Wrap numbers, because Python's own 7/2 is a float.
    tokens = ["N(" + t + ")" if t.isdigit() else t for t in _split(text)]
    return _plain(eval("".join(tokens), {"__builtins__": {}}, scope))


def _split(text: str) -> list[str]:
    parts: list[str] = []
    for letter in text:
        if parts and letter.isdigit() and parts[-1].isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


# Bounded work, counted in calls and nodes.


def test_a_thousand_windows_keep_their_size() -> None:
    def chain(layers: int) -> Dim:
        length: Dim = S
        for i in range(layers):
            before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
            length = dim_max(0, (length + before - field) // stride + 1)
            assert _nodes(length) <= 8, f"layer {i}: {length}"
        return length

    short, long = _calls(lambda: chain(100)), _calls(lambda: chain(1000))
    assert long <= 12 * short
    length = chain(1000)
    for s in (0, 5, 10**4, 10**9):
        expected = s
        for i in range(1000):
            before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
            expected = max(0, (expected + before - field) // stride + 1)
        assert evaluate(length, {"S": s}) == expected


def _nested_windows(depth: int) -> tuple[Scope, Dim]:
    names = [f"H{i}" for i in range(depth)]
    scope = Scope(["S>=0", *(f"{n}>=0" for n in names), *(f"{n}<=2" for n in names)])
    dim: Dim = S
    for name in names:
        dim = dim_max(0, dim + sym(name) - 2)
    return scope, dim


def _nested_ramps(depth: int) -> tuple[Scope, Dim]:
    dim: Dim = P
    for i in range(1, depth + 1):
        dim = dim_max(0, dim + dim_min(T * P, 2 * i) - 2 * i)
    return Scope(["P>=1", "T>=0"]), dim


@pytest.mark.parametrize("family", [_nested_windows, _nested_ramps])
def test_nested_clamps_take_bounded_work(family: Callable[[int], tuple[Scope, Dim]]) -> None:
    def work(depth: int) -> int:
        def run() -> None:
            scope, dim = family(depth)
            scope.simplify(dim)

        return _calls(run)

    shallow, deep = work(8), work(64)
    # Eight times the depth, at most cubic growth; tract's growth is 4-fold per level.
    assert deep <= 8**3 * shallow
    scope, dim = family(64)
    scope.simplify(dim)
    assert scope.steps <= 64 * 1000
    assert _nodes(dim) <= 64 * 64 * 3


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    _, dim = _nested_ramps(400)
    assert evaluate(dim, {"T": 3, "P": 4}) == 0
    assert substitute(dim, {"T": 3, "P": 4}) == 0
    assert len(str(dim)) < 400 * 60
    assert Scope(["P>=1", "T>=0"]).bounds(dim)[0] == 0


def test_round_trip_of_nested_clamps() -> None:
    for family in (_nested_windows, _nested_ramps):
        dim = family(24)[1]
        assert parse_dim(str(dim)) is dim
