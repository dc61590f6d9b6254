"""Select: per element, one of two values by a condition.

Source: spec/ir.md 6, spec/nnef.md 1.5; ONNX Where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.errors import InvalidModel
from tract_ref.ir.annotate import selected
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import DType, Fact, Tensor, dtype_name
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ir.shapes import broadcast_axes, broadcast_shapes
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.roi import Region, as_region, complement, intersection
from tract_ref.stream.shared import (
    aligned,
    elementwise,
    region_elementwise,
    same_positions,
    value_over_output,
)
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2, RoiContext

BOOL: DType = np.dtype(np.bool_)


@dataclass(frozen=True)
class Select(Op):
    """out[i] = a[i] where condition[i], else b[i]; the value not taken never reaches the output.

    1. condition   bool
    2. a           any dtype
    3. b           the dtype of a
    """

    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """A bool, then two tensors of one dtype; sizes equal or 1 on every axis."""
        condition, a, b = inputs
        if condition.dtype != BOOL:
            raise InvalidModel(
                f"condition {condition}; it must be bool", remedy="compare it with 0"
            )
        if a.dtype != b.dtype:
            raise InvalidModel(
                f"values {a} and {b} have different dtypes; dtypes must be equal",
                remedy="cast one of them",
            )
        return (selected(Fact(a.dtype, broadcast_shapes(inputs)), inputs),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Choose element by element."""
        condition, a, b = inputs
        return (np.where(condition, a, b),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axis k is axis k, except in an input that is repeated along it."""
        return broadcast_axes(inputs, outputs[0])


@DECLUTTER.rule(Select)
def declutter_select(op: Select, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A choice between x and x, or by a uniform constant, is the value taken."""
    condition, a, b = node.inputs
    constant = ctx.model.const_of(condition)
    uniform = constant is not None and constant.size and bool(np.all(constant == constant.flat[0]))
    if constant is not None and uniform:
        taken = a if constant.flat[0] else b
    elif a == b:
        taken = a
    else:
        return None
    if ctx.model.fact(taken).shape != node.outputs[0].shape:
        return None
    return ModelPatch.bypass(ctx.model, node, taken)


@INPUT_ROI.rule(Select)
def roi_select(op: Select, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A value shows where the condition takes it; the condition shows everywhere."""
    region = ctx.regions[0]
    value = value_over_output(0, ctx)
    if value is None:
        return same_positions(op, node, ctx)
    taken = as_region(value)
    yes, no = intersection(region, taken), intersection(region, complement(taken))
    return aligned(region, 0, ctx), aligned(yes, 1, ctx), aligned(no, 2, ctx)


PULSIFY_V1.use(elementwise, Select)
REGION_V2.use(region_elementwise, Select)


@NNEF.load("select", "condition", "true_value", "false_value")
def load_select(call: Invocation) -> tuple[Outlet, ...]:
    """select(condition, true_value, false_value); casts nothing, aligns ranks."""
    names = ("condition", "true_value", "false_value")
    condition, a, b = (call.tensor(name) for name in names)
    kinds = [call.fact(wire).dtype for wire in (condition, a, b)]
    if kinds[0] != BOOL or kinds[1] != kinds[2]:
        shown = ", ".join(dtype_name(kind) for kind in kinds)
        call.malformed(
            f"select of {shown}; it needs a bool and two values of one type", remedy="cast them"
        )
    ranks = [call.fact(wire).rank for wire in (condition, a, b)]
    if len(set(ranks)) > 1:
        # align casts to one dtype, but a condition stays bool: it meets a bool of the right rank.
        ones = (1,) * max(ranks)
        (condition, _) = call.align(condition, call.const(np.ones(ones, BOOL), "rank"))
        (a, b, _) = call.align(a, b, call.const(np.zeros(ones, kinds[1]), "rank"))
    return call.wire(Select(), condition, a, b)


@NNEF.dump(Select)
def dump_select(op: Select, node: Node, out: Dump) -> None:
    """Write select."""
    out.call("select")


@ONNX.rule("Where")
def import_where(call: OnnxCall) -> tuple[Outlet, ...]:
    """Where(condition, a, b)."""
    return call.wire(Select(), *call.align(*call.inputs()))
