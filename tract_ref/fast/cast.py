"""Fast kernel of Cast: a copy that NumPy converts on the way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ops.cast import Cast
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Cast)
def fast_cast(op: Cast, facts: Concrete) -> Compute | None:
    """A copy, where NumPy converts as Cast does: not from dims, not from a float to an integer."""
    dtype = facts.inputs[0][1]
    if TDIM in (dtype, op.to) or (dtype.kind == "f" and op.to.kind in "iu"):
        return None

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs

        return partial(np.copyto, out, x, "unsafe")

    return Compute(bind)
