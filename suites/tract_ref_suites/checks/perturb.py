"""Streams that part from another one: after some frames, in one frame, by ordinary numbers or none.

Whoever changes what has not come yet sees what depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Dim, evaluate
from tract_ref.runtime.inputs import least_length
from tract_ref_suites.checks.subject import Subject, stream_axes
from tract_ref_suites.problems.base import SYMBOL

MOODS = ("drawn", "pool", "high", "low", "nan", "inf", "-inf", "zero")
"""Ways to change values; NaN and infinity show reads that arithmetic on ordinary numbers hides."""
BASES = 7
"""Streams that a witness starts from: the problem's own, two drawn from it, four of plain ones."""
_DRAWN = 3


def varies(subject: Subject) -> bool:
    """Say whether a difference of streams shows: functions of few values hide most of them.

    The closed form `least_delay` judges the delay of integer and boolean problems.
    """
    model = subject.model
    facts = [subject.plan.input_facts[name] for name in stream_axes(model)]
    facts += [model.fact(outlet) for outlet in model.outputs]
    return all(fact.dtype.kind == "f" for fact in facts)


def base_stream(subject: Subject, length: int, seed: int) -> dict[str, Array]:
    """Return a stream: the problem's own, ones without equal elements, then plain numbers.

    The problem's own elements may all be alike, or no numbers.
    """
    own = subject.at_length(length)
    for name in stream_axes(subject.model) if seed else ():
        if seed < _DRAWN or own[name].dtype.kind != "f":
            own[name] = moved_values(own[name], own[name].shape, "drawn", seed=seed)
        else:
            rng = np.random.default_rng(seed)
            own[name] = rng.uniform(-9, 9, own[name].shape).astype(own[name].dtype)
    return own


def continuations(
    subject: Subject, base: Mapping[str, Array], length: int, seen: int, pulse: int
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield streams that begin with the first `seen` source frames of `base`."""
    for mood in MOODS:
        yield length, varied(subject, base, length, seen, mood)
    dims = [
        subject.plan.input_facts[name].shape[a] for name, a in stream_axes(subject.model).items()
    ]
    least = max(least_length(dim, SYMBOL, frames_of(dim, seen)) for dim in dims)
    for other in sorted({least, seen, seen + 1, seen + pulse, max(least, subject.smallest)}):
        if other == subject.admitted(other) and other != length:
            yield other, varied(subject, base, other, seen, "drawn")


def varied(
    subject: Subject, base: Mapping[str, Array], length: int, seen: int, mood: str
) -> dict[str, Array]:
    axes = stream_axes(subject.model)
    other = subject.at_length(length, seed=2)
    for name, axis in axes.items():
        dim = subject.plan.input_facts[name].shape[axis]
        kept = min(frames_of(dim, seen), other[name].shape[axis])
        lead = (slice(None),) * axis
        value = other[name] = moved_values(base[name], other[name].shape, mood)
        value[(*lead, slice(0, kept))] = base[name][(*lead, slice(0, kept))]
    return other


def frames_of(dim: Dim, source: int) -> int:
    """Return the frames that the first source frames bring; the rest of a*S + b comes after all."""
    return evaluate(dim, {SYMBOL: source}) - evaluate(dim, {SYMBOL: 0})


def moved_values(own: Array, shape: tuple[int, ...], mood: str, *, seed: int = 3) -> Array:
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


def with_frame_moved(
    subject: Subject, base: Mapping[str, Array], frame: int, mood: str
) -> dict[str, Array]:
    moved = dict(base)
    for name, axis in stream_axes(subject.model).items():
        dim = subject.plan.input_facts[name].shape[axis]
        low, high = frames_of(dim, frame), frames_of(dim, frame + 1)
        value = base[name].copy()
        window = (*(slice(None),) * axis, slice(low, high))
        value[window] = moved_values(base[name], value[window].shape, mood)
        moved[name] = value
    return moved


def moved_frames(value: Array, batch: Array, axis: int) -> list[int]:
    same = value == batch
    if value.dtype.kind == "f":
        same |= np.isnan(value) & np.isnan(batch)
    others = tuple(a for a in range(value.ndim) if a != axis)
    return [int(i) for i in np.flatnonzero(~same.all(axis=others))]
