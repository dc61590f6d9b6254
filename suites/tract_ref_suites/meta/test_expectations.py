"""Known limits are about something: problems that exist, witnesses that exist, lists not empty."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from tract_ref_suites.cases import case_folders, load_case
from tract_ref_suites.engines import known_limits
from tract_ref_suites.engines.known_limits import EXPECTATIONS, Limit, load_limits
from tract_ref_suites.meta.mutants import examples
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import Problem

ANY_VERSION = "unknown"
# A limit says where an engine is not asked; most of the suite must be left.
MOST_COVERED = 0.5


def engines_with_limits() -> list[str]:
    return sorted(path.stem for path in EXPECTATIONS.glob("*.toml"))


def limits_of(engine: str) -> tuple[Limit, ...]:
    return load_limits(engine, ANY_VERSION, [folder.name for folder in case_folders()])


SEARCH = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

ALL = [(engine, limit) for engine in engines_with_limits() for limit in limits_of(engine)]
IDS = [f"{engine}-{limit.id}" for engine, limit in ALL]


@cache
def problems() -> tuple[Problem, ...]:
    """Return every hand problem and a few draws of every strategy.

    Families of ONNX models are left out: they are put to engines without limits only.
    """
    return tuple(
        problem
        for family in families().values()
        if "onnx" not in family.formats
        for slug in (*family.hand, *family.strategies)
        for problem in examples(f"{family.name}/{slug}")
        if isinstance(problem, Problem)
    )


def is_met(limit: Limit, law: str) -> bool:
    """Say whether the limit covers some problem; what is rare is searched for."""
    if any(limit.covers_problem(problem, law) for problem in problems()):
        return True
    for family in families().values():
        for slug, strategy in family.strategies.items():
            # A strategy is called after its op.
            if not limit.holds_for(family.name, slug.partition("-")[0], law):
                continue
            try:
                find(strategy(), lambda p: limit.covers_problem(p, law), settings=SEARCH)
            except NoSuchExample:
                continue
            return True
    return False


def test_there_are_limits_and_problems() -> None:
    assert ALL
    assert problems()


def test_every_expectation_file_belongs_to_an_engine() -> None:
    known = {"tract", "onnxruntime", *(e.name for e in entry_points(group="tract_ref.engines"))}
    assert set(engines_with_limits()) <= known


@pytest.mark.parametrize("engine", engines_with_limits())
def test_no_file_is_empty(engine: str) -> None:
    assert limits_of(engine)


@pytest.mark.parametrize(("engine", "limit"), ALL, ids=IDS)
def test_every_limit_covers_some_problem(engine: str, limit: Limit) -> None:
    laws = sorted({cell.rpartition("/")[2] for cell in limit.cells})
    assert any(is_met(limit, law) for law in laws)


@pytest.mark.parametrize(("engine", "limit"), ALL, ids=IDS)
def test_every_limit_is_bound_to_versions_and_states_a_reason(engine: str, limit: Limit) -> None:
    assert limit.versions
    assert not limit.reason.endswith(".")
    assert len(limit.reason.split()) > 3
    assert limit.seen or limit.kind != "wrong"


@pytest.mark.parametrize(("engine", "limit"), ALL, ids=IDS)
def test_every_witness_states_what_its_limit_breaks(engine: str, limit: Limit) -> None:
    folder = next(folder for folder in case_folders() if folder.name == limit.witness)
    kinds = {assertion.kind for assertion in load_case(folder).asserts}
    laws = {cell.rpartition("/")[2] for cell in limit.cells}
    assert kinds & ({"batch"} if "P10" in laws else {"stream"})


@pytest.mark.parametrize("engine", engines_with_limits())
@pytest.mark.parametrize("law", ["P1", "P10"])
def test_limits_leave_most_problems(engine: str, law: str) -> None:
    asked = [problem for problem in problems() if problem.pulses or law == "P10"]
    limits = limits_of(engine)
    covered = [p for p in asked if any(limit.covers_problem(p, law) for limit in limits)]
    assert len(covered) < MOST_COVERED * len(asked)


def test_every_predicate_is_used() -> None:
    names = {
        name
        for module in map(importlib.import_module, known_limits.PREDICATES)
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert names == {limit.covers for _, limit in ALL}


def test_an_unknown_witness_is_an_error(tmp_path: Path) -> None:
    text = (EXPECTATIONS / f"{engines_with_limits()[0]}.toml").read_text()
    (tmp_path / "tract.toml").write_text(text)
    with pytest.raises(known_limits.LimitError, match="no case folder"):
        load_limits("tract", ANY_VERSION, ["another"], tmp_path)
