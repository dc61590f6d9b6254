"""Fast EinSum: one BLAS product over views; packed weights, copies only where BLAS needs them.

Held to `eval` within the contraction bound c·k·eps·Σ|a||b|: BLAS sums in its own order. Integers
are exact. f16 and mixed dtypes run `eval`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import Tensor, dtype_named
from tract_ref.ops.einsum import EinSum, Expression, letter_sizes
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step

_Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Product:
    """A contraction as left [batch, rows, inner] times right [batch, inner, columns].

    Attributes:
        left: operand on the left, 0 or 1.
        batch: letters of both operands and of the output.
        rows: letters of the left operand and of the output.
        columns: letters of the right operand and of the output.
        inner: letters of both operands that the output lacks.
        sizes: dim of each letter; letters of size 1 are in none of the groups.
    """

    left: int
    batch: str
    rows: str
    columns: str
    inner: str
    sizes: Mapping[str, int]

    def shape(self, letters: str) -> tuple[int, ...]:
        return tuple(self.sizes[letter] for letter in letters)

    def matrix_shape(self, first: str, second: str) -> tuple[int, ...]:
        matrix = (self.volume(first), self.volume(second))
        return (*self.shape(self.batch), *matrix) if self.batch else matrix

    def volume(self, letters: str) -> int:
        return int(np.prod(self.shape(letters), dtype=np.int64))


@FAST.rule(EinSum)
def fast_einsum(op: EinSum, facts: Concrete) -> Compute | None:
    """A product of two operands as one matrix product, batched over their common output letters."""
    acc = dtype_named(op.acc)
    plain = all(dtype == acc for _, dtype in facts.inputs)
    if len(facts.inputs) != 2 or not plain or acc == np.float16:
        return None
    product = _as_product(op.expression, tuple(shape for shape, _ in facts.inputs))
    if product is None:
        return None
    packed: list[Tensor | None] = []
    for slot, const in enumerate(facts.consts):
        groups = _groups(product, slot)
        matrix = None if const is None else _matrix(product, op.expression, slot, const)
        if matrix is not None:
            shape = product.matrix_shape(*groups)
            matrix = np.ascontiguousarray(matrix.reshape(shape))
        packed.append(matrix)

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        return _bind(product, op.expression, packed, inputs, outputs[0])

    return Compute(bind)


def _as_product(expression: Expression, shapes: tuple[tuple[int, ...], ...]) -> _Product | None:
    sizes = letter_sizes(expression, shapes)
    held: list[str] = []
    for letters, shape in zip(expression.inputs, shapes, strict=True):
        if len(set(letters)) < len(letters):
            return None
        # An axis of size 1 broadcasts: the operand is the same without it.
        held.append("".join(c for c, n in zip(letters, shape, strict=True) if n != 1))
    output = "".join(c for c in expression.output if sizes[c] != 1)
    inner = "".join(c for c in held[0] if c not in output)
    if set(inner) != {c for c in held[1] if c not in output}:
        return None
    own = ["".join(c for c in output if c in held[i] and c not in held[1 - i]) for i in (0, 1)]
    batch = "".join(c for c in output if c in held[0] and c in held[1])
    # Columns are what varies last in the output, so that BLAS writes rows of it.
    free = [c for c in output if c not in batch]
    left = 1 if free and free[-1] in own[0] else 0
    return _Product(left, batch, own[left], own[1 - left], inner, sizes)


def _groups(product: _Product, slot: int) -> tuple[str, str]:
    if slot == product.left:
        return product.rows, product.inner
    return product.inner, product.columns


def _matrix(product: _Product, expression: Expression, slot: int, tensor: Tensor) -> Tensor:
    """Return the view of an operand in the order batch, first and second group, not merged."""
    letters = expression.inputs[slot]
    first, second = _groups(product, slot)
    return _ordered(tensor, letters, product.batch + first + second)


def _ordered(tensor: Tensor, letters: str, wanted: str) -> Tensor:
    """Return a view with the axes of `wanted`, every other axis (of size 1) taken away."""
    kept = [c in wanted and n != 1 for c, n in zip(letters, tensor.shape, strict=True)]
    held = [c for c, keep in zip(letters, kept, strict=True) if keep]
    # The ellipsis makes a rank-0 result a view as well, not a scalar.
    view = tensor[(*(slice(None) if keep else 0 for keep in kept), ...)]
    return view.transpose([held.index(c) for c in wanted])


def _merged(view: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the view in another shape when that needs no copy."""
    other = view.reshape(shape)
    return other if np.may_share_memory(other, view) else None


def _is_blas(matrix: Tensor) -> bool:
    """Say whether BLAS reads or writes the last two axes in place: one of them is dense."""
    if matrix.dtype.kind != "f":
        return True
    rows, columns = matrix.shape[-2:]
    down, along = (stride // matrix.itemsize for stride in matrix.strides[-2:])
    if any(stride % matrix.itemsize for stride in matrix.strides[-2:]):
        return False
    if rows == 1 or columns == 1:
        # A vector: any positive stride will do.
        return (down > 0 or rows == 1) and (along > 0 or columns == 1)
    return (along == 1 and down >= columns) or (down == 1 and along >= rows)


def _bind(
    product: _Product,
    expression: Expression,
    packed: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    output: Tensor,
) -> Step:
    """Return one product, with copies around it where an array is not a matrix for BLAS."""
    before: list[_Call] = []
    operands: list[Tensor] = []
    for slot, tensor in enumerate(inputs):
        matrix = packed[slot]
        if matrix is None:
            view = _matrix(product, expression, slot, tensor)
            matrix = _merged(view, product.matrix_shape(*_groups(product, slot)))
            if matrix is None or not _is_blas(matrix):
                scratch = np.empty(view.shape, view.dtype)
                before.append(partial(np.copyto, scratch, view))
                matrix = scratch.reshape(product.matrix_shape(*_groups(product, slot)))
        operands.append(matrix)
    view = _ordered(output, expression.output, product.batch + product.rows + product.columns)
    shape = product.matrix_shape(product.rows, product.columns)
    target = _merged(view, shape)
    after: list[_Call] = []
    if target is None or not _is_blas(target):
        scratch = np.empty(view.shape, view.dtype)
        target = scratch.reshape(shape)
        after.append(partial(np.copyto, view, scratch))
    multiply = partial(np.matmul, operands[product.left], operands[1 - product.left], target)
    return _sequence([*before, multiply, *after])


def _sequence(steps: Sequence[_Call]) -> Step:
    if len(steps) == 1:
        # NumPy returns the array it wrote; a step's result is not looked at.
        return cast("Step", steps[0])

    def run() -> None:
        for step in steps:
            step()

    return run
