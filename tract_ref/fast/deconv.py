"""Planned transposed convolution: one matrix product, then one addition per group of taps.

Every frame is multiplied by the whole kernel; the results are added where they belong. Along the
last spatial axis, without dilation, `stride` neighbouring kernel positions never meet: they are
added as one block of an uncropped buffer. BLAS does not add in the order of `eval` and stays within
the contraction bound; depth-wise ones are bit-equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.deconv import Deconv
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Deconv)
def fast_deconv(op: Deconv, facts: Concrete) -> Compute | None:
    """Return a kernel for f32 and f64 with a constant kernel and bias, None for anything else."""
    kernel = facts.consts[1]
    bias = facts.consts[2] if len(facts.consts) == 3 else None
    if kernel is None or (len(facts.consts) == 3 and bias is None):
        return None
    if kernel.dtype.name not in ("float32", "float64") or 0 in kernel.shape:
        return None
    shape, made = facts.inputs[0][0], facts.outputs[0][0]
    if 0 in shape or 0 in made:
        return None
    column = None if bias is None else bias.reshape(-1, *(1,) * op.window.rank).copy()
    layout = _Layout(op, shape, made)
    if op.groups == kernel.shape[0] == shape[1] and op.groups > 1:
        return Compute(partial(_bind_depthwise, layout, kernel, column))
    return Compute(partial(_bind_product, layout, layout.packed(kernel), column))


@dataclass(frozen=True)
class _Layout:
    """Concrete geometry of one transposed convolution."""

    op: Deconv
    shape: tuple[int, ...]
    made: tuple[int, ...]

    def packed(self, kernel: Tensor) -> Tensor:
        """Return the kernel as [groups, kernel * O/groups, C/groups], kernel position first."""
        groups = self.op.groups
        split = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
        last = np.moveaxis(split, (1, 2), (-2, -1))
        return np.ascontiguousarray(last.reshape(groups, -1, kernel.shape[1]))

    def blocks(self) -> bool:
        """Say whether neighbouring kernel positions can be added together."""
        window = self.op.window
        return window.rank == 1 and window.dilation == (1,) and window.stride[0] > 1

    def additions(self, out: Tensor, columns: Tensor) -> list[Step]:
        """Return one addition per kernel position.

        Args:
            out: [N, groups, O/groups, outs..].
            columns: [N, groups, kernel.., O/groups, positions..].
        """
        steps: list[Step] = []
        every = slice(None)
        for position in np.ndindex(*self.op.window.kernel):
            reads, writes = self.op.taps(self.shape[2:], position)
            target = out[(..., *writes)]
            if target.size:
                source = columns[(every, every, *position, every, *reads)]
                steps.append(_step(partial(np.add, target, source, target)))
        return steps

    def block_additions(self, out: Tensor, columns: Tensor) -> list[Step]:
        """Return one addition per `stride` kernel positions, to a buffer that `out` is cut from.

        Block m of kernel positions [m*stride, (m+1)*stride) of frame i goes to the buffer's
        positions [(i + m)*stride, (i + m + 1)*stride).
        """
        (size,), (stride,) = self.op.window.kernel, self.op.window.stride
        count = self.shape[2]
        number = -(-size // stride)
        before, outs = self.op.along(0).crops[0], self.made[2]
        needed = max(count + number - 1, -(-(before + outs) // stride))
        buffer = np.empty((*out.shape[:3], needed, stride), out.dtype)
        flat = buffer.reshape(*out.shape[:3], needed * stride)
        steps: list[Step] = [_step(partial(buffer.fill, 0))]
        for m in range(number):
            block = columns[:, :, m * stride : (m + 1) * stride].transpose(0, 1, 3, 4, 2)
            target = buffer[:, :, :, m : m + count, : block.shape[-1]]
            steps.append(_step(partial(np.add, target, block, target)))
        steps.append(_step(partial(np.copyto, out, flat[..., before : before + outs])))
        return steps


def _bind_product(
    layout: _Layout,
    packed: Tensor,
    bias: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> Step:
    """Bind the product of all frames with the kernel, the additions, the bias."""
    data, out = inputs[0], outputs[0]
    groups, rows, depth = packed.shape
    batch, count = layout.shape[0], int(np.prod(layout.shape[2:]))
    steps: list[Step] = []
    flat = data.reshape(batch, groups, depth, count)
    row = flat.strides[-1] == flat.itemsize or count == 1
    if not np.may_share_memory(flat, data) or not row:
        # Frames that do not lie side by side (the head of a tape) are copied for the product.
        scratch = np.empty(layout.shape, data.dtype)
        steps.append(partial(np.copyto, scratch, data))
        flat = scratch.reshape(batch, groups, depth, count)
    products = np.empty((batch, groups, rows, count), out.dtype)
    steps.append(_step(partial(np.matmul, packed, flat, products)))
    per_group = layout.made[1] // groups
    target = out.reshape(batch, groups, per_group, *layout.made[2:])
    columns = products.reshape(
        batch, groups, *layout.op.window.kernel, per_group, *layout.shape[2:]
    )
    if layout.blocks():
        steps += layout.block_additions(target, columns)
    else:
        steps.append(_step(partial(out.fill, 0)))
        steps += layout.additions(target, columns)
    if bias is not None:
        steps.append(_step(partial(np.add, out, bias, out)))
    return _sequence(steps)


def _bind_depthwise(
    layout: _Layout,
    kernel: Tensor,
    bias: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> Step:
    """Bind one multiply and one add per kernel position, in the order of `eval`."""
    data, out = inputs[0], outputs[0]
    ones = (1,) * layout.op.window.rank
    steps: list[Step] = [_step(partial(out.fill, 0))]
    for position in np.ndindex(*layout.op.window.kernel):
        reads, writes = layout.op.taps(layout.shape[2:], position)
        tap, target = data[(..., *reads)], out[(..., *writes)]
        if not target.size:
            continue
        weight = kernel[(slice(None), 0, *position)].reshape(-1, *ones).copy()
        product = np.empty(tap.shape, out.dtype)
        steps.append(_step(partial(np.multiply, weight, tap, product)))
        steps.append(_step(partial(np.add, target, product, target)))
    if bias is not None:
        steps.append(_step(partial(np.add, out, bias, out)))
    return _sequence(steps)


def _step(call: Callable[[], object]) -> Step:
    """Return a call as a step: its result is the `out` array, which nobody looks at."""
    return cast("Step", call)


def _sequence(steps: list[Step]) -> Step:
    def every() -> None:
        for step in steps:
            step()

    return every
