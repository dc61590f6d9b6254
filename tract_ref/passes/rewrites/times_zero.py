"""An integer times zero is zero.

Differs from tract: a float is left alone, because NaN and infinities times zero are NaN, and -1
times zero is -0.
"""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import Mul
from tract_ref.ops.repeat import Broadcast
from tract_ref.passes.rewrites.patterns import either_way, number_of


@DECLUTTER.rule(Mul)
def declutter_times_zero(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Replace the product by a zero that is repeated."""
    (fact,) = node.outputs
    if fact.dtype.kind not in "iu":
        return None
    for _, factor in either_way(node):
        if number_of(ctx.model, factor) == 0:
            patch = ctx.patch()
            zero = patch.const(f"{node.name}.zero", np.zeros((1,) * fact.rank, fact.dtype))
            patch.shunt(Outlet(node.id), patch.wire(node.name, Broadcast(fact.shape), (zero,))[0])
            return patch
    return None
