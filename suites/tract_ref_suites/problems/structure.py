"""Identity: out = in; and what a model needs in order to stream at all."""

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
from tract_ref.ops.structure import Identity
from tract_ref_suites.problems.base import SYMBOL, ErrorCase, Problem, small_integers

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


def _two_axes() -> object:
    model = Model()
    x = model.add_source("x", Fact(DTYPES["f32"], (sym(SYMBOL), sym(SYMBOL))))
    model.set_outputs(model.wire("y", Identity(), [x]), ["y"])
    return pulsify(model, 2)


STRATEGIES = {"Identity": identity_problems}
HAND: dict[str, Problem] = {
    "two-rows": IdentityProblem(),
    "empty-stream": IdentityProblem(shape=(2, 0)),
    "shorter-than-pulse": IdentityProblem(shape=(3, 2), axis=0, pulses=(5, 4)),
    "integers": IdentityProblem(dtype="i64"),
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
    "two-stream-axes": ErrorCase(_two_axes, Refused, 'pulsify v1: node "x" (Source): input'),
}
