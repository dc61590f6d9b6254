"""Cast: the same elements in another dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel
from tract_ref.ir.fact import DTYPES
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.cast import Cast
from tract_ref_suites.problems.base import ErrorCase, Problem, Streamed, Values, facts, wiring
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

NAMES = tuple(name for name in DTYPES if name != "tdim")


def convert(value: float, source: str, target: str) -> float:
    """Convert one Python number: floats truncate and saturate, integers wrap around."""
    if target == "bool":
        return value != 0
    if target[0] == "f":
        return float(value)
    bits, signed = int(target[1:]), target[0] == "i"
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    if source[0] == "f":
        assert isinstance(value, float)
        if math.isnan(value):
            return 0
        if math.isinf(value):
            return high if value > 0 else low
        return min(max(int(value), low), high)
    return (int(value) - low) % 2**bits + low


@dataclass(frozen=True, kw_only=True)
class CastProblem(Streamed):
    """One conversion; the stream's dtype is `source`.

    Attributes:
        source: name of the dtype of x.
        target: name of the dtype of y.
    """

    family = "cast"
    op = "Cast"
    source: str
    target: str

    def inputs(self) -> dict[str, Array]:
        x = super().inputs()["x"]
        # Wide values, so that integers wrap and floats saturate.
        if x.dtype.kind == "b" or self.values.is_exact:
            return {"x": x}
        with np.errstate(over="ignore"):
            return {"x": x * x.dtype.type(37)}

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("cast", Cast(DTYPES[self.target]), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = np.zeros(data.shape, DTYPES[self.target])
        with np.errstate(over="ignore"):
            for index in np.ndindex(*data.shape):
                out[index] = convert(data[index].item(), self.source, self.target)
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def cast_problems(draw: st.DrawFn, *, target: str) -> CastProblem:
    """Draw a stream of any dtype."""
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    source = draw(st.sampled_from(NAMES))
    palettes = ("integers", "normal", "special") if source[0] == "f" else ("integers", "normal")
    return CastProblem(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0]))),
        axis=axis,
        sizes=pulse,
        crop=draw(crops()),
        source=source,
        target=target,
        values=draw(values(palettes=palettes)),
        dtype=DTYPES[source].str.lstrip("<|="),
    )


STRATEGIES = {f"Cast-{name}": lambda name=name: cast_problems(target=name) for name in NAMES}


def _line(length: int, pulses_: tuple[int, ...], target: str = "i32") -> CastProblem:
    return CastProblem(
        shape=(length,),
        axis=0,
        sizes=pulses_,
        source="f32",
        target=target,
        values=Values(1, "special"),
    )


HAND: dict[str, Problem] = {
    "Cast-whole-axis": _line(8, (8,)),
    "Cast-one-frame": _line(1, (1, 4)),
    "Cast-empty-stream": _line(0, (1, 4)),
    "Cast-pulse-longer-than-stream": _line(5, (16,)),
    "Cast-rest": _line(9, (4,), "u8"),
    "Cast-to-itself": _line(9, (4,), "f32"),
}

ERRORS: dict[str, ErrorCase] = {
    "Cast-floats-to-dims": ErrorCase(
        wiring(Cast(DTYPES["tdim"]), *facts("S,f32")),
        InvalidModel,
        'node "op" (Cast): input S,f32; only integers become dims',
    ),
}
