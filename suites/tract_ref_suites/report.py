"""What a run leaves: one tally per test, folders of found failures, a summary, a JSON file."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

from hypothesis.errors import HypothesisException

from tract_ref import declutter, pulsify
from tract_ref.errors import TractRefError
from tract_ref.ir.dump import dump
from tract_ref.ir.model import Model
from tract_ref_suites.cases import Origin, Stream, save_case
from tract_ref_suites.checks.failure import CheckFailure, NotOffered, symptom_of
from tract_ref_suites.problems.base import SYMBOL, Problem

PROPERTY = "tract_ref.tally"
_PACKAGES = ("tract_ref", "numpy", "hypothesis", "tract", "onnxruntime")


@dataclass
class Tally:
    """What one test did.

    Attributes:
        cell: `family/Op/case` or the slug of a case folder.
        law: id of the law, or the kind of an assertion.
        engine: name of the engine.
        problems: how many problems were put to it.
        not_offered: how many of them have no file form or an input type that it does not take.
        limited: how many were not run because a known limit covers them.
        refused: how many the engine refused, where that is no failure.
        outcome: ok or wrong; the report fills in what pytest saw.
        stage: of the last failure.
        symptom: of the last failure.
        found: folder of the last failure.
    """

    cell: str
    law: str
    engine: str
    problems: int = 0
    not_offered: int = 0
    limited: int = 0
    refused: int = 0
    outcome: str = "ok"
    stage: str = ""
    symptom: str = ""
    found: str = ""

    def to_json(self) -> str:
        """Return it as text, which crosses from a test process to the report."""
        return json.dumps(asdict(self))


def found_folder(test_id: str) -> Path:
    """Return where a failure of a test is saved."""
    return Path("found") / re.sub(r"[^A-Za-z0-9_.+-]", "-", test_id)


def clear_found(test_id: str) -> None:
    """Empty the folder of a test that starts."""
    folder = found_folder(test_id)
    if folder.is_dir():
        shutil.rmtree(folder)


@dataclass
class Recording:
    """Count one problem, and save it when what happens inside is a failure.

    Hypothesis runs the smallest failing example last, so what remains is the shrunk one.
    """

    tally: Tally
    test_id: str
    problem: Problem
    _models: dict[str, Model] = field(default_factory=dict)

    def __enter__(self) -> Recording:
        self.tally.problems += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, NotOffered):
            self.tally.problems -= 1
            self.tally.not_offered += 1
            return True
        # What hypothesis raises to steer itself is no failure of the problem.
        if isinstance(error, Exception) and not isinstance(error, HypothesisException):
            self._save(error)
        return False

    def _save(self, error: Exception) -> None:
        tally = self.tally
        tally.outcome = "wrong"
        tally.stage, tally.symptom = _stage_of(error)
        folder = found_folder(self.test_id)
        tally.found = str(folder)
        clear_found(self.test_id)
        save_problem(folder, self.problem, error, tally)


def _stage_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, CheckFailure):
        return error.stage, error.symptom
    if isinstance(error, TractRefError):
        return error.stage or "run", symptom_of(error)
    return "run", "crash"


def save_problem(folder: Path, problem: Problem, error: Exception, tally: Tally) -> None:
    """Write a failing problem as a case folder with a report."""
    folder.mkdir(parents=True, exist_ok=True)
    stage, symptom = _stage_of(error)
    lines = [f"stage: {stage}", f"symptom: {symptom}", f"law: {tally.law}"]
    lines += [f"engine: {tally.engine}", "", str(error), "", f"problem: {problem!r}"]
    try:
        model = problem.model()
        values = problem.inputs() | problem.expected()
        axes = stream_axes_of(model)
        stream = None
        asked = (*problem.pulses, *problem.refused_at)
        if asked and axes:
            stream = Stream(SYMBOL, problem.length, asked, axes=axes)
        origin = Origin(tally.law, tally.engine, versions())
        approx = problem.oracle_approx if problem.oracle_approx != "bound" else "close"
        about = f"found by {tally.law} on {tally.engine}: {stage}/{symptom}"
        without = save_case(
            folder,
            model,
            values,
            about=about,
            approx=approx,
            stream=stream,
            origin=origin,
            onnx=problem.onnx(),
            may_refuse=bool(problem.refused_at),
        )
        lines += [f"no graph.nnef: {without}"] if without else []
        lines += ["", "model:", dump(model), "decluttered:", dump(declutter(model))]
        for pulse in problem.pulses:
            lines += [f"at pulse {pulse}:", dump(pulsify(model, pulse, symbol=SYMBOL).model)]
    except TractRefError as unbuilt:
        lines += ["", f"it goes no further: {unbuilt}"]
    (folder / "report.txt").write_text("\n".join(lines) + "\n")


def stream_axes_of(model: Model) -> dict[str, int]:
    """Return the stream axis of every input that has one."""
    rows = zip(model.input_names, model.inputs, strict=True)
    return {name: axes[0] for name, o in rows if (axes := model.fact(o).axes_with(SYMBOL))}


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter and are installed."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def summary_lines(tallies: Iterable[Tally]) -> list[str]:
    """Return one line per law: how many problems each engine was asked, and what was left out."""
    counts: dict[str, Counter[str]] = {}
    notes: Counter[str] = Counter()
    for tally in tallies:
        counts.setdefault(tally.law, Counter())[tally.engine] += tally.problems
        notes[f"{tally.law}: not offered by {tally.engine}"] += tally.not_offered
        notes[f"{tally.law}: inside known limits of {tally.engine}"] += tally.limited
        notes[f"{tally.law}: refused by {tally.engine}"] += tally.refused
    lines = [
        f"{law}: " + ", ".join(f"{count} {engine}" for engine, count in sorted(engines.items()))
        for law, engines in sorted(counts.items(), key=lambda item: _law_order(item[0]))
    ]
    return lines + [f"{note}: {count}" for note, count in sorted(notes.items()) if count]


def triage_lines(tallies: Iterable[Tally]) -> list[str]:
    """Return how many failures there are per stage and symptom, and where they are."""
    wrong = [tally for tally in tallies if tally.outcome == "wrong"]
    kinds = Counter(f"{tally.stage}/{tally.symptom}" for tally in wrong)
    lines = [f"triage: {kind} {count}" for kind, count in sorted(kinds.items())]
    return lines + [f"{t.cell} {t.law} {t.engine} -> {t.found}" for t in wrong if t.found]


def _law_order(law: str) -> tuple[int, int, str]:
    is_law = re.fullmatch(r"P\d+", law) is not None
    return (0, int(law[1:]), law) if is_law else (1, 0, law)


def write_report(path: Path, tallies: Iterable[Tally]) -> None:
    """Write the JSON report."""
    rows = [asdict(tally) for tally in tallies]
    path.write_text(json.dumps(rows, indent=1) + "\n")


def tally_of(properties: Iterable[tuple[str, object]]) -> Tally | None:
    """Return the tally among the properties of a test report."""
    for name, value in properties:
        if name == PROPERTY:
            data: Mapping[str, object] = json.loads(str(value))
            return Tally(**data)  # pyright: ignore[reportArgumentType]
    return None
