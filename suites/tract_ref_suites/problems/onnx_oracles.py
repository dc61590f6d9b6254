"""What ONNX says about the operators that `onnx.reference` gets wrong, with NumPy.

It slices backwards as NumPy does, cannot crop by negative pads, flattens nothing before opset 13 in
Softmax, and inserts axes that count from the end one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tract_ref.approx import Array

Attributes = Mapping[str, Any]
Oracle = Callable[[Sequence[Array | None], Attributes, int], Array]


def _numbers(inputs: Sequence[Array | None], slot: int) -> list[int] | None:
    found = inputs[slot] if slot < len(inputs) else None
    return None if found is None else [int(v) for v in np.ravel(found)]


def _data(inputs: Sequence[Array | None]) -> Array:
    data = inputs[0]
    assert data is not None
    return data


def _sliced(inputs: Sequence[Array | None], attributes: Attributes, opset: int) -> Array:
    """Clamp start and end as the text of Slice says, then take position by position."""
    data = _data(inputs)
    starts, ends = _numbers(inputs, 1) or [], _numbers(inputs, 2) or []
    axes = _numbers(inputs, 3) or list(range(len(starts)))
    steps = _numbers(inputs, 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        n = data.shape[axis]
        start, end = (bound + n if bound < 0 else bound for bound in (start, end))
        if step > 0:
            start, end = min(max(start, 0), n), min(max(end, 0), n)
        else:
            start, end = min(max(start, 0), n - 1), min(max(end, -1), n - 1)
        data = np.take(data, np.array(range(start, end, step), np.int64), axis)
    return data


def _padded(inputs: Sequence[Array | None], attributes: Attributes, opset: int) -> Array:
    """Crop by what is negative, then pad."""
    data = _data(inputs)
    pads, axes = _numbers(inputs, 1) or [], _numbers(inputs, 3)
    if axes is None:
        axes = list(range(data.ndim))
    mode = attributes.get("mode", "constant")
    for k, axis in enumerate(axes):
        before, after = pads[k], pads[k + len(axes)]
        kept = range(max(0, -before), data.shape[axis] - max(0, -after))
        data = np.take(data, np.array(kept, np.int64), axis)
        widths = [(0, 0)] * data.ndim
        widths[axis] = (max(0, before), max(0, after))
        fill = inputs[2] if len(inputs) > 2 and inputs[2] is not None else 0
        more: Any = {"constant_values": fill} if mode == "constant" else {}
        data = np.pad(data, widths, mode, **more)
    return data


def _normalised(inputs: Sequence[Array | None], attributes: Attributes, opset: int) -> Array:
    """Return softmax of one axis; before opset 13, of all axes from it on."""
    data = _data(inputs)
    axis = attributes.get("axis", 1 if opset < 13 else -1) % data.ndim
    axes = tuple(range(axis, data.ndim)) if opset < 13 else (axis,)
    if not data.size:
        return data
    wide = data.astype(np.float64)
    powers = np.exp(wide - wide.max(axes, keepdims=True))
    return (powers / powers.sum(axes, keepdims=True)).astype(data.dtype)


def _log_normalised(inputs: Sequence[Array | None], attributes: Attributes, opset: int) -> Array:
    data = _data(inputs)
    return np.log(_normalised([data.astype(np.float64)], attributes, opset)).astype(data.dtype)


def _unsqueezed(inputs: Sequence[Array | None], attributes: Attributes, opset: int) -> Array:
    axes = attributes["axes"] if "axes" in attributes else _numbers(inputs, 1)
    return np.expand_dims(_data(inputs), tuple(axes or ()))


ORACLES: dict[str, Oracle] = {
    "Slice": _sliced,
    "Pad": _padded,
    "Softmax": _normalised,
    "LogSoftmax": _log_normalised,
    "Unsqueeze": _unsqueezed,
}
