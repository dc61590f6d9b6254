"""Fast Reduce: NumPy's reductions over whole arrays.

max, min, all, any, argmax, argmin and integers are bit-equal to `eval`. Float sum, prod and means
are within a bound of k·eps·Σ|x|: NumPy sums pairwise along the last axis. f16, the `_last` kinds
and arg kinds over several axes run `eval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ops.reduce import MEAN_KINDS, Reduce
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step

_UFUNCS: dict[str, np.ufunc] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "all": np.logical_and,
    "any": np.logical_or,
    "mean": np.add,
    "mean_of_squares": np.add,
}


@FAST.rule(Reduce)
def fast_reduce(op: Reduce, facts: Concrete) -> Compute | None:
    """One reduction over all axes at once; means divide in place."""
    shape, dtype = facts.inputs[0]
    if dtype in (np.float16, TDIM) or not all(shape) or not op.axes_folded:
        return None
    if op.kind in ("argmax", "argmin"):
        return _fast_arg(op) if len(op.axes_folded) == 1 else None
    ufunc = _UFUNCS.get(op.kind)
    if ufunc is None or (op.kind in MEAN_KINDS and dtype.kind != "f"):
        return None
    axes = op.axes_folded
    count = dtype.type(np.prod([shape[axis] for axis in axes], dtype=np.int64))

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        data, out = inputs[0], outputs[0]
        if op.kind not in MEAN_KINDS:
            return cast("Step", partial(ufunc.reduce, data, axes, dtype, out, keepdims=True))
        squares = np.empty(shape, dtype) if op.kind == "mean_of_squares" else data
        squared = squares is not data
        add, multiply, divide = np.add.reduce, np.multiply, np.divide

        def mean() -> None:
            if squared:
                multiply(data, data, squares)
            add(squares, axes, dtype, out, keepdims=True)
            divide(out, count, out)

        return mean

    return Compute(bind)


def _fast_arg(op: Reduce) -> Compute:
    (axis,) = op.axes_folded
    find = np.argmax if op.kind == "argmax" else np.argmin

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        return cast("Step", partial(find, inputs[0], axis, outputs[0], keepdims=True))

    return Compute(bind)
