"""Random graphs with branches, judged by a small interpreter of their description."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import Refused
from tract_ref.ir.model import Model
from tract_ref.ops.binary import Add
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    facts,
    pulsing,
    small_integers,
)
from tract_ref_suites.strategies.models import (
    CHANNELS,
    FILL,
    Branch,
    Dag,
    Step,
    build,
    dags,
)
from tract_ref_suites.strategies.shapes import lengths, pulses
from tract_ref_suites.strategies.windows import Along


def interpret(dag: Dag, data: Array) -> Array:
    """Run a graph over whole data [channels, frames]."""
    common = dag.common(data.shape[1])
    branches = []
    for branch in dag.branches:
        made = run_steps(branch.steps, data)
        branches.append(made[:, branch.offset : branch.offset + common])
    if dag.merge == "add":
        merged = np.zeros_like(branches[0])
        for branch in branches:
            merged = merged + branch
    elif dag.merge == "concat":
        merged = np.vstack(branches)
    else:
        merged = branches[-1].copy()
        chosen = branches[0] > 0
        merged[chosen] = branches[1][chosen]
    return run_steps(dag.tail, merged)


def run_steps(steps: tuple[Step, ...], data: Array) -> Array:
    """Run ops one after the other over whole data [channels, frames]."""
    # A maximum of padding only is an infinity, and infinities of both signs add up to NaN.
    with np.errstate(invalid="ignore"):
        for step in steps:
            data = _STEPS.get(step.kind, _pointwise)(step, data)
    return data


def _windows(step: Step, data: Array, fill: float) -> list[Array]:
    """Return [channels, kernel] of every window, padding included."""
    frames = data.shape[1]
    outside = np.full(data.shape[0], float(fill))
    return [
        np.stack([data[:, i] if 0 <= i < frames else outside for i in taps], 1)
        for taps in step.along.taps(frames)
    ]


def _columns(columns: list[Array], channels: int) -> Array:
    return np.stack(columns, 1) if columns else np.zeros((channels, 0))


def _conv(step: Step, data: Array) -> Array:
    weights = step.weights(data.shape[0])
    columns = [np.tensordot(weights, window, 2) for window in _windows(step, data, 0)]
    return _columns(columns, data.shape[0])


def _max_pool(step: Step, data: Array) -> Array:
    columns = [window.max(1) for window in _windows(step, data, -np.inf)]
    return _columns(columns, data.shape[0])


def _sum_pool(step: Step, data: Array) -> Array:
    return _columns([window.sum(1) for window in _windows(step, data, 0)], data.shape[0])


def _crop(step: Step, data: Array) -> Array:
    before, after = step.pair
    return data[:, before : max(before, data.shape[1] - after)]


def _pad(step: Step, data: Array) -> Array:
    front, back = (np.full((data.shape[0], frames), FILL) for frames in step.pair)
    return np.hstack([front, data, back])


def _concat(step: Step, data: Array) -> Array:
    front, back = step.around(data.shape[0])
    return np.hstack([front, data, back])


def _sample(step: Step, data: Array) -> Array:
    return data[:, [i for i in range(step.modulo, data.shape[1]) if _is_kept(step, i)]]


def _is_kept(step: Step, frame: int) -> bool:
    return not (frame - step.modulo) % step.stride


def _pointwise(step: Step, data: Array) -> Array:
    if step.kind == "Abs":
        return np.where(data < 0, -data, data)
    if step.kind == "Neg":
        return 0.0 - data
    return np.where(data > 0, 1.0, np.where(data < 0, -1.0, 0.0))


_STEPS = {
    "conv": _conv,
    "maxpool": _max_pool,
    "sumpool": _sum_pool,
    "crop": _crop,
    "pad": _pad,
    "concat": _concat,
    "sample": _sample,
}


@dataclass(frozen=True, kw_only=True)
class DagProblem(Problem):
    """A random graph.

    Attributes:
        dag: its description.
        frames: stream length.
        sizes: the pulses.
        seed: of the input.
    """

    family = "graphs"
    op = "Dag"
    dag: Dag
    frames: int
    sizes: tuple[int, ...]
    seed: int = 0

    @property
    def length(self) -> int:
        return self.frames

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    @property
    def rounds(self) -> str:
        return "each op of each path rounds its own delay"

    @property
    def loose(self) -> str:
        return "a branch that is not chosen, or less than the maximum, hides what it reads"

    def model(self) -> Model:
        return build(self.dag)

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.seed, (1, CHANNELS, self.frames), "f8")}

    def expected(self) -> dict[str, Array]:
        return {"y": interpret(self.dag, self.inputs()["x"][0])[None]}


@st.composite
def dag_problems(draw: st.DrawFn) -> DagProblem:
    """Draw a graph, a stream length around its receptive field or longer, and two pulses."""
    dag = draw(dags())
    sizes = draw(pulses(dag.stride))
    return DagProblem(
        dag=dag,
        frames=draw(lengths(sizes[0], field=dag.field)),
        sizes=sizes,
        seed=draw(st.integers(0, 999)),
    )


STRATEGIES = {"Dag-random": dag_problems}

_K3 = Step("conv", Along(3), seed=1)
_K2S2 = Step("conv", Along(2, 2), seed=2)
_CROP = Step("crop", pair=(0, 4))
_PAD = Step("pad", pair=(0, 3))


def _dag(
    *branches: tuple[tuple[Step, ...], int],
    tail: tuple[Step, ...] = (Step("Neg"),),
    merge: str = "add",
    rate: int = 1,
    dropped: int = 4,
) -> Dag:
    drawn = tuple(Branch(steps, offset) for steps, offset in branches)
    return Dag(drawn, merge, tail, rate, dropped)


_SKIP = _dag(((_K3,), 0), ((), 2), dropped=2)
_OFFSETS = _dag(((_K3,), 1), ((), 0), ((_K3, _K3), 0), merge="select")
_LATE = _dag(((_CROP,), 0), ((), 3), tail=(_PAD, Step("conv", Along(3, 1, 1, (0, 2)))))
_STRIDED = _dag(
    ((_K2S2,), 1), ((Step("sample", Along(1, 2), modulo=1),), 0), rate=2, tail=(_PAD, _K3)
)

HAND: dict[str, Problem] = {
    "Dag-one-frame": DagProblem(dag=_SKIP, frames=1, sizes=(1, 4)),
    "Dag-empty-stream": DagProblem(dag=_SKIP, frames=0, sizes=(1, 4)),
    "Dag-whole-axis": DagProblem(dag=_SKIP, frames=8, sizes=(8,)),
    "Dag-pulse-longer-than-stream": DagProblem(dag=_SKIP, frames=5, sizes=(16,)),
    "Dag-whole-pulses": DagProblem(dag=_SKIP, frames=12, sizes=(4,)),
    "Dag-unequal-offsets": DagProblem(dag=_OFFSETS, frames=13, sizes=(4, 1)),
    "Dag-end-crop-then-pad": DagProblem(dag=_LATE, frames=12, sizes=(4, 3, 1)),
    "Dag-strided-branches": DagProblem(dag=_STRIDED, frames=15, sizes=(2, 4, 6)),
}


def _meeting(branch: object) -> ErrorCase:
    """Add a stream and a branch of another rate or length."""

    def model() -> Model:
        built = Model()
        x = built.add_source("x", facts("1,S,f32")[0])
        (other,) = built.wire("branch", branch, (x,))  # pyright: ignore[reportArgumentType]
        built.set_outputs(built.wire("add", Add(), (x, other)), ["y"])
        return built

    starts = 'pulsify v1: node "add" (Add): streams of '
    return ErrorCase(pulsing(model), Refused, starts)


ERRORS: dict[str, ErrorCase] = {
    "Dag-rates-meet": _meeting(Downsample(1, 2)),
    "Dag-lengths-meet": _meeting(Slice(1, 1, 100)),
}
