"""Fast kernels of the two-input element-wise ops: one ufunc call that writes in place.

Bit-equal to `eval`, but for the sign of the zero that Min and Max choose among zeros of both signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ops import binary
from tract_ref.ops.binary import Binary, Div, Max, Min
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step

_UFUNCS: dict[type[Binary], np.ufunc] = {
    binary.Add: np.add,
    binary.Sub: np.subtract,
    binary.Mul: np.multiply,
    binary.Min: np.minimum,
    binary.Max: np.maximum,
    binary.And: np.logical_and,
    binary.Or: np.logical_or,
    binary.Xor: np.logical_xor,
    binary.BitAnd: np.bitwise_and,
    binary.BitOr: np.bitwise_or,
    binary.BitXor: np.bitwise_xor,
    binary.Eq: np.equal,
    binary.Ne: np.not_equal,
    binary.Lt: np.less,
    binary.Gt: np.greater,
    binary.Le: np.less_equal,
    binary.Ge: np.greater_equal,
}


def _reusable(facts: Concrete) -> int | None:
    """Return the first input of the output's shape and dtype: the kernel may write over it."""
    for slot, fact in enumerate(facts.inputs):
        if fact == facts.outputs[0] and facts.consts[slot] is None:
            return slot
    return None


def _operand(array: Tensor, other: Tensor) -> Tensor:
    """Return a single constant number as rank 0: a shorter loop for the same result."""
    return array.reshape(()) if array.size == 1 and other.size > 1 else array


def _kernel(function: Callable[..., object], facts: Concrete) -> Compute:
    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        a, b = inputs
        return cast("Step", partial(function, _operand(a, b), _operand(b, a), out=outputs[0]))

    return Compute(bind, in_place=_reusable(facts))


def _has_dims(facts: Concrete) -> bool:
    return any(dtype == TDIM for _, dtype in (*facts.inputs, *facts.outputs))


@FAST.rule(*_UFUNCS)
def fast_binary(op: Binary, facts: Concrete) -> Compute | None:
    """One ufunc; Min and Max of f16 are left to `eval`, which chooses zeros as it does in f32."""
    half = facts.inputs[0][1] == np.float16
    if _has_dims(facts) or (half and isinstance(op, Min | Max)):
        return None
    return _kernel(_UFUNCS[type(op)], facts)


@FAST.rule(Div)
def fast_div(op: Binary, facts: Concrete) -> Compute | None:
    """Division of floats."""
    return _kernel(np.true_divide, facts) if facts.inputs[0][1].kind == "f" else None
