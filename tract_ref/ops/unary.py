"""Element-wise functions of one input.

    out[i] = f(in[i])

Every function is computed in the dtype of its input (f16 through f32, as NumPy does). Relu is not
an op: it is read as Max(x, 0).

Source: spec/ir.md 2 and 6, spec/nnef.md 5 and 6.1; ONNX operators of the same names.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from tract_ref.errors import InternalError, InvalidModel
from tract_ref.ir import per_element as exactly
from tract_ref.ir.annotate import OneInput, mapped
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import DType, Fact, Tensor, dtype_name
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, DumpValue, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.shared import elementwise, region_elementwise, same_positions
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2

Formula = Callable[[Tensor], Tensor]

BOOL: DType = np.dtype(np.bool_)


@dataclass(frozen=True)
class Unary(Op):
    """Base of the functions of one input: out[i] = compute(in[i]).

    Attributes:
        formula: over arrays, where the op has no attribute.
        kinds: NumPy kinds of dtypes that the op takes.
        is_predicate: the result is bool.
        exact: over values per element, None where they are not tracked.
        nnef: name of the NNEF operator, empty if it has a rule of its own or none.
        onnx: name of the ONNX operator, empty likewise.
    """

    formula: ClassVar[Formula | None] = None
    kinds: ClassVar[str] = "f"
    is_predicate: ClassVar[bool] = False
    exact: ClassVar[OneInput | None] = None
    nnef: ClassVar[str] = ""
    onnx: ClassVar[str] = ""

    def __init_subclass__(
        cls,
        *,
        of: Formula | None = None,
        nnef: str = "",
        onnx: str = "",
        on: str = "f",
        predicate: bool = False,
        exact: OneInput | None = None,
    ) -> None:
        """Set the class attributes from the class line."""
        cls.formula, cls.exact = of and staticmethod(of), exact and staticmethod(exact)
        cls.nnef, cls.onnx, cls.kinds, cls.is_predicate = nnef, onnx, on, predicate

    def compute(self, x: Tensor) -> Tensor:
        """Apply the formula."""
        if self.formula is None:
            raise InternalError(f"{self.name} has no formula")
        return self.formula(x)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged; the dtype too, but for predicates."""
        (x,) = inputs
        if x.dtype.kind not in self.kinds:
            raise InvalidModel(
                f"input {x}; {self.name} is not defined on {dtype_name(x.dtype)}", remedy="cast it"
            )
        out = Fact(BOOL if self.is_predicate else x.dtype, x.shape)
        return (mapped(out, x, self.exact),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute every element alone."""
        (x,) = inputs
        dtype = BOOL if self.is_predicate else x.dtype
        # NumPy may take another code path, hence another last bit, over strided arrays.
        dense = np.asarray(x, order="C")
        with np.errstate(all="ignore"):
            return (np.asarray(self.compute(dense)).astype(dtype, copy=False),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axis k is axis k."""
        return AxesMapping.natural(1, 1, inputs[0].rank)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), without overflow: e^-|x| is at most 1."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x: Tensor) -> Tensor:
    """Error function, correct to one unit of the last place: in f64, element by element."""
    exact = np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64))
    return np.asarray(exact).astype(x.dtype)


def hard_swish(x: Tensor) -> Tensor:
    """Return x * min(max(x + 3, 0), 6) / 6."""
    return x * np.minimum(np.maximum(x + 3, 0), 6) / 6


def away(x: Tensor) -> Tensor:
    """Nearest integer; halves go away from zero."""
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.sign(x), whole)


