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
from click.testing import CliRunner

from tract_ref import load
from tract_ref.approx import compare
from tract_ref_suites.cases import (
    FORMATS,
    OF_EVERY_ENGINE,
    Assertion,
    CaseError,
    CaseFolder,
    case_folders,
    load_case,
)
from tract_ref_suites.checks import REFERENCE
from tract_ref_suites.checks.case import check_assertion
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.command_line import CASES
from tract_ref_suites.commands import judged as judgement
from tract_ref_suites.commands import replay
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


def can_be_asked(case: CaseFolder, assertion: Assertion, engine: Engine) -> bool:
    if engine.name == REFERENCE:
        return True
    abilities = engine.can()
    needed = abilities.stream if assertion.kind in ("stream", "delay") else abilities.batch
    is_read = FORMATS[case.model_file] in abilities.formats
    return assertion.kind in OF_EVERY_ENGINE and needed and is_read


def statements(suite: Suite) -> Iterator[Stated]:
    """Yield what must hold; a witness of a limit is judged apart."""
    for folder in suite.cases:
        case = load_case(folder)
        for engine in suite.engines:
            if case.slug in {limit.witness for limit in suite.limits[engine.name]}:
                continue
            for assertion in case.asserts:
                if can_be_asked(case, assertion, engine):
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
        failures = failures_on(judged, load_case(folder))
        symptoms = {failure.symptom for failure in failures}
        assert symptoms, f"{limit.witness} passes on {judged.name}: delete limit {limit.id!r}"
        wanted = SYMPTOMS_OF[limit.kind]
        assert symptoms & wanted, f"limit {limit.id!r} is {limit.kind}, seen: {sorted(symptoms)}"
        assert any(limit.seen in str(failure) for failure in failures), (limit.id, failures)


def failures_on(engine: Engine, case: CaseFolder) -> list[CheckFailure]:
    """Return how the assertions of a case fail on an engine, none when all of them hold."""
    failures: list[CheckFailure] = []
    for assertion in case.asserts:
        if can_be_asked(case, assertion, engine):
            try:
                check_assertion(case, assertion, engine)
            except CheckFailure as failure:
                failures.append(failure)
    return failures


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
    inputs = load(case.model_path).input_names
    for name, value in old.items():
        approx = "exact" if name in inputs else case.approx
        assert compare(new[name], value, approx=approx).within, name
    assert set(inputs) <= set(old)


ROUND = "[[assert]]\nround_trip = true\n"


def replayed(folder: Path) -> tuple[int, str]:
    """Return status and output of `tract-ref replay FOLDER`, also when it is not installed."""
    ran = CliRunner().invoke(replay, [str(folder)], standalone_mode=False, catch_exceptions=False)
    return ran.return_value, ran.output


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
        ("approx = 'bound'\n[[assert]]\nround_trip = true\n", "approx 'bound'"),
        ("approx = 3\n", "approx = 3 where str"),
        ("stream = 3\n[[assert]]\nround_trip = true\n", "stream = 3 where dict"),
        ("origin = 3\n[[assert]]\nround_trip = true\n", "origin = 3 where dict"),
        ("[[assert]]\nround_trip = true\n[origin]\ncheck = 'a'\n", "[origin] engine = None"),
        ("[[assert]]\nround_trip = true\n[origin]\ncheck = 3\n", "[origin] check = 3"),
        ("assert = 3\n", "assert = 3 where list"),
        ("assert = [3]\n", "assertion 0 = 3 where dict"),
        (f"{ROUND}[stream]\nsymbol = 3\nlength = 4\npulses = [1]\n", "symbol = 3"),
        (f"{ROUND}[stream]\nsymbol = 'S'\nlength = -4\npulses = [1]\n", "length = -4"),
        (f"{ROUND}[stream]\nsymbol = 'S'\nlength = 4\npulses = [true]\n", "pulses = True"),
        (f"{ROUND}[stream]\nsymbol = 'S'\nlength = 4\npulses = [0]\n", "pulses = 0"),
        (f"{ROUND}[stream]\nsymbol = 'S'\nlength = 4\npulses = 3\n", "pulses = 3"),
        (f"{ROUND}[stream]\nsymbol = 'S'\nlength = 4\naxes = 3\n", "axes = 3"),
        ("[[assert]]\nbatch = '../../../etc/passwd'\n", "is not a file of the case folder"),
        ("[[assert]]\nbatch = '/etc/passwd'\n", "is not a file of the case folder"),
        ("[[assert]]\nop_count = { Conv = 'x' }\n", "op_count = 'x'"),
        ("[[assert]]\nfact = { wire = 1, is = 'x' }\n", "wire = 1"),
        ("[[assert]]\nrefuses = { class = 'Nope', starts = '' }\n", "class 'Nope'"),
        ("[[assert]]\nrefuses = { class = 'Refused', starts = '', pass = 'pulse' }\n", "pulse ="),
    ],
)
def test_a_case_that_breaks_the_schema_is_an_error(body: str, starts: str, tmp_path: Path) -> None:
    folder = write_toml(tmp_path, body)
    with pytest.raises(CaseError) as caught:
        load_case(folder)
    assert starts in str(caught.value)
    status, text = replayed(folder)
    assert status == 3
    assert text.startswith(f"{folder / 'case.toml'}: ")


@pytest.mark.parametrize("content", [b"\xff", b"[" * 5000, None], ids=["utf-8", "deep", "folder"])
def test_a_case_that_cannot_be_read_is_bad_input(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    status, text = replayed(tmp_path)
    assert status == 3
    assert text.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (None, "MalformedFile: {path}: read: no such file"),
        (b"junk", "MalformedFile: {path}: read: not an .npz"),
        (b"PK\x05\x06" + bytes(18), "bad case: {path}: no array 'x'; it has []"),
    ],
    ids=["absent", "junk", "empty"],
)
def test_arrays_that_cannot_be_read_are_bad_input(
    content: bytes | None, seen: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(CASES / "conv-valid", tmp_path / "case")
    assert replayed(folder)[0] == 0
    path = folder / "io.npz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    status, text = replayed(folder)
    assert status == 3
    assert f"_batch on reference: {seen.format(path=path)}" in text


def test_too_little_memory_for_a_case_is_bad_input() -> None:
    def ask() -> None:
        np.empty((2**31 - 1, 2**31 - 1), np.uint8)

    status, verdict = judgement(ask)
    assert status == 3
    assert verdict.startswith("out of memory: Unable to allocate 4")


def test_arrays_of_another_folder_are_not_read(tmp_path: Path) -> None:
    folder = shutil.copytree(CASES / "conv-valid", tmp_path / "case")
    with pytest.raises(CaseError, match="not a file of the case folder"):
        load_case(folder).arrays(f"../{folder.name}/io.npz")


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
