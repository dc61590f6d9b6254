"""Fourier transforms."""

from __future__ import annotations

from tract_ref.ir.model import Outlet
from tract_ref.onnx_io.recipes.chain import Chain, like
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.binary import Mul
from tract_ref.ops.fft import Fft, Stft
from tract_ref.ops.padding import Pad
from tract_ref.ops.slicing import Slice


def _as_complex(call: OnnxCall, data: Outlet) -> Outlet:
    """Return numbers with a last axis of 2: a real number gets an imaginary part of 0."""
    shape = call.fact(data).shape
    if len(shape) < 2 or shape[-1] not in (1, 2):
        call.malformed(f"signal {call.fact(data)}; its last axis has 1 or 2 positions")
    if shape[-1] == 2:
        return data
    pads = (*((0, 0),) * (len(shape) - 1), (0, 1))
    return call.wire(Pad(pads, "constant", 0.0), data, suffix="complex")[0]


def _size(call: OnnxCall, slot: int) -> int | None:
    """Return an optional constant integer."""
    if call.optional(slot) is None:
        return None
    dims = call.dims(slot)
    if len(dims) != 1 or not isinstance(dims[0], int):
        call.refuse(f"the input {slot} is {[str(d) for d in dims]}", remedy="make it a number")
    return dims[0]


@ONNX.rule("DFT")
def import_dft(call: OnnxCall) -> tuple[Outlet, ...]:
    """DFT: pad or cut to dft_length, transform, keep one side, divide an inverse by its length."""
    data = _as_complex(call, call.input(0))
    rank = call.fact(data).rank
    axis = call.integer("axis", 1) if call.opset < 20 else _size(call, 2)
    axis = -2 if axis is None else axis
    inverse, one_sided = call.integer("inverse", 0), call.integer("onesided", 0)
    if not -rank <= axis < rank or axis % rank == rank - 1:
        call.malformed(f"axis={axis} of a signal of {rank} axes, the last of which is complex")
    if inverse and one_sided:
        call.refuse("onesided=1 with inverse=1", remedy="give the whole spectrum")
    axis %= rank
    size, wanted = call.fact(data).shape[axis], _size(call, 1)
    wanted = size if wanted is None else wanted
    if not isinstance(size, int) or not isinstance(wanted, int):
        call.refuse(f"a transform of {size} positions", remedy="set its symbol")
    chain = Chain(call, data)
    if wanted > size:
        pads = tuple((0, wanted - size if a == axis else 0) for a in range(rank))
        chain.then("padded", Pad(pads, "constant", 0.0))
    elif wanted < size:
        chain.then("cut", Slice(axis, 0, wanted))
    chain.then("transform", Fft(axis, bool(inverse)))
    if one_sided:
        chain.then("side", Slice(axis, 0, wanted // 2 + 1))
    if inverse:
        chain.then("normal", Mul(), like(call, data, 1 / max(wanted, 1), "share"))
    return chain.finish()


@ONNX.rule("STFT")
def import_stft(call: OnnxCall) -> tuple[Outlet, ...]:
    """STFT of [batch, length, 1 or 2]: frames, then frequencies, of which one side by default."""
    data = _as_complex(call, call.input(0))
    stride, frame, window = _size(call, 1), _size(call, 3), call.optional(2)
    if frame is None and window is not None:
        size = call.fact(window).shape[0]
        frame = size if isinstance(size, int) else None
    if stride is None or frame is None or call.fact(data).rank != 3:
        call.malformed(f"signal {call.fact(data)}, frame_step={stride}, frame_length={frame}")
    wires = (data,) if window is None else (data, window)
    (spectrum,) = call.wire(Stft(1, frame, stride), *wires, suffix="spectrum")
    bins = frame // 2 + 1 if call.integer("onesided", 1) else frame
    return Chain(call, spectrum).then("side", Slice(2, 0, bins)).finish()
