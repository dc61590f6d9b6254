"""P11: a plan with fast kernels computes what every op's `eval` computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref_suites.checks.bounds import bound_for
from tract_ref_suites.checks.failure import require_equal, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import run_turns
from tract_ref_suites.problems.base import SYMBOL, Problem

# Contractions sum in another order; the others use another formula or another library function.
# A family that is not here moves data or rounds once per element: it is exact.
_APPROX = {
    "conv": "bound",
    "deconv": "bound",
    "einsum": "bound",
    "attention": "close",
    "cumulative": "close",
    "fft": "close",
    "norm": "close",
    "pool": "close",
    "recurrent": "close",
    "reduce": "close",
    "scan": "close",
    "softmax": "close",
    "unary": "close",
}


def tolerance_of(problem: Problem) -> str:
    """Return the named tolerance between fast kernels and `eval`."""
    return problem.fast_approx or _APPROX.get(problem.family, "exact")


def fast_equals_eval(problem: Problem) -> None:
    """P11: fast against `eval`, batch and pulsed, within the family's tolerance; NaN stays NaN."""
    subject = Subject(problem)
    approx = tolerance_of(problem)
    bounds = {name: bound_for(problem, name, approx) for name in subject.model.output_names}
    with stage("plan"):
        fast = Plan(subject.model, fast=True)
    for kind, inputs in (("inputs", subject.inputs), ("NaN in inputs", with_nan(subject.inputs))):
        expected = subject.run(inputs, problem.length)
        with stage("run"):
            values = fast.run(inputs, symbols={SYMBOL: problem.length})
        for name, value in expected.items():
            what = f"{kind}: batch, fast against eval"
            require_equal(
                values[name], value, wire=name, what=what, approx=approx, bound=bounds[name]
            )
        for pulse in problem.pulses:
            _check_pulsed(subject, pulse, inputs, approx, bounds, kind)


def _check_pulsed(
    subject: Subject,
    pulse: int,
    inputs: Mapping[str, Array],
    approx: str,
    bounds: Mapping[str, Array | None],
    kind: str,
) -> None:
    length = subject.problem.length
    with stage("run"):
        slow = run_turns(subject.pulsed_plan(pulse), inputs, length)
        quick = run_turns(subject.pulsed_plan(pulse, fast=True), inputs, length)
    for name, output in slow.items():
        require_equal(
            quick[name].kept,
            output.kept,
            wire=name,
            what=f"{kind}: pulse {pulse}, fast against eval",
            approx=approx,
            bound=bounds[name],
            stream=output.place,
        )


def with_nan(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs with one NaN in the middle of each array of floats."""
    spoiled: dict[str, Array] = {}
    for name, value in inputs.items():
        spoiled[name] = value.copy()
        if value.dtype.kind == "f" and value.size:
            spoiled[name][tuple(n // 2 for n in value.shape)] = np.nan
    return spoiled
