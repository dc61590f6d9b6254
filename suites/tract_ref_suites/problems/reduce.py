"""Folds of axes: beside the stream axis they stream, over it they are batch only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.reduce import KINDS, Reduce
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

Fold = Callable[[list[float]], float]


def _mean(found: list[float]) -> float:
    return math.fsum(found) / len(found) if found else math.nan


FOLDS: dict[str, Fold] = {
    "sum": math.fsum,
    "prod": math.prod,
    "max": lambda found: max(found, default=-math.inf),
    "min": lambda found: min(found, default=math.inf),
    "mean": _mean,
    "mean_of_squares": lambda found: _mean([v * v for v in found]),
    "argmax": lambda found: found.index(max(found)),
    "argmin": lambda found: found.index(min(found)),
    "argmax_last": lambda found: len(found) - 1 - found[::-1].index(max(found)),
    "argmin_last": lambda found: len(found) - 1 - found[::-1].index(min(found)),
    "all": all,
    "any": any,
}


def folded(data: Array, axes: tuple[int, ...], fold: Fold, dtype: np.dtype) -> Array:
    """Fold one output element at a time, in row-major order of the folded positions."""
    out = np.zeros(tuple(1 if a in axes else n for a, n in enumerate(data.shape)), dtype)
    ranges = [range(n) if a in axes else (None,) for a, n in enumerate(data.shape)]
    for index in np.ndindex(*out.shape):
        places = (
            tuple(i if k is None else k for i, k in zip(index, place, strict=True))
            for place in itertools.product(*ranges)
        )
        out[index] = fold([data[place].item() for place in places])
    return out


@dataclass(frozen=True, kw_only=True)
class ReduceProblem(Streamed):
    """One fold.

    Attributes:
        axes: the folded axes.
        kind: the fold.
    """

    family = "reduce"
    op = "Reduce"
    axes: tuple[int, ...]
    kind: str

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Reduce(self.axes, self.kind), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        is_arg = self.kind.startswith("arg")
        dtype = np.dtype(np.int64) if is_arg else data.dtype
        return folded(data, self.axes, FOLDS[self.kind], dtype)

    @property
    def oracle_approx(self) -> str:
        exact = self.values.is_exact and "mean" not in self.kind
        return "exact" if exact or self.kind in ("max", "min") else "close"

    @property
    def shortest(self) -> int:
        """An arg kind needs a position."""
        over_stream = self.axis in self.axes and self.kind.startswith("arg")
        return 1 + sum(self.crop) if over_stream else 0

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def reduce_problems(draw: st.DrawFn, *, kind: str) -> ReduceProblem:
    """Draw a fold of some axes; over the stream axis it does not stream."""
    axis = draw(st.integers(0, 2))
    others = [k for k in range(3) if k != axis]
    axes = set(draw(st.sets(st.sampled_from(others), min_size=1)))
    over_stream = draw(st.integers(0, 4)) == 4
    if over_stream:
        axes.add(axis)
    pulse = draw(pulses())
    crop = draw(crops())
    least = 1 + sum(crop) if over_stream else 0
    length = draw(lengths(pulse[0], field=sum(crop), least=least))
    logical = kind in ("all", "any")
    palettes = ("integers",) if kind == "prod" else ("integers", "normal")
    return ReduceProblem(
        shape=placed(draw(sizes(3)), axis, min(length, 12) if kind == "prod" else length),
        axis=axis,
        sizes=() if over_stream else pulse,
        crop=crop,
        axes=tuple(sorted(axes)),
        kind=kind,
        values=draw(values(palettes=palettes)),
        dtype="b1" if logical else "f8" if kind == "prod" else draw(st.sampled_from(["f4", "f8"])),
    )


STRATEGIES = {
    f"Reduce-{kind.replace('_', '-')}": lambda kind=kind: reduce_problems(kind=kind)
    for kind in KINDS
}


def _line(length: int, pulses_: tuple[int, ...], kind: str = "sum", **rest: object) -> Problem:
    return ReduceProblem(shape=(3, length), axis=1, sizes=pulses_, axes=(0,), kind=kind, **rest)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "Reduce-whole-axis": _line(8, (8,)),
    "Reduce-one-frame": _line(1, (1, 4)),
    "Reduce-empty-stream": _line(0, (1, 4)),
    "Reduce-pulse-longer-than-stream": _line(5, (16,)),
    "Reduce-after-a-crop": _line(9, (4,), crop=(2, 1)),
    "Reduce-argmax-of-equals": _line(9, (4,), "argmax"),
    "Reduce-over-an-empty-stream": ReduceProblem(
        shape=(3, 0), axis=1, sizes=(), axes=(1,), kind="sum"
    ),
}


def _invalid(op: Reduce, starts: str, text: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" (Reduce): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "Reduce-stream-axis": ErrorCase(
        pulsing(lambda: single(Reduce((1,), "sum"), *facts("1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (Reduce): works over the stream axis (1 of input 0)',
    ),
    "Reduce-kind": _invalid(Reduce((0,), "median"), "kind='median'", "S,f32"),
    "Reduce-axes": _invalid(Reduce((1, 0), "sum"), "axes=[1, 0] of a tensor of 2", "1,S,f32"),
    "Reduce-axis": _invalid(Reduce((2,), "sum"), "axes=[2] of a tensor of 2 axes", "1,S,f32"),
    "Reduce-bools": _invalid(Reduce((0,), "sum"), "sum of a tensor of bool", "1,S,bool"),
    "Reduce-mean-of-bools": _invalid(Reduce((0,), "mean"), "mean of a tensor of bool", "1,S,bool"),
    "Reduce-all-of-floats": _invalid(Reduce((0,), "all"), "all of a tensor of f32", "1,S,f32"),
    "Reduce-argmax-of-dims": _invalid(Reduce((0,), "argmax"), "argmax of a tensor", "1,S,tdim"),
}
