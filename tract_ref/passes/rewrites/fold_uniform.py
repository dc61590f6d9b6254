"""Masks that are proved full or empty disappear.

    select(full, a, b) -> a        select(empty, a, b) -> b
    full and x -> x                empty and x -> false
    full or x -> true              empty or x -> x
    ones * x -> x                  zeros * x -> 0 on integers

A float product by zeros stays: 0 * NaN and 0 * inf are NaN. What is proved holds for every position
of the mask, whatever the symbols are within the model's scope.

Differs from tract: a mask that is full or empty but for one position is kept, because strict
comparisons, float constants and shifts are exact (spec/attention.md 1.4).
"""

from __future__ import annotations

import numpy as np

from tract_ref.ir.annotate import proves_all
from tract_ref.ir.fact import TDIM
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.binary import And, Binary, Mul, Or
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.select import Select


@DECLUTTER.rule(Select)
def fold_select(op: Select, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A choice by a proved condition is the value that is taken."""
    condition, a, b = node.inputs
    state = _state(ctx, condition)
    return None if state is None else _put(node, ctx, a if state else b)


@DECLUTTER.rule(And, Or, Mul)
def fold_masked(op: Binary, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A proved operand of And, Or and Mul decides, or changes nothing."""
    for slot, wire in enumerate(node.inputs):
        state = _state(ctx, wire)
        if state is None:
            continue
        if state != isinstance(op, Or):
            return _put(node, ctx, node.inputs[1 - slot])
        if node.outputs[0].dtype.kind in "biu" and node.outputs[0].const is None:
            return _put(node, ctx, None, number=state)
    return None


def _state(ctx: Rewrite, wire: Outlet) -> bool | None:
    """Say whether a wire is 1 everywhere, 0 everywhere, or not known to be either."""
    fact, scope = ctx.model.fact(wire), ctx.model.scope
    if fact.per_element is None or fact.dtype == TDIM:
        return None
    if proves_all(fact, scope, 1):
        return True
    return False if proves_all(fact, scope, 0) else None


def _put(node: Node, ctx: Rewrite, wire: Outlet | None, *, number: bool = False) -> ModelPatch:
    """Put a wire, or a number, in the place of a node, repeated to its shape."""
    fact = node.outputs[0]
    patch = ctx.patch()
    if wire is None:
        wire = patch.const(f"{node.name}.uniform", np.full((1,) * fact.rank, number, fact.dtype))
    if patch.fact(wire).shape != fact.shape:
        (wire,) = patch.wire(node.name, Broadcast(fact.shape), (wire,))
    patch.shunt(Outlet(node.id), wire)
    return patch
