"""P9: delay and receptive field are neither too small (P1 sees that) nor too large.

A delay d is the least when d - 1 is impossible: some output frame would have to leave before a
source frame that it depends on, or before the end that it depends on, has arrived. The witness is a
pair of streams that are the same up to that turn and whose batch values differ in that frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from tract_ref import Plan
from tract_ref.approx import Array, compare
from tract_ref.dim import Dim, evaluate
from tract_ref.runtime.inputs import least_length
from tract_ref_suites.checks.failure import CheckFailure, require
from tract_ref_suites.checks.subject import Subject, stream_axes
from tract_ref_suites.checks.turns import output_frames
from tract_ref_suites.problems.base import SYMBOL, Problem

# NaN and infinity show reads that arithmetic on ordinary numbers may hide.
_MOODS = ("drawn", "pool", "high", "low", "nan", "inf", "-inf", "zero")
_TURNS = 6
# Streams that a witness starts from: the problem's own, two drawn from it, four of plain numbers.
_BASES = 7
_DRAWN = 3


def nothing_is_too_large(problem: Problem) -> None:
    """P9: no smaller delay is feasible, and both ends of the receptive field are reached."""
    subject = Subject(problem, generic=True)
    for pulse in problem.pulses:
        _check_delay(subject, pulse)
    if problem.pulses:
        _check_field(subject, problem.pulses[0])


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
        if not delay or problem.loose or length < wanted or not _varies(subject):
            continue
        if not subject.run(subject.at_length(length), length)[name].size:
            continue
        output = (name, axis, delay, frames, per_turn)
        bases = [_base(subject, length, seed) for seed in range(_BASES)]
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


def _varies(subject: Subject) -> bool:
    """Say whether a difference of streams shows: functions of few values hide most of them.

    The closed form `least_delay` judges the delay of integer and boolean problems.
    """
    model = subject.model
    facts = [subject.plan.input_facts[name] for name in stream_axes(model)]
    facts += [model.fact(outlet) for outlet in model.outputs]
    return all(fact.dtype.kind == "f" for fact in facts)


def _base(subject: Subject, length: int, seed: int) -> dict[str, Array]:
    """Return a stream: the problem's own, ones without equal elements, then plain numbers.

    The problem's own elements may all be alike, or no numbers.
    """
    own = subject.at_length(length)
    for name in stream_axes(subject.model) if seed else ():
        if seed < _DRAWN or own[name].dtype.kind != "f":
            own[name] = _moved(own[name], own[name].shape, "drawn", seed=seed)
        else:
            rng = np.random.default_rng(seed)
            own[name] = rng.uniform(-9, 9, own[name].shape).astype(own[name].dtype)
    return own


def _follows(subject: Subject, base: Mapping[str, Array], length: int, name: str) -> bool:
    """Say whether an output differs for some other stream of the same length."""
    batch = subject.run(base, length)[name]
    for mood in _MOODS:
        value = subject.run(_varied(subject, base, length, 0, mood), length)[name]
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
        for other_length, other in _continuations(subject, base, length, (turn + 1) * pulse, pulse):
            value = subject.run(other, other_length)[name]
            window = (*lead, slice(first, min(last, value.shape[axis])))
            if not compare(value[window], batch[window], approx="exact").within:
                return True
    return False


def _continuations(
    subject: Subject, base: Mapping[str, Array], length: int, seen: int, pulse: int
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield streams that begin with the first `seen` source frames of `base`."""
    for mood in _MOODS:
        yield length, _varied(subject, base, length, seen, mood)
    dims = [
        subject.plan.input_facts[name].shape[a] for name, a in stream_axes(subject.model).items()
    ]
    least = max(least_length(dim, SYMBOL, _frames_of(dim, seen)) for dim in dims)
    for other in sorted({least, seen, seen + 1, seen + pulse}):
        if other == subject.admitted(other) and other != length:
            yield other, _varied(subject, base, other, seen, "drawn")


def _varied(
    subject: Subject, base: Mapping[str, Array], length: int, seen: int, mood: str
) -> dict[str, Array]:
    axes = stream_axes(subject.model)
    other = subject.at_length(length, seed=2)
    for name, axis in axes.items():
        dim = subject.plan.input_facts[name].shape[axis]
        kept = min(_frames_of(dim, seen), other[name].shape[axis])
        lead = (slice(None),) * axis
        value = other[name] = _moved(base[name], other[name].shape, mood)
        value[(*lead, slice(0, kept))] = base[name][(*lead, slice(0, kept))]
    return other