def rounding(function: Formula) -> Formula:
    """Return a rounding function that leaves integers alone."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


_TRACKED: dict[str, OneInput] = {
    "Abs": exactly.magnitude,
    "Neg": exactly.negate,
    "Sign": exactly.sign,
    "Square": exactly.square,
    "Floor": exactly.floor,
    "Ceil": exactly.ceil,
    "Round": exactly.nearest,
    "RoundEven": exactly.unrounded,
    "Not": exactly.opposite,
    "BitNot": exactly.opposite,
}


def _define(
    name: str,
    of: Formula,
    doc: str,
    *,
    nnef: str | None = None,
    onnx: str | None = None,
    on: str = "f",
    predicate: bool = False,
) -> type[Unary]:
    """Return the class of a function without attributes."""
    names = {"nnef": name.lower() if nnef is None else nnef, "onnx": name if onnx is None else onnx}
    # `types.new_class` hands the words to `Unary.__init_subclass__`, as a class line does.
    words = {"of": of, "on": on, "predicate": predicate, "exact": _TRACKED.get(name), **names}
    place = {"__doc__": doc, "__module__": __name__}
    return types.new_class(name, (Unary,), words, lambda body: body.update(place))


Tanh = _define("Tanh", np.tanh, "Hyperbolic tangent.")
Sigmoid = _define("Sigmoid", sigmoid, "1 / (1 + e^-x).")
Exp = _define("Exp", np.exp, "e^x.")
Ln = _define("Ln", np.log, "Natural logarithm.", nnef="log", onnx="Log")
Log2 = _define("Log2", np.log2, "Logarithm to base 2.", onnx="")
Abs = _define("Abs", np.abs, "|x|; the smallest integer stays itself.", on="iuf")
Neg = _define("Neg", np.negative, "-x; integers wrap around.", on="iufO")
Sign = _define("Sign", np.sign, "-1, 0 or 1; 0 of a zero.", on="iuf")
Square = _define("Square", np.square, "x * x.", nnef="sqr", onnx="", on="iuf")
Sqrt = _define("Sqrt", np.sqrt, "Square root, NaN below zero.")
Rsqrt = _define("Rsqrt", lambda x: 1 / np.sqrt(x), "1 / sqrt(x).", onnx="")
Recip = _define("Recip", np.reciprocal, "1 / x.", onnx="Reciprocal")
Floor = _define("Floor", rounding(np.floor), "Largest integer not above x.", on="iufO")
Ceil = _define("Ceil", rounding(np.ceil), "Smallest integer not below x.", on="iufO")
Round = _define(
    "Round", rounding(away), "Nearest integer, halves away from zero.", onnx="", on="iufO"
)
RoundEven = _define(
    "RoundEven",
    rounding(np.rint),
    "Nearest integer, halves to the even one.",
    nnef="tract_core_round_even",
    onnx="Round",
    on="iufO",
)
Sin = _define("Sin", np.sin, "Sine.")
Cos = _define("Cos", np.cos, "Cosine.")
Tan = _define("Tan", np.tan, "Tangent.")
Asin = _define("Asin", np.arcsin, "Inverse sine.")
Acos = _define("Acos", np.arccos, "Inverse cosine.")
Atan = _define("Atan", np.arctan, "Inverse tangent.")
Sinh = _define("Sinh", np.sinh, "Hyperbolic sine.")
Cosh = _define("Cosh", np.cosh, "Hyperbolic cosine.")
Asinh = _define("Asinh", np.arcsinh, "Inverse hyperbolic sine.")
Acosh = _define("Acosh", np.arccosh, "Inverse hyperbolic cosine.")
Atanh = _define("Atanh", np.arctanh, "Inverse hyperbolic tangent.")
Erf = _define("Erf", erf, "Error function.", nnef="tract_core_erf")
Softplus = _define("Softplus", softplus, "ln(1 + e^x).")
HardSwish = _define(
    "HardSwish", hard_swish, "x min(max(x+3, 0), 6) / 6.", nnef="tract_core_hard_swish"
)
Silu = _define("Silu", lambda x: x * sigmoid(x), "x * sigmoid(x).", nnef="tract_core_silu", onnx="")
Not = _define("Not", np.logical_not, "Logical negation.", on="b")
BitNot = _define(
    "BitNot", np.invert, "Inverted bits.", nnef="tract_core_bitnot", onnx="BitwiseNot", on="iub"
)
IsNan = _define(
    "IsNan", np.isnan, "x is NaN.", nnef="tract_core_is_nan", onnx="IsNaN", predicate=True
)


@dataclass(frozen=True)
class IsInf(Unary, predicate=True):
    """x is an infinity of a detected sign."""

    detect_positive: bool = True
    detect_negative: bool = True

    def compute(self, x: Tensor) -> Tensor:
        """Compare with the infinities."""
        return (self.detect_positive & (x == np.inf)) | (self.detect_negative & (x == -np.inf))


@dataclass(frozen=True)
class HardSigmoid(Unary, onnx="HardSigmoid"):
    """max(0, min(1, alpha * x + beta))."""

    alpha: float = 0.2
    beta: float = 0.5

    def compute(self, x: Tensor) -> Tensor:
        """A clamped line."""
        return np.maximum(np.minimum(x * self.alpha + self.beta, 1), 0)


@dataclass(frozen=True)
class LeakyRelu(Unary, nnef="leaky_relu", onnx="LeakyRelu"):
    """x where x >= 0, else alpha * x."""

    alpha: float = 0.01

    def compute(self, x: Tensor) -> Tensor:
        """Two lines."""
        return np.where(x < 0, self.alpha * x, x)


@dataclass(frozen=True)
class Elu(Unary, nnef="elu", onnx="Elu"):
    """x where x >= 0, else alpha * (e^x - 1)."""

    alpha: float = 1.0

    def compute(self, x: Tensor) -> Tensor:
        """A line and an exponential."""
        return np.where(x < 0, self.alpha * np.expm1(x), x)


@dataclass(frozen=True)
class Selu(Unary, nnef="selu", onnx="Selu"):
    """gamma * (x where x > 0, else alpha * (e^x - 1))."""

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def compute(self, x: Tensor) -> Tensor:
        """A scaled line and exponential."""
        return self.gamma * np.where(x > 0, x, self.alpha * np.expm1(x))


@dataclass(frozen=True)
class Gelu(Unary):
    """x/2 * (1 + erf(x / sqrt(2))), or its approximation by tanh.

    x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))
    """

    approximate: bool = False

    def compute(self, x: Tensor) -> Tensor:
        """Choose one of the two formulas."""
        if self.approximate:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))


@dataclass(frozen=True)
class SoftAbs(Unary, nnef="softabs"):
    """sqrt(x^2 + epsilon)."""

    epsilon: float

    def compute(self, x: Tensor) -> Tensor:
        """A smooth |x|."""
        return np.sqrt(x * x + self.epsilon)


@dataclass(frozen=True)
class PowConst(Unary, nnef="tract_core_pow_const"):
    """x to a constant power."""

    exponent: float

    def compute(self, x: Tensor) -> Tensor:
        """As Pow does."""
        return np.power(x, x.dtype.type(self.exponent))


_OPS: tuple[type[Unary], ...] = tuple(Unary.__subclasses__())
_PLAIN = tuple(op for op in _OPS if not dataclasses.fields(op))


INPUT_ROI.use(same_positions, *_OPS)


PULSIFY_V1.use(elementwise, *_OPS)
REGION_V2.use(region_elementwise, *_OPS)


def _load(op: Unary, parameter: str = "x") -> Callable[[Invocation], tuple[Outlet, ...]]:
    return lambda call: call.wire(op, call.tensor(parameter))


for _op in _PLAIN:
    NNEF.load(_op.nnef, "input" if _op is Silu else "x")(
        _load(_op(), "input" if _op is Silu else "x")
    )
NNEF.load("tract_transformers_silu", "input")(_load(Silu(), "input"))
NNEF.load("gelu", "x")(_load(Gelu()))
NNEF.load("silu", "x")(_load(Silu()))


@NNEF.load("rsqr", "x")
def load_rsqr(call: Invocation) -> tuple[Outlet, ...]:
    """rsqr(x) is 1 / x^2."""
    (square,) = call.wire(Square(), call.tensor("x"), suffix="sqr")
    return call.wire(Recip(), square)


@NNEF.load("leaky_relu", "x", "alpha")
def load_leaky_relu(call: Invocation) -> tuple[Outlet, ...]:
    """leaky_relu(x, alpha)."""
    return call.wire(LeakyRelu(float(call.scalar("alpha"))), call.tensor("x"))


@NNEF.load("elu", "x", alpha=1.0)
def load_elu(call: Invocation) -> tuple[Outlet, ...]:
    """elu(x, alpha=1.0); tract knows no alpha."""
    return call.wire(Elu(float(call.scalar("alpha"))), call.tensor("x"))


@NNEF.load("selu", "x", **{"alpha": Selu.alpha, "lambda": Selu.gamma})
def load_selu(call: Invocation) -> tuple[Outlet, ...]:
    """selu(x, alpha, lambda), of the standard; tract does not know it."""
    op = Selu(float(call.scalar("alpha")), float(call.scalar("lambda")))
    return call.wire(op, call.tensor("x"))


@NNEF.load("softabs", "x", "epsilon")
def load_softabs(call: Invocation) -> tuple[Outlet, ...]:
    """softabs(x, epsilon)."""
    return call.wire(SoftAbs(float(call.scalar("epsilon"))), call.tensor("x"))


@NNEF.load("tract_core_pow_const", "input", "exponent")
def load_pow_const(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_pow_const(input, exponent)."""
    return call.wire(PowConst(float(call.scalar("exponent"))), call.tensor("input"))


