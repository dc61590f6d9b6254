"""Symbolic dimensions under assertions: proofs, bounds, scopes."""

from __future__ import annotations

import pickle

import pytest

from tract_ref.dim import (
    Scope,
    broadcast,
    dim_max,
    dim_min,
    parse_assertion,
    parse_dim,
    sym,
)
from tract_ref.dim.prove import Prover

S, T, P = sym("S"), sym("T"), sym("P")


PROOF_ROWS = [
    ("S==T+1", "S-T", "1"),
    ("S>=2", "max(0,S-2)", "S-2"),
    ("S>=0", "(S>=0)", "1"),
    ("S>=0", "(S==-1)", "0"),
    ("min(S,T)>=2", "max(1,T)", "T"),
    ("2*S>=5", "max(3,S)", "S"),
    ("", "max(0,S)", "max(0,S)"),
    ("S>=0", "S#min(S,P)", "S#min(S,P)"),
    ("S>=-1;S<=0", "(S>=0)", "S+1"),
    ("S>=-1;S<=0", "(S==0)", "S+1"),
    ("S>=-2;S<=0", "(S>=0)", "(S>=0)"),
    ("S>=-2;S<=0", "(S==0)", "(S==0)"),
    ("S>=-1;S<=1", "(S>=0)", "(S>=0)"),
    ("S>=0;S<=2", "(S==0)", "(S==0)"),
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


def test_bounds_of_products_of_both_signs() -> None:
    scope = Scope(["S >= -2", "S <= 2", "T >= 1", "T <= 3"])
    assert scope.bounds(S * T) == (-6, 6)
    # Only a square is known not to be negative.
    assert scope.bounds(S * S) == (0, 4)
    assert Scope(["S >= -3", "S <= -1", "T >= -2", "T <= 4"]).bounds(S * T) == (-12, 6)


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


def prover_of(*known: str) -> Prover:
    return Prover(parse_assertion(text) for text in known)


def test_a_point_that_denies_a_claim_saves_the_search() -> None:
    prover = prover_of("S>=0", "T>=S")
    assert not prover.never_negative(parse_dim("S-5"))
    assert not prover.never_negative(parse_dim("max(S,T)-min(2*S,T+9)-1"))
    assert prover.steps == 0
    assert prover.never_negative(parse_dim("T-S"))
    assert prover.steps > 0


def test_points_satisfy_the_assertions() -> None:
    prover = prover_of("S>=3", "S<=5", "T>=S", "T<=6", "S+T>=7")
    for text in ("S-3", "5-S", "T-S", "6-T", "S+T-7", "S*T-12"):
        assert not prover.points.is_negative(parse_dim(text)), text
    for text in ("S-4", "4-S", "T-6", "S-T"):
        assert prover.points.is_negative(parse_dim(text)), text
        assert prover.points.varies(parse_dim(text)), text
    assert not prover.points.varies(parse_dim("S-S/1+7"))


def test_assertions_that_exclude_each_other_leave_no_point() -> None:
    prover = prover_of("S>=3", "S<=2", "S+T>=0")
    assert not prover.points.is_negative(S)
    assert not prover.points.varies(S)


def test_a_broadcast_without_a_value_denies_nothing() -> None:
    prover = prover_of("S>=2", "T>=S+1")
    assert not prover.points.is_negative(broadcast(S, T) - 100)
