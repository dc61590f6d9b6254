"""Ops one after the other along a stream, and encoders with their decoders.

Chains are drawn from ops that all stream: none is ever refused, at any multiple of the total stride
(spec/pulse.md 6, 10: T1, T5, T6). The delay that a chain announces is computed here op by op from
the closed forms of 9.2, with the wait for a late end of 8.20 found by trying every pulse.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    pulsing,
    small_integers,
)
from tract_ref_suites.problems.graphs import run_steps
from tract_ref_suites.strategies.models import CHANNELS, UNARY, Step, add_chain, frames_of
from tract_ref_suites.strategies.windows import Along

# Beyond as many source frames no length of a chain that is drawn changes its form.
_LONG = 600


def source(model: Model, channels: int = CHANNELS) -> Fact:
    """Return the fact of a stream [1, channels, S]."""
    return Fact(np.dtype(np.float64), (1, channels, sym(SYMBOL)))


def total_stride(steps: tuple[Step, ...]) -> int:
    """Return the source frames per output frame: pulses are multiples of it."""
    return math.prod(step.stride for step in steps)


def field_of(steps: tuple[Step, ...]) -> int:
    """Return the fewest source frames that give a frame of output."""
    counts = frames_of(steps, np.arange(_LONG))
    return int(np.argmax(counts > 0)) if counts.any() else _LONG


def chain_delay(steps: tuple[Step, ...], pulse: int) -> int:
    """Return the delay of a chain in output frames, op by op (spec/pulse.md 9.2)."""
    delay, stride = 0, 1
    received = np.arange(0, _LONG, pulse)
    for number, step in enumerate(steps):
        # What has come of this wire after k pulses, and how long it is when the stream ends there.
        come = received // stride
        held = come - frames_of(steps[:number], received)
        late = max(delay, int(held.max()))
        delay = _step_delay(step, delay, late)
        stride *= step.stride
    return delay


def _step_delay(step: Step, early: int, late: int) -> int:
    before, after = step.pair
    match step.kind:
        case "crop":
            return early + before
        case "sample":
            return (early + step.modulo) // step.stride
        case "pad" | "concat":
            return max(late if after else early, before) - before
        case "conv" | "maxpool" | "sumpool":
            return step.along.least_delay(early, late)
        case _:
            return early


@dataclass(frozen=True, kw_only=True)
class ChainProblem(Problem):
    """Ops one after the other.

    Attributes:
        steps: the ops.
        frames: stream length.
        sizes: the pulses.
        seed: of the input.
    """

    family = "chains"
    op = "Chain"
    steps: tuple[Step, ...]
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
        return "each op rounds its own delay"

    def model(self) -> Model:
        model = Model()
        x = model.add_source("x", source(model))
        model.set_outputs([add_chain(model, "op", self.steps, x)], ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.seed, (1, CHANNELS, self.frames), "f8")}

    def expected(self) -> dict[str, Array]:
        return {"y": run_steps(self.steps, self.inputs()["x"][0])[None]}

    def least_delay(self, pulse: int) -> int | None:
        return chain_delay(self.steps, pulse)


# A chain is drawn as one flat row of integers, and read afterwards: making strategies and nesting
# them would cost more than judging what is drawn. 0 is the dullest choice of each, and no op.
_KINDS = ("unary", "crop", "pad", "concat", "sample", "conv", "maxpool", "sumpool")
_NO_OP = len(_KINDS) // 4
# Stride, kernel, dilation: with less of the first, then of the second, a failure is simpler.
_GEOMETRIES = tuple(itertools.product(range(1, 4), range(1, 6), range(1, 5)))
_SAMPLES = tuple((stride, at) for stride in range(1, 4) for at in range(stride + 1))
_PAIRS = sorted(itertools.product(range(5), range(5)), key=lambda pair: (sum(pair), pair))
_PADDINGS = 4
_FACTORS = tuple(itertools.permutations((1, 2, 3), 2))
_SEEDS = 1000


def _link(kind: int, geometry: int, frames: int, seed: int) -> Step | None:
    """Read one op: strides 1 to 3, kernels 1 to 5, dilations 1 to 4, up to 4 frames at an end."""
    if kind < _NO_OP:
        return None
    name = _KINDS[kind - _NO_OP]
    padding, place = divmod(frames, len(_PAIRS))
    pair = _PAIRS[place]
    if name == "unary":
        return Step(tuple(UNARY)[geometry % len(UNARY)])
    if name in ("crop", "pad", "concat"):
        return Step(name, pair=pair, seed=seed if name == "concat" else 0)
    if name == "sample":
        stride, modulo = _SAMPLES[geometry % len(_SAMPLES)]
        return Step(name, Along(1, stride), modulo=modulo)
    stride, kernel, dilation = _GEOMETRIES[geometry]
    reach = (kernel - 1) * dilation
    within = min(reach, pair[0]), min(reach, pair[1])
    along = Along(kernel, stride, dilation, ("valid", within, (reach, 0), pair)[padding])
    return Step(name, along, seed=seed if name == "conv" else 0)


def _frames(way: int, share: int, pulse: int, field: int) -> int:
    """Read a stream length: about a receptive field, whole pulses, middling, longer than both."""
    match way:
        case 0:
            return share % (field + 2)
        case 1:
            return share % 5 * pulse
        case 2:
            return 14 + share % 17
        case _:
            return field + share % (field + 3 * pulse + 3)


def chain_problems(*, most: int = 3, short: bool = False) -> st.SearchStrategy[ChainProblem]:
    """Draw 1 to `most` ops and two pulses.

    Args:
        most: most ops of the chain.
        short: streams of no frame to one more than the receptive field, pulses longer than them.
    """

    def problem(drawn: tuple[int, ...]) -> ChainProblem:
        # The seed also says how long the stream is: one choice less to draw.
        seed, factor, way, *links = drawn
        # Kernels and constants of one chain differ, and come back with the input.
        rows = enumerate(zip(links[::3], links[1::3], links[2::3], strict=True), start=1)
        read = (_link(*row, _SEEDS * place + seed) for place, row in rows)
        steps = tuple(step for step in read if step is not None) or (Step("Abs"),)
        stride, field = total_stride(steps), field_of(steps)
        if short:
            frames = seed % (field + 2)
            whole = frames // stride + 1
            sizes = (stride * (1 + factor % max(1, whole - 1)), stride * whole)
        else:
            first, second = _FACTORS[factor % len(_FACTORS)]
            sizes = (stride * first, stride * second)
            frames = _frames(way, seed, sizes[0], field)
        return ChainProblem(
            steps=steps, frames=frames, sizes=tuple(dict.fromkeys(sizes)), seed=seed
        )

    seeds, ways = st.integers(0, _SEEDS - 1), st.integers(0, 3)
    factors = st.integers(0, 99 if short else len(_FACTORS) - 1)
    most_of = (_NO_OP + len(_KINDS), len(_GEOMETRIES), _PADDINGS * len(_PAIRS))
    link = tuple(st.integers(0, count - 1) for count in most_of)
    return st.tuples(seeds, factors, ways, *link * most).map(problem)


STRATEGIES = {
    "Chain-random": chain_problems,
    "Chain-long": lambda: chain_problems(most=6),
    "Chain-short-streams": lambda: chain_problems(short=True),
}

_K3 = Step("conv", Along(3), seed=1)
_AHEAD = Step("conv", Along(3, 1, 1, (0, 2)), seed=2)
_HALF = Step("conv", Along(4, 2, 1, (1, 1)), seed=3)
_END = Step("crop", pair=(0, 4))


def _chain(frames: int, sizes: tuple[int, ...], *steps: Step) -> ChainProblem:
    return ChainProblem(steps=steps, frames=frames, sizes=sizes)


HAND: dict[str, Problem] = {
    "Chain-one-op": _chain(3, (1, 2), Step("Neg")),
    "Chain-empty-stream": _chain(0, (1, 4), _K3, Step("pad", pair=(1, 2))),
    "Chain-shorter-than-the-field": _chain(2, (1, 4), _K3, _K3),
    "Chain-pulse-longer-than-the-stream": _chain(5, (16,), _K3, _END, _AHEAD),
    "Chain-whole-pulses": _chain(12, (4,), _K3, Step("concat", pair=(2, 3), seed=4)),
    "Chain-end-crop-then-pad": _chain(12, (4,), _END, Step("pad", pair=(0, 3))),
    "Chain-end-crop-then-concat": _chain(12, (4,), _END, Step("concat", pair=(1, 3), seed=5)),
    "Chain-end-crop-then-window": _chain(12, (4, 3), _END, _AHEAD),
    "Chain-end-crop-then-strides": _chain(13, (4, 8), _END, _HALF, _HALF),
    "Chain-ends-of-ends": _chain(15, (4, 1), _END, Step("pad", pair=(0, 3)), _END, _AHEAD),
    "Chain-phases": _chain(
        20,
        (6, 12),
        Step("crop", pair=(1, 0)),
        Step("sample", Along(1, 2), modulo=1),
        Step("maxpool", Along(2, 3)),
    ),
}

ERRORS: dict[str, ErrorCase] = {
    "Chain-pulse-of-half-a-frame": ErrorCase(
        pulsing(_chain(8, (), _HALF, Step("sample", Along(1, 2))).model, pulse=2),
        Refused,
        'pulsify v1: node "op.1.sample" (Downsample): pulse=2 brings 1 frames on axis 2, not a mul',
    ),
}
