"""x / sqrt(mean(x^2) + eps) is RmsNorm; bit for bit the same values."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import Add, Div
from tract_ref.ops.norm import RmsNorm
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.unary import Sqrt, Square
from tract_ref.passes.rewrites.patterns import made_by, number_of


@DECLUTTER.rule(Div)
def declutter_rms_norm(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Replace the quotient; f16 is left alone, whose steps are rounded one by one."""
    x, root = node.inputs
    below = made_by(ctx.model, root, Sqrt)
    found = None if below is None else mean_square(ctx.model, below[1][0], x)
    if found is None or node.outputs[0].dtype == np.float16:
        return None
    return ModelPatch.replace(ctx.model, node, found, (x,))


def mean_square(model: Model, wire: Outlet, x: Outlet) -> RmsNorm | None:
    """Return the norm whose mean square plus eps a wire is, None when it is something else."""
    sums = made_by(model, wire, Add)
    for mean, number in () if sums is None else (sums[1], sums[1][::-1]):
        eps, folded = number_of(model, number), made_by(model, mean, Reduce)
        # NNEF text has f32 numbers: another eps would not come back from a file.
        if eps is None or folded is None or float(np.float32(eps)) != eps:
            continue
        reduce, (data,) = folded
        if reduce.kind == "mean":
            square = made_by(model, data, Square)
            data = square[1][0] if square is not None else None
        elif reduce.kind != "mean_of_squares":
            continue
        if data == x and len(reduce.axes_folded) == 1:
            return RmsNorm(reduce.axes_folded[0], float(eps))
    return None
