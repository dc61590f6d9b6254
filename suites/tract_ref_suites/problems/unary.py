"""Functions of one input, element by element, judged by Python's `math`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops import unary
from tract_ref_suites.problems.base import ErrorCase, Problem, Streamed, facts, wiring
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

Scalar = Callable[[float], float]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _away(x: float) -> float:
    """Round halves away from zero."""
    whole, rest = int(x), abs(x - int(x))
    return whole + math.copysign(1, x) if rest >= 0.5 else float(whole)


def _even(x: float) -> float:
    return float(round(x))


def _gelu_tanh(x: float) -> float:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x / 2 * (1 + math.tanh(inner))


def _selu(x: float) -> float:
    alpha, gamma = 1.6732632423543772, 1.0507009873554805
    return gamma * (x if x > 0 else alpha * math.expm1(x))


def _sign(x: float) -> float:
    return float(x > 0) - float(x < 0)


def _softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


_FLOATS: dict[str, tuple[Op, Scalar]] = {
    "Tanh": (unary.Tanh(), math.tanh),
    "Sigmoid": (unary.Sigmoid(), _sigmoid),
    "Exp": (unary.Exp(), math.exp),
    "Ln": (unary.Ln(), math.log),
    "Log2": (unary.Log2(), math.log2),
    "Abs": (unary.Abs(), abs),
    "Neg": (unary.Neg(), lambda x: -x),
    "Sign": (unary.Sign(), _sign),
    "Square": (unary.Square(), lambda x: x * x),
    "Sqrt": (unary.Sqrt(), math.sqrt),
    "Rsqrt": (unary.Rsqrt(), lambda x: 1 / math.sqrt(x)),
    "Recip": (unary.Recip(), lambda x: 1 / x),
    "Floor": (unary.Floor(), lambda x: float(math.floor(x))),
    "Ceil": (unary.Ceil(), lambda x: float(math.ceil(x))),
    "Round": (unary.Round(), _away),
    "RoundEven": (unary.RoundEven(), _even),
    "Sin": (unary.Sin(), math.sin),
    "Cos": (unary.Cos(), math.cos),
    "Tan": (unary.Tan(), math.tan),
    "Asin": (unary.Asin(), math.asin),
    "Acos": (unary.Acos(), math.acos),
    "Atan": (unary.Atan(), math.atan),
    "Sinh": (unary.Sinh(), math.sinh),
    "Cosh": (unary.Cosh(), math.cosh),
    "Asinh": (unary.Asinh(), math.asinh),
    "Acosh": (unary.Acosh(), math.acosh),
    "Atanh": (unary.Atanh(), math.atanh),
    "Erf": (unary.Erf(), math.erf),
    "Softplus": (unary.Softplus(), _softplus),
    "HardSwish": (unary.HardSwish(), lambda x: x * min(max(x + 3, 0), 6) / 6),
    "Silu": (unary.Silu(), lambda x: x * _sigmoid(x)),
    "IsNan": (unary.IsNan(), math.isnan),
    "IsInf": (unary.IsInf(), math.isinf),
    "IsInf-positive": (unary.IsInf(True, False), lambda x: x == math.inf),
    "IsInf-negative": (unary.IsInf(False, True), lambda x: x == -math.inf),
    "HardSigmoid": (unary.HardSigmoid(0.25, 0.5), lambda x: max(0, min(1, x / 4 + 0.5))),
    "LeakyRelu": (unary.LeakyRelu(0.25), lambda x: x if x >= 0 else x / 4),
    "Elu": (unary.Elu(2.0), lambda x: x if x >= 0 else 2 * math.expm1(x)),
    "Selu": (unary.Selu(), _selu),
    "Gelu": (unary.Gelu(), lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2)))),
    "Gelu-tanh": (unary.Gelu(approximate=True), _gelu_tanh),
    "SoftAbs": (unary.SoftAbs(0.5), lambda x: math.sqrt(x * x + 0.5)),
    "PowConst-square": (unary.PowConst(2.0), lambda x: x**2),
    "PowConst-root": (unary.PowConst(0.5), math.sqrt),
}
_INTEGERS: dict[str, tuple[Op, Callable[[int], int]]] = {
    "Abs": (unary.Abs(), abs),
    "Neg": (unary.Neg(), lambda x: -x),
    "Sign": (unary.Sign(), lambda x: (x > 0) - (x < 0)),
    "Square": (unary.Square(), lambda x: x * x),
    "BitNot": (unary.BitNot(), lambda x: -1 - x),
    "Floor": (unary.Floor(), lambda x: x),
    "RoundEven": (unary.RoundEven(), lambda x: x),
}
_BOOLS: dict[str, tuple[Op, Callable[[bool], bool]]] = {
    "Not": (unary.Not(), lambda x: not x),
    "BitNot": (unary.BitNot(), lambda x: not x),
}
_PREDICATES = ("IsNan", "IsInf")
_FLAT = (*_PREDICATES, "Sign", "HardSigmoid")
_DTYPES = ("f4", "f8")


@dataclass(frozen=True, kw_only=True)
class UnaryProblem(Streamed):
    """One function.

    Attributes:
        function: name in the table of its dtype.
    """

    family = "unary"
    function: str

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op depends on the function."""
        return self.function.partition("-")[0]

    def row(self) -> tuple[Op, Callable[..., object]]:
        """Return the op and the scalar function."""
        kind = np.dtype(self.dtype).kind
        return {"f": _FLOATS, "i": _INTEGERS, "b": _BOOLS}[kind][self.function]

    def inputs(self) -> dict[str, Array]:
        x = super().inputs()["x"]
        # Halves show how a function rounds; small integers alone are fixed points of many.
        return {"x": x / 2 if self.values.is_exact and x.dtype.kind == "f" else x}

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("function", self.row()[0], (wire,))[0]

    def oracle(self, data: Array) -> Array:
        function = self.row()[1]
        dtype = np.dtype(np.bool_) if self.op in _PREDICATES else data.dtype
        out = np.zeros(data.shape, dtype)
        for index in np.ndindex(*data.shape):
            out[index] = function(data[index].item())
        return out

    @property
    def oracle_approx(self) -> str:
        return "close"

    @property
    def loose(self) -> str:
        if self.op in _FLAT:
            return "the function hides most differences of its input"
        return super().loose

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


