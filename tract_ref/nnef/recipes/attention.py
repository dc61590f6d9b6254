"""Parts of attention that are a formula of other ops."""

from __future__ import annotations

import math

import numpy as np

from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.binary import Add, Mul
from tract_ref.ops.concat import Concat
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.ops.unary import Neg


def _number(call: Invocation, like: Outlet, value: float, suffix: str) -> Outlet:
    fact = call.fact(like)
    return call.const(np.full((1,) * fact.rank, value, fact.dtype), suffix)


@NNEF.load(
    "tract_transformers_scaled_masked_softmax", "input", "mask", "scale", post_softmax_mask=False
)
def load_scaled_masked_softmax(call: Invocation) -> tuple[Outlet, ...]:
    """tract_transformers_scaled_masked_softmax(input, mask, scale, post_softmax_mask).

    Softmax over the last axis of input * scale, plus a mask of numbers, or -inf where a mask of
    bools is false. With post_softmax_mask what is masked gives 0 even in a row that is all masked.
    """
    data = call.tensor("input")
    mask, scale = call.tensor("mask", like=data), float(call.scalar("scale"))
    post, is_bool = call.logical("post_softmax_mask"), call.fact(mask).dtype.kind == "b"
    rank = call.fact(data).rank
    if not scale or call.fact(mask).rank != rank or not rank:
        call.malformed(
            f"scale={scale} and mask {call.fact(mask)} for an input {call.fact(data)}; the scale "
            "is not 0, and both ranks are equal",
            remedy="unsqueeze the mask",
        )
    if post and not is_bool:
        call.malformed("post_softmax_mask=true needs a mask of bools", remedy="compare it with 0")
    (scaled,) = call.wire(Mul(), data, _number(call, data, scale, "scale"), suffix="scaled")
    if is_bool:
        never = _number(call, data, -math.inf, "never")
        (masked,) = call.wire(Select(), mask, scaled, never, suffix="masked")
    else:
        (masked,) = call.wire(Add(), scaled, mask, suffix="masked")
    softmax = Softmax((rank - 1,))
    if not post:
        return call.wire(softmax, masked)
    (weights,) = call.wire(softmax, masked, suffix="weights")
    return call.wire(Select(), mask, weights, _number(call, data, 0, "zero"))


@NNEF.load("tract_transformers_apply_rope", "input", "cos", "sin")
def load_apply_rope(call: Invocation) -> tuple[Outlet, ...]:
    """tract_transformers_apply_rope(input, cos, sin): input * cos + rotated * sin.

    The halves (a, b) of the last axis are rotated to (-b, a).
    """
    data = call.tensor("input")
    cos, sin = (call.tensor(name, like=data) for name in ("cos", "sin"))
    shape = call.fact(data).shape
    axis = len(shape) - 1
    size = shape[-1] if shape else None
    ranks = {call.fact(wire).rank for wire in (data, cos, sin)}
    if not isinstance(size, int) or size % 2 or len(ranks) > 1:
        shown = ", ".join(str(call.fact(wire)) for wire in (data, cos, sin))
        call.malformed(f"input, cos and sin {shown}; ranks are equal, the last axis is even")
    (low,) = call.wire(Slice(axis, 0, size // 2), data, suffix="low")
    (high,) = call.wire(Slice(axis, size // 2, size), data, suffix="high")
    (negated,) = call.wire(Neg(), high, suffix="negated")
    (rotated,) = call.wire(Concat(axis), negated, low, suffix="rotated")
    (straight,) = call.wire(Mul(), data, cos, suffix="cosine")
    (turned,) = call.wire(Mul(), rotated, sin, suffix="sine")
    return call.wire(Add(), straight, turned)
