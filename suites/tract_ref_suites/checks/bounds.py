"""The error bound of a contraction, from the problem itself.

The model runs twice more in its own dtype: on absolute values, which gives the sum of |a||b| of
every output, and on ones, which gives how many products each output sums.
"""

from __future__ import annotations

import numpy as np

from tract_ref import Plan
from tract_ref.approx import Array, contraction_bound
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Const
from tract_ref_suites.problems.base import SYMBOL, Problem


def bound_for(problem: Problem, output: str, approx: str) -> Array | None:
    """Return the largest error of an output, None unless the tolerance is `bound`."""
    if approx != "bound":
        return None
    magnitudes = _run_on(problem, ones=False)[output]
    if magnitudes.dtype.kind != "f":
        return np.zeros(magnitudes.shape)
    counts = _run_on(problem, ones=True)[output]
    products = int(np.ceil(float(counts.max()))) if counts.size else 0
    return contraction_bound(max(1, products), magnitudes, magnitudes.dtype)


def _run_on(problem: Problem, *, ones: bool) -> dict[str, Array]:
    def positive(value: Array) -> Array:
        if value.dtype.kind != "f":
            return value
        return np.ones_like(value) if ones else np.abs(value)

    model = problem.model()
    for node in model.nodes.values():
        if isinstance(node.op, Const):
            node.op = Const(positive(node.op.tensor))
            node.outputs = (Fact.of(node.op.tensor),)
    inputs = {name: positive(value) for name, value in problem.inputs().items()}
    return Plan(model, fast=False).run(inputs, symbols={SYMBOL: problem.length})