_DOMAIN: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("Ln", "Log2", "Rsqrt", "Sqrt", "PowConst"), (0.01, 9)),
    **dict.fromkeys(("Asin", "Acos", "Atanh"), (-0.95, 0.95)),
    "Acosh": (1, 9),
    "Tan": (-1.4, 1.4),
}


@dataclass(frozen=True, kw_only=True)
class DomainProblem(UnaryProblem):
    """A function over its domain: its Python counterpart raises outside."""

    def inputs(self) -> dict[str, Array]:
        low, high = _DOMAIN[self.op]
        rng = np.random.default_rng(self.values.seed)
        return {"x": rng.uniform(low, high, self.shape).astype(self.dtype)}


@st.composite
def unary_problems(
    draw: st.DrawFn, *, function: str, dtypes: tuple[str, ...] = _DTYPES
) -> UnaryProblem:
    """Draw a stream of any rank through one function."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    pulse = draw(pulses())
    crop = draw(crops())
    kind = DomainProblem if function.partition("-")[0] in _DOMAIN else UnaryProblem
    special = ("special",) if function in ("Abs", "Neg", *_PREDICATES) else ()
    return kind(
        shape=placed(draw(sizes(rank)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        function=function,
        values=draw(values(palettes=("integers", "normal", *special))),
        dtype=draw(st.sampled_from(dtypes)),
    )


def _strategy(function: str, *dtypes: str) -> Callable[[], st.SearchStrategy[UnaryProblem]]:
    return lambda: unary_problems(function=function, dtypes=dtypes)


STRATEGIES = {
    **{name: _strategy(name, *_DTYPES) for name in _FLOATS},
    **{f"{name}-integers": _strategy(name, "i4", "i8") for name in _INTEGERS},
    **{f"{name}-bools": _strategy(name, "b1") for name in _BOOLS},
}


def _line(
    function: str, length: int, sizes_: tuple[int, ...], crop: tuple[int, int] = (0, 0)
) -> UnaryProblem:
    return UnaryProblem(shape=(2, length), axis=1, sizes=sizes_, function=function, crop=crop)


HAND: dict[str, Problem] = {
    "Tanh-whole-axis": _line("Tanh", 8, (8,)),
    "Tanh-one-frame": _line("Tanh", 1, (1, 4)),
    "Tanh-empty-stream": _line("Tanh", 0, (1, 4)),
    "Tanh-pulse-longer-than-stream": _line("Tanh", 5, (16,)),
    "Tanh-whole-pulses": _line("Tanh", 8, (4,)),
    "Tanh-rest": _line("Tanh", 9, (4,)),
    "Tanh-after-crops": _line("Tanh", 9, (4, 2), (2, 3)),
    "Round-halves": _line("Round", 9, (4,)),
    "RoundEven-halves": _line("RoundEven", 9, (4,)),
}


def _invalid(name: str, op: Op, text: str) -> ErrorCase:
    starts = f'node "op" ({name}): input {text}; {name} is not defined on '
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, starts)


ERRORS: dict[str, ErrorCase] = {
    "Tanh-integers": _invalid("Tanh", unary.Tanh(), "1,S,i32"),
    "Not-floats": _invalid("Not", unary.Not(), "1,S,f32"),
    "BitNot-floats": _invalid("BitNot", unary.BitNot(), "1,S,f32"),
    "IsNan-bools": _invalid("IsNan", unary.IsNan(), "1,S,bool"),
    "Abs-bools": _invalid("Abs", unary.Abs(), "1,S,bool"),
    "Sqrt-dims": _invalid("Sqrt", unary.Sqrt(), "1,S,tdim"),
}
