"""Activations that are a formula of other ops."""

from __future__ import annotations

from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.recipes.chain import Chain, like
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.binary import Add, Div, Gt, Lt, Mul, Sub
from tract_ref.ops.select import Select
from tract_ref.ops.unary import Abs, Elu, Softplus, Tanh


@ONNX.rule("PRelu")
def import_prelu(call: OnnxCall) -> tuple[Outlet, ...]:
    """PRelu(x, slope) is x where x >= 0, else slope * x."""
    x, slope = call.align(call.input(0), call.input(1))
    (negative,) = call.wire(Lt(), x, like(call, x, 0, "zero"), suffix="negative")
    (scaled,) = call.wire(Mul(), slope, x, suffix="scaled")
    return call.wire(Select(), negative, scaled, x)


@ONNX.rule("Softsign")
def import_softsign(call: OnnxCall) -> tuple[Outlet, ...]:
    """Softsign is x / (1 + |x|)."""
    x = call.input(0)
    chain = Chain(call, x).then("size", Abs()).then("steady", Add(), like(call, x, 1, "one"))
    return call.wire(Div(), x, chain.so_far())


@ONNX.rule("Mish")
def import_mish(call: OnnxCall) -> tuple[Outlet, ...]:
    """Mish is x * tanh(ln(1 + e^x))."""
    x = call.input(0)
    chain = Chain(call, x).then("softplus", Softplus()).then("tanh", Tanh())
    return call.wire(Mul(), x, chain.so_far())


@ONNX.rule("Celu")
def import_celu(call: OnnxCall) -> tuple[Outlet, ...]:
    """Celu is x where x >= 0, else alpha * (e^(x / alpha) - 1)."""
    x, alpha = call.input(0), call.scalar("alpha", 1.0)
    if not alpha:
        call.malformed("alpha=0; x is divided by it")
    if alpha == 1.0:
        return call.wire(Elu(1.0), x)
    chain = Chain(call, x).then("scaled", Div(), like(call, x, alpha, "alpha"))
    chain.then("bent", Elu(alpha))
    (negative,) = call.wire(Lt(), x, like(call, x, 0, "zero"), suffix="negative")
    return call.wire(Select(), negative, chain.so_far(), x)


@ONNX.rule("ThresholdedRelu")
def import_thresholded_relu(call: OnnxCall) -> tuple[Outlet, ...]:
    """ThresholdedRelu is x where x > alpha, else 0."""
    x = call.input(0)
    (above,) = call.wire(Gt(), x, like(call, x, call.scalar("alpha", 1.0), "alpha"), suffix="above")
    return call.wire(Select(), above, x, like(call, x, 0, "zero"))


@ONNX.rule("Shrink")
def import_shrink(call: OnnxCall) -> tuple[Outlet, ...]:
    """Shrink is x - bias above lambd, x + bias below -lambd, 0 between."""
    x = call.input(0)
    bound, bias = call.scalar("lambd", 0.5), like(call, x, call.scalar("bias", 0.0), "bias")
    (above,) = call.wire(Gt(), x, like(call, x, bound, "high"), suffix="above")
    (below,) = call.wire(Lt(), x, like(call, x, -bound, "low"), suffix="below")
    (lowered,) = call.wire(Sub(), x, bias, suffix="lowered")
    (raised,) = call.wire(Add(), x, bias, suffix="raised")
    (inner,) = call.wire(Select(), below, raised, like(call, x, 0, "zero"), suffix="inner")
    return call.wire(Select(), above, lowered, inner)
