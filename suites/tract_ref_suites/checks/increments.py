"""P12: increments are exact: all that is computable, nothing that is not, however it is pushed.

After every push each wire holds as many frames as its region says in closed form; joined, the
outputs are the batch bit for bit. By perturbation: what an op reads of its inputs covers what a
change of one input frame moves, and after the first frames of a stream no output frame was given
that a continuation moves (never larger). The largest is asked twice: of every op, end discovered
and announced (`node_counts`), and of the outputs, end discovered, where values hide nothing
(`Problem.loose`): there the next frame is moved by some continuation, unless it depends on no input
at all (spec/pulse.md 9.4).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tract_ref.approx import Array, compare
from tract_ref.errors import Refused
from tract_ref.ir.model import Node, Outlet, Source
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.runtime.reach import Reach
from tract_ref_suites.checks.failure import (
    CheckFailure,
    require,
    require_equal,
    shown,
    stage,
    symptom_of,
)
from tract_ref_suites.checks.node_counts import nothing_is_held_back
from tract_ref_suites.checks.perturb import (
    BASES,
    MOODS,
    base_stream,
    continuations,
    moved_frames,
    moved_values,
    varied,
    varies,
)
from tract_ref_suites.checks.streaming import (
    Streaming,
    evaluated,
    frames_at,
    held_after,
    without_zeros,
)
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import ENDS, End
from tract_ref_suites.problems.base import SYMBOL, Problem

ABOUT_THE_PULSE = "pulse="
"""What a v1 refusal says when only the size of the turns stands in the way."""
# Streams of more frames than this are not pushed frame by frame.
_FEW = 24
_SIZES = (0, 0, 1, 1, 2, 3, 5, 7)
# Prefixes of a stream that are continued in many ways.
_PREFIXES = 3
# Which of the cuts goes on with a clone at every push.
_COPIED = 1


def increments_are_exact(problem: Problem) -> None:
    """P12: increments are the batch, and as large as can be; or the refusal is the one stated."""
    subject = Subject(problem)
    model = _streamed(subject)
    if model is None:
        return
    streaming = Streaming(subject, model)
    drawn = random.Random(zlib.crc32(repr(problem).encode()))
    for number, sizes in enumerate(cuts(problem.length, drawn)):
        _check_pushes(streaming, sizes, ENDS[number % len(ENDS)], copied=number == _COPIED)
    _check_reads(streaming, drawn)
    generic = without_zeros(streaming)
    nothing_is_held_back(generic, drawn)
    _check_prefixes(generic, drawn)


def _streamed(subject: Subject) -> Increments | None:
    problem = subject.problem
    starts = problem.refusal.replace("pulsify v1", "pulsify v2", 1)
    must_stream = bool(problem.pulses) or ABOUT_THE_PULSE in problem.refusal
    with stage("read"):
        model = subject.model
    try:
        found = increments(model, symbol=SYMBOL)
    except Refused as refusal:
        if must_stream:
            text = f"increments: {refusal}"
            raise CheckFailure("pulsify", symptom_of(refusal), text) from refusal
        text = f"increments: {str(refusal)!r} where a refusal starting {starts!r} is stated"
        require(str(refusal).startswith(starts), "pulsify", "wrong_value", text)
        return None
    text = f"increments: streamed, where a refusal starting {starts!r} is stated"
    require(must_stream, "pulsify", "wrong_value", text)
    return found


def cuts(length: int, drawn: random.Random) -> list[tuple[int, ...]]:
    """Return ways to cut a stream: whole, random ones with empty pushes, frame by frame."""
    found: list[tuple[int, ...]] = [(length,)]
    for _ in range(2):
        sizes: list[int] = []
        while sum(sizes) < length:
            sizes.append(min(drawn.choice((*_SIZES, length)), length - sum(sizes)))
        found.append((*sizes, 0) if drawn.random() < 0.5 else tuple(sizes))
    return [*found, (1,) * length] if length <= _FEW else found


# Pushes


@dataclass
class _Given:
    """What pushes gave so far, per output."""

    parts: dict[str, list[Array]] = field(default_factory=dict[str, list[Array]])

    def add(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            self.parts.setdefault(name, []).append(value)

    def frames(self, name: str, axis: int) -> int:
        return sum(part.shape[axis] for part in self.parts[name])


def feed(
    streaming: Streaming, inputs: Mapping[str, Array], fed: dict[str, int], stop: int
) -> tuple[dict[str, Array], bool]:
    """Return the frames up to source time `stop`, and whether the rates alone tell how many.

    The frame that ends the stream brings the constant part of a length a*S + b as well.

    Args:
        streaming: what streams.
        inputs: whole inputs.
        fed: frames of each input that were fed; those that are returned are added.
        stop: source frames.
    """
    chunk: dict[str, Array] = {}
    is_even = True
    for name, _, plan in streaming.sources:
        whole = inputs[name]
        if plan is None:
            chunk[name] = whole
            continue
        held, by_rate = whole.shape[plan.axis], int(stop * plan.rate)
        high = held if stop >= streaming.subject.problem.length else min(held, by_rate)
        is_even &= high == by_rate
        low, fed[name] = fed.get(name, 0), high
        chunk[name] = whole[(*(slice(None),) * plan.axis, slice(low, high))].copy()
    return chunk, is_even


def _check_pushes(streaming: Streaming, sizes: tuple[int, ...], end: End, *, copied: bool) -> None:
    subject, model = streaming.subject, streaming.model
    length = subject.problem.length
    regions = streaming.late if end == "late" else streaming.known(length)
    label = f"pushes of {shown(list(sizes))}, end {end}"
    with stage("run"):
        session = model.session({} if end == "late" else {SYMBOL: length})
    given, at, fed = _Given(), 0, dict[str, int]()
    for size in sizes or (0,):
        at += size
        chunk, is_even = feed(streaming, subject.inputs, fed, at)
        with stage("run"):
            if copied:
                left, session = session, session.clone()
                # What was cloned goes on elsewhere, and is forgotten.
                left.push({name: np.asarray(np.flip(value)) for name, value in chunk.items()})
            given.add(session.push(chunk))
        counts = session.counts
        for wire, count in counts.items():
            held = regions[wire].at(at)
            name = model.batch.wire_name(wire)
            text = f"{label}: {name!r} holds {count} frames after {at}, its region says {held}"
            require(count == held or not (is_even or end == "known"), "run", "wrong_shape", text)
        for name, wire, axis in streaming.outputs:
            frames = given.frames(name, axis)
            text = f"{label}: {frames} frames of {name!r} were given after {at}, not {counts[wire]}"
            require(frames == counts[wire], "run", "wrong_shape", text)
    with stage("run"):
        given.add(session.finish())
    axes = {name: axis for name, _, axis in streaming.outputs}
    for name, parts in given.parts.items():
        value = np.concatenate(parts, axes[name]) if name in axes else parts[-1]
        what = f"{label}: increments against batch"
        require_equal(value, subject.batch[name], wire=name, what=what)


# What every op reads


def _check_reads(streaming: Streaming, drawn: random.Random) -> None:
    """Move one frame of every input of every op."""
    model, length = streaming.model, streaming.subject.problem.length
    values = streaming.values(length)
    for node in model.batch.order():
        plan = model.plans.get(node.id)
        if plan is None or isinstance(node.op, Source):
            continue
        for slot, reach in enumerate(plan.inputs):
            if reach is not None:
                _check_read(streaming, node, slot, reach, values, drawn, length)


def _check_read(
    streaming: Streaming,
    node: Node,
    slot: int,
    reach: Reach,
    values: Mapping[Outlet, Array],
    drawn: random.Random,
    length: int,
) -> None:
    plan = streaming.model.plans[node.id]
    wire = node.inputs[slot]
    value, axis = values[wire], streaming.model.streams[wire].axis
    frames = value.shape[axis]
    if not frames:
        return
    frame = drawn.randrange(frames)
    moved = value.copy()
    place = (*(slice(None),) * axis, slice(frame, frame + 1))
    moved[place] = moved_values(value, value[place].shape, "drawn", seed=drawn.randrange(99))
    inputs = tuple(moved if i == slot else values[w] for i, w in enumerate(node.inputs))
    results = evaluated(node, length, inputs)
    remembers = any(op.state() is not None for op in plan.ops())
    for number, result in enumerate(results):
        for at in moved_frames(result, values[Outlet(node.id, number)], plan.axis):
            low, stop = reach.window(at, 1, frames)
            text = f"frame {at} of {node.name!r} reads {low} to {stop - 1}; frame {frame} moves it"
            require(frame < stop and (remembers or frame >= low), "pulsify", "wrong_value", text)


# What can still move


def _check_prefixes(streaming: Streaming, drawn: random.Random) -> None:
    unit = streaming.unit
    units = range(streaming.subject.problem.length // unit + 1)
    for seen in drawn.sample(units, min(_PREFIXES, len(units))):
        _check_prefix(streaming, seen * unit, unit)


def _check_prefix(streaming: Streaming, seen: int, unit: int) -> None:
    """Continue a stream after its first `seen` frames in many ways."""
    subject = streaming.subject
    length = streaming.long_enough((wire for _, wire, _ in streaming.outputs), seen)
    late, known = (
        (r, held_after(streaming, r, seen)) for r in (streaming.late, streaming.known(length))
    )
    open_ends = _still_open(streaming, late[1], seen, length)
    for seed in range(BASES):
        base = base_stream(subject, length, seed)
        batch = subject.run(base, length)
        for other_length, other in continuations(subject, base, length, seen, unit):
            value = subject.run(other, other_length)
            _require_kept(streaming, late[1], value, batch, f"{seen} frames, end late")
            if other_length == length:
                _require_kept(streaming, known[1], value, batch, f"{seen} frames of {length}")
            open_ends = [end for end in open_ends if not end.moves(value, batch)]
        if not open_ends or subject.problem.loose or not varies(subject):
            return
    for end in open_ends:
        bases = (base_stream(subject, length, seed) for seed in range(BASES))
        if any(_depends(subject, base, length, end) for base in bases):
            text = (
                f"after {seen} frames {end.name!r} holds {end.frame}; the next one is certain too"
            )
            raise CheckFailure("run", "wrong_delay", text)


@dataclass(frozen=True)
class _OpenEnd:
    """The first frame of an output that was not given."""

    name: str
    axis: int
    frame: int

    def moves(self, value: Array | Mapping[str, Array], batch: Mapping[str, Array]) -> bool:
        place = (*(slice(None),) * self.axis, slice(self.frame, self.frame + 1))
        return not compare(value[self.name][place], batch[self.name][place], approx="exact").within


def _still_open(
    streaming: Streaming, held: Mapping[str, int], seen: int, length: int
) -> list[_OpenEnd]:
    """Return the frames that come next, without those that a short stream does not have.

    None of a stream so short that some op does not admit it: what holds frames back for its sake
    cannot be run.
    """
    slow = streaming.slow(seen)
    if slow < streaming.subject.problem.shortest:
        return []
    return [
        _OpenEnd(name, axis, held[name])
        for name, wire, axis in streaming.outputs
        if frames_at(streaming.model.streams[wire].length, slow) > held[name]
        and frames_at(streaming.model.streams[wire].length, length) > held[name]
    ]


def _require_kept(
    streaming: Streaming,
    held: Mapping[str, int],
    value: Mapping[str, Array],
    batch: Mapping[str, Array],
    label: str,
) -> None:
    for name, _, axis in streaming.outputs:
        place = (*(slice(None),) * axis, slice(0, held[name]))
        text = f"after {label} {held[name]} frames of {name!r} are given, which can still move"
        kept = value[name][place].shape[axis] == held[name]
        kept = kept and compare(value[name][place], batch[name][place], approx="exact").within
        require(kept, "run", "wrong_value", text)


def _depends(subject: Subject, base: Mapping[str, Array], length: int, end: _OpenEnd) -> bool:
    """Say whether a frame follows the stream at all."""
    batch = subject.run(base, length)
    return any(
        end.moves(subject.run(varied(subject, base, length, 0, mood), length), batch)
        for mood in MOODS
    )
