"""Fast kernel of Concat: one call that copies every input into its place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.concat import Concat
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Concat)
def fast_concat(op: Concat, facts: Concrete) -> Compute:
    """np.concatenate into the output."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        joined = partial(np.concatenate, tuple(inputs), op.axis, outputs[0])
        return cast("Step", joined)

    return Compute(bind)
