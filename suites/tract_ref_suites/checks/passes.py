"""P4 and P6: declutter and the NNEF files change nothing that can be seen."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tract_ref import Plan, declutter, load
from tract_ref.errors import Refused
from tract_ref.ir.check import check_model, checking_facts
from tract_ref.ir.dump import dump
from tract_ref.ir.model import Model
from tract_ref.nnef.archive import write_folder
from tract_ref.nnef.writer import model_files
from tract_ref.passes.declutter import Rewrites
from tract_ref_suites.checks.failure import NotOffered, require, require_equal, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import run_turns
from tract_ref_suites.problems.base import SYMBOL, Problem


def declutter_changes_no_value(problem: Problem) -> None:
    """P4: same values bit for bit, same names, a quiet second run, and the invariants hold."""
    subject = Subject(problem)
    before = dump(subject.model)
    with stage("declutter"), checking_facts():
        once = declutter(subject.model)
    require(before == dump(subject.model), "declutter", "wrong_value", "it edits its argument")
    require_quiet(once)
    names = (once.input_names, once.output_names)
    kept = (subject.model.input_names, subject.model.output_names)
    require(names == kept, "declutter", "wrong_value", f"inputs and outputs {kept} become {names}")
    with stage("run"):
        values = Plan(once, fast=False).run(subject.inputs, symbols={SYMBOL: problem.length})
    for name, value in subject.batch.items():
        require_equal(values[name], value, wire=name, what="decluttered against as written")
    for pulse in problem.pulses:
        with checking_facts():
            pulsed = subject.pulsed(pulse).model
        require_quiet(pulsed)


def require_quiet(once: Model) -> None:
    """Require that a second declutter rewrites nothing, and leaves the same model."""
    record = Rewrites()
    with stage("declutter"):
        twice = declutter(once, record=record)
    first, second = dump(once), dump(twice)
    detail = f"a second run changes the model\n{first}becomes\n{second}"
    require(first == second, "declutter", "not_deterministic", detail)
    fired = f"a second run fires {dict(record.fired)}\n{first}"
    require(record.total == 0, "declutter", "not_deterministic", fired)


def round_trip_keeps_model(problem: Problem) -> None:
    """P6: written, read and written again it is the same files, with the same values.

    Raises:
        CheckFailure: it is not.
        NotOffered: the batch model has no NNEF form, by a written refusal.
    """
    subject = Subject(problem)
    again = rewritten(subject.model)
    with stage("run"):
        values = Plan(again, fast=False).run(subject.inputs, symbols={SYMBOL: problem.length})
    for name, value in zip(again.output_names, subject.batch.values(), strict=True):
        require_equal(values[name], value, wire=name, what="read back against as built")
    for pulse in problem.pulses:
        pulsed = subject.pulsed(pulse).model
        try:
            copy = rewritten(pulsed)
        except NotOffered:
            continue
        whole = run_turns(Plan(pulsed, fast=False), subject.inputs, problem.length)
        with stage("run"):
            found = run_turns(Plan(copy, fast=False), subject.inputs, problem.length)
        for (name, output), expected in zip(found.items(), whole.values(), strict=True):
            what = f"pulse {pulse}: pulsified, read back, against as built"
            require_equal(output.kept, expected.kept, wire=name, what=what, stream=expected.place)


def rewritten(model: Model) -> Model:
    """Write a model and read it; what was read must be written the same for ever.

    The first text may differ from the second: the reader tidies what a builder may leave.

    Raises:
        CheckFailure: writing what was read, then reading and writing again, gives other files.
        NotOffered: a node has no NNEF form.
    """
    try:
        files = model_files(model)
    except Refused as refusal:
        require(refusal.stage == "write", "run", "refused", str(refusal))
        raise NotOffered(str(refusal)) from refusal
    again = _read_back(files)
    with stage("read"):
        first = model_files(again)
    with stage("read"):
        second = model_files(_read_back(first))
    require(sorted(first) == sorted(second), "read", "wrong_value", f"{list(first)} {list(second)}")
    for name, content in first.items():
        is_text = name.endswith(".nnef")
        texts = f"{content.decode()}\nbecomes\n{second[name].decode()}" if is_text else ""
        detail = f"{name} changes when it is read and written again\n{texts}"
        require(content == second[name], "read", "not_deterministic", detail)
    return again


def _read_back(files: dict[str, bytes]) -> Model:
    with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
        folder = Path(scratch) / "model"
        write_folder(folder, files)
        with stage("read"):
            model = load(folder)
            check_model(model, stage="read")
    return model
