"""Element-wise ops of two inputs: arithmetic, logic, bits, comparisons.

    out[i] = f(a[i], b[i])        an axis of size 1 is repeated along the other input's axis

Inputs have equal ranks and equal dtypes; each reader applies the alignment rules of its format.
Tensors of dims go through arithmetic, Min, Max and comparisons.

Relu and clamp are not ops: they are read as Max and Min with a constant.

Source: spec/ir.md 6, spec/nnef.md 1.5; ONNX operators of the same names.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tract_ref.dim import Dim, Scope, dim_max, dim_min, maybe_div
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir import per_element as exactly
from tract_ref.ir.annotate import TwoInputs, combined
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor, dtype_name
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ir.shapes import broadcast_axes, broadcast_shapes
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.roi import Region, as_region, complement, intersection, where_not_zero
from tract_ref.stream.shared import (
    aligned,
    elementwise,
    region_elementwise,
    same_positions,
    value_over_output,
)
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2, RoiContext

BOOL: DType = np.dtype(np.bool_)

Formula = Callable[[Tensor, Tensor], Tensor]
OfDims = Callable[[Dim, Dim], Dim]
Neutral = tuple[float | None, float | None]
INF = float("inf")


@dataclass(frozen=True)
class Binary(Op):
    """Base of the two-input ops: out[i] = compute(a[i], b[i]).

    Attributes:
        formula: over arrays of numbers.
        of_dims: over two dims, None where dims are not taken.
        exact: over values per element, None where they are not tracked.
        kinds: NumPy kinds of dtypes that the op takes; `O` stands for dims.
        neutral: per input, the number that makes the op return the other input, or None.
        idempotent: f(x, x) is x.
        nnef: name of the NNEF operator, empty if there is none.
    """

    arity: ClassVar[tuple[int, int | None]] = (2, 2)
    formula: ClassVar[Formula]
    of_dims: ClassVar[OfDims | None]
    exact: ClassVar[TwoInputs | None]
    kinds: ClassVar[str]
    neutral: ClassVar[Neutral]
    idempotent: ClassVar[bool]
    nnef: ClassVar[str]

    def __init_subclass__(
        cls,
        *,
        of: Formula | None = None,
        nnef: str = "",
        on: str = "iuf",
        dims: OfDims | None = None,
        exact: TwoInputs | None = None,
        neutral: Neutral = (None, None),
        idempotent: bool = False,
    ) -> None:
        """Set the class attributes from the class line."""
        if of is not None:
            cls.formula, cls.of_dims = staticmethod(of), dims and staticmethod(dims)
            cls.exact = exact and staticmethod(exact)
            cls.kinds, cls.neutral, cls.idempotent, cls.nnef = on, neutral, idempotent, nnef

    def check(self, inputs: tuple[Fact, ...]) -> None:
        """Check the dtypes.

        Raises:
            InvalidModel: they differ, or the op does not take them.
        """
        a, b = inputs
        if a.dtype != b.dtype:
            raise InvalidModel(
                f"inputs {a} and {b} have different dtypes; dtypes must be equal",
                remedy="cast one of them",
            )
        if a.dtype.kind not in self.kinds:
            raise InvalidModel(
                f"inputs {a} and {b}; {self.name} is not defined on {dtype_name(a.dtype)}",
                remedy="cast them",
            )

    def result(self, dtype: DType) -> DType:
        """Return the dtype of the output for inputs of a dtype."""
        return dtype

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Equal dtypes; sizes equal or 1 on every axis."""
        self.check(inputs)
        out = Fact(self.result(inputs[0].dtype), broadcast_shapes(inputs))
        return (combined(out, inputs, self.exact),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute every element alone."""
        a, b = inputs
        if a.dtype == TDIM or b.dtype == TDIM:
            return (self.eval_dims(turn, a, b),)
        with np.errstate(all="ignore"):
            return (np.asarray(self.formula(a, b)).astype(self.result(a.dtype), copy=False),)

    def eval_dims(self, turn: Turn, a: Tensor, b: Tensor) -> Tensor:
        """Apply the formula to each pair of dims."""
        if self.of_dims is None:
            raise EvalError(f"{self.name} is not defined on dims", remedy="cast them to i64")
        return _each(self.of_dims, a, b, TDIM)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axis k is axis k, except in an input that is repeated along it."""
        return broadcast_axes(inputs, outputs[0])


def _each(function: Callable[[Dim, Dim], object], a: Tensor, b: Tensor, dtype: DType) -> Tensor:
    return np.asarray(np.frompyfunc(function, 2, 1)(a, b), TDIM).astype(dtype, copy=False)


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """Quotient; that of integers is truncated toward zero.

    Integers divided by 0 give 0: frames that do not exist hold anything and must not stop a stream.
    """
    if a.dtype.kind == "f":
        return np.true_divide(a, b)
    return np.floor_divide(a - np.fmod(a, b), b)  # exact, so that floor and truncation agree


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """The smaller value, NaN if one of them is; b of two zeros."""
    return np.where((a < b) | (a != a), a, b)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger value, NaN if one of them is; b of two zeros."""
    return np.where((a > b) | (a != a), a, b)


def floor_quotient(a: Dim, b: Dim) -> Dim:
    """Floor of the quotient of two dims; a symbolic divisor has to be a factor.

    Raises:
        EvalError: b is 0.
        Inconclusive: a symbolic factor of b is not one of a.
    """
    above, below = maybe_div(a, b)
    return above // below


def power(a: Tensor, b: Tensor) -> Tensor:
    """Power, in a's dtype; integers wrap around, their negative powers truncate (of 0: 0)."""
    if a.dtype.kind == "f":
        return np.power(a, b.astype(a.dtype, copy=False))
    if b.dtype.kind == "f":
        real = np.trunc(np.power(a.astype(np.float64), b.astype(np.float64)))
        inside = np.isfinite(real) & (np.abs(real) < 2.0**63)
        return np.where(inside, real, 0).astype(np.int64)
    exponent = np.maximum(b, b.dtype.type(0)).astype(a.dtype)
    # 1/a truncated toward zero: only 1 and -1 have one that is not 0.
    odd = np.where((b & b.dtype.type(1)).astype(np.bool_), a, a * a)
    inverse = np.where(np.abs(a) == 1, odd, a.dtype.type(0))
    return np.where(b < 0, inverse, np.power(a, exponent))


class Pow(Binary, of=power, nnef="pow", exact=exactly.power, neutral=(None, 1)):
    """Power, in the dtype of a; b may have any dtype of numbers, as in ONNX."""

    def check(self, inputs: tuple[Fact, ...]) -> None:
        """Two tensors of numbers."""
        for fact in inputs:
            if fact.dtype.kind not in self.kinds:
                raise InvalidModel(f"input {fact}; Pow needs numbers", remedy="cast it")


class Comparison(Binary):
    """Base of the comparisons: a bool per element; with NaN only Ne is true.

    Dims are compared by value; while a symbol is not set, by what holds for all its values.
    """

    def result(self, dtype: DType) -> DType:
        """Always bool."""
        return BOOL

    def eval_dims(self, turn: Turn, a: Tensor, b: Tensor) -> Tensor:
        """Compare the difference of each pair with 0."""

        def compare(left: Dim, right: Dim) -> bool:
            least, most = _bounds(turn, left - right)
            # A comparison with 0 changes its answer nowhere but at 0.
            probes = [least, most, *([0.0] if least <= 0 <= most else [])]
            answers = {bool(self.formula(np.asarray(p), np.zeros(()))) for p in probes}
            if len(answers) > 1:
                seen = f"whether {self.name}({left}, {right}) is not known"
                raise EvalError(seen, remedy="set the symbols")
            return answers.pop()

        return _each(compare, a, b, BOOL)


def _bounds(turn: Turn, dim: Dim) -> tuple[float, float]:
    known = turn.known(dim)
    least, most = Scope().bounds(dim) if known is None else (known, known)
    return -INF if least is None else least, INF if most is None else most


_TRACKED: dict[str, TwoInputs] = {
    "Add": exactly.add,
    "Sub": exactly.subtract,
    "Mul": exactly.multiply,
    "Div": exactly.divide,
    "Rem": exactly.remainder,
    "Mod": exactly.modulo,
    "Min": exactly.smaller,
    "Max": exactly.larger,
    "And": exactly.both,
    "Or": exactly.either,
    "Xor": exactly.one_only,
    "Eq": exactly.equal,
    "Ne": exactly.differs,
    "Lt": exactly.less,
    "Gt": exactly.greater,
    "Le": exactly.at_most,
    "Ge": exactly.at_least,
}


def _define(
    name: str, of: Formula, doc: str, base: type[Binary] = Binary, **words: Any
) -> type[Binary]:
    """Return the class of a formula; `words` are those of `Binary.__init_subclass__`."""
    words = {"of": of, "nnef": name.lower(), "exact": _TRACKED.get(name), **words}
    place = {"__doc__": doc, "__module__": __name__}
    return types.new_class(name, (base,), words, lambda body: body.update(place))


def _arithmetic(
    name: str, of: Formula, dims: OfDims, doc: str, neutral: Neutral, *, idempotent: bool = False
) -> type[Binary]:
    """Return the class of a formula over numbers and dims."""
    return _define(name, of, doc, on="iufO", dims=dims, neutral=neutral, idempotent=idempotent)


Add = _arithmetic("Add", np.add, lambda a, b: a + b, "Sum; integers wrap around.", (0, 0))
Sub = _arithmetic("Sub", np.subtract, lambda a, b: a - b, "Difference; wraps around.", (None, 0))
Mul = _arithmetic("Mul", np.multiply, lambda a, b: a * b, "Product; integers wrap around.", (1, 1))
Div = _arithmetic("Div", quotient, floor_quotient, "Quotient; floor on dims.", (None, 1))
Rem = _define("Rem", np.fmod, "Remainder, of the sign of a; 0 for integers when b is 0.", nnef="")
Mod = _define(
    "Mod", np.remainder, "Remainder, of the sign of b; 0 for integers when b is 0.", nnef=""
)
Min = _arithmetic("Min", minimum, dim_min, "The smaller one, or NaN.", (INF, INF), idempotent=True)
Max = _arithmetic("Max", maximum, dim_max, "The larger one, or NaN.", (-INF, -INF), idempotent=True)
_T, _F, _S = (1, 1), (0, 0), (None, 0)
And = _define("And", np.logical_and, "Both are true.", on="b", neutral=_T, idempotent=True)
Or = _define("Or", np.logical_or, "One at least is true.", on="b", neutral=_F, idempotent=True)
Xor = _define("Xor", np.logical_xor, "One only is true.", nnef="tract_core_xor", on="b", neutral=_F)
BitAnd = _define("BitAnd", np.bitwise_and, "Bits of both.", nnef="tract_core_bitand", on="iub")
BitOr = _define("BitOr", np.bitwise_or, "Bits of either.", nnef="tract_core_bitor", on="iub")
BitXor = _define("BitXor", np.bitwise_xor, "Bits of one only.", nnef="tract_core_bitxor", on="iub")
ShiftLeft = _define("ShiftLeft", np.left_shift, "a * 2^b.", nnef="tract_shl", on="iu", neutral=_S)
ShiftRight = _define(
    "ShiftRight", np.right_shift, "a / 2^b.", nnef="tract_shr", on="iu", neutral=_S
)
Eq = _define("Eq", np.equal, "a == b.", Comparison, on="iufbO")
Ne = _define("Ne", np.not_equal, "a != b.", Comparison, on="iufbO")
Lt = _define("Lt", np.less, "a < b.", Comparison, on="iufO")
Gt = _define("Gt", np.greater, "a > b.", Comparison, on="iufO")
Le = _define("Le", np.less_equal, "a <= b.", Comparison, on="iufO")
Ge = _define("Ge", np.greater_equal, "a >= b.", Comparison, on="iufO")


_OPS: tuple[type[Binary], ...] = (
    *(Add, Sub, Mul, Div, Rem, Mod, Min, Max, Pow, And, Or, Xor, BitAnd, BitOr, BitXor),
    *(ShiftLeft, ShiftRight, Eq, Ne, Lt, Gt, Le, Ge),
)


@DECLUTTER.rule(*_OPS)
def declutter_neutral(op: Binary, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Neutral constants: x + 0, x * 1, … is x, where x already has the output's shape.

    Differs from tract: a float 0 is only dropped where it is neutral for -0 as well (x + -0,
    x - 0), because x + 0 turns -0 into 0.
    """
    for slot, neutral in enumerate(op.neutral):
        constant, other = ctx.model.const_of(node.inputs[slot]), node.inputs[1 - slot]
        if constant is None or neutral is None or not constant.size:
            continue
        if ctx.model.fact(other).shape != node.outputs[0].shape:
            continue
        if bool(np.all(constant == neutral)) and not _moves_zero(op, constant):
            return ModelPatch.bypass(ctx.model, node, other)
    return None


def _moves_zero(op: Binary, constant: Tensor) -> bool:
    """Say whether a float zero added to (or subtracted from) -0 gives 0."""
    if constant.dtype.kind != "f" or not isinstance(op, Add | Sub):
        return False
    return bool(np.any(np.signbit(constant) != isinstance(op, Add)))


@DECLUTTER.rule(*(op for op in _OPS if op.idempotent))
def declutter_idempotent(op: Binary, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Equal inputs: x max x is x; so are min, and, or."""
    same = node.inputs[0] == node.inputs[1]
    return ModelPatch.bypass(ctx.model, node, node.inputs[0]) if same else None


@INPUT_ROI.rule(*_OPS)
def roi_binary(op: Binary, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A known side of And, Or or of a product of whole numbers hides positions of the other side.

    Only one side hides the other: where both are 0, changing both of them shows.

    Differs from tract: a product of floats hides nothing, because 0 * NaN is NaN, so a mask must
    select instead of multiply; and two known sides do not hide each other.
    """
    region = ctx.regions[0]
    for slot in (0, 1):
        value = value_over_output(slot, ctx)
        shows = None if value is None else _shows_other(op, value, ctx.inputs[slot].dtype)
        if shows is not None:
            mask, other = aligned(region, slot, ctx), intersection(region, shows)
            other = aligned(other, 1 - slot, ctx)
            return (mask, other) if slot == 0 else (other, mask)
    return same_positions(op, node, ctx)


def _shows_other(op: Binary, value: Dim, dtype: DType) -> Dim | None:
    """Return where the other side matters when one side is `value`, None when it always does."""
    if isinstance(op, And):
        return as_region(value)
    if isinstance(op, Or):
        return complement(as_region(value))
    return where_not_zero(value) if isinstance(op, Mul) and dtype.kind in "iu" else None


PULSIFY_V1.use(elementwise, *_OPS)
REGION_V2.use(region_elementwise, *_OPS)


def _load_binary(op: Binary) -> Callable[[Invocation], tuple[Outlet, ...]]:
    return lambda call: call.wire(op, *call.align(call.tensor("x"), call.tensor("y")))


for _op in _OPS:
    if _op.nnef:
        NNEF.load(_op.nnef, "x", "y")(_load_binary(_op()))


def _uniform(like: Fact, value: float) -> Tensor:
    return np.full((1,) * like.rank, value, like.dtype)


@NNEF.load("relu", "x")
def load_relu(call: Invocation) -> tuple[Outlet, ...]:
    """relu(x) is max(x, 0)."""
    x = call.tensor("x")
    return call.wire(Max(), x, call.const(_uniform(call.fact(x), 0), "zero"))


@NNEF.load("clamp", "x", "a", "b")
def load_clamp(call: Invocation) -> tuple[Outlet, ...]:
    """clamp(x, a, b) is max(min(x, b), a): a wins when a > b."""
    x = call.tensor("x")
    (below,) = call.wire(Min(), *call.align(x, call.tensor("b")), suffix="min")
    return call.wire(Max(), *call.align(below, call.tensor("a")))


@NNEF.dump(*(op for op in _OPS if op.nnef and op is not Pow))
def dump_binary(op: Binary, node: Node, out: Dump) -> None:
    """Write the operator of the op's name."""
    out.call(op.nnef)


@NNEF.dump(Pow)
def dump_pow(op: Pow, node: Node, out: Dump) -> None:
    """Write pow, of an exponent cast to the dtype of the base."""
    a, b = node.inputs
    wanted, given = out.fact(a).dtype, out.fact(b).dtype
    if wanted.kind != "f" and given.kind == "f":
        out.refuse("an integer to a fractional power", remedy="cast the base to f64")
    if wanted == given:
        out.call("pow")
    else:
        cast = out.step("tract_core_cast", inputs=(b,), to=dtype_name(wanted))
        out.call("pow", inputs=(a, cast))


NNEF.refuse_dump(
    Rem, Mod, reason="NNEF has no remainder", remedy="compute it from a quotient: x - y * (x / y)"
)


def _import_binary(op: Binary) -> Callable[[OnnxCall], tuple[Outlet, ...]]:
    return lambda call: call.wire(op, *call.align(call.input(0), call.input(1)))


_SAME = (Add, Sub, Mul, Div, Pow, And, Or, Xor)
_OTHER = {"Equal": Eq, "Less": Lt, "Greater": Gt, "LessOrEqual": Le, "GreaterOrEqual": Ge}
_BITS = {"BitwiseAnd": BitAnd, "BitwiseOr": BitOr, "BitwiseXor": BitXor}
for _name, _op in ({op.__name__: op for op in _SAME} | _OTHER | _BITS).items():
    ONNX.use(_import_binary(_op()), _name)


@ONNX.rule("BitShift")
def import_bit_shift(call: OnnxCall) -> tuple[Outlet, ...]:
    """BitShift with `direction` LEFT or RIGHT."""
    ops = {"LEFT": ShiftLeft(), "RIGHT": ShiftRight()}
    direction = call.string("direction")
    if direction not in ops:
        call.malformed(f"direction={direction!r}", remedy="use LEFT or RIGHT")
    return _import_binary(ops[direction])(call)


@ONNX.rule("Mod")
def import_mod(call: OnnxCall) -> tuple[Outlet, ...]:
    """Mod: fmod=1 has the sign of the dividend, fmod=0 (integers) that of the divisor."""
    if call.integer("fmod", 0):
        return _import_binary(Rem())(call)
    dtype = call.fact(call.input(0)).dtype
    if dtype.kind == "f":
        call.malformed(f"fmod=0 of {dtype_name(dtype)}", remedy="set fmod=1 for floats")
    return _import_binary(Mod())(call)


@ONNX.rule("Sum", "Min", "Max", "Mean")
def import_variadic(call: OnnxCall) -> tuple[Outlet, ...]:
    """Sum, Min, Max, Mean of one or more inputs, folded from the left."""
    op = {"Min": Min(), "Max": Max()}.get(call.operator, Add())
    inputs = call.align(*call.inputs())
    is_mean = call.operator == "Mean"
    total, last = inputs[0], len(inputs) - 1
    for position, wire in enumerate(inputs[1:], 1):
        suffix = "" if position == last and not is_mean else f"fold{position}"
        (total,) = call.wire(op, total, wire, suffix=suffix)
    if not is_mean:
        return (total,)
    return call.wire(Div(), total, call.add_const(_uniform(call.fact(total), len(inputs)), "count"))


@ONNX.rule("Relu")
def import_relu(call: OnnxCall) -> tuple[Outlet, ...]:
    """Relu is Max(x, 0)."""
    x = call.input(0)
    return call.wire(Max(), x, call.add_const(_uniform(call.fact(x), 0), "zero"))


@ONNX.rule("Clip")
def import_clip(call: OnnxCall) -> tuple[Outlet, ...]:
    """Clip is Min(Max(x, min), max): max wins when min > max; attributes before opset 11."""
    x = call.input(0)
    bounds: list[Outlet | None] = [call.optional(1), call.optional(2)]
    if call.opset < 11:
        bounds = [
            call.add_const(_uniform(call.fact(x), call.scalar(name)), name)
            if call.has(name)
            else None
            for name in ("min", "max")
        ]
    low, high = bounds
    if low is None and high is None:
        return (x,)
    if low is not None:
        (x,) = call.wire(Max(), *call.align(x, low), suffix="" if high is None else "low")
    return (x,) if high is None else call.wire(Min(), *call.align(x, high))
