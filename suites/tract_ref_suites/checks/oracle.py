"""P0: the reference's `eval` computes what the problem says by another road."""

from __future__ import annotations

from tract_ref_suites.checks.bounds import bound_for
from tract_ref_suites.checks.failure import require_equal
from tract_ref_suites.checks.subject import Subject, require_outputs
from tract_ref_suites.problems.base import Problem


def eval_equals_oracle(problem: Problem) -> None:
    """P0: batch values under `eval` are the expected ones."""
    subject = Subject(problem)
    expected = problem.expected()
    require_outputs(expected, subject.model)
    for name, value in subject.batch.items():
        require_equal(
            value,
            expected[name],
            wire=name,
            what="eval against the oracle",
            approx=problem.oracle_approx,
            bound=bound_for(problem, name, problem.oracle_approx),
        )
