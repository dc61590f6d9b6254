"""Models that do not stream, or not at that pulse: an engine refuses them or is right.

What the last frame decides cannot be given before it has come: sums, norms and orders over the
stream, positions counted from its end, axes that the stream is the inner part of. The reference
refuses them all, with the words that each problem states; other engines are asked as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, parse_assertion, sym
from tract_ref.errors import Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.axes import Reshape
from tract_ref.ops.concat import Concat
from tract_ref.ops.slicing import Slice
from tract_ref.ops.structure import Identity
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    pulsing,
    small_integers,
)
from tract_ref_suites.problems.concat import joined
from tract_ref_suites.problems.cumulative import CumSumProblem
from tract_ref_suites.problems.fft import FftProblem, StftProblem
from tract_ref_suites.problems.norm import RmsNormProblem
from tract_ref_suites.problems.reduce import ReduceProblem
from tract_ref_suites.problems.slicing import DownsampleProblem
from tract_ref_suites.problems.softmax import SoftmaxProblem
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)
_V1 = "pulsify v1: node "


@dataclass(frozen=True, kw_only=True)
class Refusable(Problem):
    """A problem of another family, along the axis that streams.

    Attributes:
        inner: the problem, which knows model, values and the op.
        asked: the pulses.
        words: first words of the refusal, after the op.
    """

    family = "refusable"
    inner: Streamed
    asked: tuple[int, ...]
    words: str = "works over the stream axis"
    node: str = "op"

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op of the problem."""
        return self.inner.op

    @property
    def length(self) -> int:
        return self.inner.length

    @property
    def pulses(self) -> tuple[int, ...]:
        return ()

    @property
    def refused_at(self) -> tuple[int, ...]:
        return self.asked

    @property
    def refusal(self) -> str:
        return f'{_V1}"{self.node}" ({self.op}): {self.words}'

    @property
    def oracle_approx(self) -> str:
        return self.inner.oracle_approx

    @property
    def fast_approx(self) -> str:
        # The families of the ops hold their kernels to less.
        return "close"

    @property
    def shortest(self) -> int:
        return self.inner.shortest

    @property
    def loose(self) -> str:
        return self.inner.loose

    @property
    def rounds(self) -> str:
        return self.inner.rounds

    def model(self) -> Model:
        return self.inner.model()

    def inputs(self) -> dict[str, Array]:
        return self.inner.inputs()

    def expected(self) -> dict[str, Array]:
        return self.inner.expected()


@st.composite
def normalised(draw: st.DrawFn, *, kind: str) -> Refusable:
    """Draw a softmax, its logarithm, or an RmsNorm over the stream axis, maybe over others too."""
    axis, other = draw(st.permutations(range(3)))[:2]
    pulse, crop = draw(pulses()), draw(crops(most=2))
    shape = placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=sum(crop), least=1)))
    drawn = draw(values())
    if kind == "rms":
        inner = RmsNormProblem(shape=shape, axis=axis, sizes=(), crop=crop, on=axis, values=drawn)
        return Refusable(inner=inner, asked=pulse)
    axes = tuple(sorted({axis, other})) if draw(st.booleans()) else (axis,)
    inner = SoftmaxProblem(
        shape=shape, axis=axis, sizes=(), crop=crop, axes=axes, kind=kind, values=drawn
    )
    return Refusable(inner=inner, asked=pulse)


@st.composite
def folded(draw: st.DrawFn) -> Refusable:
    """Draw a fold of the stream axis."""
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    inner = ReduceProblem(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0], least=1))),
        axis=axis,
        sizes=(),
        axes=(axis,),
        kind=draw(st.sampled_from(["sum", "mean", "max", "min", "argmax"])),
        values=draw(values()),
    )
    return Refusable(inner=inner, asked=pulse)


@st.composite
def transformed(draw: st.DrawFn) -> Refusable:
    """Draw a transform of the whole stream."""
    pulse = draw(pulses())
    shape = (draw(lengths(pulse[0], least=1)), 2)
    inner = FftProblem(
        shape=shape, axis=0, sizes=(), on=0, inverse=draw(st.booleans()), values=draw(values())
    )
    return Refusable(inner=inner, asked=pulse)


@st.composite
def uneven_hops(draw: st.DrawFn) -> Refusable:
    """Draw windows along the stream at a pulse that is no multiple of their hop."""
    hop = draw(st.integers(2, 4))
    frame = hop + draw(st.integers(0, 3))
    pulse = draw(st.sampled_from([p for p in range(1, 10) if p % hop]))
    inner = StftProblem(
        shape=(draw(lengths(pulse, field=frame)), 2),
        axis=0,
        sizes=(),
        on=0,
        frame=frame,
        stride=hop,
        values=draw(values()),
    )
    return Refusable(inner=inner, asked=(pulse,), words=f"pulse={pulse} brings")


