"""The laws of dimensions: each has a case with its text before and after, and holds at random."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given

from tract_ref.dim import Dim, Scope, dim_max, parse_dim, sym
from tract_ref.dim.trace import LAWS, Step, recording, silent
from tract_ref_suites.checks.dims import DIM_LAWS, DimProblem
from tract_ref_suites.strategies.dim_problems import HAND, dim_problems

S, T = sym("S"), sym("T")

# law, expression, assertions, before, after
CASES: list[tuple[str, str, tuple[str, ...], str, str]] = [
    ("numbers", "(3+4)*S", (), "3+4", "7"),
    ("numbers", "(7/2)*S", (), "7/2", "3"),
    ("collect", "3*S-S", (), "3*S-S", "2*S"),
    ("collect", "T+2-S+S", (), "T+2+-1*S+S", "T+2"),
    ("cancel clamps", "max(S,4)+min(S,4)", (), "max(4,S)+min(4,S)", "S+4"),
    ("shift clamp", "max(0,S-2)-2", (), "max(0,S+-2)-2", "max(-2,S+-4)"),
    ("relative clamp", "min(T,S)", (), "min(S,T)", "min(S,T)"),
    (
        "relative clamp", "max(S,4)+max(T,2)", (),
        "max(4,S)+max(2,T)", "6+max(0,T+-2)+max(0,S+-4)",
    ),
    ("distribute", "(S+1)*(T-1)", (), "(S+1)*(T+-1)", "T+-1+-1*S+(S)*(T)"),
    ("scale", "-2*(S+3)", (), "(-2)*(S+3)", "-6+-2*S"),
    ("scale clamp", "-max(0,S-2)", (), "-max(0,S+-2)", "min(0,2+-1*S)"),
    ("scale clamp", "3*max(0,S-2)", (), "3*max(0,S+-2)", "max(0,-6+3*S)"),
    ("zero or one", "(S>=2)*(S>=2)", (), "(S>=2)*(S>=2)", "(S>=2)"),
    ("divide by 1", "(S+3)/1", (), "(S+3)/1", "S+3"),
    ("whole multiple", "(6*S+T)/3", (), "(T+6*S)/3", "2*S+(T)/3"),
    ("whole multiple", "(S-S/2*2)/2", (), "(S+-2*(S)/2)/2", "0"),
    ("remainder", "(5-S)/4", (), "(5+-1*S)/4", "1+-1*S+(1+3*S)/4"),
    ("common factor", "(4*S+6)/8", (), "(6+4*S)/8", "(S+1)/2"),
    ("nested quotient", "((S+1)/2+1)/2", (), "(1+(S+1)/2)/2", "(S+3)/4"),
    ("divide clamp", "max(0,S-3)/2", (), "max(0,S+-3)/2", "max(0,-2+(S+1)/2)"),
    ("divide clamp", "min(0,S-3)/2", (), "min(0,S+-3)/2", "min(0,-2+(S+1)/2)"),
    ("flatten", "max(S,T+max(P,2))", (), "max(S,max(P+T,T+2))", "max(P+T,S,T+2)"),
    ("flatten", "min(S,min(T,P))", (), "min(S,min(P,T))", "min(P,S,T)"),
    ("largest constant", "max(S+3,S+2)", (), "max(S+3,S+2)", "S+3"),
    ("largest constant", "min(S+3,S+2)", (), "min(S+3,S+2)", "S+2"),
    ("absorb", "max(S,min(S,T))", (), "max(S,min(S,T))", "S"),
    ("absorb", "min(S,max(S,T))", (), "min(S,max(S,T))", "S"),
    ("factor of a clamp", "max(2*S-4,0)", (), "max(0,-4+2*S)", "max(0,-4+2*S)"),
    (
        "flatten broadcast", "S#(T#P)", (),
        "broadcast((S), (broadcast((P), (T))))", "broadcast((P), (S), (T))",
    ),
    ("stretch one", "S#1#T", (), "broadcast((S), (1), (T))", "broadcast((S), (T))"),
    ("equal sizes", "S#S", (), "broadcast((S), (S))", "S"),
    ("compare difference", "(S-T>=0)", (), "(S+-1*T>=0)", "(S>=T)"),
    ("compare common factor", "(2*S>=5)", (), "(-5+2*S>=0)", "(S>=3)"),
    ("compare common factor", "(2*S==6)", (), "(-6+2*S==0)", "(S==3)"),
    ("no multiple", "(2*S==5)", (), "(-5+2*S==0)", "0"),
    ("compare sign", "(3==S)", (), "(3+-1*S==0)", "(S==3)"),
    ("equality", "S-T", ("S==T+1",), "S+-1*T", "1"),
    ("replace", "min(S,0)+T", ("S>=0",), "min(S+T,T)", "T"),
    ("constant", "S/4", ("S>=0", "S<=3"), "(S)/4", "0"),
    ("proved piece", "min(S,0)", ("S>=0",), "max(0,S)", "S"),
    ("proved size", "S#min(S,P)", ("S>0", "P>0"), "broadcast((min(P,S)), (S))", "S"),
    ("proved true", "(S>=0)", ("S>=2",), "(S>=0)", "1"),
    ("proved false", "(S>=3)", ("S<=2",), "(S>=3)", "0"),
    ("proved false", "(S==3)", ("S>=4",), "(S==3)", "0"),
    ("comparison as a sum", "(S==0)", ("S>=0", "S<=1"), "(S==0)", "1+-1*S"),
    ("comparison as a sum", "(S>=0)", ("S>=-1", "S<=0"), "(S>=0)", "S+1"),
    (
        "scenarios agree", "min(P,S#(P+S))", ("S>=0", "P>=0"),
        "min(P,broadcast((P+S), (S)))", "P",
    ),
]  # fmt: skip
SCENARIOS = {"tg": ["S==1"], "pp": ["P==0"]}

# expression, assertions, proofs
PROOFS: list[tuple[str, tuple[str, ...], list[str]]] = [
    ("max(0,4096-P)", ("P>=0", "S>=0", "P+S<4096"), ["4096+-1*P >= 0 by S >= 0, P+S < 4096"]),
    ("S-T", ("S==T+1", "T==3"), ["S+-4 == 0 by S == T+1, T == 3", "T+-3 == 0 by T == 3"]),
    ("S/4", ("S>=0", "T>=5", "S<=3"), ["(S)/4 >= 0 by S >= 0", "-1*(S)/4 >= 0 by S <= 3"]),
    ("max(0,S*S+1)", ("S>=0",), ["1+(S)*(S) >= 0"]),
]


def steps_of(text: str, known: tuple[str, ...], *, scenarios: bool = False) -> list[Step]:
    scope = Scope(known, SCENARIOS if scenarios else {})
    with recording() as steps:
        scope.simplify(parse_dim(text))
    return steps


@pytest.mark.parametrize(("law", "text", "known", "before", "after"), CASES)
def test_a_law_is_told_with_its_text(
    law: str, text: str, known: tuple[str, ...], before: str, after: str
) -> None:
    steps = steps_of(text, known, scenarios=law == "scenarios agree")
    told = [(s.law.name, str(s.operation), str(s.after)) for s in steps]
    assert (law, before, after) in told


def test_every_law_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(LAWS)


def test_every_law_says_what_it_is() -> None:
    for name, law in LAWS.items():
        assert law.name == name
        assert "\n" not in law.formula
        assert "=" in law.formula
        assert law.statement


@pytest.mark.parametrize(("text", "known", "proofs"), PROOFS)
def test_proofs_name_the_assertions_they_need(
    text: str, known: tuple[str, ...], proofs: list[str]
) -> None:
    told = [str(proof) for step in steps_of(text, known) for proof in step.proofs]
    assert told == proofs


def test_no_assertion_of_a_proof_can_be_left_out() -> None:
    (step,) = [s for s in steps_of(*PROOFS[0][:2]) if s.proofs]
    (proof,) = step.proofs
    assert Scope(proof.assertions).proves_ge(proof.question, proof.bound) is True
    for assertion in proof.assertions:
        fewer = [a for a in proof.assertions if a is not assertion]
        assert Scope(fewer).proves_ge(proof.question, proof.bound) is None


@pytest.mark.parametrize("law", list(DIM_LAWS))
@pytest.mark.parametrize("name", list(HAND))
def test_written_expressions_keep_the_laws(law: str, name: str) -> None:
    DIM_LAWS[law](HAND[name])


@pytest.mark.parametrize("law", list(DIM_LAWS))
def test_random_expressions_keep_the_laws(law: str) -> None:
    @given(dim_problems())
    def check(problem: DimProblem) -> None:
        DIM_LAWS[law](problem)

    check()


@given(dim_problems())
def test_the_text_of_an_operation_reads_as_its_result(problem: DimProblem) -> None:
    with recording() as steps:
        parse_dim(problem.text)
    for step in steps:
        assert parse_dim(str(step.operation)) == step.after, step


def test_nothing_is_recorded_outside() -> None:
    with recording() as steps:
        first = S + 1
    dim_max(0, S - 3)
    assert [(s.law.name, s.after) for s in steps] == [("collect", first)]


def test_an_inner_recording_belongs_to_both_and_silence_to_none() -> None:
    with recording() as outer:
        assert parse_dim("S+1") == S + 1
        with recording() as inner:
            assert parse_dim("T+2") == T + 2
        with silent():
            assert parse_dim("T+3") == T + 3
    assert {str(s.after) for s in inner} == {"T+2"}
    assert {str(s.after) for s in outer} == {"S+1", "T+2"}


def test_threads_record_for_themselves() -> None:
    found: list[Dim] = []
    with recording() as steps:
        other = threading.Thread(target=lambda: found.append(S + 17))
        other.start()
        other.join()
    assert found == [parse_dim("S+17")]
    assert steps == []


def test_questions_are_no_steps() -> None:
    dim = dim_max(0, S - 3) // 2
    scope = Scope(["S >= 5"], {"a": ["S >= 7"], "b": ["S <= 6"]})
    with recording() as steps:
        assert scope.bounds(dim) == (1, None)
        assert scope.decide_equal(dim, 0) is False
        assert scope.proves_positive(dim) is True
    assert steps == []
