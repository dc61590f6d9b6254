"""EinSum: products of tensors summed over the letters that the output lacks.

out[output letters] = sum over the other letters of  product over operands of operand[its letters]

Source: spec/ir.md 5 (text of an axes mapping), spec/nnef.md 5 and 6.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np

from tract_ref.dim import Dim, Scope
from tract_ref.errors import EvalError, InternalError, InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor, dtype_name, dtype_named
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import bubble_through_axes, pointwise
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
)

# Dims that differ whatever is asserted about the symbols.
_NOTHING_ASSERTED = Scope()
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        inputs: letters of each operand, one per axis.
        output: letters of the output; each stands in some operand, none is repeated.
        summed: letters that the output lacks, in order of first appearance.
    """

    inputs: tuple[str, ...]
    output: str
    summed: str

    def __str__(self) -> str:
        """Return the canonical text: no blanks, always an arrow."""
        return ",".join(self.inputs) + "->" + self.output


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Read `ik,kj->ij`; without arrow, or with nothing after it, every letter is summed.

    Raises:
        InvalidModel: an ellipsis or punctuation, two arrows, an output letter that is repeated or
            stands in no operand.
    """
    left, arrow, right = "".join(text.split()).partition("->")
    inputs = tuple(left.split(","))
    used = "".join(inputs)
    strange = [c for c in used + right if not c.isalnum()]
    if strange or (arrow and "->" in right):
        raise InvalidModel(
            f"expression {text!r} is not operands of one letter per axis",
            remedy="write letters, commas and one arrow, as in ik,kj->ij",
        )
    for letter in right:
        if right.count(letter) > 1 or letter not in used:
            problem = "is repeated in the output" if letter in used else "stands in no operand"
            raise InvalidModel(
                f"letter {letter!r} of expression {text!r} {problem}",
                remedy="name each output axis once, after an axis of an operand",
            )
    summed = "".join(dict.fromkeys(c for c in used if c not in right))
    return Expression(inputs, right, summed)


@dataclass(frozen=True)
class EinSum(Op):
    """Sum of products along the letters that the output lacks.

    out = sum over summed letters, in row-major order of their first appearance, of the product of
    the operands from left to right; one accumulator per output element.

    Every operand is first cast to `acc`, which is also the dtype of the output; with acc = f16
    every product and every partial sum is rounded to f16. A repeated letter in one operand is a
    diagonal. A dim of 1 broadcasts against the other dims of its letter.

    Attributes:
        expr: `ik,kj->ij`: one letter per axis, no ellipsis.
        acc: dtype of the accumulator and of the output.
    """

    expr: str
    acc: str
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    @property
    def expression(self) -> Expression:
        """The parsed expression."""
        return parse(self.expr)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The dim of a letter is its first dim that is not 1."""
        expression = self.expression
        acc = _number(self.acc)
        if len(inputs) != len(expression.inputs):
            raise InvalidModel(
                f"{len(inputs)} operands where {self.expr!r} names {len(expression.inputs)}",
                remedy="write one group of letters per operand",
            )
        for slot, fact in enumerate(inputs):
            if fact.dtype.kind == "b" or fact.dtype == TDIM:
                raise InvalidModel(
                    f"operand {slot} is {fact}; EinSum multiplies numbers",
                    remedy="cast it to a number",
                )
        dims = letter_dims(expression, tuple(fact.shape for fact in inputs))
        return (Fact(acc, tuple(dims[letter] for letter in expression.output)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add up one product per combination of summed indices, over all output axes at once."""
        expression = self.expression
        acc = dtype_named(self.acc)
        sizes = letter_sizes(expression, tuple(tensor.shape for tensor in inputs))
        operands = [
            _spread(tensor.astype(acc, copy=False), letters, expression)
            for tensor, letters in zip(inputs, expression.inputs, strict=True)
        ]
        total = np.zeros([sizes[letter] for letter in expression.output], acc)
        first = len(expression.output)
        with np.errstate(all="ignore"):
            for index in np.ndindex(*(sizes[letter] for letter in expression.summed)):
                term = _at(operands[0], first, index)
                for operand in operands[1:]:
                    term = term * _at(operand, first, index)
                total += term
        return (total,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """An output letter that no operand repeats is one axis, except where it is of size 1."""
        expression = self.expression
        dims = letter_dims(expression, tuple(fact.shape for fact in inputs))

        def position(slot: int, letter: str) -> int | None:
            axis = expression.inputs[slot].find(letter)
            broadcast = axis >= 0 and inputs[slot].shape[axis] == 1 and dims[letter] != 1
            return None if axis < 0 or broadcast else axis

        return AxesMapping(
            tuple(
                Track(tuple(position(slot, letter) for slot in range(len(inputs))), (axis,))
                for axis, letter in enumerate(expression.output)
                if all(letters.count(letter) <= 1 for letters in expression.inputs)
            )
        )


def _number(name: str) -> DType:
    dtype = dtype_named(name)
    if dtype.kind == "b" or dtype == TDIM:
        raise InvalidModel(f"acc={name}; EinSum accumulates numbers", remedy="use f32 or i32")
    return dtype


def letter_dims(expression: Expression, shapes: tuple[tuple[Dim, ...], ...]) -> Mapping[str, Dim]:
    """Return the dim of every letter: the first that is not 1.

    Raises:
        InvalidModel: an operand has another rank than its letters say; two dims of one letter are
            known to differ, or a diagonal runs over dims known to differ.
    """
    dims: dict[str, Dim] = {}
    for slot, (letters, shape) in enumerate(zip(expression.inputs, shapes, strict=True)):
        if len(letters) != len(shape):
            raise InvalidModel(
                f"operand {slot} has {len(shape)} axes where {str(expression)!r} gives it "
                f"{len(letters)} letters",
                remedy="write one letter per axis",
            )
        within: dict[str, Dim] = {}
        for letter, dim in zip(letters, shape, strict=True):
            known = dims.get(letter, 1)
            clash = known != 1 and dim != 1 and _NOTHING_ASSERTED.decide_equal(known, dim) is False
            square = within.setdefault(letter, dim)
            if clash or _NOTHING_ASSERTED.decide_equal(square, dim) is False:
                other = known if clash else square
                raise InvalidModel(
                    f"letter {letter!r} of {str(expression)!r} is {other} and {dim} (operand "
                    f"{slot}); the dims of one letter agree",
                    remedy="give the axes one length, or use two letters",
                )
            if known == 1:
                dims[letter] = dim
    return dims


def letter_sizes(expression: Expression, shapes: tuple[tuple[int, ...], ...]) -> Mapping[str, int]:
    """Return the size of every letter at run time.

    Raises:
        EvalError: two sizes of one letter differ.
    """
    try:
        dims = letter_dims(expression, shapes)
    except InvalidModel as error:
        raise EvalError(error.seen, remedy=error.remedy) from None
    return {letter: dim for letter, dim in dims.items() if isinstance(dim, int)}


def _spread(tensor: Tensor, letters: str, expression: Expression) -> Tensor:
    """Return a view with one axis per letter, output letters first, of size 1 where absent."""
    tensor, letters = diagonal(tensor, letters)
    wanted = expression.output + expression.summed
    order = [letters.index(letter) for letter in wanted if letter in letters]
    shape = [tensor.shape[letters.index(c)] if c in letters else 1 for c in wanted]
    # Inserting axes of size 1 never copies.
    return tensor.transpose(order).reshape(shape)


def diagonal(tensor: Tensor, letters: str) -> tuple[Tensor, str]:
    """Return a view in which no letter is repeated."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            a = letters.index(letter)
            b = letters.index(letter, a + 1)
            tensor = np.diagonal(tensor, 0, a, b)
            letters = letters[:a] + letters[a + 1 : b] + letters[b + 1 :] + letter
    return tensor, letters


def _at(operand: Tensor, first: int, index: tuple[int, ...]) -> Tensor:
    """Return the operand at one combination of summed indices; an axis of size 1 stays at 0."""
    sizes = operand.shape[first:]
    at = tuple(i if size != 1 else 0 for i, size in zip(index, sizes, strict=True))
    return operand[(..., *at)]


INPUT_ROI.use(bubble_through_axes, EinSum)


@PULSIFY_V1.rule(EinSum)
def pulsify_einsum(op: EinSum, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream along one output letter; operands that stream on it are brought to one delay.

    out[t] = f(a[t - (D - da)], b[t - (D - db)])      D = the largest delay

    Units: delays in frames of the stream letter, whose rate all streams share.
    Errors:
        Refused: the stream axis is summed, or a diagonal; streams arrive on two output axes; rates
            differ; a static operand has several positions along the stream axis.
    """
    axis = _stream_letter(op, ctx)
    # Operands may stream on different axes of their own: only delay and rate are taken over.
    wires, shared = ctx.sync(ctx.inputs)
    if shared is None:
        raise InternalError("streams vanished while they were brought to one delay")
    length = ctx.batch_output().shape[axis]
    return ctx.wire(op, wires, Linear(axis, length, shared.delay, shared.rate))


@REGION_V2.rule(EinSum)
def region_einsum(op: EinSum, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of the output reads frame j of every operand that streams."""
    axis = _stream_letter(op, ctx)
    return pointwise(op, ctx, replace(ctx.meet(), axis=axis))


def _stream_letter(op: EinSum, ctx: NodeContext) -> int:
    """Return the output axis of the letter along which operands stream.

    Raises:
        Refused: it is summed, or a diagonal; there are two; a constant has several positions there.
    """
    facts = tuple(ctx.batch_input(slot) for slot in range(len(ctx.inputs)))
    mapping = op.axes(facts, ctx.node.outputs)
    streams = [(slot, ctx.stream(wire)) for slot, wire in enumerate(ctx.inputs)]
    found: dict[int, int] = {}
    for slot, stream in streams:
        if stream is None:
            continue
        letter = op.expression.inputs[slot][stream.axis]
        axis = mapping.output_axis(slot, stream.axis)
        if axis is None:
            how = "is summed over" if letter in op.expression.summed else "is a diagonal"
            ctx.refuse(
                f"the stream axis of operand {slot} (letter {letter!r} of {op.expr!r}) {how}: it "
                "would need every frame of the stream at once",
                "keep the letter in the output, or sum over a bounded window",
            )
        found[slot] = axis
    if not found:
        ctx.refuse(
            "the output depends on the stream length, no operand streams",
            "compute it outside the streamed model",
        )
    axes = sorted(set(found.values()))
    if len(axes) > 1:
        names = " and ".join(repr(op.expression.output[axis]) for axis in axes)
        ctx.refuse(
            f"streams arrive on two axes of the output, letters {names} of {op.expr!r}",
            "a product of two streams grows with their length; bound it by a mask",
        )
    axis = axes[0]
    letter = op.expression.output[axis]
    for slot, letters in enumerate(op.expression.inputs):
        position = letters.find(letter)
        if slot not in found and position >= 0:
            size = ctx.batch_input(slot).shape[position]
            if size != 1:
                ctx.refuse(
                    f"operand {slot} does not stream but has {size} positions along the stream "
                    f"axis, letter {letter!r} of {op.expr!r}",
                    "give it one position there, or make it a stream",
                )
    return axis


def matmul_expression(
    a: int, b: int, *, transpose_a: bool = False, transpose_b: bool = False
) -> str:
    """Return the expression of a matrix product of operands of rank `a` and `b`, NumPy aligned.

    A rank-1 operand is a row on the left, a column on the right, and its axis is not in the output.
    """
    batch = LETTERS[: max(a, b, 2) - 2]
    left = ("zy" if transpose_a else "yz") if a > 1 else "z"
    right = ("xz" if transpose_b else "zx") if b > 1 else "z"
    batch_a = batch[len(batch) - max(a - 2, 0) :]
    batch_b = batch[len(batch) - max(b - 2, 0) :]
    output = batch + ("y" if a > 1 else "") + ("x" if b > 1 else "")
    return f"{batch_a}{left},{batch_b}{right}->{output}"


def accumulator(dtype: DType) -> str:
    """Return the accumulator of a product of tensors of one dtype: i32 for bytes, else the same."""
    return "i32" if dtype.kind in "iu" and dtype.itemsize == 1 else dtype_name(dtype)


@NNEF.load("matmul", "A", "B", transposeA=False, transposeB=False)
def load_matmul(call: Invocation) -> tuple[Outlet, ...]:
    """matmul(A, B, transposeA, transposeB): equal ranks, leading dims broadcast."""
    a = call.tensor("A")
    b = call.tensor("B")
    ranks = call.fact(a).rank, call.fact(b).rank
    if ranks[0] != ranks[1] or ranks[0] < 2:
        call.malformed(
            f"matmul of tensors of rank {ranks[0]} and {ranks[1]}; ranks are equal and 2 or more",
            remedy="unsqueeze the smaller one",
        )
    expr = matmul_expression(
        *ranks, transpose_a=call.logical("transposeA"), transpose_b=call.logical("transposeB")
    )
    return call.wire(EinSum(expr, accumulator(call.fact(a).dtype)), a, b)


@NNEF.load("tract_core_matmul", "A", "B", "axes")
def load_core_matmul(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_matmul(A, B, axes = [a_m, a_k, b_k, b_n, c_m, c_n]); other axes are batch."""
    a = call.tensor("A")
    b = call.tensor("B")
    rank = call.fact(a).rank
    axes = call.integers("axes")
    pairs = (axes[:2], axes[2:4], axes[4:])
    valid = all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    if not valid or call.fact(b).rank != rank or not all(0 <= axis < rank for axis in axes):
        call.malformed(
            f"axes={list(axes)} over ranks {rank} and {call.fact(b).rank}",
            remedy="give [a_m, a_k, b_k, b_n, c_m, c_n], axes of tensors of one rank",
        )
    operands: list[str] = []
    for pair, letters in zip(pairs, ("yz", "zx", "yx"), strict=True):
        batch = iter(LETTERS)
        named = dict(zip(pair, letters, strict=True))
        operands.append("".join(named.get(axis) or next(batch) for axis in range(rank)))
    expr = f"{operands[0]},{operands[1]}->{operands[2]}"
    return call.wire(EinSum(expr, accumulator(call.fact(a).dtype)), a, b)


@NNEF.load("tract_core_einsum", "inputs", "expr", "acc", output="")
def load_einsum(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_einsum(inputs, expr, acc, output)."""
    if call.string("output"):
        call.refuse(
            f"a quantised result (output={call.string('output')!r})",
            remedy="export the model with floating point products",
        )
    acc = dtype_name(dtype_named(call.string("acc")))
    return call.wire(EinSum(str(parse(call.string("expr"))), acc), *call.tensors("inputs"))


@NNEF.dump(EinSum)
def dump_einsum(op: EinSum, node: Node, out: Dump) -> None:
    """Write tract_core_einsum."""
    out.call(
        "tract_core_einsum",
        inputs=(tuple(node.inputs),),
        expr=str(op.expression),
        acc=op.acc,
        output="",
    )


@ONNX.rule("MatMul")
def import_matmul(call: OnnxCall) -> tuple[Outlet, ...]:
    """MatMul, with NumPy's rank rules."""
    a, b = call.input(0), call.input(1)
    ranks = call.fact(a).rank, call.fact(b).rank
    if not all(ranks):
        call.malformed("MatMul of a rank-0 tensor", remedy="give it an axis")
    return call.wire(EinSum(matmul_expression(*ranks), dtype_name(call.fact(a).dtype)), a, b)


@ONNX.rule("Einsum")
def import_einsum(call: OnnxCall) -> tuple[Outlet, ...]:
    """Einsum; an ellipsis becomes letters, and a missing arrow NumPy's implicit output."""
    inputs = call.inputs()
    ranks = tuple(call.fact(wire).rank for wire in inputs)
    expr = _explicit(call, "".join(call.string("equation").split()), ranks)
    return call.wire(EinSum(expr, dtype_name(call.fact(inputs[0]).dtype)), *inputs)


def _explicit(call: OnnxCall, equation: str, ranks: tuple[int, ...]) -> str:
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    if len(operands) != len(ranks):
        call.malformed(f"equation {equation!r} over {len(ranks)} inputs")
    hidden = [
        rank - len(text) + 3 if "..." in text else 0
        for text, rank in zip(operands, ranks, strict=True)
    ]
    if min(hidden) < 0:
        call.malformed(f"equation {equation!r} names more axes than an input has")
    free = [letter for letter in LETTERS if letter not in equation]
    batch = "".join(free[: max(hidden)])
    if len(batch) < max(hidden):
        call.refuse(f"equation {equation!r} needs more than 52 letters", remedy="use fewer axes")
    operands = [
        text.replace("...", batch[len(batch) - n :])
        for text, n in zip(operands, hidden, strict=True)
    ]
    if arrow:
        return f"{','.join(operands)}->{right.replace('...', batch)}"
    # Without an arrow ONNX keeps the letters that stand once, in alphabetical order.
    once = sorted(c for c in set(left) - set(".,") if left.count(c) == 1)
    return f"{','.join(operands)}->{batch}{''.join(once)}"
