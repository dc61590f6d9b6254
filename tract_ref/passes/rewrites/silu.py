"""x * sigmoid(x) is Silu; bit for bit the same values."""

from __future__ import annotations

from tract_ref.ir.model import Node
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import Mul
from tract_ref.ops.unary import Sigmoid, Silu
from tract_ref.passes.rewrites.patterns import either_way, made_by


@DECLUTTER.rule(Mul)
def declutter_silu(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Replace the product; the sigmoid stays where something else reads it."""
    for x, gate in either_way(node):
        found = made_by(ctx.model, gate, Sigmoid)
        if found is not None and found[1] == (x,):
            return ModelPatch.replace(ctx.model, node, Silu(), (x,))
    return None
