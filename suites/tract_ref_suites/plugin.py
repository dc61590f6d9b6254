"""The pytest plugin of the suites: options, profiles, markers, the tally at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Verbosity, settings

from tract_ref_suites.cases import CaseError, case_folders, load_case
from tract_ref_suites.cells import Cell, cell_names, hand_cells, random_cells
from tract_ref_suites.checks import REFERENCE
from tract_ref_suites.engines import UnknownEngineError, load_engine
from tract_ref_suites.engines.known_limits import Limit, LimitError, load_limits, require_cells
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.engines.reference import ReferenceEngine
from tract_ref_suites.problems import FamilyError
from tract_ref_suites.report import (
    PROPERTY,
    Tally,
    clear_found,
    summary_lines,
    tally_of,
    triage_lines,
    write_report,
)

_MARKERS = (
    "hand: a written problem",
    "random: drawn problems; the profile says how many",
    "case: an assertion of a case folder",
    "slow: left out of the quick gate",
)
_COMMON = {
    "deadline": None,
    # A loaded machine is slow; a slow strategy shows in the durations.
    "suppress_health_check": [HealthCheck.too_slow],
    # Two bugs would fight over one folder of found failures.
    "report_multiple_bugs": False,
}
settings.register_profile("dev", max_examples=50, **_COMMON)
settings.register_profile("ci", max_examples=25, derandomize=True, print_blob=True, **_COMMON)
settings.register_profile("nightly", max_examples=5000, print_blob=True, **_COMMON)
settings.register_profile("repro", verbosity=Verbosity.verbose, print_blob=True, **_COMMON)
settings.load_profile("dev")

# BLAS starts its threads when it loads; in the workers of xdist one each is enough.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@dataclass
class Suite:
    """What one run is about.

    Attributes:
        engines: the engines under judgement.
        limits: their known limits, none with --no-limits.
        cases: the case folders.
        tallies: what the tests did.
    """

    engines: tuple[Engine, ...]
    limits: dict[str, tuple[Limit, ...]]
    cases: tuple[Path, ...]
    tallies: list[Tally] = field(default_factory=list)


SUITE = pytest.StashKey[Suite]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suites."""
    group = parser.getgroup("tract_ref", "streaming conformance")
    group.addoption(
        "--engine",
        action="append",
        metavar="NAME",
        help="engine to judge (repeatable): reference (default), onnxruntime, tract, "
        "command:PROGRAM, or an installed entry point",
    )
    group.addoption("--case", metavar="DIR", help="run this case folder only")
    group.addoption("--report", metavar="FILE", help="write report.json here")
    group.addoption("--no-limits", action="store_true", help="run also what a known limit covers")
    group.addoption(
        "--without-limit",
        action="append",
        default=[],
        metavar="ID",
        help="run also what this known limit covers (repeatable)",
    )
    group.addoption(
        "--only-wrong",
        action="store_true",
        help="an engine that refuses is no failure: look for wrong values and crashes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load engines, limits and case folders once."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    names = list(dict.fromkeys(config.getoption("--engine") or [REFERENCE]))
    try:
        engines = tuple(_engine(name) for name in names)
        only = config.getoption("--case")
        folders = [Path(only)] if only else case_folders()
        cases = tuple(load_case(folder).folder for folder in folders)
        limits: dict[str, tuple[Limit, ...]] = {}
        for engine in engines:
            slugs = [path.name for path in case_folders()]
            known = load_limits(engine.name, engine.version, slugs)
            require_cells(known, cell_names(engine))
            left_out = config.getoption("--without-limit") or ()
            kept = kept_limits(known, left_out)
            limits[engine.name] = () if config.getoption("--no-limits") else kept
    except (UnknownEngineError, CaseError, LimitError, FamilyError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[SUITE] = Suite(engines, limits, cases)


def kept_limits(known: tuple[Limit, ...], left_out: Sequence[str]) -> tuple[Limit, ...]:
    """Return the limits that are stepped around.

    Args:
        known: the limits of an engine.
        left_out: ids of those that are not.

    Raises:
        LimitError: an id is not one of them.
    """
    unknown = set(left_out) - {limit.id for limit in known}
    if known and unknown:
        raise LimitError(f"--without-limit: no limit is called {sorted(unknown)}")
    return tuple(limit for limit in known if limit.id not in left_out)


def _engine(name: str) -> Engine:
    return ReferenceEngine() if name == REFERENCE else load_engine(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test its cells, engines or case assertions."""
    suite = metafunc.config.stash[SUITE]
    if "hand_cell" in metafunc.fixturenames:
        _parametrize(metafunc, "hand_cell", hand_cells, suite)
    if "random_cell" in metafunc.fixturenames:
        _parametrize(metafunc, "random_cell", random_cells, suite)


def _parametrize(
    metafunc: pytest.Metafunc,
    name: str,
    source: Callable[[Engine, tuple[Limit, ...]], Iterator[Cell]],
    suite: Suite,
) -> None:
    cells: list[Cell] = []
    for engine in suite.engines:
        cells += source(engine, suite.limits[engine.name])
    for cell in cells:
        cell.only_wrong = bool(metafunc.config.getoption("--only-wrong"))
    if not cells and any(engine.name == REFERENCE for engine in suite.engines):
        raise pytest.UsageError(f"no cell for {metafunc.function.__name__}")
    metafunc.parametrize(name, cells, ids=[cell.id for cell in cells])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --case, keep the tests of case folders only."""
    if not config.getoption("--case"):
        return
    kept = [item for item in items if item.get_closest_marker("case") is not None]
    dropped = [item for item in items if item.get_closest_marker("case") is None]
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def _cell(item: pytest.Item) -> Cell | None:
    found = getattr(item, "callspec", None)
    for value in found.params.values() if found is not None else ():
        if isinstance(value, Cell):
            return value
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Empty the folder of found failures of a test that starts."""
    cell = _cell(item)
    if cell is not None:
        clear_found(cell.id)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Attach the tally to the report, which carries it out of a worker process."""
    if call.when != "call":
        return
    cell = _cell(item)
    tally = cell.tally if cell is not None else getattr(item, "callspec", None)
    if tally is not None and not isinstance(tally, Tally):
        tally = next((v for v in tally.params.values() if isinstance(v, Tally)), None)
    if tally is None:
        return
    if call.excinfo is not None:
        tally.outcome = "wrong"
    item.user_properties.append((PROPERTY, tally.to_json()))


class _Collector:
    """Gathers the tallies of all test processes."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the tally of a test that was called."""
        if report.when == "call":
            tally = tally_of(report.user_properties)
            if tally is not None:
                self._suite.tallies.append(tally)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect tallies where the terminal is, not in the workers of xdist."""
    config = session.config
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(config.stash[SUITE]), "tract_ref_tallies")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many problems each law was put to, per engine."""
    suite = config.stash[SUITE]
    if not suite.tallies:
        return
    terminalreporter.section("laws x problems x engines")
    for line in (*summary_lines(suite.tallies), *triage_lines(suite.tallies)):
        terminalreporter.line(line)
    path = config.getoption("--report")
    if path:
        write_report(Path(path), suite.tallies)
