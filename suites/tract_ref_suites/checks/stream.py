"""P1, P2, P3: a stream is its batch, at any pulse, whatever stands where no frame is."""

from __future__ import annotations

import itertools

import numpy as np

from tract_ref import Plan, Session, pulsify
from tract_ref.approx import Array, compare
from tract_ref.errors import Refused
from tract_ref.ir.dump import dump
from tract_ref.ops.buffer import Delay
from tract_ref_suites.checks.failure import CheckFailure, require, require_equal, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import (
    ENDS,
    FILLS,
    Fill,
    RawOutput,
    fill_value,
    run_pushes,
    run_turns,
)
from tract_ref_suites.problems.base import SYMBOL, Problem

_SHIFTS = (-1, 1, -2, 2, -3, 3)


def stream_equals_batch(problem: Problem) -> None:
    """P1: raw turns, delay cut, are the batch bit for bit, the end known at once or late.

    Where the problem says so, the pulsifier refuses instead, and leaves the model as it was.

    Raises:
        CheckFailure: they are not; a stream that is right at another delay is `wrong_delay`.
    """
    subject = Subject(problem)
    for pulse in problem.refused_at:
        _require_refusal(subject, pulse)
    for pulse, end, fill in itertools.product(problem.pulses, ENDS, FILLS):
        plan = subject.pulsed_plan(pulse)
        with stage("run"):
            raw = run_turns(plan, subject.inputs, problem.length, fill=fill, end=end)
        for name, output in raw.items():
            what = f"pulse {pulse}, end {end}, filler {fill}: stream against batch"
            require_kept(output, subject.batch[name], name, what)


def _require_refusal(subject: Subject, pulse: int) -> None:
    before, starts = dump(subject.model), subject.problem.refusal
    try:
        pulsify(subject.model, pulse, symbol=SYMBOL)
    except Refused as refusal:
        text = f"pulse {pulse}: {str(refusal)!r} where a refusal starting {starts!r} is stated"
        require(str(refusal).startswith(starts), "pulsify", "wrong_value", text)
        text = f"pulse {pulse}: the refusal changes the model"
        require(dump(subject.model) == before, "pulsify", "wrong_value", text)
        return
    text = f"pulse {pulse}: streamed, where a refusal starting {starts!r} is stated"
    raise CheckFailure("pulsify", "wrong_value", text)


def require_kept(
    output: RawOutput, batch: Array, wire: str, what: str, *, approx: str = "exact"
) -> None:
    """Require that the promised frames are the batch value."""
    if not compare(output.kept, batch, approx=approx).within and output.axis >= 0:
        for shift in _SHIFTS:
            delay = output.delay + shift
            if delay >= 0 and batch.size and compare(output.cut(delay), batch).within:
                text = f"{what}: {wire!r} announces delay {output.delay}, it is {delay}"
                raise CheckFailure("compare", "wrong_delay", text)
    require_equal(output.kept, batch, wire=wire, what=what, approx=approx, stream=output.place)


def any_pulse_agrees(problem: Problem) -> None:
    """P2: pushes of any size give the batch value bit for bit, whatever the pulse."""
    subject = Subject(problem)
    for pulse in problem.pulses:
        plan = subject.pulsed_plan(pulse)
        for sizes in chunkings(problem.length, pulse):
            with stage("run"):
                values, _ = run_pushes(plan, subject.inputs, sizes)
            for name, value in values.items():
                what = f"pulse {pulse}, pushes of {list(sizes)}: against batch"
                require_equal(value, subject.batch[name], wire=name, what=what)


def chunkings(length: int, pulse: int) -> list[tuple[int, ...]]:
    """Return ways to cut `length` frames: pulses, single frames, whole, and uneven with gaps."""
    full, rest = divmod(length, pulse)
    regular = (pulse,) * full + ((rest,) if rest else ())
    uneven: list[int] = []
    left, sizes = length, itertools.cycle((pulse + 1, 0, 1, 2 * pulse))
    while left:
        uneven.append(min(next(sizes), left))
        left -= uneven[-1]
    return [regular, (1,) * length, (length,), (*uneven, 0)]


def filler_never_shows(problem: Problem) -> None:
    """P3: what stands before the first and after the last frame changes no promised frame."""
    subject = Subject(problem)
    input_has_nan = any(v.dtype.kind == "f" and np.isnan(v).any() for v in subject.inputs.values())
    for pulse in problem.pulses:
        plan = subject.pulsed_plan(pulse)
        found: list[tuple[str, dict[str, RawOutput]]] = []
        for fill, primed in itertools.product(FILLS, (False, True)):
            session = plan.session()
            if primed:
                prime_delays(plan, session, fill)
            with stage("run"):
                raw = run_turns(plan, subject.inputs, problem.length, fill=fill, session=session)
            found.append((f"filler {fill}, old frames {'filled' if primed else 'zero'}", raw))
        label, first = found[0]
        for name, output in first.items():
            is_clean = output.kept.dtype.kind != "f" or not np.isnan(output.kept).any()
            batch_has_nan = bool(np.isnan(subject.batch[name]).any()) if not is_clean else False
            require(
                is_clean or input_has_nan or batch_has_nan,
                "compare",
                "wrong_value",
                f"pulse {pulse}, {label}: NaN among the promised frames of {name!r}",
            )
        for (other_label, other), (name, output) in itertools.product(found[1:], first.items()):
            what = f"pulse {pulse}: {other_label} against {label}"
            require_equal(other[name].kept, output.kept, wire=name, what=what, stream=output.place)


def prime_delays(plan: Plan, session: Session, fill: Fill) -> None:
    """Put filler where the delays of a fresh session hold zeros; nothing promised reads it."""
    arrays: dict[str, Array] = {}
    for node in plan.nodes:
        if isinstance(node.op, Delay):
            fact = plan.model.fact(node.inputs[0])
            shape = list(fact.concrete_shape({}))
            shape[node.op.axis] = node.op.delay + node.op.overlap
            value = fill_value(fact.dtype, fill)
            arrays[f"{node.name}/buffer"] = np.full(shape, value, fact.dtype)
    session.restore_arrays(arrays)
