"""Functions of two inputs, element by element, judged by Python's numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops import binary
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    Values,
    cropped,
    facts,
    pulsing,
    single,
    sliced,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

Scalar = Callable[..., object]


def _truncated(a: int, b: int) -> int:
    """Divide toward zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_BOTH: dict[str, tuple[Op, Scalar]] = {
    "Add": (binary.Add(), operator.add),
    "Sub": (binary.Sub(), operator.sub),
    "Mul": (binary.Mul(), operator.mul),
    "Min": (binary.Min(), min),
    "Max": (binary.Max(), max),
    "Eq": (binary.Eq(), operator.eq),
    "Ne": (binary.Ne(), operator.ne),
    "Lt": (binary.Lt(), operator.lt),
    "Gt": (binary.Gt(), operator.gt),
    "Le": (binary.Le(), operator.le),
    "Ge": (binary.Ge(), operator.ge),
}
_FLOATS: dict[str, tuple[Op, Scalar]] = {
    **_BOTH,
    "Div": (binary.Div(), operator.truediv),
    "Rem": (binary.Rem(), math.fmod),
    "Mod": (binary.Mod(), lambda a, b: a - b * math.floor(a / b)),
    "Pow": (binary.Pow(), lambda a, b: abs(a) ** b),
}
_INTEGERS: dict[str, tuple[Op, Scalar]] = {
    **_BOTH,
    "Div": (binary.Div(), _truncated),
    "Rem": (binary.Rem(), lambda a, b: a - b * _truncated(a, b)),
    "Mod": (binary.Mod(), operator.mod),
    "BitAnd": (binary.BitAnd(), operator.and_),
    "BitOr": (binary.BitOr(), operator.or_),
    "BitXor": (binary.BitXor(), operator.xor),
    "ShiftLeft": (binary.ShiftLeft(), lambda a, b: a * 2 ** abs(b)),
    "ShiftRight": (binary.ShiftRight(), lambda a, b: a // 2 ** abs(b)),
    "Pow": (binary.Pow(), lambda a, b: a ** abs(b)),
}
_BOOLS: dict[str, tuple[Op, Scalar]] = {
    "And": (binary.And(), lambda a, b: a and b),
    "Or": (binary.Or(), lambda a, b: a or b),
    "Xor": (binary.Xor(), operator.ne),
    "Eq": (binary.Eq(), operator.eq),
    "Ne": (binary.Ne(), operator.ne),
}
_TABLES = {"f": _FLOATS, "i": _INTEGERS, "u": _INTEGERS, "b": _BOOLS}
_COMPARISONS = ("Eq", "Ne", "Lt", "Gt", "Le", "Ge")
_ABSORBING = {"And": False, "Or": True}
# Undefined for some signs: the operand on that side is made positive.
_POSITIVE_RIGHT = ("ShiftLeft", "ShiftRight", "Pow")


@dataclass(frozen=True, kw_only=True)
class BinaryProblem(Streamed):
    """One function of two branches of a stream, or of a branch and a constant.

    Attributes:
        function: name in the table of its dtype.
        offsets: first frame of each branch.
        constant: shape of the constant that takes the second branch's place, `()` for a branch.
        flipped: the constant comes first.
    """

    family = "binary"
    function: str
    offsets: tuple[int, int] = (0, 0)
    constant: tuple[int, ...] = ()
    flipped: bool = False

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op is the function."""
        return self.function

    def row(self) -> tuple[Op, Scalar]:
        """Return the op and the scalar function."""
        return _TABLES[np.dtype(self.dtype).kind][self.function]

    def inputs(self) -> dict[str, Array]:
        x = super().inputs()["x"]
        return {"x": np.abs(x) if self.function in _POSITIVE_RIGHT else x}

    def crops(self) -> list[tuple[int, int]]:
        """Return what each branch drops of the stream."""
        return [(offset, max(self.offsets) - offset) for offset in self.offsets]

    def static(self) -> Array:
        """Return the constant."""
        drawn = self.values.array(self.constant, self.dtype, salt=1)
        return np.abs(drawn) if self.function in _POSITIVE_RIGHT else drawn

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        first, second = self.crops()
        wires = [sliced(model, "branch0", wire, self.axis, first)]
        if self.constant:
            wires.append(model.add_const("constant", self.static()))
        else:
            wires.append(sliced(model, "branch1", wire, self.axis, second))
        order = wires[::-1] if self.flipped else wires
        return model.wire("function", self.row()[0], order)[0]

    def oracle(self, data: Array) -> Array:
        first, second = self.crops()
        a = cropped(data, self.axis, first)
        b = self.static() if self.constant else cropped(data, self.axis, second)
        left, right = (b, a) if self.flipped else (a, b)
        function = self.row()[1]
        dtype = np.dtype(np.bool_) if self.function in _COMPARISONS else data.dtype
        shape = tuple(m if n == 1 else n for n, m in zip(left.shape, right.shape, strict=True))
        out = np.zeros(shape, dtype)
        for index in np.ndindex(*shape):
            out[index] = function(_at(left, index), _at(right, index))
        return out

    @property
    def oracle_approx(self) -> str:
        return "close" if self.function in ("Pow", "Mod", "Rem") else "exact"

    @property
    def loose(self) -> str:
        alike = not self.constant and self.offsets[0] == self.offsets[1]
        if alike or self.function in _COMPARISONS:
            return "the function hides most differences of its inputs"
        return super().loose

    def least_delay(self, pulse: int) -> int | None:
        absorbing = _ABSORBING.get(self.function)
        if self.constant and absorbing is not None and (self.static() == absorbing).all():
            # The output is the constant, whatever arrives.
            return 0
        return self.crop[0] + (self.offsets[0] if self.constant else max(self.offsets))


def _at(data: Array, index: tuple[int, ...]) -> object:
    """Return an element; an axis of size 1 is repeated."""
    place = tuple(0 if n == 1 else i for i, n in zip(index, data.shape, strict=True))
    return data[place].item()


@st.composite
def binary_problems(
    draw: st.DrawFn, *, function: str, dtypes: tuple[str, ...], constant: bool | None = None
) -> BinaryProblem:
    """Draw two branches at their offsets, or one and a constant that broadcasts."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    pulse = draw(pulses())
    crop = draw(crops())
    offsets = (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
    shape = draw(sizes(rank))
    static = constant if constant is not None else draw(st.booleans())
    # The constant has one position along the stream; elsewhere either side may be repeated.
    repeated = tuple(
        1 if k == axis or draw(st.booleans()) else n if n > 1 else draw(st.integers(1, 3))
        for k, n in enumerate(shape)
    )
    length = draw(lengths(pulse[0], field=sum(crop) + max(offsets)))
    return BinaryProblem(
        shape=placed(shape, axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        function=function,
        offsets=(offsets[0], offsets[0]) if static else offsets,
        constant=repeated if static else (),
        flipped=draw(st.booleans()),
        values=draw(values()),
        dtype=draw(st.sampled_from(dtypes)),
    )


def _strategy(function: str, *dtypes: str) -> Callable[[], st.SearchStrategy[BinaryProblem]]:
    return lambda: binary_problems(function=function, dtypes=dtypes)


STRATEGIES = {
    **{f"{name}-floats": _strategy(name, "f4", "f8") for name in _FLOATS},
    **{f"{name}-integers": _strategy(name, "i4", "i8") for name in _INTEGERS},
    **{f"{name}-bools": _strategy(name, "b1") for name in _BOOLS},
}


def _line(length: int, sizes_: tuple[int, ...], **rest: object) -> BinaryProblem:
    return BinaryProblem(shape=(1, length), axis=1, sizes=sizes_, function="Add", **rest)  # pyright: ignore[reportArgumentType]


_ALONG = _line(9, (4,), offsets=(2, 2), dtype="b1")
HAND: dict[str, Problem] = {
    "Add-whole-axis": _line(8, (8,)),
    "Add-one-frame": _line(1, (1, 4)),
    "Add-empty-stream": _line(0, (1, 4), offsets=(2, 0)),
    "Add-shorter-than-the-offset": _line(2, (1, 4), offsets=(3, 0)),
    "Add-pulse-longer-than-stream": _line(5, (16,), offsets=(2, 0)),
    "Add-whole-pulses": _line(8, (4,), offsets=(1, 0)),
    "Add-rest": _line(9, (4,), offsets=(0, 3)),
    "Add-far-apart": _line(20, (2, 3), offsets=(9, 0)),
    "Add-constant": _line(9, (4,), constant=(1, 1)),
    "Add-repeats-the-stream": _line(9, (4,), constant=(3, 1)),
    "And-never": replace(_ALONG, function="And", constant=(1, 1), values=Values(0)),
    "Or-always": replace(_ALONG, function="Or", constant=(1, 1), values=Values(1)),
    "Add-nothing": _line(7, (2,), constant=(1, 1), values=Values()),
}


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _refused(starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(binary.Add(), *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" (Add): {starts}')


def _long_constant() -> Model:
    model = Model()
    x = model.add_source("x", facts("S,f32")[0])
    constant = model.add_const("constant", Values().array((4,)))
    model.set_outputs(model.wire("op", binary.Add(), (x, constant)), ["y"])
    return model


ERRORS: dict[str, ErrorCase] = {
    "Add-two-stream-axes": _refused("streams arrive on different axes", "S,1,f32", "1,S,f32"),
    "Add-constant-as-long-as-the-pulse": ErrorCase(
        pulsing(_long_constant), Refused, 'pulsify v1: node "op" (Add): input 1 is constant but has'
    ),
    "Add-dtypes": _invalid(
        binary.Add(), "inputs S,f32 and S,f64 have different dtypes", "S,f32", "S,f64"
    ),
    "Add-bools": _invalid(binary.Add(), "inputs S,bool and S,bool; Add is", "S,bool", "S,bool"),
    "And-floats": _invalid(binary.And(), "inputs S,f32 and S,f32; And is", "S,f32", "S,f32"),
    "BitAnd-floats": _invalid(binary.BitAnd(), "inputs S,f32 and", "S,f32", "S,f32"),
    "Lt-bools": _invalid(binary.Lt(), "inputs S,bool and S,bool; Lt is", "S,bool", "S,bool"),
    "Pow-bools": _invalid(binary.Pow(), "input S,bool; Pow needs numbers", "S,f32", "S,bool"),
    "Add-ranks": _invalid(
        binary.Add(), "inputs 1,S,f32 and S,f32 have different ranks", "1,S,f32", "S,f32"
    ),
    "Add-sizes": _invalid(
        binary.Add(), "inputs 2,f32 and 3,f32 have 2 and 3 positions on axis 0", "2,f32", "3,f32"
    ),
}
