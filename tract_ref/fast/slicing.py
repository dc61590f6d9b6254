"""Fast kernels of the slicing ops: all of them are views."""

from __future__ import annotations

from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.runtime.kernels import FAST, Concrete, View


@FAST.rule(Slice)
def fast_slice(op: Slice, facts: Concrete) -> View | None:
    """The kept positions; a table that may be too short is left to `eval`, which says so."""
    if not isinstance(op.start, int):
        return None
    end = op.start + facts.outputs[0][0][op.axis]
    size = facts.inputs[0][0][op.axis]
    if op.exact and end > size:
        return None
    index = (*(slice(None),) * op.axis, slice(min(op.start, size), min(end, size)))
    return View(lambda data: data[index])


@FAST.rule(Downsample)
def fast_downsample(op: Downsample, facts: Concrete) -> View:
    """Every stride-th position."""
    part = slice(op.modulo if op.stride > 0 else None, None, op.stride)
    index = (*(slice(None),) * op.axis, part)
    return View(lambda data: data[index])
