"""Fast kernels of the axis ops: all of them are views."""

from __future__ import annotations

from functools import partial

import numpy as np

from tract_ref.ops.axes import AddAxis, MoveAxis, RmAxis
from tract_ref.runtime.kernels import FAST, Concrete, View


@FAST.rule(AddAxis)
def fast_add_axis(op: AddAxis, facts: Concrete) -> View:
    """A view with an axis of stride 0."""
    return View(partial(np.expand_dims, axis=op.axis))


@FAST.rule(RmAxis)
def fast_rm_axis(op: RmAxis, facts: Concrete) -> View:
    """A view without the axis."""
    return View(partial(np.squeeze, axis=op.axis))


@FAST.rule(MoveAxis)
def fast_move_axis(op: MoveAxis, facts: Concrete) -> View:
    """A view with permuted strides."""
    return View(partial(np.moveaxis, source=op.source, destination=op.target))
