"""Select: one of two values per element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Gt
from tract_ref.ops.conv import Conv
from tract_ref.ops.select import Select
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    cropped,
    facts,
    sliced,
    wiring,
)
from tract_ref_suites.problems.conv import convolve
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values
from tract_ref_suites.strategies.windows import Along, window_spec


@dataclass(frozen=True, kw_only=True)
class SelectProblem(Streamed):
    """Three branches of a stream: the first chooses, where it is positive.

    Attributes:
        offsets: first frame of the condition and of both values.
    """

    family = "select"
    op = "Select"
    offsets: tuple[int, int, int]

    def crops(self) -> list[tuple[int, int]]:
        """Return what each branch drops of the stream."""
        return [(offset, max(self.offsets) - offset) for offset in self.offsets]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        condition, a, b = (
            sliced(model, f"branch{slot}", wire, self.axis, crop)
            for slot, crop in enumerate(self.crops())
        )
        zero = model.add_const("zero", np.zeros((1,) * len(self.shape), self.dtype))
        (condition,) = model.wire("positive", Gt(), (condition, zero))
        return model.wire("select", Select(), (condition, a, b))[0]

    def oracle(self, data: Array) -> Array:
        condition, a, b = (cropped(data, self.axis, crop) for crop in self.crops())
        out = np.zeros_like(a)
        for index in np.ndindex(*a.shape):
            out[index] = a[index] if condition[index] > 0 else b[index]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        # Two equal values leave nothing to choose: the condition is not waited for.
        read = self.offsets if self.offsets[1] != self.offsets[2] else self.offsets[1:]
        return self.crop[0] + max(read)


@dataclass(frozen=True, kw_only=True)
class ThreeConvs(Streamed):
    """Spec/pulse.md 6.13 (a): convolutions of kernel 2, 3 and 4, padded at the end, then Select."""

    family = "select"
    op = "Select"

    def branches(self) -> list[tuple[Array, Along]]:
        """Return the kernel and the windows of each branch."""
        return [
            (np.arange(1, size + 1, dtype=np.float32).reshape(1, 1, size) - 2, _right_padded(size))
            for size in (2, 3, 4)
        ]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        wires: list[Outlet] = []
        for slot, (kernel, along) in enumerate(self.branches()):
            weights = model.add_const(f"kernel{slot}", kernel)
            wires += model.wire(f"conv{slot}", Conv(window_spec((along,)), 1), (wire, weights))
        zero = model.add_const("zero", np.zeros((1, 1, 1), np.float32))
        wires[:1] = model.wire("positive", Gt(), (wires[0], zero))
        return model.wire("select", Select(), wires)[0]

    def oracle(self, data: Array) -> Array:
        condition, a, b = (convolve(data, k, None, (along,), 1) for k, along in self.branches())
        rows = zip(*_rows(condition, a, b), strict=True)
        chosen = [x if c > 0 else y for c, x, y in rows]
        return np.array(chosen, np.float32).reshape(1, 1, -1)


def _right_padded(size: int) -> Along:
    return Along(size, 1, 1, (0, size - 1))


def _rows(*arrays: Array) -> list[list[float]]:
    return [array[0, 0].tolist() for array in arrays]


@st.composite
def select_problems(draw: st.DrawFn) -> SelectProblem:
    """Draw three branches at their offsets."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    crop = draw(crops())
    offsets = (draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.integers(0, 4)))
    length = draw(lengths(pulse[0], field=sum(crop) + max(offsets)))
    return SelectProblem(
        shape=placed(draw(sizes(3)), axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        offsets=offsets,
        values=draw(values(palettes=("integers", "special"))),
        dtype=draw(st.sampled_from(["f4", "i4"])),
    )


STRATEGIES = {"Select-branches": select_problems}


def _line(length: int, pulses_: tuple[int, ...], *offsets: int) -> SelectProblem:
    a, b, c = offsets
    return SelectProblem(shape=(length,), axis=0, sizes=pulses_, offsets=(a, b, c))


HAND: dict[str, Problem] = {
    "Select-whole-axis": _line(8, (8,), 0, 0, 0),
    "Select-one-frame": _line(1, (1, 4), 0, 0, 0),
    "Select-empty-stream": _line(0, (1, 4), 3, 1, 2),
    "Select-pulse-longer-than-stream": _line(5, (16,), 0, 1, 2),
    "Select-delays-3-1-2": _line(12, (4, 1), 3, 1, 2),
    "Select-three-convs": ThreeConvs(shape=(1, 1, 11), axis=2, sizes=(4,)),
}


def _invalid(starts: str, *texts: str) -> ErrorCase:
    attempt = wiring(Select(), *facts(*texts))
    return ErrorCase(attempt, InvalidModel, f'node "op" (Select): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "Select-condition": _invalid("condition S,f32; it must be bool", "S,f32", "S,f32", "S,f32"),
    "Select-dtypes": _invalid("values S,f32 and S,i64 have different", "S,bool", "S,f32", "S,i64"),
    "Select-ranks": _invalid("inputs S,bool and 1,f32 and 1,1,f32", "S,bool", "1,f32", "1,1,f32"),
}
