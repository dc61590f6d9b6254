"""Bounds that turn out constant: DynSlice, DynTile and DynRange become Slice, Tile and Range."""

from __future__ import annotations

from tract_ref.dim import Dim, TDim
from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.dynamic import DynRange, DynSlice, DynTile
from tract_ref.ops.range import Range
from tract_ref.ops.repeat import Tile
from tract_ref.ops.slicing import Slice


def _dims(tensor: Tensor | None) -> list[Dim] | None:
    if tensor is None or tensor.dtype.kind not in "iuO":
        return None
    return [item if isinstance(item, TDim) else int(item) for item in tensor.ravel().tolist()]


def _equal(ctx: Rewrite, a: Dim, b: Dim) -> bool:
    """Say whether two sizes are proved equal: the wires downstream have the declared one."""
    return ctx.model.scope.decide_equal(a, b) is True


@DECLUTTER.rule(DynSlice)
def declutter_dyn_slice(op: DynSlice, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A DynSlice of constant bounds is a Slice, where its length is the declared one."""
    starts, ends = (_dims(ctx.model.const_of(outlet)) for outlet in node.inputs[1:])
    if starts is None or ends is None or not _equal(ctx, ends[0] - starts[0], op.len):
        return None
    fixed = Slice(op.axis, starts[0], ends[0], exact=True)
    return ModelPatch.replace(ctx.model, node, fixed, node.inputs[:1])


@DECLUTTER.rule(DynTile)
def declutter_dyn_tile(op: DynTile, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A DynTile of constant multipliers is a Tile, where they are the declared ones."""
    found = _dims(ctx.model.const_of(node.inputs[1]))
    if found is None or not all(map(lambda a, b: _equal(ctx, a, b), found, op.multipliers)):
        return None
    return ModelPatch.replace(ctx.model, node, Tile(tuple(found)), node.inputs[:1])


@DECLUTTER.rule(DynRange)
def declutter_dyn_range(op: DynRange, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A DynRange of constant dims is a Range, where its length is the declared one."""
    values = [ctx.model.const_of(outlet) for outlet in node.inputs]
    if any(value is None or value.dtype != TDIM for value in values):
        return None
    start, end, step = (found[0] for value in values if (found := _dims(value)))
    if isinstance(step, TDim) or step == 0:
        return None
    fixed = Range(start, end, step)
    if not _equal(ctx, fixed.length, op.len):
        return None
    patch = ctx.patch()
    patch.shunt(Outlet(node.id), patch.wire(node.name, fixed, ())[0])
    return patch
