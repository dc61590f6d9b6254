"""Fast kernels of the axis ops: views, except where a Reshape merges axes, which is one copy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step, View


@FAST.rule(AddAxis)
def fast_add_axis(op: AddAxis, facts: Concrete) -> View:
    """A view with an axis of stride 0."""
    return View(partial(np.expand_dims, axis=op.axis))


@FAST.rule(RmAxis)
def fast_rm_axis(op: RmAxis, facts: Concrete) -> View:
    """A view without the axis."""
    return View(partial(np.squeeze, axis=op.axis))


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
