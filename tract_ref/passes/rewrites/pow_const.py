"""A power with one constant exponent is a PowConst; bit for bit the same values."""

from __future__ import annotations

import math

from tract_ref.ir.model import Node
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import Pow
from tract_ref.ops.unary import PowConst
from tract_ref.passes.rewrites.patterns import number_of


@DECLUTTER.rule(Pow)
def declutter_pow_const(op: Pow, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Replace the power, where the base is a float that is not repeated."""
    base = ctx.model.fact(node.inputs[0])
    exponent = number_of(ctx.model, node.inputs[1])
    if base.dtype.kind != "f" or base.shape != node.outputs[0].shape:
        return None
    if exponent is None or not math.isfinite(exponent):
        return None
    # The exponent is rounded to the dtype of the base, as Pow does.
    rounded = float(base.dtype.type(exponent))
    return ModelPatch.replace(ctx.model, node, PowConst(rounded), node.inputs[:1])
