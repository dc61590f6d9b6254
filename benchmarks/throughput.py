"""Differential cases per second: `python benchmarks/throughput.py [CASES] [--engine]`.

A case is a chain of conv, pool, slice, pad, concat and downsample as `problems/chains.py` draws it,
at its first pulse. To judge it is to build the model, run the batch by `eval`, pulsify, stream all
turns (end late, filler NaN) and compare bit for bit; with `--engine` the installed `tract` also
answers every case, batch and stream, and is compared with the reference. Times are of the
processor, of one core: what other programs do on the machine does not count.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "suites"))

import alternate  # noqa: F401  # first: pins threads before numpy loads

# isort: split
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, settings
from tract_ref_suites.checks.turns import run_turns
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.chains import ChainProblem, chain_problems

import tract_ref
from tract_ref.approx import compare

CASES = 2000


@dataclass
class Clock:
    """Processor seconds per part of a judgement."""

    seconds: dict[str, float]

    def part(self, name: str, start: float) -> float:
        """Add what has passed since `start` to a part; returns the time now."""
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - start
        return now


def judge(problem: ChainProblem, clock: Clock) -> None:
    """Judge one case on the reference.

    Raises:
        AssertionError: the stream is not its batch.
    """
    at = time.process_time()
    model = problem.model()
    at = clock.part("model", at)
    inputs = problem.inputs()
    at = clock.part("inputs", at)
    batch = tract_ref.Plan(model, fast=False).run(inputs, symbols={SYMBOL: problem.length})
    at = clock.part("batch", at)
    pulsed = tract_ref.pulsify(model, problem.pulses[0], symbol=SYMBOL)
    at = clock.part("pulsify", at)
    plan = tract_ref.Plan(pulsed.model, fast=False)
    raw = run_turns(plan, inputs, problem.length, fill="nan", end="late")
    at = clock.part("turns", at)
    for name, output in raw.items():
        assert compare(output.kept, batch[name], approx="exact").within, problem
    clock.part("compare", at)


def drawn(use: Callable[[ChainProblem], None], cases: int) -> float:
    """Draw cases and use each; returns processor seconds."""
    tuned = settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run = tuned(given(chain_problems())(lambda problem: use(problem)))
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start
