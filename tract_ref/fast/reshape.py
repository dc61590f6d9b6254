"""Fast kernel of Reshape: a view when an axis is split, one copy when axes are merged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.reshape import Reshape
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step, View


@FAST.rule(Reshape)
def fast_reshape(op: Reshape, facts: Concrete) -> Compute | View:
    """Splitting one axis is a view whatever the strides; merging axes is a copy."""
    shape, out_shape = facts.inputs[0][0], facts.outputs[0][0]
    if len(op.before) == 1:
        return View(lambda data: data.reshape(out_shape))

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (data,), (out,) = inputs, outputs
        same = out.reshape(shape)
        if np.may_share_memory(same, out):
            return partial(np.copyto, same, data)
        return lambda: np.copyto(out, data.reshape(out_shape))

    return Compute(bind)
