"""Fast Softmax: five ufunc calls over whole arrays.

Held to `eval` within a bound of ULPs: NumPy sums pairwise over the last axis, `eval` in order.
f16 runs `eval`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.softmax import Softmax
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Softmax)
def fast_softmax(op: Softmax, facts: Concrete) -> Compute | None:
    """Maximum, difference, exponential, sum, quotient; the output may be the input's buffer."""
    shape, dtype = facts.inputs[0]
    if dtype == np.float16 or not all(shape) or not op.axes_normalised:
        return None
    axes = op.axes_normalised
    folded = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    logarithmic = op.kind == "logsoftmax"

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        data, out = inputs[0], outputs[0]
        largest, total = np.empty(folded, dtype), np.empty(folded, dtype)
        spare = np.empty(shape, dtype) if logarithmic else out
        maximum, add = np.maximum.reduce, np.add.reduce
        subtract, exp, log, divide = np.subtract, np.exp, np.log, np.divide

        def softmax() -> None:
            maximum(data, axes, None, largest, keepdims=True)
            subtract(data, largest, out)
            exp(out, out)
            add(out, axes, None, total, keepdims=True)
            divide(out, total, out)

        def log_softmax() -> None:
            maximum(data, axes, None, largest, keepdims=True)
            subtract(data, largest, out)
            exp(out, spare)
            add(spare, axes, None, total, keepdims=True)
            log(total, total)
            subtract(out, total, out)

        return log_softmax if logarithmic else softmax

    return Compute(bind, in_place=0)
