"""Fast kernel of Select: two copies, the second one masked. Bit-equal to `eval`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ops.select import Select
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Select)
def fast_select(op: Select, facts: Concrete) -> Compute | None:
    """Copy b, then a where the condition holds."""
    if any(dtype == TDIM for _, dtype in facts.inputs):
        return None

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        condition, a, b = inputs
        (out,) = outputs

        def step() -> None:
            np.copyto(out, b)
            np.copyto(out, a, where=condition)

        return step

    return Compute(bind)
