"""Pad: negative pads crop first."""

from __future__ import annotations

from tract_ref.ir.fact import TDIM, DType
from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.crop import Crop
from tract_ref.ops.padding import MODES, Pad, Pads, of_type


def _onnx_pads(call: OnnxCall, rank: int) -> Pads:
    """Return (before, after) per axis from the attribute (opset < 11) or the inputs."""
    if call.opset < 11:
        flat: tuple[int, ...] = call.integers("pads")
    else:
        dims = call.dims(1)
        flat = tuple(d for d in dims if isinstance(d, int))
        if len(flat) != len(dims):
            call.refuse(f"pads {[str(d) for d in dims]}", remedy="use pads known at load time")
    axes = tuple(range(rank))
    if call.opset >= 18 and call.optional(3) is not None:
        axes = tuple(int(str(a)) % rank for a in call.dims(3))
    if len(flat) != 2 * len(axes):
        call.malformed(f"{len(flat)} pads for {len(axes)} axes; one before and one after per axis")
    pads = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pads[axis] = (flat[i], flat[len(axes) + i])
    return tuple(pads)


def _onnx_value(call: OnnxCall, dtype: DType) -> float | int | bool:
    if call.opset < 11:
        return of_type(call.scalar("value", 0.0), dtype)
    if call.optional(2) is None:
        return of_type(0, dtype)
    tensor = call.const(2)
    if tensor is None:
        call.refuse("constant_value is known only at run time", remedy="use a constant")
    return tensor.reshape(-1)[0].item()


@ONNX.rule("Pad")
def import_pad(call: OnnxCall) -> tuple[Outlet, ...]:
    """Pad with modes constant, reflect and edge; negative pads crop first."""
    data = call.input(0)
    fact = call.fact(data)
    mode = call.string("mode", "constant")
    if mode not in MODES:
        call.refuse(f"mode={mode!r}", remedy=f"use one of {', '.join(MODES)}")
    if fact.dtype == TDIM:
        call.refuse("padding of a tensor of dims", remedy="compute shapes without Pad")
    pads = _onnx_pads(call, fact.rank)
    crops = tuple((max(0, -b), max(0, -a)) for b, a in pads)
    grown = tuple((max(0, b), max(0, a)) for b, a in pads)
    value = _onnx_value(call, fact.dtype)
    needs_pad = any(max(pair) for pair in grown) or not any(max(pair) for pair in crops)
    if any(max(pair) for pair in crops):
        (data,) = call.wire(Crop(crops), data, suffix="crop" if needs_pad else "")
    if not needs_pad:
        return (data,)
    return call.wire(Pad(grown, mode, value), data)
