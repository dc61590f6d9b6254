"""Fast kernel of MoveAxis: a view."""

from __future__ import annotations

from functools import partial

import numpy as np

from tract_ref.ops.transpose import MoveAxis
from tract_ref.runtime.kernels import FAST, Concrete, View


@FAST.rule(MoveAxis)
def fast_move_axis(op: MoveAxis, facts: Concrete) -> View:
    """A view with permuted strides."""
    return View(partial(np.moveaxis, source=op.source, destination=op.target))
