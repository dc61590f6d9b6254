"""Dims as the installed engine `tract` reads, prints and evaluates them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import pytest
from hypothesis import event, given

from tract_ref.dim import evaluate, parse_dim
from tract_ref.errors import TractRefError
from tract_ref_suites.dims_text import NoValueError, numerators, value_of
from tract_ref_suites.engines.dims_limits import (
    KINDS,
    PREDICATES,
    DimCase,
    DimLimit,
    DimWitness,
    load_dim_limits,
)
from tract_ref_suites.engines.protocol import Crashed, Refused
from tract_ref_suites.engines.tract_dims import DimAnswer, ask_dim, main
from tract_ref_suites.strategies.dims import NAMES, Written, tdims

KNOWN = tuple(f"{name}>=0" for name in NAMES)
POINTS: list[dict[str, int]] = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product((0, 1, 2, 5, 8), (0, 1, 7), (1, 4))
]
LIMITS = load_dim_limits("tract", "unknown")
WITNESSES = [(limit, witness) for limit in LIMITS for witness in limit.witnesses]
WITNESS_IDS = [f"{limit.id}-{witness.text}" for limit, witness in WITNESSES]


@cache
def installed() -> str:
    try:
        return version("tract")
    except PackageNotFoundError:
        return ""


needs_tract = pytest.mark.skipif(not installed(), reason="tract is not installed")


def answered(text: str, points: Sequence[dict[str, int]], known: tuple[str, ...]) -> DimAnswer:
    answer = ask_dim(text, points, known=known)
    assert isinstance(answer, DimAnswer), f"{text}: {answer}"
    return answer


def judged_points(text: str) -> list[dict[str, int]]:
    """Return the points where the dim is defined and no numerator is negative."""
    found: list[dict[str, int]] = []
    for point in POINTS:
        try:
            value_of(text, point)
            if min(numerators(text, point), default=0) >= 0:
                found.append(point)
        except NoValueError:
            continue
    return found


def judge(text: str) -> None:
    """Compare what tract prints and evaluates with the text as written."""
    points = judged_points(text)
    if not points:
        event("judged nowhere")
        return
    case = DimCase(text, KNOWN)
    inside = [limit.id for limit in LIMITS if limit.covers_case(case)]
    if inside:
        event(f"stepped around: {inside[0]}")
        return
    answer = answered(text, points, KNOWN)
    ours = parse_dim(text)
    read = parse_dim(answer.printed)
    assert not answer.unread, f"{text} prints {answer.printed}, {answer.unread}"
    for point, seen, again in zip(points, answer.values, answer.again, strict=True):
        expected = value_of(text, point)
        assert seen == expected == evaluate(ours, point), f"{text} at {point}"
        assert again == expected, f"{text} prints {answer.printed}, at {point}"
        assert evaluate(read, point) == value_of(answer.printed, point) == expected, answer.printed


@needs_tract
@given(written=tdims(comparisons=False, clamps=False))
def test_quotients_and_products_of_the_engine(written: Written) -> None:
    judge(written.text)


@needs_tract
@given(written=tdims(comparisons=False, broadcasts=True))
def test_clamps_and_broadcasts_of_the_engine(written: Written) -> None:
    judge(written.text)


@needs_tract
@given(written=tdims(comparisons=False))
def test_the_engine_reads_what_we_print(written: Written) -> None:
    text = str(written.dim)
    case = DimCase(text, KNOWN)
    inside = [limit.id for limit in LIMITS if limit.covers_case(case)]
    if inside:
        event(f"stepped around: {inside[0]}")
        return
    points = judged_points(text)
    answer = answered(text, points, KNOWN)
    assert answer.values == tuple(evaluate(written.dim, point) for point in points)


@needs_tract
@pytest.mark.parametrize(("limit", "witness"), WITNESSES, ids=WITNESS_IDS)
def test_witness_still_fails(limit: DimLimit, witness: DimWitness) -> None:
    if limit not in load_dim_limits("tract", installed()):
        pytest.skip(f"tract {installed()} is outside {limit.versions}")
    answer = ask_dim(witness.text, [witness.at], known=witness.known)
    if limit.kind == "crash":
        assert isinstance(answer, Crashed), f"delete the limit: {answer}"
        return
    assert isinstance(answer, DimAnswer)
    assert witness.seen != witness.expected
    if limit.kind == "wrong":
        assert answer.values == (witness.seen,), f"delete the limit: {answer}"
        return
    assert answer.values == (witness.expected,)
    assert evaluate(parse_dim(answer.printed), witness.at) == witness.seen, answer.printed


@pytest.mark.parametrize(("limit", "witness"), WITNESSES, ids=WITNESS_IDS)
def test_witness_is_what_it_says(limit: DimLimit, witness: DimWitness) -> None:
    assert limit.covers_case(witness)
    if witness.expected is None:
        with pytest.raises(TractRefError):
            parse_dim(witness.text)
        return
    assert value_of(witness.text, witness.at) == witness.expected
    assert evaluate(parse_dim(witness.text), witness.at) == witness.expected


@pytest.mark.parametrize("limit", LIMITS, ids=[limit.id for limit in LIMITS])
def test_limit_is_complete(limit: DimLimit) -> None:
    assert limit.kind in KINDS
    assert limit.witnesses
    assert limit.versions
    assert len(limit.reason.split()) > 3
    assert not limit.reason.endswith(".")


def test_every_predicate_has_a_limit() -> None:
    assert {limit.covers for limit in LIMITS} == set(PREDICATES)
    assert len({limit.id for limit in LIMITS}) == len(LIMITS)


@pytest.mark.parametrize(
    "text",
    ["S", "3*S/2", "(S+3)/4", "S-S/2", "S/2/3", "((S+1)/2+1)/2", "max(0,S-2)", "min(S,T)+1", "S#T",
     "(S+1)*(T+1)", "S*T", "4*S+8", "max(S,0)"],
)  # fmt: skip
def test_dims_outside_of_every_limit(text: str) -> None:
    assert not any(limit.covers_case(DimCase(text, KNOWN)) for limit in LIMITS)


@needs_tract
@pytest.mark.parametrize("text", ["S / T", "S/-2", "S%2", "2S", "S/2/T", "floor(S)", "(S>=3)"])
def test_texts_that_the_engine_refuses(text: str) -> None:
    assert isinstance(ask_dim(text, [{"S": 3, "T": 1}]), Refused)


@needs_tract
@pytest.mark.parametrize(
    ("text", "printed"),
    [("S-1", "S+-1"), ("1-S", "1+-1*S"), ("S*T", "(S)*(T)"), ("S/2", "(S)/2"), ("S--1", "S+1"),
     ("3*S/2", "3*(S)/2"), ("S#T", "broadcast((S), (T))"), ("max(S,0-1)", "S"),
     ("min(S,T)", "min(S,T)"),
     ("S/T/U", "S/T/U"),
     ("4*S+8", "4*S+8"), ("14*S+6", "6+14*S"), ("(S+1)*(T+1)", "(S+1)*(T+1)")],
)  # fmt: skip
def test_texts_that_the_engine_prints(text: str, printed: str) -> None:
    assert answered(text, [], KNOWN).printed == printed
    assert parse_dim(printed) == parse_dim(text) or text == "max(S,0-1)"


@needs_tract
def test_the_command_shows_expected_and_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["(5-S)/4", "S=0"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "written   (5-S)/4",
        "printed   2+-1*(S+3)/4",
        "expected  1",
        "seen      2",
        "read back 2",
        "as text   2",
    ]
    assert main(["S-S/2", "S=3", "S>=0"]) == 0
    capsys.readouterr()
    assert main(["S/0", "S=1"]) == 2
    assert "Crashed(code=-6" in capsys.readouterr().out
