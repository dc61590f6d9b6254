"""A convolution whose window is one position is a product of matrices.

conv(data, kernel[O, C, 1..]) + bias -> einsum(data, kernel[O, C], "nct,oc->not") + bias[1, O, 1..]
"""

from __future__ import annotations

import numpy as np

from tract_ref.ir.fact import dtype_name
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import Add
from tract_ref.ops.conv import Conv
from tract_ref.ops.einsum import LETTERS, EinSum


@DECLUTTER.rule(Conv)
def declutter_conv_to_einsum(op: Conv, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Replace a pointwise convolution with one group and constant weights; values stay the same.

    f16 is left alone: a convolution accumulates it in f32, an EinSum of f16 output in f16.
    """
    weights = [ctx.model.const_of(wire) for wire in node.inputs[1:]]
    kernel, *biases = weights
    pointwise = all(op.window.is_pointwise(axis) for axis in range(op.window.rank))
    if not pointwise or op.groups != 1 or kernel is None or kernel.dtype == np.float16:
        return None
    if any(bias is None for bias in biases):
        return None
    spatial = "".join(c for c in LETTERS if c not in "nco")[: op.window.rank]
    patch = ctx.patch()
    matrix = patch.const(f"{node.name}.matrix", kernel.reshape(kernel.shape[:2]))
    product = EinSum(f"nc{spatial},oc->no{spatial}", dtype_name(kernel.dtype))
    (result,) = patch.wire(node.name, product, (node.inputs[0], matrix))
    for bias in biases:
        if bias is not None:
            shape = (1, kernel.shape[0], *(1,) * op.window.rank)
            aligned = patch.const(f"{node.name}.bias", bias.reshape(shape))
            (result,) = patch.wire(f"{node.name}.biased", Add(), (result, aligned))
    patch.shunt(Outlet(node.id, 0), result)
    return patch
