"""P8: a session is a value: it can be interleaved, cloned, saved; its state does not grow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tract_ref import Plan, Session
from tract_ref.approx import Array
from tract_ref_suites.checks.failure import require, require_equal, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import announce, feed, layout_of, pushed, turns_needed
from tract_ref_suites.problems.base import Problem

_MANY_TURNS = 12


def sessions_are_values(problem: Problem) -> None:
    """P8: interleaved, cloned, saved and fresh sessions agree bit for bit; state does not grow."""
    subject = Subject(problem)
    for pulse in problem.pulses:
        for fast in (False, True):
            plan = subject.pulsed_plan(pulse, fast=fast)
            label = f"pulse {pulse}, {'fast' if fast else 'eval'}"
            with stage("run"):
                _check_interleaved(plan, subject, label)
                _check_copies(plan, subject, label)
                # A file is slow to write: one pulse shows whether the state survives it.
                if pulse == problem.pulses[-1]:
                    _check_pushed_copies(plan, subject, label)
                _check_state(plan, subject, label)


def _trace(plan: Plan, session: Session, inputs: Mapping[str, Array], length: int, first: int):
    """Yield the values of each turn from turn `first` to the end of the stream."""
    for turn in range(first, turns_needed(plan, length)):
        announce(session, length, turn, "late")
        yield session.turn(feed(plan, inputs, turn, fill="nan"))


def _require_same(got: Mapping[str, Array], expected: Mapping[str, Array], what: str) -> None:
    for name, value in expected.items():
        require_equal(got[name], value, wire=name, what=what)


def _check_interleaved(plan: Plan, subject: Subject, label: str) -> None:
    length = subject.problem.length
    one, two = subject.inputs, subject.at_length(length, seed=1)
    # The same elements in another order: whatever leaks from one session shows in the other.
    two = {name: np.array(np.flip(value), order="C") for name, value in two.items()}
    alone = [list(_trace(plan, plan.session(), inputs, length, 0)) for inputs in (one, two)]
    left = _trace(plan, plan.session(), one, length, 0)
    right = _trace(plan, plan.session(), two, length, 0)
    for turn, (a, b) in enumerate(zip(left, right, strict=True)):
        what = f"{label}, turn {turn}: interleaved against alone"
        _require_same(a, alone[0][turn], what)
        _require_same(b, alone[1][turn], what)


def _check_copies(plan: Plan, subject: Subject, label: str) -> None:
    """Go on with a clone from every turn; what was cloned goes on elsewhere, and is forgotten."""
    length = subject.problem.length
    whole = list(_trace(plan, plan.session(), subject.inputs, length, 0))
    other = {name: np.asarray(np.flip(value)) for name, value in subject.inputs.items()}
    session = plan.session()
    for turn, values in enumerate(whole):
        left, session = session, session.clone()
        announce(session, length, turn, "late")
        got = session.turn(feed(plan, subject.inputs, turn, fill="nan"))
        _require_same(got, values, f"{label}, turn {turn}: cloned at every turn against unbroken")
        announce(left, length, turn, "late")
        left.turn(feed(plan, other, turn, fill="big"))
    middle = len(whole) // 2
    session = plan.session()
    for turn in range(middle):
        announce(session, length, turn, "late")
        session.turn(feed(plan, subject.inputs, turn, fill="nan"))
    cloned = session.clone()
    for kind, copy in (("cloned", cloned), ("original", session)):
        rest = _trace(plan, copy, subject.inputs, length, middle)
        for turn, values in enumerate(rest, middle):
            _require_same(values, whole[turn], f"{label}, turn {turn}: {kind} against unbroken")


def saved_at_every_turn(problem: Problem) -> None:
    """P8 at its longest: a stream that is saved and loaded after every turn goes on bit for bit."""
    subject = Subject(problem)
    length = problem.length
    for pulse in problem.pulses:
        for fast in (False, True):
            plan = subject.pulsed_plan(pulse, fast=fast)
            label = f"pulse {pulse}, {'fast' if fast else 'eval'}"
            with stage("run"), tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
                whole = list(_trace(plan, plan.session(), subject.inputs, length, 0))
                session = plan.session()
                for turn, values in enumerate(whole):
                    path = Path(scratch) / f"{turn}.npz"
                    session.save(path)
                    kept, session = session.state_arrays(), plan.session()
                    session.load(path)
                    what = f"{label}, turn {turn}: loaded"
                    _require_same(session.state_arrays(), kept, f"{what}, state against what was")
                    announce(session, length, turn, "late")
                    got = session.turn(feed(plan, subject.inputs, turn, fill="nan"))
                    _require_same(got, values, f"{what} at every turn against unbroken")


def _check_pushed_copies(plan: Plan, subject: Subject, label: str) -> None:
    """Break a stream of pushes between two pulses, where frames are pending."""
    length = subject.problem.length
    middle = (length + 1) // 2
    session = plan.session()
    session.push(pushed(plan, subject.inputs, 0, middle, more=True))
    with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
        path = Path(scratch) / "state.npz"
        session.save(path)
        loaded = plan.session()
        loaded.load(path)
    cloned = session.clone()
    rest = pushed(plan, subject.inputs, middle, length)
    expected = (session.push(rest), session.finish())
    for kind, copy in (("cloned", cloned), ("loaded", loaded)):
        what = f"{label}, after {middle} frames: {kind} against unbroken"
        _require_same(copy.push(rest), expected[0], what)
        _require_same(copy.finish(), expected[1], what)


def _check_state(plan: Plan, subject: Subject, label: str) -> None:
    """State appears when the first frames do, then keeps its count and its shapes."""
    pulse = layout_of(plan).pulse
    length = subject.admitted(max(_MANY_TURNS * pulse, subject.problem.length))
    inputs = subject.at_length(length)
    session = plan.session()
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    counts: list[int] = []
    for turn, _ in enumerate(_trace(plan, session, inputs, length, 0)):
        found = {k: (v.shape, str(v.dtype)) for k, v in session.state_arrays().items()}
        changed = {k: (shapes[k], found.get(k)) for k in shapes if shapes[k] != found.get(k)}
        require(not changed, "run", "wrong_shape", f"{label}, turn {turn}: state {changed} changes")
        shapes = found
        counts.append(len(found))
    settled = counts[len(counts) // 2 :]
    grows = f"{label}: number of state arrays per turn {counts} keeps growing"
    require(len(set(settled)) == 1, "run", "wrong_shape", grows)
