"""Differential cases per second: `python benchmarks/throughput.py [CASES] [--engine]`.

A case is a chain of conv, pool, slice, pad, concat and downsample as `problems/chains.py` draws it,
at its first pulse. To judge it is to build the model, run the batch by `eval`, pulsify, stream all
turns (end late, filler NaN) and compare bit for bit; with `--engine` the installed `tract` also
answers every case, batch and stream, and is compared with the reference. Times are of the
processor, the engine's process included; neighbours on a busy machine still slow them by half.
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, settings
from tract_ref_suites.checks.engine import cut_stream
from tract_ref_suites.checks.turns import run_turns
from tract_ref_suites.engines import workers
from tract_ref_suites.engines.protocol import Case, Chunking, Values
from tract_ref_suites.engines.tract import WORKER, TractEngine
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.chains import ChainProblem, chain_problems
from tract_ref_suites.strategies.models import Step

import tract_ref
from tract_ref.approx import compare
from tract_ref.nnef.archive import write_folder
from tract_ref.nnef.writer import model_files

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
        suppress_health_check=[HealthCheck.too_slow],
    )
    run = tuned(given(chain_problems())(lambda problem: use(problem)))
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start


class Asked:
    """The real engine, asked in its worker process; models go through a folder in memory."""

    def __init__(self, scratch: Path) -> None:
        self.engine = TractEngine()
        self.scratch = scratch
        self.cases = 0
        self.answers: Counter[str] = Counter()

    @property
    def seconds(self) -> float:
        """Processor seconds of the worker process so far."""
        pid = workers.shared(WORKER).pid
        if pid is None:
            return 0.0
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def judge(self, problem: ChainProblem) -> None:
        """Compare the engine's batch and stream with the reference's batch."""
        model, inputs = problem.model(), problem.inputs()
        batch = tract_ref.Plan(model, fast=False).run(inputs, symbols={SYMBOL: problem.length})
        folder = self.scratch / str(self.cases)
        self.cases += 1
        write_folder(folder, model_files(model))
        case = Case(folder, "graph.nnef", inputs, SYMBOL, problem.length, {"x": 2})
        expected = tuple(batch.values())
        whole = self.engine.run(case)
        chunks = Chunking.regular(problem.length, problem.pulses[0], "late")
        streamed = self.engine.stream(case, chunks)
        for outcome in (whole, streamed):
            kind = type(outcome).__name__
            if isinstance(outcome, Values):
                kept = outcome.outputs if outcome.delay is None else cut_stream(outcome, expected)
                pairs = zip(kept, expected, strict=True)
                same = all(compare(a, b, approx="close").within for a, b in pairs)
                kind = "equal" if same else "different"
            self.answers[kind] += 1


def throughput(cases: int = CASES, *, engine: bool = False) -> list[dict[str, object]]:
    """Measure; one row per way to judge.

    Args:
        cases: how many are drawn for each figure.
        engine: ask the real engine, too.
    """
    drawing = drawn(lambda problem: None, cases)
    clock = Clock({})
    judging = drawn(lambda problem: judge(problem, clock), cases)
    rows = [
        _row("draw only", cases, drawing, drawing, {}),
        _row("draw, judge on the reference", cases, judging, drawing, clock.seconds),
    ]
    if engine:
        with workers.scratch() as scratch:
            asked = Asked(Path(scratch))
            # The engine takes some seconds to start, once.
            asked.judge(ChainProblem(steps=(Step("Neg"),), frames=3, sizes=(1,)))
            before = asked.seconds
            here = drawn(asked.judge, cases)
            there = asked.seconds - before
        row = _row("draw, judge with tract", cases, here + there, drawing, {"in the engine": there})
        rows.append(row | {"answers": dict(asked.answers)})
    return rows


def _row(
    item: str, cases: int, seconds: float, drawing: float, parts: dict[str, float]
) -> dict[str, object]:
    return {
        "item": item,
        "cases_per_second": round(cases / seconds),
        "ms_per_case": round(1e3 * seconds / cases, 3),
        "share_of_drawing": round(drawing / seconds, 2),
        "parts_ms": {name: round(1e3 * spent / cases, 3) for name, spent in parts.items()},
    }


def main(arguments: list[str]) -> None:
    """Print one line per way to judge."""
    numbers = [int(word) for word in arguments if word.isdigit()]
    for row in throughput(*numbers[:1], engine="--engine" in arguments):
        print(
            f"{row['item']:<30} {row['cases_per_second']:>6} cases/s {row['ms_per_case']:>7} ms, "
            f"drawing {row['share_of_drawing']}  {json.dumps(row['parts_ms'])} "
            f"{row.get('answers', '')}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
