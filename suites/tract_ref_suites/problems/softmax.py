"""Softmax and its logarithm, judged by sums that do not round."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.softmax import KINDS, Softmax
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


@dataclass(frozen=True, kw_only=True)
class SoftmaxProblem(Streamed):
    """One softmax.

    Attributes:
        axes: the normalised axes.
        kind: softmax or logsoftmax.
    """

    family = "softmax"
    op = "Softmax"
    axes: tuple[int, ...]
    kind: str = "softmax"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Softmax(self.axes, self.kind), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros(data.shape, data.dtype)
        ranges = [range(n) if a in self.axes else (None,) for a, n in enumerate(data.shape)]
        for index in np.ndindex(*data.shape):
            row = [
                float(data[tuple(i if k is None else k for i, k in zip(index, at, strict=True))])
                for at in itertools.product(*ranges)
            ]
            log = float(data[index]) - math.log(math.fsum(math.exp(v) for v in row))
            out[index] = math.exp(log) if self.kind == "softmax" else log
        return out

    @property
    def oracle_approx(self) -> str:
        return "close"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def softmax_problems(draw: st.DrawFn, *, kind: str) -> SoftmaxProblem:
    """Draw a softmax of some axes; over the stream axis it does not stream."""
    axis = draw(st.integers(0, 2))
    others = [k for k in range(3) if k != axis]
    axes = set(draw(st.sets(st.sampled_from(others), min_size=1)))
    over_stream = draw(st.integers(0, 4)) == 4
    if over_stream:
        axes.add(axis)
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    return SoftmaxProblem(
        shape=placed(draw(sizes(3)), axis, length),
        axis=axis,
        sizes=() if over_stream else pulse,
        crop=crop,
        axes=tuple(sorted(axes)),
        kind=kind,
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


STRATEGIES = {f"Softmax-{kind}": lambda kind=kind: softmax_problems(kind=kind) for kind in KINDS}


def _line(length: int, pulses_: tuple[int, ...], **rest: object) -> SoftmaxProblem:
    return SoftmaxProblem(shape=(3, length), axis=1, sizes=pulses_, axes=(0,), **rest)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "Softmax-whole-axis": _line(8, (8,)),
    "Softmax-one-frame": _line(1, (1, 4)),
    "Softmax-empty-stream": _line(0, (1, 4)),
    "Softmax-pulse-longer-than-stream": _line(5, (16,)),
    "Softmax-after-a-crop": _line(9, (4,), crop=(2, 1)),
    "Softmax-log": _line(9, (4,), kind="logsoftmax"),
    "Softmax-over-the-stream": SoftmaxProblem(shape=(3, 5), axis=1, sizes=(), axes=(1,)),
    "Softmax-over-an-empty-stream": SoftmaxProblem(shape=(3, 0), axis=1, sizes=(), axes=(1,)),
}


def _refused(kind: str) -> ErrorCase:
    return ErrorCase(
        pulsing(lambda: single(Softmax((1,), kind), *facts("1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (Softmax): works over the stream axis (1 of input 0)',
    )


def _invalid(op: Softmax, starts: str, text: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" (Softmax): {starts}')


ERRORS: dict[str, ErrorCase] = {
    **{f"Softmax-stream-axis-{kind}": _refused(kind) for kind in KINDS},
    "Softmax-kind": _invalid(Softmax((0,), "hardmax"), "kind='hardmax'", "S,f32"),
    "Softmax-axes": _invalid(Softmax((1, 1)), "axes=[1, 1] of a tensor of 2 axes", "1,S,f32"),
    "Softmax-axis": _invalid(Softmax((2,)), "axes=[2] of a tensor of 2 axes", "1,S,f32"),
    "Softmax-integers": _invalid(Softmax((0,)), "softmax of 1,S,i64", "1,S,i64"),
}
