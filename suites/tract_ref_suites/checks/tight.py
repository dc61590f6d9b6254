"""P9: delay and receptive field are neither too small (P1 sees that) nor too large.

A delay d is the least when d - 1 is impossible: some output frame would have to leave before a
source frame that it depends on, or before the end that it depends on, has arrived. The witness is a
pair of streams that are the same up to that turn and whose batch values differ in that frame.
Where the rules take more than the least, or values hide what is read, no witness is looked for: the
closed forms of `delays` hold the announced delay of every model to the frame all the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from math import gcd

from tract_ref import Plan
from tract_ref.approx import Array, compare
from tract_ref_suites.checks.delays import expected_delays
from tract_ref_suites.checks.failure import CheckFailure, require
from tract_ref_suites.checks.perturb import (
    BASES,
    MOODS,
    base_stream,
    continuations,
    moved_frames,
    varied,
    varies,
    with_frame_moved,
)
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import output_frames
from tract_ref_suites.problems.base import SYMBOL, Problem

_TURNS = 6


def nothing_is_too_large(problem: Problem) -> None:
    """P9: no smaller delay is feasible, and both ends of the receptive field are reached."""
    subject = Subject(problem, generic=True)
    for pulse in problem.pulses:
        _check_announced(subject, pulse)
        _check_delay(subject, pulse)
    if problem.pulses:
        _check_field(subject, problem.pulses[0])


def _check_announced(subject: Subject, pulse: int) -> None:
    """Hold the delays to the closed forms; how values hide what is read plays no part in these."""
    wanted = expected_delays(subject.pulsed(pulse).batch, SYMBOL, pulse)
    if wanted is None:
        return
    rows = output_frames(subject.pulsed_plan(pulse), 0)
    for (name, axis, delay, _, _), expected in zip(rows, wanted, strict=True):
        seen = delay if axis >= 0 else None
        text = f"pulse {pulse}: {name!r} announces delay {seen}, the closed forms say {expected}"
        require(seen == expected, "pulsify", "wrong_delay", text)


def _check_delay(subject: Subject, pulse: int) -> None:
    problem = subject.problem
    plan = subject.pulsed_plan(pulse)
    least = problem.least_delay(pulse)
    late = _late(plan, pulse)
    field = subject.pulsed(pulse).receptive_field or 0
    wanted = subject.smallest + late + field + _TURNS * pulse
    length = subject.admitted(max(problem.length, wanted))
    for name, axis, delay, frames, per_turn in output_frames(plan, length):
        if axis < 0:
            continue
        if least is not None:
            text = f"pulse {pulse}: {name!r} announces delay {delay}, the closed form says {least}"
            require(delay == least, "pulsify", "wrong_delay", text)
        # A stream of bounded length may be too short to show a witness.
        hidden = problem.loose or problem.rounds or not varies(subject)
        if not delay or hidden or length < wanted:
            continue
        if not subject.run(subject.at_length(length), length)[name].size:
            continue
        output = (name, axis, delay, frames, per_turn)
        bases = [base_stream(subject, length, seed) for seed in range(BASES)]
        if any(_is_least(subject, base, length, pulse, output) for base in bases):
            continue
        # A function that is constant, as 1**x, has no witness of any delay.
        if any(_follows(subject, base, length, name) for base in bases):
            text = f"pulse {pulse}: {name!r} announces delay {delay}; {delay - 1} would do"
            raise CheckFailure("pulsify", "wrong_delay", text)


def _late(plan: Plan, pulse: int) -> int:
    """Return how many source frames the latest output waits for."""
    return max(
        (-(-delay * pulse // q) for _, axis, delay, _, q in output_frames(plan, 0) if axis >= 0),
        default=0,
    )


def _follows(subject: Subject, base: Mapping[str, Array], length: int, name: str) -> bool:
    """Say whether an output differs for some other stream of the same length."""
    batch = subject.run(base, length)[name]
    for mood in MOODS:
        value = subject.run(varied(subject, base, length, 0, mood), length)[name]
        if not compare(value, batch, approx="exact").within:
            return True
    return False


def _is_least(
    subject: Subject,
    base: Mapping[str, Array],
    length: int,
    pulse: int,
    output: tuple[str, int, int, int, int],
) -> bool:
    name, axis, delay, frames, per_turn = output
    batch = subject.run(base, length)[name]
    lead = (slice(None),) * axis
    for turn in range(length // pulse):
        first = max(0, turn * per_turn - (delay - 1))
        last = min(frames, (turn + 1) * per_turn - (delay - 1))
        if last <= first:
            continue
        for other_length, other in continuations(subject, base, length, (turn + 1) * pulse, pulse):
            value = subject.run(other, other_length)[name]
            window = (*lead, slice(first, min(last, value.shape[axis])))
            if not compare(value[window], batch[window], approx="exact").within:
                return True
    return False


def _check_field(subject: Subject, pulse: int) -> None:
    """Move one source frame at a time; see which output frames follow.

    What one output frame reads lies within the receptive field, and some frame reads as far.
    """
    problem = subject.problem
    field = subject.pulsed(pulse).receptive_field
    if field is None:
        # A recurrence remembers the whole past: there is no end to reach.
        return
    plan = subject.pulsed_plan(pulse)
    # In every phase some frame reads no padding.
    phases = max(pulse // gcd(pulse, per_turn) for *_, per_turn in output_frames(plan, 0))
    wanted = subject.smallest + _late(plan, pulse) + 2 * field + 2 * phases
    length = subject.admitted(max(problem.length, wanted))
    rows = [row for row in output_frames(plan, length) if row[1] >= 0]
    found: dict[str, dict[int, set[int]]] = {name: {} for name, *_ in rows}
    widest = 0
    # One way of moving is enough for most ops; a max or a choice shows its reads only in some.
    seeds = range(2 if problem.loose else BASES)
    for seed, mood in itertools.product(seeds, MOODS):
        base = base_stream(subject, length, seed)
        _note_reads(subject, base, length, mood, [(name, axis) for name, axis, *_ in rows], found)
        widest = max((_widest(found[row[0]], row[0], field) for row in rows), default=0)
        if widest >= field:
            return
    if widest and not problem.loose and length >= wanted and varies(subject):
        text = f"the receptive field is said to be {field} frames; {widest} are reached"
        raise CheckFailure("pulsify", "wrong_value", text)


def _widest(found: Mapping[int, set[int]], name: str, field: int) -> int:
    """Return the most source frames between the first and the last that one frame reads."""
    spans = {at: max(sources) - min(sources) + 1 for at, sources in found.items()}
    for at, span in spans.items():
        first, last = min(found[at]), max(found[at])
        text = f"frame {at} of {name!r} follows source frames {first} to {last}"
        require(span <= field, "pulsify", "wrong_value", f"{text}; the field is {field} frames")
    return max(spans.values(), default=0)


def _note_reads(
    subject: Subject,
    base: Mapping[str, Array],
    length: int,
    mood: str,
    outputs: list[tuple[str, int]],
    found: dict[str, dict[int, set[int]]],
) -> None:
    """Note, per output and per frame of it, the source frames that move it."""
    batch = subject.run(base, length)
    for frame in range(length):
        values = subject.run(with_frame_moved(subject, base, frame, mood), length)
        for name, axis in outputs:
            for at in moved_frames(values[name], batch[name], axis):
                found[name].setdefault(at, set()).add(frame)
