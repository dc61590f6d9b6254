"""Norms: RmsNorm judged by sums that do not round, running norms by a loop over numbers."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.norm import ExpMeanNorm, ExpUnitNorm, RmsNorm
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
class RmsNormProblem(Streamed):
    """One RmsNorm.

    Attributes:
        on: the normalised axis.
        eps: added to the mean square.
    """

    family = "norm"
    op = "RmsNorm"
    on: int
    eps: float = 1e-6

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", RmsNorm(self.on, self.eps), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros(data.shape, data.dtype)
        for index in np.ndindex(*data.shape):
            line = [
                float(data[(*index[: self.on], i, *index[self.on + 1 :])])
                for i in range(data.shape[self.on])
            ]
            power = math.fsum(v * v for v in line) / len(line)
            out[index] = float(data[index]) / math.sqrt(power + self.eps)
        return out

    @property
    def oracle_approx(self) -> str:
        return "close"

    @property
    def loose(self) -> str:
        alone = "a position alone is divided by its own size: its sign only is seen"
        return super().loose or (alone if self.shape[self.on] == 1 else "")

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def rms_norm_problems(draw: st.DrawFn) -> RmsNormProblem:
    """Draw a norm over an axis that does not stream, or over a whole stream in batch."""
    axis, on = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    pulse = draw(pulses())
    crop = draw(crops())
    return RmsNormProblem(
        shape=placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=() if on == axis else pulse,
        crop=crop,
        on=on,
        eps=draw(st.sampled_from([1e-6, 0.5])),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


@dataclass(frozen=True, kw_only=True)
class RunningNormProblem(Streamed):
    """A running norm from a state of numbers of 1 or more.

    Attributes:
        kind: `unit`, `complex` (unit norm of complex numbers) or `mean`.
        on: the axis of the recurrence.
        alpha: weight of the past.
        skip: steps before the first update.
        floor: least magnitude of a unit norm, divisor of a mean norm.
        stateless: the op is written so.
    """

    family = "norm"
    op = "ExpUnitNorm"
    kind: str
    on: int
    alpha: float = 0.75
    skip: int = 0
    floor: float = 1.0
    stateless: bool = False

    def start(self) -> Array:
        """Return the state, of one position on a stream axis that it runs across."""
        last = len(self.shape) - (self.kind == "complex")
        kept = [axis for axis in range(last) if axis != self.on]
        shape = tuple(1 if axis == self.axis else self.shape[axis] for axis in kept)
        return np.abs(self.values.array(shape, self.dtype, salt=1)) + np.array(1, self.dtype)

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        start = model.add_const("state", self.start())
        op: Op
        if self.kind == "mean":
            op = ExpMeanNorm(self.on, self.alpha, self.floor, self.skip, self.stateless)
        else:
            is_complex = self.kind == "complex"
            op = ExpUnitNorm(self.on, self.alpha, self.floor, self.skip, self.stateless, is_complex)
        return model.wire("op", op, (wire, start))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros(data.shape, data.dtype)
        lines = list(data.shape)
        lines[self.on] = 1
        start = self.start()
        for index in np.ndindex(*lines):
            kept = [i for axis, i in enumerate(index) if axis != self.on]
            kept = kept[:-1] if self.kind == "complex" else kept
            at = tuple(min(i, n - 1) for i, n in zip(kept, start.shape, strict=True))
            running = float(start[at])
            for t in range(data.shape[self.on]):
                here = (*index[: self.on], t, *index[self.on + 1 :])
                x = float(data[here])
                size = self._size(data, here)
                if t >= self.skip:
                    running = size * (1 - self.alpha) + running * self.alpha
                scaled = (x - running) / self.floor
                out[here] = scaled if self.kind == "mean" else x / math.sqrt(running)
        return out

    def _size(self, data: Array, here: tuple[int, ...]) -> float:
        if self.kind == "mean":
            return float(data[here])
        if self.kind == "complex":
            return max(math.hypot(*(float(v) for v in data[here[:-1]])), self.floor)
        return max(abs(float(data[here])), self.floor)

    @property
    def oracle_approx(self) -> str:
        return "close"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def running_norm_problems(draw: st.DrawFn, *, kind: str, along: bool = True) -> RunningNormProblem:
    """Draw a running norm along the stream, or along another axis of it."""
    rank = 3 if kind == "complex" else 2
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    crop = draw(crops())
    shape = draw(sizes(2)) + (2,) * (rank - 2)
    return RunningNormProblem(
        shape=placed(shape, axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        kind=kind,
        on=axis if along else 1 - axis,
        alpha=draw(st.sampled_from([0.75, 0.5, 0.9, 0.0])),
        skip=draw(st.integers(0, 3)),
        floor=draw(st.sampled_from([1.0, 2.0, 0.25])),
        stateless=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8"])),
    )


_KINDS = ("unit", "complex", "mean")
STRATEGIES = {
    "RmsNorm": rms_norm_problems,
    **{
        f"Exp{kind.capitalize()}Norm-{where}": lambda kind=kind, along=along: running_norm_problems(
            kind=kind, along=along
        )
        for kind, (where, along) in itertools.product(
            _KINDS, (("along-the-stream", True), ("off-axis", False))
        )
    },
}


def _line(length: int, pulses_: tuple[int, ...], **rest: object) -> RmsNormProblem:
    return RmsNormProblem(shape=(3, length), axis=1, sizes=pulses_, on=0, **rest)  # pyright: ignore[reportArgumentType]


def _running(length: int, pulses_: tuple[int, ...], **rest: object) -> RunningNormProblem:
    given = {"kind": "unit", "on": 1} | rest
    return RunningNormProblem(shape=(3, length), axis=1, sizes=pulses_, **given)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "RmsNorm-whole-axis": _line(8, (8,)),
    "RmsNorm-one-frame": _line(1, (1, 4)),
    "RmsNorm-empty-stream": _line(0, (1, 4)),
    "RmsNorm-after-crops": _line(9, (4,), crop=(2, 1)),
    "RmsNorm-over-the-stream": RmsNormProblem(shape=(3, 5), axis=1, sizes=(), on=1),
    "ExpUnitNorm-whole-axis": _running(8, (8,)),
    "ExpUnitNorm-one-frame": _running(1, (1, 4)),
    "ExpUnitNorm-empty-stream": _running(0, (1, 4)),
    "ExpUnitNorm-after-a-crop": _running(9, (4,), crop=(2, 0)),
    "ExpUnitNorm-skips": _running(9, (2,), skip=3, crop=(1, 0)),
    "ExpUnitNorm-stateless": _running(9, (2,), stateless=True),
    "ExpUnitNorm-off-axis": _running(9, (2,), on=0),
    "ExpMeanNorm-after-a-crop": _running(9, (4,), kind="mean", floor=2.0, crop=(2, 0)),
    "ExpUnitNorm-complex": RunningNormProblem(
        shape=(5, 3, 2), axis=0, sizes=(2,), kind="complex", on=0, skip=1
    ),
}


def _refused(op: Op, starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "RmsNorm-stream-axis": _refused(RmsNorm(1), "works over the stream axis", "1,S,f32"),
    "RmsNorm-axis": _invalid(RmsNorm(2), "axis=2 of data 1,S,f32", "1,S,f32"),
    "RmsNorm-integers": _invalid(RmsNorm(0), "data 1,S,i64; a norm needs floats", "1,S,i64"),
    "ExpUnitNorm-state-streams": _refused(
        ExpUnitNorm(0, 0.5), "its initial state streams", "S,3,f32", "S,f32"
    ),
    "ExpUnitNorm-state-shape": _invalid(
        ExpUnitNorm(0, 0.5), "state 4,f32 for data S,3,f32 along axis 0", "S,3,f32", "4,f32"
    ),
    "ExpUnitNorm-skip": _invalid(ExpUnitNorm(0, 0.5, skip=-1), "skip=-1 steps", "S,3,f32", "3,f32"),
    "ExpUnitNorm-complex-axis": _invalid(
        ExpUnitNorm(1, 0.5, complex=True), "complex data S,2,f32 with axis=1", "S,2,f32", "2,f32"
    ),
    "ExpMeanNorm-state-dtype": _invalid(
        ExpMeanNorm(0, 0.5), "state 3,f64 for data S,3,f32 along axis 0", "S,3,f32", "3,f64"
    ),
}
