"""Planned pools: one ufunc call per kernel position, in the order of `eval`, hence bit-equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step
from tract_ref.stream.window import WindowSpec, lowest

Fold = Callable[..., object]


@FAST.rule(MaxPool)
def fast_max_pool(op: MaxPool, facts: Concrete) -> Compute | None:
    """Return a kernel for any number type."""
    shape, dtype = facts.inputs[0]
    if 0 in shape or 0 in facts.outputs[0][0]:
        return None
    start = np.asarray(lowest(dtype), dtype)

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        return _sequence(_folds(op.window, np.maximum, start, inputs[0], outputs[0]))

    return Compute(bind)


@FAST.rule(SumPool)
def fast_sum_pool(op: SumPool, facts: Concrete) -> Compute | None:
    """Return a kernel, None for f16 (summed in f32) and where a window counts nothing."""
    shape, dtype = facts.inputs[0]
    if 0 in shape or 0 in facts.outputs[0][0] or dtype == np.float16:
        return None
    start = np.zeros((), dtype)
    divisor = op.divisor(shape) if op.normalize else None
    if divisor is not None and not divisor.all():
        return None

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        steps = _folds(op.window, np.add, start, inputs[0], outputs[0])
        if divisor is not None:
            uniform = divisor.min() == divisor.max()
            by = np.asarray(divisor.flat[0] if uniform else divisor, dtype)
            steps.append(_step(partial(np.divide, outputs[0], by, out=outputs[0])))
        return _sequence(steps)

    return Compute(bind)


def _folds(window: WindowSpec, fold: Fold, start: Tensor, data: Tensor, out: Tensor) -> list[Step]:
    """Return the steps that pad, then fold every kernel position into `out`."""
    outs = out.shape[2:]
    pads = window.pads(data.shape)
    steps: list[Step] = []
    source = data
    if any(b or a for b, a in pads):
        grown = [n + b + a for n, (b, a) in zip(data.shape[2:], pads, strict=True)]
        source = np.full((*data.shape[:2], *grown), start, data.dtype)
        inside = tuple(slice(b, b + n) for n, (b, _) in zip(data.shape[2:], pads, strict=True))
        steps.append(partial(np.copyto, source[(..., *inside)], data))
    for number, position in enumerate(np.ndindex(*window.kernel)):
        tap = source[(..., *window.taps(outs, position))]
        steps.append(_step(partial(fold, start if number == 0 else out, tap, out=out)))
    return steps


def _step(call: Callable[[], object]) -> Step:
    """Return a call as a step: its result is the `out` array, which nobody looks at."""
    return cast("Step", call)


def _sequence(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def every() -> None:
        for step in steps:
            step()

    return every
