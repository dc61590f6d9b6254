"""Activations that are a formula of other ops."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.binary import Lt, Mul
from tract_ref.ops.select import Select


@NNEF.load("prelu", "x", "alpha")
def load_prelu(call: Invocation) -> tuple[Outlet, ...]:
    """prelu(x, alpha) is select(x < 0, alpha * x, x)."""
    x, alpha = call.align(call.tensor("x"), call.tensor("alpha"))
    fact = call.fact(x)
    zero = call.const(np.zeros((1,) * fact.rank, fact.dtype), "zero")
    (negative,) = call.wire(Lt(), x, zero, suffix="negative")
    (scaled,) = call.wire(Mul(), alpha, x, suffix="scaled")
    return call.wire(Select(), negative, scaled, x)
