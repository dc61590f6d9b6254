"""Random graphs: branches of one stream, cropped to one length, merged, followed by a chain.

A graph is plain data with a short `repr`; `build` makes the model. Its stream is [1, channels, S].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, dim_max, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.binary import Add, Gt
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.unary import Abs, Neg, Sign
from tract_ref_suites.problems.base import SYMBOL, small_integers
from tract_ref_suites.strategies.windows import Along, IntOrArray, window_spec

CHANNELS = 2
MAX_BRANCHES = 4
MAX_STEPS = 3
FILL = -7.0
UNARY: dict[str, type[Op]] = {"Abs": Abs, "Neg": Neg, "Sign": Sign}
_AXIS = 2
# Lengths are floor-affine beyond this stream length for every graph that is drawn.
_LONG = 400


@dataclass(frozen=True)
class Step:
    """One op of a chain along the stream.

    Attributes:
        kind: `conv`, `maxpool`, `sumpool`, `crop`, `pad`, `concat`, `sample` or the name of a
            unary op.
        along: windows of a convolution or pool.
        pair: frames that a crop drops, or that a pad or a concat adds, before and after.
        modulo: first frame that a sample keeps; its stride is that of `along`.
        seed: of the weights of a convolution, and of the frames of a concat.
    """

    kind: str
    along: Along = field(default=Along())
    pair: tuple[int, int] = (0, 0)
    modulo: int = 0
    seed: int = 0

    @property
    def stride(self) -> int:
        """Frames that come in per frame that goes out."""
        return self.along.stride

    def frames(self, n: IntOrArray) -> IntOrArray:
        """Return how many frames come out of n frames, or of each of many n."""
        if self.kind in ("pad", "concat"):
            return n + sum(self.pair)
        if self.kind in UNARY:
            return n
        if self.kind not in ("crop", "sample"):
            return self.along.count(n)
        lost = sum(self.pair) if self.kind == "crop" else self.modulo
        frames = -((lost - n) // self.stride)
        return frames * (frames > 0)

    def weights(self, channels: int) -> np.ndarray:
        """Return the kernel of a convolution of as many channels."""
        kernel = small_integers(self.seed, (channels, channels, self.along.kernel), "f8")
        return np.clip(kernel, -2, 2)

    def around(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames [channels, frames] that a concat puts before and after."""
        before, after = self.pair
        drawn = small_integers(self.seed, (channels, before + after), "f8")
        return drawn[:, :before], drawn[:, before:]


@dataclass(frozen=True)
class Branch:
    """A chain of ops, cropped to the common length.

    Attributes:
        steps: the ops.
        offset: first frame that is kept of what they make.
    """

    steps: tuple[Step, ...]
    offset: int = 0


