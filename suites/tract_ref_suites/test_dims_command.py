"""`tract-ref dims`: what it prints, what it computes, how it declines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tract_ref
from tract_ref.dim import tdim
from tract_ref.dim.algebra import TEXTS, Integers, truncated
from tract_ref.dim.parse import parse_dim, read_dim
from tract_ref_suites.checks.dims import DimProblem, grid, value_or_none
from tract_ref_suites.command_line import run
from tract_ref_suites.dims_text import numerators
from tract_ref_suites.meta.broken import patched
from tract_ref_suites.strategies.dim_problems import HAND, dim_problems

README = Path(tract_ref.__file__).parents[1] / "README.md"


def test_a_quotient_is_explained_and_valued() -> None:
    ran = run("dims", "(5-S)/4", "--assert", "S>=0", "--eval", "S=7")
    assert ran.status == 0
    assert ran.err == ""
    assert ran.out.splitlines()[:8] == [
        "read         (5 - S) / 4",
        "   1  collect: a*x + y + b*x = (a+b)*x + y",
        "        5-S -> 5+-1*S",
        "   2  remainder: (c*x + y)/q = (c div q)*x + ((c mod q)*x + y)/q",
        "        (5+-1*S)/4 -> 1+-1*S+(1+3*S)/4",
        "normal form  1+-1*S+(1+3*S)/4",
        "assuming     S >= 0",
        "result       1+-1*S+(1+3*S)/4",
    ]
    assert ran.out.splitlines()[-5:] == [
        "symbols      S",
        "rate         S: -1/4 per unit, period 4",
        "domain       the numerator 5+-1*S may be negative; floor here, the real engine truncates "
        "or rewrites",
        "value        at S=7: -1 as written, -1 simplified; assertions hold",
        "truncation   at S=7: 0, were quotients rounded towards 0",
    ]


def test_a_proof_names_its_question_and_assertions() -> None:
    ran = run("dims", "min(S,0)", "--assert", "T>=3", "--assert", "S>=0")
    assert "        since S >= 0 by S >= 0\n" in ran.out
    assert "kept as      S - max(0,S)\n" in ran.out
    assert "result       0\nbounds       0 .. 0\n" in ran.out
    assert "symbols      none  (gone: S)\n" in ran.out


def test_scenarios_are_taken_as_exhaustive() -> None:
    words = ("dims", "min(P, S#(P+S))", "--assert", "S>=0", "--assert", "P>=0")
    named = ("--scenario", "tg: S==1", "--scenario", "pp: P==0")
    assert run(*words, *named, "--json").json["result"] == "P"
    assert run(*words, "--json").json["result"] == "min(P,broadcast((P+S), (S)))"
    ran = run(*words, *named, "--eval", "S=0", "--eval", "P=1")
    assert "1 as written" not in ran.out
    assert "assertions do NOT hold" in ran.out


def test_json_says_the_same() -> None:
    found = run("dims", "S/2+(S#S)", "--assert", "S==T+1", "--eval", "S=5", "--json").json
    assert found["schema"] == "tract-ref.dims/1"
    assert found["read"] == "(S / 2) + (S # S)"
    assert found["normal_form"] == "S+(S)/2"
    assert found["result"] == "T+1+(T+1)/2"
    assert [step["law"] for step in found["steps"]] == ["equal sizes", "equality"]
    assert found["steps"][-1]["proofs"] == [
        {"question": "S+-1+-1*T", "relation": "==", "bound": 0, "assertions": ["S == T+1"]}
    ]
    assert found["rates"] == {"T": {"slope": "3/2", "period": 2, "reason": None}}
    assert found["value"]["written"] == 7
    assert found["value"]["determined"] == {"T": 4}
    assert found["value"]["simplified"] == 7
    assert found["value"]["rest"] == "7"
    assert found["symbols"] == ["T"]
    assert found["bounds"] == [None, None]


def test_a_symbol_is_replaced_first() -> None:
    both = run("dims", "S/2+T", "--set", "S=2*T", "--set", "T=4", "--eval", "T=3", "--json").json
    assert both["normal_form"] == "T+4"
    assert both["value"]["written"] == both["value"]["simplified"] == 7
    assert run("dims", "S", "--set", "S=2*T", "--eval", "S=3").status == 3
    found = run("dims", "S/2+T", "--set", "S=2*T", "--eval", "T=3", "--json").json
    assert found["normal_form"] == "2*T"
    assert found["value"]["written"] == found["value"]["simplified"] == 6


def test_an_open_symbol_leaves_a_dimension_and_no_verdict() -> None:
    ran = run("dims", "max(0,S-2)/2+T", "--eval", "S=9")
    assert ran.status == 2
    assert ran.out.splitlines()[-1] == "value        at S=9: T+3 (symbol T not set)"


def test_an_undefined_broadcast_has_no_value() -> None:
    ran = run("dims", "S#T", "--eval", "S=2", "--eval", "T=3")
    assert ran.status == 2
    assert ran.out.splitlines()[-1].endswith("(broadcast of 2 and 3: sizes must be equal or 1)")


def test_where_there_is_no_rate_it_says_why() -> None:
    ran = run("dims", "S*S+T")
    assert "rate         S: none, " in ran.out
    assert "rate         T: 1 per unit, period 1" in ran.out


def test_nothing_is_said_about_numerators_that_cannot_be_negative() -> None:
    assert "domain" not in run("dims", "(S+1)/2", "--assert", "S>=0").out
    assert "domain" in run("dims", "(S+1)/2").out
    # A whole multiple leaves no quotient, but it was written.
    assert "the numerator 2*T may be negative" in run("dims", "(2*T)/2").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("S +* 2",), "column 4: expected a number"),
        (("S", "--assert", "S=>1"), "column 2: expected one of =="),
        (("S", "--scenario", "S==1"), "expected NAME: S==1"),
        (("S", "--scenario", "a: S"), "column 3: expected one of =="),
        (("S", "--eval", "X=3"), "no symbol 'X' (symbols: S)"),
        (("S", "--eval", "S"), "is not NAME=VALUE"),
        (("S", "--eval", "S=T"), "expected an integer"),
        (("S", "--eval", "S=1", "--eval", "S=2"), "given twice"),
        (("S", "--set", "X=3"), "no symbol 'X' (symbols: S)"),
        (("S", "--set", "S=T+"), "column 3: expected a number"),
        (("3#4",), "broadcast of 3 and 4"),
        (("S+" + "9" * 5000,), "at most 3000 digits"),
        ((), "Missing argument"),
    ],
)
def test_bad_input_is_bad_input(words: tuple[str, ...], said: str) -> None:
    ran = run("dims", *words)
    assert ran.status == 3
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_the_caret_stands_below_the_mistake() -> None:
    message, text, caret = run("dims", "S +* 2").err.splitlines()
    assert message.startswith("MalformedFile: read: dimension 'S +* 2', column 4")
    assert (text, caret) == ("    S +* 2", "       ^")


def test_many_signs_do_not_exhaust_the_stack() -> None:
    assert run("dims", "--json", "--", "-" * 5001 + "S").json["normal_form"] == "-1*S"


def test_a_wrong_rewrite_is_an_internal_error() -> None:
    with patched(tdim, "_quotient", lambda old: lambda dim, q: old(dim, q) + 1):
        ran = run("dims", "(S+T)/3", "--eval", "S=7", "--eval", "T=1")
    assert ran.status == 4
    assert "(S+T)/3 at S=7, T=1 is 2, the normal form gives 3" in ran.err


def test_the_example_of_the_readme_is_what_it_prints() -> None:
    if not README.exists():
        pytest.skip("the documents are not installed")
    found = re.search(r"^    \$ tract-ref (dims .*)\n((?:    .*\n)+)", README.read_text(), re.M)
    assert found is not None
    shown = re.sub(r"^    ", "", found[2], flags=re.M)
    ran = run(*shlex.split(found[1]))
    assert ran.out == shown


@pytest.mark.parametrize("name", list(HAND))
def test_the_independent_value_is_that_of_the_text(name: str) -> None:
    problem = HAND[name]
    assert parse_dim(read_dim(problem.text, TEXTS)) == parse_dim(problem.text)


@given(problem=dim_problems(), data=st.data())
def test_values_by_another_road(problem: DimProblem, data: st.DataObject) -> None:
    point = data.draw(st.sampled_from(grid(problem.names)))
    value = value_or_none(problem.text, point)
    if value is None:
        return
    assert read_dim(problem.text, Integers(point)) == value
    assert read_dim(read_dim(problem.text, TEXTS), Integers(point)) == value
    if all(n >= 0 for n in numerators(problem.text, point)):
        assert read_dim(problem.text, Integers(point, truncated)) == value


@pytest.mark.parametrize(("value", "floor", "cut"), [(-3, -2, -1), (-4, -2, -2), (3, 1, 1)])
def test_two_roundings(value: int, floor: int, cut: int) -> None:
    assert read_dim("S/2", Integers({"S": value})) == floor
    assert read_dim("S/2", Integers({"S": value}, truncated)) == cut
