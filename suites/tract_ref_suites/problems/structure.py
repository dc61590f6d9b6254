"""Identity: out = in; what a model needs in order to stream at all; inputs of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st

from tract_ref import pulsify
from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import DTYPES, Fact
from tract_ref.ir.model import Model
from tract_ref.ops.binary import Add
from tract_ref.ops.conv import Conv
from tract_ref.ops.pool import SumPool
from tract_ref.ops.structure import Identity
from tract_ref.stream.window import Valid, WindowSpec
from tract_ref_suites.problems.base import SYMBOL, ErrorCase, Problem, sliced, small_integers
from tract_ref_suites.strategies.shapes import lengths, pulses

_DTYPES = ("f32", "f16", "i64", "bool")


@dataclass(frozen=True)
class IdentityProblem(Problem):
    """A copy of a tensor that streams along one axis.

    Attributes:
        shape: sizes of the axes; the one of the stream axis is the length.
        axis: the stream axis.
        pulses: pulses at which it must stream.
        dtype: element type.
        seed: of the values.
    """

    shape: tuple[int, ...] = (2, 7)
    axis: int = 1
    pulses: tuple[int, ...] = (1, 3)
    dtype: str = "f32"
    seed: int = 0

    family: ClassVar[str] = "structure"
    op: ClassVar[str] = "Identity"

    @property
    def length(self) -> int:
        return self.shape[self.axis]

    def model(self) -> Model:
        model = Model()
        dims: list[Dim] = list(self.shape)
        dims[self.axis] = sym(SYMBOL)
        x = model.add_source("x", Fact(DTYPES[self.dtype], tuple(dims)))
        model.set_outputs(model.wire("y", Identity(), [x]), ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        values = small_integers(self.seed, self.shape)
        if self.dtype == "bool":
            return {"x": values > 0}
        return {"x": values.astype(DTYPES[self.dtype])}

    def expected(self) -> dict[str, Array]:
        x = self.inputs()["x"]
        y = np.empty_like(x)
        for index in np.ndindex(*x.shape):
            y[index] = x[index]
        return {"y": y}

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return 0


def identity_problems() -> st.SearchStrategy[Problem]:
    """Draw copies of rank 1 to 3, shorter and longer than their pulses."""

    @st.composite
    def draw_problem(draw: st.DrawFn) -> Problem:
        shape = list(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
        axis = draw(st.integers(0, len(shape) - 1))
        shape[axis] = draw(st.integers(0, 9))
        pulses = draw(st.lists(st.integers(1, 5), min_size=1, max_size=2, unique=True))
        dtype = draw(st.sampled_from(_DTYPES))
        return IdentityProblem(tuple(shape), axis, tuple(pulses), dtype, draw(st.integers(0, 9)))

    return draw_problem()


def _without_stream(pulse: int, symbolic: bool) -> Callable[[], object]:
    def attempt() -> object:
        model = Model()
        shape: tuple[Dim, ...] = (2, sym(SYMBOL) if symbolic else 4)
        x = model.add_source("x", Fact(DTYPES["f32"], shape))
        model.set_outputs(model.wire("y", Identity(), [x]), ["y"])
        return pulsify(model, pulse)

    return attempt


def _of_length(dim: Dim, pulse: int) -> Callable[[], object]:
    def attempt() -> object:
        model = Model()
        x = model.add_source("x", Fact(DTYPES["f32"], (dim,)))
        model.set_outputs(model.wire("y", Identity(), [x]), ["y"])
        return pulsify(model, pulse)

    return attempt


def _two_axes() -> object:
    model = Model()
    x = model.add_source("x", Fact(DTYPES["f32"], (sym(SYMBOL), sym(SYMBOL))))
    model.set_outputs(model.wire("y", Identity(), [x]), ["y"])
    return pulsify(model, 2)


@dataclass(frozen=True)
class SourcesProblem(Problem):
    """Several inputs: streams of other rates and lengths, and two that do not stream.

    Stream k has a*S + b frames. Each is cropped in front, convolved by the input `w` and moved by
    the input `t`. Streams without rest are brought to one rate by sums of `a` frames, and added.

    Attributes:
        frames: stream length S.
        streams: a, b and the crop of each.
        sizes: pulses at which it must stream.
        seed: of the values.
    """

    frames: int
    streams: tuple[tuple[int, int, int], ...]
    sizes: tuple[int, ...]
    seed: int = 0

    family: ClassVar[str] = "structure"
    op: ClassVar[str] = "Source"

    @property
    def length(self) -> int:
        return self.frames

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    def _joined(self) -> list[int]:
        return [k for k, (_, b, _) in enumerate(self.streams) if not b]

    def model(self) -> Model:
        model = Model()
        t = model.add_source("t", Fact(DTYPES["f32"], (1, 1, 1)))
        w = model.add_source("w", Fact(DTYPES["f32"], (1, 1, 2)))
        outputs, sums = [], []
        for k, (a, b, crop) in enumerate(self.streams):
            x = model.add_source(f"x{k}", Fact(DTYPES["f32"], (1, 1, sym(SYMBOL) * a + b)))
            cut = sliced(model, f"crop{k}", x, 2, (crop, 0))
            (conv,) = model.wire(f"conv{k}", Conv(_windows(2, 1), 1), (cut, w))
            outputs.append(model.wire(f"moved{k}", Add(), (conv, t))[0])
            if not b:
                pool = SumPool(_windows(a, a), count_include_pad=False, normalize=False)
                sums.append(model.wire(f"sum{k}", pool, (x,))[0])
        for k, other in enumerate(sums[1:]):
            sums[0] = model.wire(f"add{k}", Add(), (sums[0], other))[0]
        static = model.wire("doubled", Add(), (t, t))
        names = [f"y{k}" for k in range(len(outputs))] + ["joined"] * bool(sums) + ["static"]
        model.set_outputs([*outputs, *sums[:1], *static], names)
        return model

    def inputs(self) -> dict[str, Array]:
        found = {"t": small_integers(self.seed, (1, 1, 1)), "w": small_integers(7, (1, 1, 2))}
        for k, (a, b, _) in enumerate(self.streams):
            found[f"x{k}"] = small_integers(self.seed + k, (1, 1, a * self.frames + b))
        return found

    def expected(self) -> dict[str, Array]:
        given = self.inputs()
        (t,), (first, second) = given["t"][0, 0], given["w"][0, 0]
        found: dict[str, Array] = {}
        for k, (_, _, crop) in enumerate(self.streams):
            x = given[f"x{k}"][0, 0, crop:]
            row = [x[i] * first + x[i + 1] * second + t for i in range(len(x) - 1)]
            found[f"y{k}"] = np.array(row, np.float32).reshape(1, 1, -1)
        if self._joined():
            total = np.zeros((1, 1, self.frames), np.float32)
            for k in self._joined():
                a = self.streams[k][0]
                for i in range(self.frames):
                    total[0, 0, i] += given[f"x{k}"][0, 0, a * i : a * i + a].sum()
            found["joined"] = total
        return found | {"static": np.full((1, 1, 1), 2 * t, np.float32)}

    @property
    def oracle_approx(self) -> str:
        return "exact"


def _windows(kernel: int, stride: int) -> WindowSpec:
    return WindowSpec((kernel,), (stride,), (1,), (Valid(),))


@st.composite
def sources_problems(draw: st.DrawFn) -> SourcesProblem:
    """Draw one to three streams of rates 1 to 3; half of them have S frames or a multiple."""
    rest = st.just(0) | st.integers(0, 3)
    one = st.tuples(st.integers(1, 3), rest, st.integers(0, 3))
    sizes = draw(pulses())
    return SourcesProblem(
        frames=draw(lengths(sizes[0], field=4)),
        streams=tuple(draw(st.lists(one, min_size=1, max_size=3))),
        sizes=sizes,
        seed=draw(st.integers(0, 99)),
    )


STRATEGIES = {"Identity": identity_problems, "Source-several": sources_problems}
HAND: dict[str, Problem] = {
    "two-rows": IdentityProblem(),
    "empty-stream": IdentityProblem(shape=(2, 0)),
    "shorter-than-pulse": IdentityProblem(shape=(3, 2), axis=0, pulses=(5, 4)),
    "integers": IdentityProblem(dtype="i64"),
    "Source-rates-meet": SourcesProblem(7, ((1, 0, 2), (2, 0, 0)), (1, 3)),
    "Source-rests": SourcesProblem(6, ((1, 1, 0), (2, 3, 1)), (2, 4)),
    "Source-empty-stream": SourcesProblem(0, ((1, 0, 0), (2, 1, 0)), (1, 4)),
    "Source-crop-beyond-the-stream": SourcesProblem(1, ((1, 0, 3),), (1, 2)),
}
ERRORS = {
    "nothing-streams": ErrorCase(
        _without_stream(2, symbolic=False),
        InvalidModel,
        "pulsify v1: no input has a symbolic dimension",
    ),
    "pulse-of-zero": ErrorCase(
        _without_stream(0, symbolic=True), InvalidModel, "pulsify v1: pulse=0"
    ),
    "pulse-negative": ErrorCase(
        _without_stream(-3, symbolic=True), InvalidModel, "pulsify v1: pulse=-3 frames"
    ),
    "pulse-of-no-whole-frame": ErrorCase(
        _of_length(sym(SYMBOL) // 2, 3),
        Refused,
        'pulsify v1: node "x" (Source): pulse=3 brings 3/2 frames of an input of length (S)/2',
    ),
    "source-not-affine": ErrorCase(
        _of_length(sym(SYMBOL) * sym(SYMBOL), 2),
        Refused,
        'pulsify v1: node "x" (Source): the input\'s length (S)*(S) is not of the form a*S+b',
    ),
    "two-stream-axes": ErrorCase(_two_axes, Refused, 'pulsify v1: node "x" (Source): input'),
}