@dataclass(frozen=True)
class Dag:
    """Branches, their merge, and what follows.

    Attributes:
        branches: all start at one stream; all have one rate.
        merge: `add`, `concat` or `select`.
        tail: ops after the merge.
        rate: frames of the source per frame of the merged branches.
        dropped: frames of the source by which the common length is shorter: (S - dropped) // rate.
    """

    branches: tuple[Branch, ...]
    merge: str
    tail: tuple[Step, ...]
    rate: int
    dropped: int

    @property
    def stride(self) -> int:
        """Source frames per output frame: pulses are multiples of it."""
        return self.rate * int(np.prod([step.stride for step in self.tail], dtype=int))

    def common(self, n: int) -> int:
        """Return the frames of every cropped branch for n source frames."""
        return max(0, (n - self.dropped) // self.rate)

    @property
    def field(self) -> int:
        """Fewest source frames that give a frame of output."""
        return next((n for n in range(_LONG) if frames_of(self.tail, self.common(n))), _LONG)


def frames_of(steps: tuple[Step, ...], n: IntOrArray) -> IntOrArray:
    """Return how many frames come out of a chain, for n frames or for each of many n."""
    for step in steps:
        n = step.frames(n)
    return n


def build(dag: Dag) -> Model:
    """Return the model of a graph."""
    model = Model()
    source = Fact(np.dtype(np.float64), (1, CHANNELS, sym(SYMBOL)))
    x = model.add_source("x", source)
    common: Dim = dim_max(0, (sym(SYMBOL) - dag.dropped) // dag.rate)
    wires: list[Outlet] = []
    for number, branch in enumerate(dag.branches):
        wire = add_chain(model, f"b{number}", branch.steps, x)
        crop = Slice(_AXIS, branch.offset, common + branch.offset, exact=True)
        wires += model.wire(f"b{number}.common", crop, (wire,))
    merged = MERGES[dag.merge](model, wires)
    model.set_outputs([add_chain(model, "tail", dag.tail, merged)], ["y"])
    return model


def add_chain(model: Model, name: str, steps: tuple[Step, ...], wire: Outlet) -> Outlet:
    """Wire ops one after the other along the last axis of a wire [1, channels, frames]."""
    for number, step in enumerate(steps):
        (wire,) = _step(model, f"{name}.{number}.{step.kind}", step, wire)
    return wire


def _step(model: Model, name: str, step: Step, wire: Outlet) -> tuple[Outlet, ...]:
    fact = model.fact(wire)
    if step.kind == "conv":
        channels = fact.shape[1]
        assert isinstance(channels, int)
        kernel = model.add_const(f"{name}.kernel", step.weights(channels))
        return model.wire(name, Conv(window_spec((step.along,)), 1), (wire, kernel))
    if step.kind == "concat":
        channels = fact.shape[1]
        assert isinstance(channels, int)
        front, back = step.around(channels)
        before = model.add_const(f"{name}.before", front[None])
        after = model.add_const(f"{name}.after", back[None])
        return model.wire(name, Concat(_AXIS), (before, wire, after))
    op: Op
    match step.kind:
        case "maxpool":
            op = MaxPool(window_spec((step.along,)))
        case "sumpool":
            spec = window_spec((step.along,))
            op = SumPool(spec, count_include_pad=True, normalize=False)
        case "crop":
            op = Slice(_AXIS, step.pair[0], fact.shape[_AXIS] - step.pair[1])
        case "pad":
            op = Pad(((0, 0), (0, 0), step.pair), "constant", FILL)
        case "sample":
            op = Downsample(_AXIS, step.stride, step.modulo)
        case _:
            op = UNARY[step.kind]()
    return model.wire(name, op, (wire,))


def _add(model: Model, wires: list[Outlet]) -> Outlet:
    total = wires[0]
    for number, wire in enumerate(wires[1:]):
        (total,) = model.wire(f"add{number}", Add(), (total, wire))
    return total


def _concat(model: Model, wires: list[Outlet]) -> Outlet:
    return model.wire("concat", Concat(1), wires)[0]


def _select(model: Model, wires: list[Outlet]) -> Outlet:
    zero = model.add_const("zero", np.zeros((1, 1, 1)))
    (condition,) = model.wire("positive", Gt(), (wires[0], zero))
    return model.wire("select", Select(), (condition, wires[1], wires[-1]))[0]


MERGES: dict[str, Callable[[Model, list[Outlet]], Outlet]] = {
    "add": _add,
    "concat": _concat,
    "select": _select,
}


@st.composite
def steps(draw: st.DrawFn, *, stride: int = 1) -> Step:
    """Draw one op of a given stride."""
    plain = ["conv", "crop", "pad", "maxpool", "sumpool", *UNARY]
    kind = draw(st.sampled_from(plain if stride == 1 else ["conv", "sample", "maxpool"]))
    pair = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    if kind in ("crop", "pad"):
        return Step(kind, pair=pair)
    if kind == "sample":
        return Step(kind, Along(1, stride), modulo=draw(st.integers(0, 2)))
    if kind not in ("conv", "maxpool", "sumpool"):
        return Step(kind)
    kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    reach = (kernel - 1) * dilation
    padding = draw(
        st.sampled_from(["valid", (min(reach, pair[0]), min(reach, pair[1])), (reach, 0)])
    )
    along = Along(kernel, stride, dilation, padding)
    return Step(kind, along, seed=draw(st.integers(0, 99)) if kind == "conv" else 0)


@st.composite
def chains(draw: st.DrawFn, *, rate: int = 1, least: int = 0) -> tuple[Step, ...]:
    """Draw ops whose strides multiply to `rate`, a power of 2."""
    strides = [2] * (rate.bit_length() - 1)
    plain = draw(st.integers(max(0, least - len(strides)), MAX_STEPS - len(strides)))
    order = draw(st.permutations([1] * plain + strides))
    return tuple(draw(steps(stride=stride)) for stride in order)


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    """Draw 2 to 4 branches of one rate, 1 or 2, and a tail of 1 to 3 ops of total stride 1 or 2."""
    rate = draw(st.sampled_from([1, 2]))
    branches = tuple(
        Branch(draw(chains(rate=rate)), draw(st.integers(0, 4)))
        for _ in range(draw(st.integers(2, MAX_BRANCHES)))
    )
    tail = draw(chains(rate=draw(st.sampled_from([1, 2])), least=1))
    dropped = smallest_drop(branches, rate) + draw(st.integers(0, 2))
    return Dag(branches, draw(st.sampled_from(sorted(MERGES))), tail, rate, dropped)


def smallest_drop(branches: tuple[Branch, ...], rate: int) -> int:
    """Return the smallest drop so that every branch has the common length, whatever S is."""
    lengths = np.arange(_LONG)
    have = [frames_of(branch.steps, lengths) - branch.offset for branch in branches]
    return least_drop(np.min(have, axis=0), rate)


def least_drop(have: Array, rate: int) -> int:
    """Return the least drop with (n - drop) // rate <= have[n] for every n of 0, 1, 2, ..

    Args:
        have: frames that there are for n source frames; what is below 0 counts as 0.
        rate: source frames per frame.
    """
    dropped = 0
    for n, frames in enumerate(have.tolist()):
        # The least drop that asks for no more than there is, where any frame is asked for.
        if (n - dropped) // rate > max(frames, 0):
            dropped = n + 1 - rate * (max(frames, 0) + 1)
    return dropped
