"""Fast kernels of the repeating ops: one strided copy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step


@FAST.rule(Broadcast)
def fast_broadcast(op: Broadcast, facts: Concrete) -> Compute:
    """Copy with strides of 0; a view would alias frames that later steps write."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        wide = np.broadcast_to(inputs[0], outputs[0].shape)
        return partial(np.copyto, outputs[0], wide)

    return Compute(bind)


@FAST.rule(Tile)
def fast_tile(op: Tile, facts: Concrete) -> Compute | None:
    """Copy into the output seen as [copies, n] on every axis."""
    shape = facts.inputs[0][0]
    if 0 in shape or 0 in facts.outputs[0][0]:
        return None
    paired: list[int] = []
    for dim, wide in zip(shape, facts.outputs[0][0], strict=True):
        paired += [wide // dim, dim]

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (data,), (out,) = inputs, outputs
        split = out.reshape(paired)
        source = data[tuple(i for _ in shape for i in (None, slice(None)))]
        if np.may_share_memory(split, out):
            return partial(np.copyto, split, np.broadcast_to(source, tuple(paired)))
        return lambda: np.copyto(out, np.broadcast_to(source, tuple(paired)).reshape(out.shape))

    return Compute(bind)
