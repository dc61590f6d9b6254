"""Planned convolution: one copy of all taps, one matrix product.

The taps of a turn are one strided view of the input, copied into scratch [kernel * C, positions];
weights are packed to [O, kernel * C] when the kernel is built. BLAS does not add in the order of
`eval` and stays within the contraction bound; depth-wise convolutions are bit-equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tract_ref.ir.fact import Tensor
from tract_ref.ops.conv import Conv
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step
from tract_ref.stream.window import WindowSpec


@FAST.rule(Conv)
def fast_conv(op: Conv, facts: Concrete) -> Compute | None:
    """Return a kernel for f32 and f64 with a constant kernel and bias, None for anything else."""
    kernel = facts.consts[1]
    bias = facts.consts[2] if len(facts.consts) == 3 else None
    if kernel is None or (len(facts.consts) == 3 and bias is None):
        return None
    if kernel.dtype.name not in ("float32", "float64") or 0 in kernel.shape:
        return None
    shape = facts.inputs[0][0]
    if 0 in shape or 0 in facts.outputs[0][0]:
        return None
    column = None if bias is None else bias.reshape(-1)
    layout = _Layout(op.window, op.groups, shape, op.window.sizes(shape))
    if op.groups == kernel.shape[0] == shape[1] and op.groups > 1:
        return Compute(partial(_bind_depthwise, layout, kernel, column))
    packed = layout.packed(kernel)
    return Compute(partial(_bind_product, layout, packed, column))


@dataclass(frozen=True)
class _Layout:
    """Concrete geometry of one convolution."""

    window: WindowSpec
    groups: int
    shape: tuple[int, ...]
    outs: tuple[int, ...]

    def packed(self, kernel: Tensor) -> Tensor:
        """Return the kernel as [groups, O/groups, kernel * C/groups], kernel position first."""
        per_group = kernel.shape[0] // self.groups
        last = np.moveaxis(kernel, 1, -1).reshape(self.groups, per_group, -1)
        return np.ascontiguousarray(last)

    def source(self, data: Tensor) -> tuple[Tensor, Step | None]:
        """Return the padded data and the step that copies into it, None without padding."""
        pads = self.window.pads(self.shape)
        if not any(b or a for b, a in pads):
            return data, None
        grown = [n + b + a for n, (b, a) in zip(self.shape[2:], pads, strict=True)]
        buffer = np.zeros((*self.shape[:2], *grown), data.dtype)
        inside = tuple(slice(b, b + n) for n, (b, _) in zip(self.shape[2:], pads, strict=True))
        return buffer, partial(np.copyto, buffer[(..., *inside)], data)

    def taps(self, source: Tensor) -> Tensor:
        """Return the view [N, groups, kernel.., C/groups, outs..] of what every window reads."""
        batch, channel, *steps = source.strides
        per_group = self.shape[1] // self.groups
        shape = (self.shape[0], self.groups, *self.window.kernel, per_group, *self.outs)
        strides = (
            batch,
            channel * per_group,
            *(step * d for step, d in zip(steps, self.window.dilation, strict=True)),
            channel,
            *(step * s for step, s in zip(steps, self.window.stride, strict=True)),
        )
        return as_strided(source, shape, strides, writeable=False)


def _bind_product(
    layout: _Layout,
    packed: Tensor,
    bias: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> Step:
    """Bind pad, copy of the taps, product, bias."""
    out = outputs[0]
    source, fill = layout.source(inputs[0])
    taps = layout.taps(source)
    groups, per_group, depth = packed.shape
    count = int(np.prod(layout.outs))
    steps: list[Step] = [] if fill is None else [fill]
    flat = taps.reshape(layout.shape[0], groups, depth, count)
    row = flat.strides[-1] == flat.itemsize or count == 1
    if not np.may_share_memory(flat, source) or not row:
        # The ones row adds the bias inside the product.
        extra = 0 if bias is None else 1
        shape = (layout.shape[0], groups, depth + extra, count)
        scratch: Tensor = np.ones(shape, out.dtype)
        columns = scratch[:, :, :depth].reshape(taps.shape)
        if not np.may_share_memory(columns, scratch):
            extra, scratch = 0, np.ones((layout.shape[0], groups, depth, count), out.dtype)
            columns = scratch.reshape(taps.shape)
        steps.append(partial(np.copyto, columns, taps))
        flat = scratch
        if extra and bias is not None:
            packed = np.concatenate([packed, bias.reshape(groups, per_group, 1)], 2)
            bias = None
    target = out.reshape(layout.shape[0], groups, per_group, count)
    is_view = np.may_share_memory(target, out)
    if layout.shape[0] == groups == 1:
        steps.append(_step(partial(np.matmul, packed[0], flat[0, 0], target[0, 0])))
    else:
        steps.append(_step(partial(np.matmul, packed, flat, target)))
    if not is_view:
        steps.append(partial(np.copyto, out, target.reshape(out.shape)))
    if bias is not None:
        steps.append(_add_bias(out, bias))
    return _sequence(steps)


def _bind_depthwise(
    layout: _Layout,
    kernel: Tensor,
    bias: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> Step:
    """Bind one multiply and one add per kernel position, in the order of `eval`."""
    out = outputs[0]
    source, fill = layout.source(inputs[0])
    ones = (1,) * layout.window.rank
    product = np.empty(out.shape, out.dtype)
    steps: list[Step] = [] if fill is None else [fill]
    for number, position in enumerate(np.ndindex(*layout.window.kernel)):
        tap = source[(..., *layout.window.taps(layout.outs, position))]
        weight = kernel[(slice(None), 0, *position)].reshape(-1, *ones).copy()
        steps.append(_step(partial(np.multiply, tap, weight, product)))
        # The first sum starts from 0, as in `eval`: it turns -0 into 0.
        total = np.zeros((), out.dtype) if number == 0 else out
        steps.append(_step(partial(np.add, total, product, out)))
    if bias is not None:
        steps.append(_add_bias(out, bias))
    return _sequence(steps)


def _add_bias(out: Tensor, bias: Tensor) -> Step:
    column = np.ascontiguousarray(bias).reshape(-1, *(1,) * (out.ndim - 2))
    return _step(partial(np.add, out, column, out))


def _step(call: Callable[[], object]) -> Step:
    """Return a call as a step: its result is the `out` array, which nobody looks at."""
    return cast("Step", call)


def _sequence(steps: list[Step]) -> Step:
    """Return one step that runs them all; the short ones without a loop."""
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps

        def both() -> None:
            first()
            second()

        return both

    def every() -> None:
        for step in steps:
            step()

    return every
