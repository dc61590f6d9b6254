"""Gaps of the simplifier, each with the form that would be best."""

from __future__ import annotations

import pytest

from tract_ref_suites.dims_expectation import expect

GAPS = [
    # A product of two sums is expanded, and its sign is no longer seen.
    ("S>=1;T>=1", "max(0,(S-1)*(T-1))", "(S-1)*(T-1)", "max(0,1+-1*S+-1*T+(S)*(T))"),
    ("", "max(0,(S-T)*(S-T))", "(S-T)*(S-T)", "max(0,(S)*(S)+-2*(S)*(T)+(T)*(T))"),
    ("", "max(0,S*S-2*S+1)", "S*S-2*S+1", "max(0,1+-2*S+(S)*(S))"),
    ("", "max(S*S,S)", "S*S", "max(S,(S)*(S))"),
    ("S>=0;T>=1", "max(S,S*T)", "S*T", "max(S,(S)*(T))"),
    ("S>=T;T>=1", "max(S*T,T*T)", "S*T", "max((S)*(T),(T)*(T))"),
    ("S*T>=1;S>=0;T>=0", "max(1,S)", "S", "max(1,S)"),
    (
        "",
        "min(S,T)*max(S,T)",
        "S*T",
        "(S)*(T)+(S)*(max(0,S+-1*T))+-1*(T)*(max(0,S+-1*T))+-1*(max(0,S+-1*T))*(max(0,S+-1*T))",
    ),
    # Quotients that add up to one, or are exact by parity.
    ("", "S/2+(S+1)/2", "S", "(S+1)/2+(S)/2"),
    ("", "S/4+(S+2)/4", "S/2", "(S)/4+(S+2)/4"),
    ("", "(S*S+S)/2*2", "S*S+S", "2*(S+(S)*(S))/2"),
    ("", "(S/2)#(S-(S+1)/2)", "S/2", "broadcast((S+-1*(S+1)/2), ((S)/2))"),
    # An equality without a coefficient of 1 solves for no symbol.
    ("2*S==3*T", "S/3", "T/2", "(S)/3"),
    # Products of comparisons are not compared.
    ("", "(S>=1)*(S>=0)", "(S>=1)", "((S>=0))*((S>=1))"),
    ("", "(S>=T)*(T>=S)", "(S==T)", "((T>=S))*((S>=T))"),
    ("", "(S==2)*(S==3)", "0", "((S==2))*((S==3))"),
    ("", "(S>=3)+(2>=S)", "1", "(2>=S)+(S>=3)"),
    ("", "min(1,max(0,S))", "(S>=1)", "min(1,max(0,S))"),
]


@pytest.mark.parametrize(("known", "text", "best", "current"), GAPS, ids=[row[1] for row in GAPS])
def test_gap_is_still_there(known: str, text: str, best: str, current: str) -> None:
    expect(text, best=best, current=current, known=[part for part in known.split(";") if part])


def test_a_gap_that_is_closed_must_be_deleted() -> None:
    with pytest.raises(AssertionError, match="delete the record"):
        expect("max(0,S)", best="S", current="max(0,S)", known=["S>=0"])


def test_a_best_form_of_another_value_is_no_record() -> None:
    with pytest.raises(AssertionError, match="is not S at"):
        expect("max(0,S)", best="S", current="max(0,S)")


def test_a_form_that_nobody_wrote_down_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"neither max\(1,S\) nor S"):
        expect("max(0,S)", best="S", current="max(1,S)")


def test_assertions_that_never_hold_prove_nothing() -> None:
    with pytest.raises(AssertionError, match="hold nowhere"):
        expect("S/2+(S+1)/2", best="S", current="(S+1)/2+(S)/2", known=["S>=100"])
