"""P13: one translation with a symbolic pulse is the batch, however the stream is cut into turns."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from math import gcd
from pathlib import Path

import numpy as np

from tract_ref import Plan, Pulsed, Session, pulsify
from tract_ref.approx import Array
from tract_ref.dim import evaluate, sym
from tract_ref_suites.checks.bounds import bound_for
from tract_ref_suites.checks.failure import require, require_equal, stage
from tract_ref_suites.checks.fast import tolerance_of
from tract_ref_suites.checks.stream import require_kept
from tract_ref_suites.checks.subject import Subject, stream_axes
from tract_ref_suites.checks.turns import (
    End,
    Fill,
    RawOutput,
    fill_value,
    layout_of,
    run_pushes,
)
from tract_ref_suites.problems.base import SYMBOL, Problem

CHUNK = "P"
# Turns of so many units, over and over: single, large, halved, growing, and with a jump.
_CUTS = ((1,), (4,), (2, 2, 1), (1, 2, 3), (5, 1, 1))
_WAYS: tuple[tuple[End, Fill], ...] = (("late", "nan"), ("known", "big"), ("late", "big"))


def any_turns_agree(problem: Problem) -> None:
    """P13: turns of any size equal the batch bit for bit, sessions moved between sizes too."""
    subject = Subject(problem)
    pulsed = symbolic(subject)
    unit = gcd(*problem.pulses)
    fixed = subject.pulsed(unit).delays
    text = f"pulse {unit}*{CHUNK} announces delays {pulsed.delays}, pulse {unit} {fixed}"
    require(pulsed.delays == fixed, "pulsify", "wrong_delay", text)
    with stage("plan"):
        plan, fast = Plan(pulsed.model, fast=False), Plan(pulsed.model, fast=True)
    for cut, (end, fill) in zip(_CUTS, itertools.cycle(_WAYS)):
        what = f"turns of {list(cut)} x {unit} frames, end {end}, filler {fill}: against batch"
        with stage("run"):
            raw = _joined(plan, _turns(plan, plan.session(), subject, cut, end=end, fill=fill))
        _require_batch(raw, subject, what)
    _check_moved(plan, subject)
    _check_fast(fast, subject)


def symbolic(subject: Subject) -> Pulsed:
    """Return the model pulsified once for turns of every size its pulses have in common."""
    unit = gcd(*subject.problem.pulses)
    with stage("pulsify"):
        return pulsify(subject.model, sym(CHUNK) * unit, symbol=SYMBOL)


Turns = list[tuple[int, dict[str, Array]]]


def _needed(plan: Plan, length: int, fed: int, brought: Mapping[str, int]) -> bool:
    """Say whether a promised frame is missing, or the end not seen by a turn without frames."""
    layout = layout_of(plan)
    for slot, name in enumerate(plan.model.output_names):
        if layout.output_axes[slot] >= 0:
            frames = max(0, evaluate(layout.output_lengths[slot], {layout.symbol: length}))
            if frames and brought[name] < layout.delays[slot] + frames:
                return True
    return fed <= length


def _turns(
    plan: Plan,
    session: Session,
    subject: Subject,
    cut: tuple[int, ...],
    *,
    end: End = "late",
    fill: Fill = "nan",
    inputs: Mapping[str, Array] | None = None,
    before: Turns | None = None,
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield the units and the values of each turn that is left until the end of the stream."""
    layout, length = layout_of(plan), subject.problem.length
    inputs = subject.inputs if inputs is None else inputs
    done = before or []
    fed = sum(units for units, _ in done) * layout.pulse
    names = plan.model.output_names
    brought = dict.fromkeys(names, 0)
    for _, values in done:
        _count(plan, brought, values)
    for units in itertools.cycle(cut):
        if not _needed(plan, length, fed, brought):
            return
        if end == "known" or fed + units * layout.pulse > length:
            session.symbols[layout.symbol] = length
        values = session.turn(_chunk(plan, inputs, fed // layout.pulse, units, fill))
        fed += units * layout.pulse
        _count(plan, brought, values)
        yield units, values


def _count(plan: Plan, brought: dict[str, int], values: Mapping[str, Array]) -> None:
    rows = zip(plan.model.output_names, layout_of(plan).output_axes, strict=True)
    for name, axis in rows:
        brought[name] += values[name].shape[axis] if axis >= 0 else 0


def _chunk(
    plan: Plan, inputs: Mapping[str, Array], first: int, units: int, fill: Fill
) -> dict[str, Array]:
    """Return units [first, first + units) of every streaming input, completed with filler."""
    chunk: dict[str, Array] = {}
    for name, axis in zip(plan.model.input_names, layout_of(plan).input_axes, strict=True):
        whole = inputs[name]
        if axis < 0:
            chunk[name] = whole
            continue
        shape = plan.input_facts[name].concrete_shape({CHUNK: units})
        start = first * shape[axis] // units
        lead = (slice(None),) * axis
        real = whole[(*lead, slice(start, start + shape[axis]))]
        part = np.full(shape, fill_value(whole.dtype, fill), whole.dtype)
        part[(*lead, slice(0, real.shape[axis]))] = real
        chunk[name] = part
    return chunk


def _joined(plan: Plan, turns: Iterator[tuple[int, dict[str, Array]]]) -> dict[str, RawOutput]:
    layout = layout_of(plan)
    found = [values for _, values in turns]
    raw: dict[str, RawOutput] = {}
    for slot, name in enumerate(plan.model.output_names):
        parts = tuple(values[name] for values in found)
        raw[name] = RawOutput(parts, layout.output_axes[slot], layout.delays[slot], 0)
    return raw


def _require_batch(raw: Mapping[str, RawOutput], subject: Subject, what: str) -> None:
    for name, output in raw.items():
        batch = subject.batch[name]
        frames = batch.shape[output.axis] if output.axis >= 0 else 0
        whole = RawOutput(output.parts, output.axis, output.delay, frames)
        require_kept(whole, batch, name, what)


def _check_moved(plan: Plan, subject: Subject) -> None:
    """Break two streams of one plan in the middle; go on in copies, in turns of other sizes."""
    length = subject.problem.length
    axes = stream_axes(subject.model)
    flipped = {k: np.flip(v).copy() if k in axes else v for k, v in subject.inputs.items()}
    session, other = plan.session(), plan.session()
    with stage("run"):
        mine = _turns(plan, session, subject, (2, 1))
        theirs = _turns(plan, other, subject, (1, 3), inputs=flipped)
        pairs = itertools.zip_longest(mine, theirs)
        middle = length // layout_of(plan).pulse // 3 + 1
        done = [pair[0] for pair in itertools.islice(pairs, middle) if pair[0] is not None]
        with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
            path = Path(scratch) / "state.npz"
            session.save(path)
            loaded = plan.session()
            loaded.load(path)
        copies = {"cloned": session.clone(), "loaded": loaded, "original": session}
        for kind, copy in copies.items():
            rest = _turns(plan, copy, subject, (3, 1), before=done)
            raw = _joined(plan, iter([*done, *rest]))
            _require_batch(raw, subject, f"{kind} session in turns of another size: against batch")


def _check_fast(plan: Plan, subject: Subject) -> None:
    """Push chunks of any size through the fast kernels."""
    problem = subject.problem
    approx = tolerance_of(problem)
    length = problem.length
    for sizes in ((length,), (1,) * length, (length // 2, 0, length - length // 2)):
        with stage("run"):
            values, _ = run_pushes(plan, subject.inputs, sizes)
        for name, value in subject.batch.items():
            what = f"fast, pushes of {list(sizes)}: against batch"
            bound = bound_for(problem, name, approx)
            require_equal(values[name], value, wire=name, what=what, approx=approx, bound=bound)
