"""Assertions that nothing admits: found, named, and refused where they are written."""

from __future__ import annotations

import pytest

from tract_ref.dim import Scope, dim_min, sym
from tract_ref.errors import InvalidModel
from tract_ref.nnef.reader import parse_model
from tract_ref.passes.set_symbols import set_symbols
from tract_ref_suites.command_line import run

S, T = sym("S"), sym("T")

# Assertions and scenarios, and the lines of them that exclude each other.
CONTRADICTIONS: list[tuple[str, str, str]] = [
    ("T>=0;S>=1;S<=0", "", "S >= 1;S <= 0"),
    ("2*S==3", "", "2*S == 3"),
    ("S==2*T;T>=0;S==3", "", "S == 2*T;S == 3"),
    ("1>=2;S>=0", "", "1 >= 2"),
    ("S*S==-1", "", "(S)*(S) == -1"),
    ("S>=T+1;T>=S", "", "S >= T+1;T >= S"),
    ("S/2>=3;S<=5", "", "(S)/2 >= 3;S <= 5"),
    ("S>=0", "a:S==1;a:S==2", "a: S == 1;a: S == 2"),
    ("T>=0;S>=5", "a:S==1;b:S<=3", "S >= 5;a: S == 1;b: S <= 3"),
    ("S>=7;S<=3", "a:T>=0", "S >= 7;S <= 3"),
]
POSSIBLE: list[tuple[str, str]] = [
    ("S>=1;S<=1", ""),
    ("2*S==4", ""),
    ("S==2*T;S==4", ""),
    ("S>=0", "a:S==1;b:S==2"),
    ("S>=5", "a:S==1;b:S>=3"),
    ("S*S==1", ""),
    ("", ""),
]


def scope_of(known: str, named: str) -> Scope:
    scenarios: dict[str, list[str]] = {}
    for text in filter(None, named.split(";")):
        name, _, relation = text.partition(":")
        scenarios.setdefault(name, []).append(relation)
    return Scope(filter(None, known.split(";")), scenarios)


@pytest.mark.parametrize(("known", "named", "lines"), CONTRADICTIONS)
def test_a_contradiction_is_found_and_named(known: str, named: str, lines: str) -> None:
    scope = scope_of(known, named)
    assert scope.is_contradictory
    assert ";".join(scope.contradiction) == lines
    low, high = scope.bounds(S)
    assert low is None or high is None or low <= high
    with pytest.raises(InvalidModel, match="contradict each other"):
        scope.require_possible()


@pytest.mark.parametrize(("known", "named"), POSSIBLE)
def test_what_something_admits_is_no_contradiction(known: str, named: str) -> None:
    scope = scope_of(known, named)
    assert not scope.is_contradictory
    assert scope.contradiction == ()
    scope.require_possible()


def test_assertions_without_a_defined_value_are_no_proof_of_a_contradiction() -> None:
    assert not Scope(["S#T >= 1", "S == 2", "T == 3"]).is_contradictory


@pytest.mark.parametrize(("known", "named", "lines"), CONTRADICTIONS)
def test_the_command_refuses_what_nothing_admits(known: str, named: str, lines: str) -> None:
    words = [word for text in filter(None, known.split(";")) for word in ("--assert", text)]
    words += [word for text in filter(None, named.split(";")) for word in ("--scenario", text)]
    # Both symbols are spoken of, whatever is asserted.
    ran = run("dims", "S+T", *words)
    assert ran.status == 3
    said = lines.replace(";", "; ")
    assert f"contradict each other: nothing admits {said}; leave one out" in ran.err
    assert ran.out == ""


def document(*assertions: str) -> str:
    return "\n".join(
        [
            "version 1.0;",
            "extension tract_registry tract_core;",
            "extension tract_symbol S;",
            "extension tract_symbol T;",
            *(f"extension tract_assert {text};" for text in assertions),
            "graph g(x) -> (y) {",
            "  x = tract_core_external(shape = [S, T], datum_type = 'f32');",
            "  y = relu(x);",
            "}",
        ]
    )


def test_a_document_that_nothing_admits_is_no_model() -> None:
    with pytest.raises(InvalidModel, match=r"nothing admits S >= 2; S <= 1"):
        parse_model(document("T >= 0", "S >= 2", "S <= 1"))
    with pytest.raises(InvalidModel, match=r"nothing admits a: S == 1; a: S == 2"):
        parse_model(document("a: S == 1", "a: S == 2"))
    assert parse_model(document("S >= 2", "S <= 2")).scope.bounds(S) == (2, 2)


def test_a_symbol_is_not_set_to_what_is_never_admitted() -> None:
    model = parse_model(document("S >= 2"))
    with pytest.raises(InvalidModel, match=r"S=min\(1,T\) breaks .*nothing admits min\(1,T\) >= 2"):
        set_symbols(model, {"S": dim_min(T, 1)})
    assert model.scope == Scope(["S >= 2"])
    kept = set_symbols(model, {"S": dim_min(T, 2)})
    assert kept.scope == Scope(["min(T,2) >= 2"])


def test_what_equalities_determine() -> None:
    scope = Scope(["S == 2*T", "P >= 0"])
    assert scope.determined({"T": 2}) == {"S": 4}
    assert scope.determined({"S": 4}) == {"T": 2}
    assert scope.determined({"S": 5}) == {}
    assert scope.determined({}) == {}


def test_the_command_evaluates_what_equalities_determine() -> None:
    known = ("--assert", "S==2*T", "--assert")
    ran = run("dims", "S", *known, "S>=6", "--eval", "T=2")
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == (
        "value        at T=2 (so S=4): 4 as written, 4 simplified; assertions do NOT hold"
    )
    found = run("dims", "S", *known, "S>=2", "--eval", "T=2", "--json").json["value"]
    assert (found["at"], found["determined"]) == ({"T": 2}, {"S": 4})
    assert found["assertions_hold"] is True
    # No value of T is right here; what is written has one.
    ran = run("dims", "S", *known, "S>=2", "--eval", "S=5")
    assert ran.out.splitlines()[-1] == (
        "value        at S=5: 5 as written, 2*T simplified; assertions do NOT hold"
    )


def test_values_that_leave_nothing_do_not_hold() -> None:
    ran = run("dims", "S", "--assert", "S>=T+1", "--assert", "S<=3", "--eval", "T=5")
    assert ran.status == 2
    assert ran.out.endswith("at T=5: S (symbol S not set; assertions do NOT hold)\n")
    assert Scope(["S>=T+1", "S<=3"]).substitute({"T": 5}).is_contradictory
