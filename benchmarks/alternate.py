"""Alternated measurements: contestants take turns, ratios are medians of per-round ratios.

Import this before numpy: it pins the process to one CPU and BLAS to one thread.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Median seconds of one contestant, and its ratio to the peer."""

    seconds: float
    ratio: float


def alternate(
    contestants: Mapping[str, Callable[[], object]],
    *,
    peer: str,
    rounds: int = 15,
    sample_seconds: float = 0.02,
) -> dict[str, Timing]:
    """Time zero-argument callables in alternation.

    Args:
        contestants: what to time, by name.
        peer: the contestant that ratios refer to.
        rounds: rounds; every contestant runs once per round, in rotating order.
        sample_seconds: a sample repeats a quick contestant for about this long.
    """
    repeats = {name: _repeats(run, sample_seconds) for name, run in contestants.items()}
    names = list(contestants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                samples[name].append(_sample(contestants[name], repeats[name]))
    finally:
        gc.enable()
    return {
        name: Timing(
            statistics.median(found),
            statistics.median(a / b for a, b in zip(found, samples[peer], strict=True)),
        )
        for name, found in samples.items()
    }


def _sample(run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def _repeats(run: Callable[[], object], seconds: float) -> int:
    run()
    once = max(_sample(run, 1), 1e-7)
    return max(1, min(10_000, int(seconds / once)))
