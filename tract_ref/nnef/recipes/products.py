"""Products of matrices with an offset."""

from __future__ import annotations

from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.binary import Add
from tract_ref.ops.einsum import EinSum, accumulator, matmul_expression


@NNEF.load("linear", "input", "filter", bias=0.0)
def load_linear(call: Invocation) -> tuple[Outlet, ...]:
    """linear(input, filter, bias): input x transposed filter + bias; a bias of zeros is left out.

    A bias of lower rank gets its missing axes at the end, as in every binary operator: one of rank
    1 is added per row. One entry per output channel is written [[b0, b1, ..]].
    """
    data, weights = call.tensor("input"), call.tensor("filter")
    ranks = call.fact(data).rank, call.fact(weights).rank
    if ranks[0] != ranks[1] or ranks[0] < 2:
        call.malformed(
            f"linear of tensors of rank {ranks[0]} and {ranks[1]}; ranks are equal and 2 or more",
            remedy="unsqueeze the smaller one",
        )
    expr = matmul_expression(*ranks, transpose_b=True)
    op = EinSum(expr, accumulator(call.fact(data).dtype))
    if call.is_absent("bias"):
        return call.wire(op, data, weights)
    bias = call.tensor("bias", like=data)
    value = call.fact(bias).const
    if value is not None and not value.any():
        return call.wire(op, data, weights)
    (product,) = call.wire(op, data, weights, suffix="product")
    return call.wire(Add(), *call.align(product, bias))