def _frames_of(dim: Dim, source: int) -> int:
    """Return the frames that the first source frames bring; the rest of a*S + b comes after all."""
    return evaluate(dim, {SYMBOL: source}) - evaluate(dim, {SYMBOL: 0})


def _moved(own: Array, shape: tuple[int, ...], mood: str, *, seed: int = 3) -> Array:
    """Return values unlike those of `own`: drawn from it, beyond either end of it, or no number."""
    rng = np.random.default_rng(seed)
    pool = own.ravel() if own.size else np.ones(1, own.dtype)
    drawn = pool[rng.integers(0, pool.size, shape)]
    if own.dtype.kind != "f":
        ends = {"high": pool.max(), "low": pool.min()}
        return np.full(shape, ends[mood], own.dtype) if mood in ends else drawn
    scale = rng.uniform(1.1, 3.0, shape)
    finite = pool[np.isfinite(pool)]
    top = 2 * float(np.abs(finite).max(initial=1.0)) * scale
    with np.errstate(over="ignore"):
        made = {
            "drawn": drawn * scale,
            "pool": drawn,
            "high": top,
            "low": -top,
            "nan": np.full(shape, np.nan),
            "inf": np.full(shape, np.inf),
            "-inf": np.full(shape, -np.inf),
            "zero": np.zeros(shape),
        }
        return made[mood].astype(own.dtype)


def _check_field(subject: Subject, pulse: int) -> None:
    """Move one source frame at a time; see which output frames follow.

    What one output frame reads lies within the receptive field; what all of them read, relative to
    where output frame i stands in source time, i / rate, reaches as far.
    """
    problem = subject.problem
    field = subject.pulsed(pulse).receptive_field
    if field is None:
        # A recurrence remembers the whole past: there is no end to reach.
        return
    plan = subject.pulsed_plan(pulse)
    wanted = subject.smallest + _late(plan, pulse) + 2 * field + 2
    length = subject.admitted(max(problem.length, wanted))
    rows = [row for row in output_frames(plan, length) if row[1] >= 0]
    found: dict[str, dict[int, set[int]]] = {name: {} for name, *_ in rows}
    widest = 0
    # One way of moving is enough for most ops; a max or a choice shows its reads only in some.
    seeds = range(2 if problem.loose else _BASES)
    for seed, mood in itertools.product(seeds, _MOODS):
        base = _base(subject, length, seed)
        _note_reads(subject, base, length, mood, [(name, axis) for name, axis, *_ in rows], found)
        widest = max((_widest(found[row[0]], row, pulse, field) for row in rows), default=0)
        # Frames of several phases, or of two branches that take turns, reach further together.
        if widest >= field:
            return
    if widest and not problem.loose and length >= wanted and _varies(subject):
        text = f"the receptive field is said to be {field} frames; {widest} are reached"
        raise CheckFailure("pulsify", "wrong_value", text)


def _widest(
    found: Mapping[int, set[int]], row: tuple[str, int, int, int, int], pulse: int, field: int
) -> int:
    """Return the source frames between the first and the last that any frame reads."""
    name, _, _, _, per_turn = row
    offsets: list[int] = []
    for at, sources in found.items():
        span = max(sources) - min(sources) + 1
        text = f"frame {at} of {name!r} follows source frames {min(sources)} to {max(sources)}"
        require(span <= field, "pulsify", "wrong_value", f"{text}; the field is {field} frames")
        # An output frame between two source frames belongs to the earlier one.
        offsets += [source - at * pulse // per_turn for source in sources]
    return max(offsets) - min(offsets) + 1 if offsets else 0


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
        values = subject.run(_with_frame_moved(subject, base, frame, mood), length)
        for name, axis in outputs:
            for at in _moved_frames(values[name], batch[name], axis):
                found[name].setdefault(at, set()).add(frame)


def _with_frame_moved(
    subject: Subject, base: Mapping[str, Array], frame: int, mood: str
) -> dict[str, Array]:
    moved = dict(base)
    for name, axis in stream_axes(subject.model).items():
        dim = subject.plan.input_facts[name].shape[axis]
        low, high = _frames_of(dim, frame), _frames_of(dim, frame + 1)
        value = base[name].copy()
        window = (*(slice(None),) * axis, slice(low, high))
        value[window] = _moved(base[name], value[window].shape, mood)
        moved[name] = value
    return moved


def _moved_frames(value: Array, batch: Array, axis: int) -> list[int]:
    same = value == batch
    if value.dtype.kind == "f":
        same |= np.isnan(value) & np.isnan(batch)
    others = tuple(a for a in range(value.ndim) if a != axis)
    return [int(i) for i in np.flatnonzero(~same.all(axis=others))]