@st.composite
def backwards(draw: st.DrawFn, *, op: str) -> Refusable:
    """Draw a sum from the end, or every n-th frame from the last one on."""
    pulse, length = draw(pulses()), draw(st.integers(0, 9))
    if op == "CumSum":
        inner: Streamed = CumSumProblem(
            shape=(length, 2), axis=0, sizes=(), on=0, reverse=True, values=draw(values())
        )
        return Refusable(inner=inner, asked=pulse, words="a reverse sum", node="sum")
    inner = DownsampleProblem(
        shape=(length, 2), axis=0, sizes=(), on=0, stride=-draw(st.integers(1, 3))
    )
    return Refusable(inner=inner, asked=pulse, words="stride=-", node="sample")


@dataclass(frozen=True, kw_only=True)
class EndSlice(Streamed):
    """Frames counted from the end of a stream that has them.

    Attributes:
        far: frames from the end to the first one that is kept.
        near: frames from the end to the first one that is not.
    """

    family = "slicing"
    op = "Slice"
    far: int
    near: int = 0

    @property
    def shortest(self) -> int:
        return self.far

    def model(self) -> Model:
        model = Model(Scope((parse_assertion(f"{SYMBOL}>={self.far}"),)))
        wire = model.add_source("x", self.fact)
        model.set_outputs([self.apply(model, wire)], ["y"])
        return model

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Slice(self.axis, S - self.far, S - self.near), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        n = data.shape[self.axis]
        return np.take(data, range(n - self.far, n - self.near), self.axis)


@st.composite
def end_slices(draw: st.DrawFn) -> Refusable:
    """Draw a slice that begins at S - far."""
    far = draw(st.integers(1, 5))
    axis, pulse = draw(st.integers(0, 1)), draw(pulses())
    inner = EndSlice(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0], least=far))),
        axis=axis,
        sizes=(),
        far=far,
        near=draw(st.integers(0, far - 1)),
        values=draw(values()),
    )
    return Refusable(inner=inner, asked=pulse, words="start=")


@dataclass(frozen=True, kw_only=True)
class Rejoined(Streamed):
    """Two pieces of a stream, one behind the other.

    Attributes:
        cut: frames of the piece that is moved.
        kind: `rotated` (the first frames last), `last` (the last frames once more), `twice`.
    """

    family = "concat"
    op = "Concat"
    cut: int
    kind: str

    @property
    def shortest(self) -> int:
        return self.cut

    def model(self) -> Model:
        model = Model(Scope((parse_assertion(f"{SYMBOL}>={self.cut}"),)))
        wire = model.add_source("x", self.fact)
        model.set_outputs([self.apply(model, wire)], ["y"])
        return model

    def _pieces(self, end: Dim) -> tuple[tuple[Dim, Dim], tuple[Dim, Dim]]:
        return {
            "rotated": ((self.cut, end), (0, self.cut)),
            "last": ((0, end), (end - self.cut, end)),
            "twice": ((0, end), (0, end)),
        }[self.kind]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        ops = [Slice(self.axis, a, b) for a, b in self._pieces(S)]
        wires = [model.wire(f"piece{k}", op, (wire,))[0] for k, op in enumerate(ops)]
        return model.wire("op", Concat(self.axis), wires)[0]

    def oracle(self, data: Array) -> Array:
        pieces = [(a, b) for a, b in self._pieces(data.shape[self.axis])]
        ranges = [range(int(str(a)), int(str(b))) for a, b in pieces]
        return joined([np.take(data, places, self.axis) for places in ranges], self.axis)


_REJOINED = {
    "rotated": "puts the first frames of a stream, input 1, after the end of another one",
    "twice": "joins 2 streams along the stream axis",
}


@st.composite
def rejoined(draw: st.DrawFn) -> Refusable:
    """Draw pieces that leave the order of a stream."""
    kind = draw(st.sampled_from(["rotated", "last", "twice"]))
    cut = draw(st.integers(1, 4))
    axis, pulse = draw(st.integers(0, 1)), draw(pulses())
    inner = Rejoined(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0], least=cut))),
        axis=axis,
        sizes=(),
        cut=cut,
        kind=kind,
        values=draw(values()),
    )
    if kind == "last":
        return RefusedPiece(inner=inner, asked=pulse, words="start=", node="piece1")
    return Refusable(inner=inner, asked=pulse, words=_REJOINED[kind])


@dataclass(frozen=True, kw_only=True)
class RefusedPiece(Refusable):
    """It is a slice ahead of the op that is refused."""

    @property
    def refusal(self) -> str:
        return f'{_V1}"{self.node}" (Slice): {self.words}'


