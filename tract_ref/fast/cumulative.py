"""Fast cumulative sums: one accumulating ufunc call, bit-equal to `eval`.

`np.add.accumulate` adds one position after the other, as `eval` does. f16 and dims run `eval`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.cumulative import CumSum
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(CumSum)
def fast_cumsum(op: CumSum, facts: Concrete) -> Compute | None:
    """Accumulate into the output, reversed by views, shifted by one where a sum is exclusive."""
    shape, dtype = facts.inputs[0]
    if dtype == np.float16 or dtype.kind not in "fiu" or 0 in shape:
        return None
    axis, exclusive = op.axis, op.exclusive
    lead = (slice(None),) * axis
    zero = np.zeros((), dtype)

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        data, out = inputs[0], outputs[0]
        if op.reverse:
            data, out = np.flip(data, axis), np.flip(out, axis)
        first = out[(*lead, slice(0, 1))]
        if exclusive:
            data, out = data[(*lead, slice(0, -1))], out[(*lead, slice(1, None))]
        accumulate, add, copyto = np.add.accumulate, np.add, np.copyto

        def step() -> None:
            if exclusive:
                copyto(first, zero)
            accumulate(data, axis, None, out)
            # `eval` starts from 0, which turns sums of -0 into 0.
            add(out, zero, out)

        return step

    return Compute(bind)
