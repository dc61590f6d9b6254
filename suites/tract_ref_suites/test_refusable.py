"""Models that must be refused: the laws say so, and every way around them is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tract_ref.ops.softmax import Softmax
from tract_ref.stream.shared import elementwise
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref_suites.cases import CaseError, load_case
from tract_ref_suites.cells import Cell
from tract_ref_suites.checks import ENGINE_STREAM, OWN_LAWS
from tract_ref_suites.checks.engine import engine_streams_batch, require_rates
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.checks.found import FolderProblem
from tract_ref_suites.checks.stream import stream_equals_batch
from tract_ref_suites.engines.known_limits import Limit, LimitError
from tract_ref_suites.engines.protocol import Case, Chunking, Outcome, Refused, Values
from tract_ref_suites.engines.reference import ReferenceEngine
from tract_ref_suites.plugin import kept_limits
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.refusable import HAND, Refusable
from tract_ref_suites.problems.slicing import HAND as SLICES
from tract_ref_suites.report import save_problem

SOFTMAX = HAND["Softmax-of-pulses"]
P1 = next(law for law in OWN_LAWS if law.id == "P1")


class Answers(ReferenceEngine):
    """An engine that gives one answer to every stream."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        return self.outcome


ZEROS = Values((np.zeros((1, 8), np.float32),), (0,), (1,), ((4, 4),))
DECLINED = Refused("pulsify", "no")


def test_only_the_laws_of_streams_say_something_about_what_must_be_refused() -> None:
    assert P1.is_about(SOFTMAX)
    assert ENGINE_STREAM.is_about(SOFTMAX)
    judging = [law.id for law in OWN_LAWS if law.streams and law.is_about(SOFTMAX)]
    assert judging == ["P1", "P5", "P12"]
    assert not P1.is_about(SLICES["PositionalSlice-first-turn"])


def test_the_reference_refuses() -> None:
    stream_equals_batch(SOFTMAX)


def test_a_model_that_is_streamed_where_it_must_be_refused_is_wrong() -> None:
    with (
        PULSIFY_V1.replaced(Softmax, elementwise),
        pytest.raises(CheckFailure, match="pulse 4: streamed, where a refusal"),
    ):
        stream_equals_batch(SOFTMAX)


def test_a_refusal_for_another_reason_is_wrong() -> None:
    assert isinstance(SOFTMAX, Refusable)
    with pytest.raises(CheckFailure, match="where a refusal starting"):
        stream_equals_batch(replace(SOFTMAX, words="too hot"))


def test_another_engine_may_refuse_or_be_right_and_must_not_be_wrong() -> None:
    engine_streams_batch(SOFTMAX, Answers(DECLINED))
    right = replace(ZEROS, outputs=tuple(SOFTMAX.expected().values()), increments=None)
    engine_streams_batch(SOFTMAX, Answers(right))
    with pytest.raises(CheckFailure, match="compare/wrong_value"):
        engine_streams_batch(SOFTMAX, Answers(ZEROS))


def test_no_engine_may_refuse_what_streams() -> None:
    with pytest.raises(CheckFailure, match="pulsify/refused: no"):
        engine_streams_batch(SLICES["Slice-whole-axis"], Answers(DECLINED))


@pytest.mark.parametrize(
    ("gained", "is_right"),
    [((4, 4, 4), True), ((5, 5), False), ((5,), True), ((3, 5), True), ((0, 0), False)],
    ids=str,
)
def test_as_many_frames_at_every_turn_are_those_of_a_pulse(
    gained: tuple[int, ...], is_right: bool
) -> None:
    values = Values((np.zeros((9,)),), (0,), (0,), (gained,))
    model = SLICES["Slice-whole-axis"].model()
    values = replace(values, axes=(len(model.fact(model.outputs[0]).shape) - 1,))
    if is_right:
        require_rates(model, SYMBOL, values, 4)
        return
    with pytest.raises(CheckFailure, match="frames at every turn of an output of"):
        require_rates(model, SYMBOL, values, 4)


@pytest.mark.parametrize("only_wrong", [False, True])
def test_a_hunt_for_wrong_values_takes_a_refusal_for_an_answer(
    only_wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slices, engine = SLICES["Slice-whole-axis"], Answers(DECLINED)
    cell = Cell("slicing", "Slice", "x", ENGINE_STREAM, engine, (), only_wrong=only_wrong)
    if only_wrong:
        cell.check(slices)
        assert cell.tally.refused == 1
        return
    with pytest.raises(CheckFailure):
        cell.check(slices)


def test_a_limit_can_be_left_out_by_its_name() -> None:
    one, two = (Limit(name, "wrong", ("*/*/P1",), "c", "w", "r") for name in ("one", "two"))
    assert kept_limits((one, two), ()) == (one, two)
    assert kept_limits((one, two), ["one"]) == (two,)
    assert kept_limits((), ["one"]) == ()
    with pytest.raises(LimitError, match=r"no limit is called \['three'\]"):
        kept_limits((one, two), ["three"])


def test_a_found_model_that_must_be_refused_is_asked_so_again(tmp_path: Path) -> None:
    tally = Cell("f", "o", "c", ENGINE_STREAM, Answers(ZEROS), ()).tally
    save_problem(tmp_path, SOFTMAX, ValueError("found"), tally)
    case = load_case(tmp_path)
    assert [assertion.may_refuse for assertion in case.asserts] == [False, True]
    problem = FolderProblem(case)
    assert (problem.pulses, problem.refused_at) == ((), SOFTMAX.refused_at)
    engine_streams_batch(problem, Answers(DECLINED))


def test_only_a_stream_may_be_refused(tmp_path: Path) -> None:
    text = 'version = 1\nabout = "a"\n[[assert]]\nbatch = "io.npz"\nmay_refuse = true\n'
    (tmp_path / "case.toml").write_text(text)
    with pytest.raises(CaseError, match="may_refuse"):
        load_case(tmp_path)
