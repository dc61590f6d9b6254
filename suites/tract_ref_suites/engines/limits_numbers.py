"""Predicates of the known limits: which numbers, and which functions of them, an engine lacks."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Node
from tract_ref.ir.op import Op
from tract_ref.ops.binary import Pow
from tract_ref.ops.conv import Conv
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.unary import Elu, Gelu, Selu
from tract_ref_suites.engines.looking import (
    input_fact,
    model_of,
    nodes_of,
    sizes_of,
    windows_of,
)
from tract_ref_suites.problems.base import Problem


def integers_in_a_product(problem: Problem) -> bool:
    """Say whether a convolution works on integers."""
    return any(
        isinstance(n.op, Conv | Deconv) and n.outputs[0].dtype.kind in "iu"
        for n in nodes_of(problem)
    )


def average(problem: Problem) -> bool:
    """Say whether an average of a count that is no power of 2 is asked for to the last bit."""
    counts = [
        node.op.divisor(sizes_of(problem, node.inputs[0]))
        for node in nodes_of(problem)
        if isinstance(node.op, SumPool) and node.op.normalize
    ]
    rounds = any(bool((np.bitwise_count(found) > 1).any()) for found in counts)
    # An average of padding alone may have either sign.
    rounds = rounds or _reads_padding_alone(problem, SumPool)
    return rounds and problem.oracle_approx == "exact"


def nan_in_a_maximum(problem: Problem) -> bool:
    """Say whether a max pool reads NaN, or infinities that may fill a window."""
    floats = [v for v in problem.inputs().values() if v.dtype.kind == "f"]
    pools = any(isinstance(node.op, MaxPool) for node in nodes_of(problem))
    return pools and any(bool((np.isnan(v) | (v == -np.inf)).any()) for v in floats)


def maximum_of_padding(problem: Problem) -> bool:
    """Say whether a window of a max pool of floats lies in padding alone."""
    floats = any(node.outputs[0].dtype.kind == "f" for node in nodes_of(problem))
    return floats and _reads_padding_alone(problem, MaxPool)


def _reads_padding_alone(problem: Problem, op: type[Op]) -> bool:
    for node, _, window, n in windows_of(problem):
        if isinstance(node.op, op):
            before = window.pads(n)[0]
            reach = range(0, window.field + 1, window.dilation)
            for j in range(window.size(n)):
                if not any(0 <= j * window.stride - before + k < n for k in reach):
                    return True
    return False


_NO_DOUBLES = (
    "Sigmoid",
    "RoundEven",
    "Erf",
    "HardSwish",
    "Silu",
    "LeakyRelu",
    "PowConst",
    "ExpUnitNorm",
    "ExpMeanNorm",
)


def function_of_doubles(problem: Problem) -> bool:
    """Say whether a function that has no f64 form is asked for one."""
    return any(
        (node.op.name in _NO_DOUBLES or (isinstance(node.op, Gelu) and node.op.approximate))
        and node.outputs[0].dtype == np.float64
        for node in nodes_of(problem)
    )


def function_of_integers(problem: Problem) -> bool:
    """Say whether integers are squared, also by a product with themselves, or rounded."""
    return any(
        (node.op.name in ("Square", "RoundEven") or _is_square(problem, node))
        and node.outputs[0].dtype.kind in "iu"
        for node in nodes_of(problem)
    )


def _is_square(problem: Problem, node: Node) -> bool:
    if node.op.name != "Mul":
        return False
    below = [model_of(problem).nodes[wire.node] for wire in node.inputs]
    return (below[0].op, below[0].inputs) == (below[1].op, below[1].inputs)


def kind_of_number(problem: Problem) -> bool:
    """Say whether NaN or infinities are looked for among doubles."""
    return any(
        node.op.name in ("IsNan", "IsInf") and input_fact(problem, node).dtype == np.float64
        for node in nodes_of(problem)
    )


def function_of_newer_nnef(problem: Problem) -> bool:
    """Say whether selu, or gelu by erf, is asked for."""
    return any(
        isinstance(n.op, Selu) or (isinstance(n.op, Gelu) and not n.op.approximate)
        for n in nodes_of(problem)
    )


def elu_with_a_factor(problem: Problem) -> bool:
    """Say whether an elu has an alpha other than 1 and a negative input to show it."""
    return any(isinstance(node.op, Elu) and node.op.alpha != 1 for node in nodes_of(problem))


def power_of_one_base_to_many(problem: Problem) -> bool:
    """Say whether a constant exponent of one element has axes of its own, or repeats the base."""
    for node in nodes_of(problem):
        if isinstance(node.op, Pow):
            base, exponent = (model_of(problem).fact(wire) for wire in node.inputs)
            if exponent.const is not None and base.shape != node.outputs[0].shape:
                return True
    return False


def integer_quotient(problem: Problem) -> bool:
    """Say whether integers are divided, by a stream that is 0 where no frame is."""
    return any(
        node.op.name in ("Div", "Rem", "Mod") and node.outputs[0].dtype.kind in "iu"
        for node in nodes_of(problem)
    )


def equal_bools(problem: Problem) -> bool:
    """Say whether bools are compared."""
    return any(
        node.op.name in ("Eq", "NotEq", "Ne", "Equal", "NotEqual")
        and input_fact(problem, node).dtype.kind == "b"
        for node in nodes_of(problem)
    )


def letter_of_one_and_more(problem: Problem) -> bool:
    """Say whether a dim of 1 stands for a longer one under a summed letter of an EinSum."""
    for node in nodes_of(problem):
        if isinstance(node.op, EinSum):
            sizes: dict[str, set[int]] = {}
            for wire, letters in zip(node.inputs, node.op.expression.inputs, strict=True):
                for letter, size in zip(letters, sizes_of(problem, wire), strict=True):
                    sizes.setdefault(letter, set()).add(size)
            if any(1 in found and len(found) > 1 for found in sizes.values()):
                return True
    return False


def diagonal_of_an_operand(problem: Problem) -> bool:
    """Say whether an operand of an EinSum names one letter twice."""
    return any(
        len(set(letters)) < len(letters)
        for node in nodes_of(problem)
        if isinstance(node.op, EinSum)
        for letters in node.op.expression.inputs
    )
