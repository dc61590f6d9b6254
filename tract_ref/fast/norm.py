"""Fast RmsNorm: five ufunc calls over whole arrays.

Held to `eval` within a bound of ULPs: NumPy sums pairwise over the last axis, `eval` in order.
f16 runs `eval`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.norm import RmsNorm
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(RmsNorm)
def fast_rms_norm(op: RmsNorm, facts: Concrete) -> Compute | None:
    """Square, sum, divide by the count, root, quotient; the output may be the input's buffer."""
    shape, dtype = facts.inputs[0]
    if dtype == np.float16 or not all(shape):
        return None
    axis = op.axis
    folded = (*shape[:axis], 1, *shape[axis + 1 :])
    count, eps = dtype.type(shape[axis]), dtype.type(op.eps)

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        data, out = inputs[0], outputs[0]
        squares, root = np.empty(shape, dtype), np.empty(folded, dtype)
        add, multiply, divide, plus, sqrt = (
            np.add.reduce,
            np.multiply,
            np.divide,
            np.add,
            np.sqrt,
        )

        def rms_norm() -> None:
            multiply(data, data, squares)
            add(squares, axis, None, root, keepdims=True)
            divide(root, count, root)
            plus(root, eps, root)
            sqrt(root, root)
            divide(data, root, out)

        return rms_norm

    return Compute(bind, in_place=0)