@NNEF.load("tract_core_is_inf", "input", detect_positive=True, detect_negative=True)
def load_is_inf(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_is_inf(input, detect_positive, detect_negative)."""
    op = IsInf(call.logical("detect_positive"), call.logical("detect_negative"))
    return call.wire(op, call.tensor("input"))


def _load_gelu_approx(call: Invocation) -> tuple[Outlet, ...]:
    if call.logical("fast_impl"):
        call.refuse("fast_impl=true is another formula", remedy="use fast_impl = false")
    return call.wire(Gelu(approximate=True), call.tensor("input"))


NNEF.load("tract_core_gelu_approx", "input", fast_impl=False)(_load_gelu_approx)
NNEF.load("tract_transformers_gelu_approx", "input", fast_impl=False)(_load_gelu_approx)


@NNEF.dump(*(op for op in _OPS if op.nnef and op is not Selu))
def dump_unary(op: Unary, node: Node, out: Dump) -> None:
    """Write the operator of the op's name, with its attributes."""
    values: dict[str, Any] = {f.name: getattr(op, f.name) for f in dataclasses.fields(op)}
    out.call(op.nnef, **values)


@NNEF.dump(Selu)
def dump_selu(op: Selu, node: Node, out: Dump) -> None:
    """Write selu."""
    values: dict[str, Any] = {"alpha": op.alpha, "lambda": op.gamma}
    out.call("selu", **values)


@NNEF.dump(Gelu)
def dump_gelu(op: Gelu, node: Node, out: Dump) -> None:
    """Write gelu of the standard, or tract's approximation."""
    if op.approximate:
        out.call("tract_core_gelu_approx", fast_impl=False)
    else:
        out.call("gelu")


@NNEF.dump(HardSigmoid)
def dump_hard_sigmoid(op: HardSigmoid, node: Node, out: Dump) -> None:
    """Write the formula: NNEF has no such operator."""
    (x,) = node.inputs
    fact = out.fact(x)

    def literal(value: float) -> DumpValue:
        # As a constant of this dtype and rank is written, so that a second writing is equal.
        nested: DumpValue = float(fact.dtype.type(value))
        for _ in range(fact.rank):
            nested = (nested,)
        return nested

    scaled = out.step("mul", inputs=(x, literal(op.alpha)))
    moved = out.step("add", inputs=(scaled, literal(op.beta)))
    below = out.step("min", inputs=(moved, literal(1)))
    out.call("max", inputs=(below, literal(0)))


@NNEF.dump(IsInf)
def dump_is_inf(op: IsInf, node: Node, out: Dump) -> None:
    """Write tract_core_is_inf."""
    signs: dict[str, Any] = {
        "detect_positive": op.detect_positive,
        "detect_negative": op.detect_negative,
    }
    out.call("tract_core_is_inf", **signs)


def _import(kind: type[Unary]) -> Callable[[OnnxCall], tuple[Outlet, ...]]:
    def rule(call: OnnxCall) -> tuple[Outlet, ...]:
        values = {
            f.name: call.scalar(f.name, cast("float", f.default)) for f in dataclasses.fields(kind)
        }
        return call.wire(kind(**values), call.input(0))

    return rule


for _op in _OPS:
    if _op.onnx:
        ONNX.use(_import(_op), _op.onnx)


@ONNX.rule("IsInf")
def import_is_inf(call: OnnxCall) -> tuple[Outlet, ...]:
    """IsInf with detect_positive and detect_negative."""
    signs = (bool(call.integer(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    return call.wire(IsInf(*signs), call.input(0))


@ONNX.rule("Gelu")
def import_gelu(call: OnnxCall) -> tuple[Outlet, ...]:
    """Gelu with approximate `none` or `tanh`."""
    how = call.string("approximate", "none")
    if how not in ("none", "tanh"):
        call.malformed(f"approximate={how!r}", remedy="use none or tanh")
    return call.wire(Gelu(approximate=how == "tanh"), call.input(0))


@ONNX.rule("Swish")
def import_swish(call: OnnxCall) -> tuple[Outlet, ...]:
    """Swish with alpha 1, which is Silu."""
    alpha = call.scalar("alpha", 1.0)
    if alpha != 1:
        call.refuse(f"alpha={alpha}", remedy="write it as Silu(alpha * x) / alpha")
    return call.wire(Silu(), call.input(0))
