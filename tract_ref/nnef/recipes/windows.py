"""Pools that are a formula of other ops."""

from __future__ import annotations

from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.pool import average
from tract_ref.ops.unary import Sqrt, Square


@NNEF.load("rms_pool", "input", "size", border="constant", padding=(), stride=(), dilation=())
def load_rms_pool(call: Invocation) -> tuple[Outlet, ...]:
    """rms_pool(..): the root of avg_pool of the squares."""
    op = average(call)
    (square,) = call.wire(Square(), call.tensor("input"), suffix="square")
    (mean,) = call.wire(op, square, suffix="mean")
    return call.wire(Sqrt(), mean)
