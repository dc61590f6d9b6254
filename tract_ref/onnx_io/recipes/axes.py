"""Transpose, Squeeze, Unsqueeze: one node per axis that moves, goes or comes."""

from __future__ import annotations

from tract_ref.calls import chain
from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import AddAxis, removals
from tract_ref.ops.transpose import move_ops


@ONNX.rule("Transpose")
def import_transpose(call: OnnxCall) -> tuple[Outlet, ...]:
    """Transpose; without `perm` the axes are reversed."""
    data = call.input(0)
    rank = call.fact(data).rank
    perm = call.integers("perm", tuple(reversed(range(rank))))
    if sorted(perm) != list(range(rank)):
        call.malformed(f"perm={list(perm)} is not a permutation of {rank} axes")
    return chain(call, data, move_ops(perm))


def _axes_of(call: OnnxCall, rank: int) -> list[int] | None:
    """Return the axes, an attribute before opset 13 and an input since; None when absent."""
    axes: list[int] = []
    if call.optional(1) is not None:
        for axis in call.dims(1):
            if not isinstance(axis, int):
                call.refuse(f"the axis {axis} is not a number", remedy="name the axes by numbers")
            axes.append(axis)
    elif call.has("axes"):
        axes = list(call.integers("axes"))
    else:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        call.malformed(f"axes={axes} for a rank of {rank}")
    return [axis % rank for axis in axes]


@ONNX.rule("Squeeze")
def import_squeeze(call: OnnxCall) -> tuple[Outlet, ...]:
    """Squeeze; without axes, every axis of 1 is removed."""
    shape = call.fact(call.input(0)).shape
    axes = _axes_of(call, len(shape))
    if axes is None:
        axes = [axis for axis, dim in enumerate(shape) if dim == 1]
    return removals(call, call.input(0), axes)


@ONNX.rule("Unsqueeze")
def import_unsqueeze(call: OnnxCall) -> tuple[Outlet, ...]:
    """Unsqueeze: axes of the output shape."""
    count = len(call.dims(1)) if call.optional(1) is not None else len(call.integers("axes"))
    axes = _axes_of(call, call.fact(call.input(0)).rank + count) or []
    if len(set(axes)) != len(axes):
        call.malformed(f"axes={axes} names an axis twice")
    return chain(call, call.input(0), [AddAxis(axis) for axis in sorted(axes)])