@dataclass(frozen=True, kw_only=True)
class InnerReshape(Streamed):
    """[.., u, S, ..] becomes [.., u*S, ..], or [.., S, u, ..] with the frames as the inner axis.

    Attributes:
        swaps: the second form, of a stream that is outermost.
    """

    family = "axes"
    op = "Reshape"
    swaps: bool

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        at = self.axis if self.swaps else self.axis - 1
        before = model.fact(wire).shape[at : at + 2]
        after = (before[1], before[0]) if self.swaps else (before[0] * before[1],)
        return model.wire("op", Reshape(at, before, after), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        at = self.axis if self.swaps else self.axis - 1
        one, two = data.shape[at : at + 2]
        middle = (two, one) if self.swaps else (one * two,)
        shape = (*data.shape[:at], *middle, *data.shape[at + 2 :])
        return np.array(data.ravel().tolist(), data.dtype).reshape(shape)


@st.composite
def inner_reshapes(draw: st.DrawFn) -> Refusable:
    """Draw a stream with two or three rows that are put one behind the other."""
    swaps = draw(st.booleans())
    rows, pulse, crop = draw(st.integers(2, 3)), draw(pulses()), draw(crops(most=2))
    lead = (1,) * draw(st.integers(0, 1))
    length = draw(lengths(pulse[0], field=sum(crop)))
    inner = InnerReshape(
        shape=(*lead, length, rows) if swaps else (*lead, rows, length),
        axis=len(lead) + (0 if swaps else 1),
        sizes=(),
        crop=crop,
        swaps=swaps,
        values=draw(values()),
    )
    return Refusable(inner=inner, asked=pulse, words="reshapes [")


@dataclass(frozen=True, kw_only=True)
class SquareSource(Streamed):
    """An input of S*S frames: as many more come at each turn as have come before."""

    family = "structure"
    op = "Source"
    root: int

    @property
    def length(self) -> int:
        return self.root

    @property
    def fact(self) -> Fact:
        return Fact(np.dtype(self.dtype), (S * S,))

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.root, (self.root**2,))}

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Identity(), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        return data.copy()


def _square(root: int, pulse: tuple[int, ...]) -> Refusable:
    inner = SquareSource(shape=(0,), axis=0, sizes=(), root=root)
    return Refusable(inner=inner, asked=pulse, words="the input's length (S)*(S)", node="x")


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "Softmax-over-the-stream": lambda: normalised(kind="softmax"),
    "Softmax-logarithm": lambda: normalised(kind="logsoftmax"),
    "RmsNorm-over-the-stream": lambda: normalised(kind="rms"),
    "Reduce-over-the-stream": folded,
    "Fft-over-the-stream": transformed,
    "Stft-uneven-hops": uneven_hops,
    "CumSum-from-the-end": lambda: backwards(op="CumSum"),
    "Downsample-from-the-end": lambda: backwards(op="Downsample"),
    "Slice-from-the-end": end_slices,
    "Concat-out-of-order": rejoined,
    "Reshape-inner-stream": inner_reshapes,
    "Source-square": lambda: st.builds(_square, st.integers(0, 5), pulses(most=4)),
}


def _softmax(length: int, *pulse: int) -> Refusable:
    inner = SoftmaxProblem(shape=(1, length), axis=1, sizes=(), axes=(1,))
    return Refusable(inner=inner, asked=pulse)


def _rejoined(kind: str) -> Refusable:
    inner = Rejoined(shape=(9,), axis=0, sizes=(), cut=3, kind=kind)
    return Refusable(inner=inner, asked=(1, 4), words=_REJOINED[kind])


HAND: dict[str, Problem] = {
    "Softmax-of-pulses": _softmax(8, 4, 3),
    "RmsNorm-of-pulses": Refusable(
        inner=RmsNormProblem(shape=(1, 8), axis=1, sizes=(), on=1), asked=(4,)
    ),
    "Reduce-of-pulses": Refusable(
        inner=ReduceProblem(shape=(1, 8), axis=1, sizes=(), axes=(1,), kind="sum"), asked=(4,)
    ),
    "Fft-of-pulses": Refusable(inner=FftProblem(shape=(8, 2), axis=0, sizes=(), on=0), asked=(4,)),
    "Stft-hop-2-pulse-3": Refusable(
        inner=StftProblem(shape=(11, 2), axis=0, sizes=(), on=0, frame=4, stride=2),
        asked=(3, 1),
        words="pulse=",
    ),
    "CumSum-reverse": Refusable(
        inner=CumSumProblem(shape=(6, 2), axis=0, sizes=(), on=0, reverse=True),
        asked=(4,),
        words="a reverse sum",
        node="sum",
    ),
    "Downsample-time-reversal": Refusable(
        inner=DownsampleProblem(shape=(7,), axis=0, sizes=(), on=0, stride=-1),
        asked=(4,),
        words="stride=-1",
        node="sample",
    ),
    "Slice-last-four": Refusable(
        inner=EndSlice(shape=(10,), axis=0, sizes=(), far=4), asked=(4,), words="start="
    ),
    "Concat-rotated": _rejoined("rotated"),
    "Concat-twice": _rejoined("twice"),
    "Reshape-three-rows": Refusable(
        inner=InnerReshape(shape=(1, 3, 6), axis=2, sizes=(), swaps=False),
        asked=(2,),
        words="reshapes [3,S] to [3*S]",
    ),
    "Source-square": _square(3, (1, 4)),
}


ERRORS: dict[str, ErrorCase] = {
    slug: ErrorCase(pulsing(problem.model), Refused, problem.refusal)
    for slug, problem in HAND.items()
    if 4 in problem.refused_at
}
