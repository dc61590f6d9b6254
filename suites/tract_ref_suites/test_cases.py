"""Every case folder: what its `case.toml` states holds, on every engine that can be asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tract_ref.approx import compare
from tract_ref_suites.cases import (
    OF_EVERY_ENGINE,
    Assertion,
    CaseError,
    CaseFolder,
    case_folders,
    load_case,
)
from tract_ref_suites.checks import REFERENCE
from tract_ref_suites.checks.case import check_assertion
from tract_ref_suites.checks.engine import FORMATS
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.engines.known_limits import SYMPTOMS_OF
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.plugin import SUITE, Suite
from tract_ref_suites.report import Tally


@dataclass(frozen=True)
class Stated:
    """One assertion of a case on one engine."""

    case: CaseFolder
    assertion: Assertion
    engine: Engine

    @property
    def id(self) -> str:
        return f"{self.case.slug}-{self.assertion.id}-{self.engine.name}"


def can_be_asked(assertion: Assertion, engine: Engine) -> bool:
    if engine.name == REFERENCE:
        return True
    abilities = engine.can()
    needed = abilities.stream if assertion.kind in ("stream", "delay") else abilities.batch
    return assertion.kind in OF_EVERY_ENGINE and needed and bool(abilities.formats & FORMATS)


def statements(suite: Suite) -> Iterator[Stated]:
    """Yield what must hold; a witness of a limit is judged apart."""
    for folder in suite.cases:
        case = load_case(folder)
        for engine in suite.engines:
            if case.slug in {limit.witness for limit in suite.limits[engine.name]}:
                continue
            for assertion in case.asserts:
                if can_be_asked(assertion, engine):
                    yield Stated(case, assertion, engine)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    suite = metafunc.config.stash[SUITE]
    if "stated" in metafunc.fixturenames:
        found = list(statements(suite))
        rows = [(s, Tally(s.case.slug, s.assertion.kind, s.engine.name)) for s in found]
        metafunc.parametrize(("stated", "tally"), rows, ids=[s.id for s in found])
    if "judged" in metafunc.fixturenames:
        engines = suite.engines
        metafunc.parametrize("judged", engines, ids=[engine.name for engine in engines])
    if "generated" in metafunc.fixturenames:
        folders = [folder for folder in suite.cases if (folder / "gen.py").exists()]
        metafunc.parametrize("generated", folders, ids=[folder.name for folder in folders])


@pytest.mark.case
def test_case_states_the_truth(stated: Stated, tally: Tally) -> None:
    tally.problems += 1
    try:
        check_assertion(stated.case, stated.assertion, stated.engine)
    except CheckFailure as failure:
        tally.stage, tally.symptom = failure.stage, failure.symptom
        raise


def test_witnesses_of_limits_still_fail(judged: Engine, pytestconfig: pytest.Config) -> None:
    suite = pytestconfig.stash[SUITE]
    for limit in suite.limits[judged.name]:
        folder = next(folder for folder in case_folders() if folder.name == limit.witness)
        symptoms = symptoms_on(judged, load_case(folder))
        assert symptoms, f"{limit.witness} passes on {judged.name}: delete limit {limit.id!r}"
        wanted = SYMPTOMS_OF[limit.kind]
        assert symptoms & wanted, f"limit {limit.id!r} is {limit.kind}, seen: {sorted(symptoms)}"


def symptoms_on(engine: Engine, case: CaseFolder) -> set[str]:
    """Return how the assertions of a case fail on an engine, none when all of them hold."""
    symptoms: set[str] = set()
    for assertion in case.asserts:
        if can_be_asked(assertion, engine):
            try:
                check_assertion(case, assertion, engine)
            except CheckFailure as failure:
                symptoms.add(failure.symptom)
    return symptoms


@pytest.mark.slow
def test_generator_writes_the_same_files(generated: Path, tmp_path: Path) -> None:
    root = tmp_path / "cases"
    copy = root / generated.name
    copy.mkdir(parents=True)
    shutil.copy(generated / "gen.py", copy)
    for shared in generated.parent.glob("_*.py"):
        shutil.copy(shared, root)
    run = subprocess.run(
        [sys.executable, "gen.py"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    names = {path.name for path in generated.iterdir() if path.is_file()}
    assert {path.name for path in copy.iterdir() if path.is_file()} == names
    for name in sorted(names - {"io.npz"}):
        assert (copy / name).read_bytes() == (generated / name).read_bytes(), name
    require_same_values(generated, copy)


def require_same_values(kept: Path, fresh: Path) -> None:
    """Inputs bit for bit, outputs within the tolerance of the case."""
    case = load_case(kept)
    old, new = case.arrays(), load_case(fresh).arrays()
    assert list(old) == list(new)
    text = (kept / "graph.nnef").read_text()
    inputs = text.partition("graph ")[2].partition("(")[2].partition(")")[0].split(", ")
    for name, value in old.items():
        approx = "exact" if name in inputs else case.approx
        assert compare(new[name], value, approx=approx).within, name
    assert set(inputs) <= set(old)


def write_toml(folder: Path, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "case.toml").write_text(f'version = 1\nabout = "a case"\n{body}')
    return folder


@pytest.mark.parametrize(
    ("body", "starts"),
    [
        ("", "no [[assert]]"),
        ("nonsense = 1\n[[assert]]\nround_trip = true\n", "unknown keys"),
        ("[[assert]]\nround_trip = true\nbatch = 'io.npz'\n", "needs exactly one"),
        ("[[assert]]\nstream = 'io.npz'\n", "and no [stream]"),
        ("[[assert]]\nop_count = { Conv = 1 }\npass = 'run'\n", "passes are"),
        ("[[assert]]\ngolden = { output = 'y' }\n", "golden needs"),
        ("approx = 'near'\n[[assert]]\nround_trip = true\n", "approx 'near'"),
    ],
    ids=["no-assert", "unknown-key", "two-kinds", "no-stream", "pass", "golden", "approx"],
)
def test_a_case_that_breaks_the_schema_is_an_error(body: str, starts: str, tmp_path: Path) -> None:
    with pytest.raises(CaseError) as caught:
        load_case(write_toml(tmp_path, body))
    assert starts in str(caught.value)


def test_a_wrong_value_is_caught(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    suite = pytestconfig.stash[SUITE]
    case = load_case(shutil.copytree(suite.cases[0], tmp_path / "case"))
    arrays = case.arrays()
    last = list(arrays)[-1]
    arrays[last] = arrays[last] + 1
    np.savez(case.folder / "io.npz", **arrays)  # pyright: ignore[reportArgumentType]
    batch = next(a for a in case.asserts if a.kind == "batch")
    engine = next(e for e in suite.engines)
    with pytest.raises(CheckFailure) as caught:
        check_assertion(case, batch, engine)
    assert caught.value.symptom == "wrong_value"
