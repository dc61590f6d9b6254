"""Products of matrices with scale and offset."""

from __future__ import annotations

from tract_ref.ir.fact import dtype_name
from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.recipes.chain import Chain, like
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.binary import Add, Mul
from tract_ref.ops.einsum import EinSum


@ONNX.rule("Gemm")
def import_gemm(call: OnnxCall) -> tuple[Outlet, ...]:
    """Gemm: alpha * A' * B' + beta * C, C broadcast to the product."""
    a, b = call.input(0), call.input(1)
    if call.fact(a).rank != 2 or call.fact(b).rank != 2:
        call.malformed(f"Gemm of {call.fact(a)} and {call.fact(b)}; both are matrices")
    left = "km" if call.integer("transA", 0) else "mk"
    right = "nk" if call.integer("transB", 0) else "kn"
    acc = dtype_name(call.fact(a).dtype)
    chain = Chain(call, a).then("product", EinSum(f"{left},{right}->mn", acc), b)
    alpha = call.scalar("alpha", 1.0)
    if alpha != 1.0:
        chain.then("scaled", Mul(), like(call, a, alpha, "alpha"))
    c = call.optional(2)
    beta = call.scalar("beta", 1.0)
    if c is None or beta == 0.0:
        return chain.finish()
    if beta != 1.0:
        (c,) = call.wire(Mul(), c, like(call, c, beta, "beta"), suffix="offset")
    product, offset = call.align(chain.so_far(), c)
    return call.wire(Add(), product, offset)
