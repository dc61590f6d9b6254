"""No fast kernel escapes P11: for each there is a problem whose plan really uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import Phase, find, settings
from hypothesis.errors import NoSuchExample

from tract_ref.ir.model import Model
from tract_ref.ir.op import Op
from tract_ref.runtime import frame
from tract_ref.runtime.kernels import FAST, Concrete, Kernel, build_kernel
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.checks.fast import fast_equals_eval
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem
from tract_ref_suites.problems.structure import IdentityProblem

OPS = sorted(FAST.keys(), key=lambda op: op.__name__)


# The first that will do: no shrinking.
_SETTINGS = settings(
    max_examples=50, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
)


def dull_problems() -> Iterator[Problem]:
    """Yield the hand problems, and of every strategy a stream that has frames."""
    for family in families().values():
        yield from family.hand.values()
        for strategy in family.strategies.values():
            # Some kernels are for f32 only.
            with suppress(NoSuchExample):
                yield find(
                    strategy(), lambda p: p.length > 1 and "'f4'" in repr(p), settings=_SETTINGS
                )
            # Some strategies draw hardly anything but short streams.
            with suppress(NoSuchExample):
                yield find(strategy(), lambda p: p.length > 1, settings=_SETTINGS)


@pytest.fixture(scope="module")
def used_kernels() -> set[type[Op]]:
    """Ops that get a kernel in the batch or the pulsified plan of some problem."""
    used: set[type[Op]] = set()

    def noting(op: Op, facts: Concrete) -> Kernel | None:
        kernel = build_kernel(op, facts)
        if kernel is not None:
            used.add(type(op))
        return kernel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame, "build_kernel", noting)
        for problem in dull_problems():
            lay_out(problem)
    return used


def lay_out(problem: Problem) -> None:
    subject = Subject(problem)
    models: list[tuple[Model, dict[str, int]]] = [(subject.model, {SYMBOL: problem.length})]
    models += [(subject.pulsed(pulse).model, {}) for pulse in problem.pulses[:1]]
    for model, bindings in models:
        plan = type(subject.plan)(model, fast=True)
        # Sizes that only the run tells leave no buffers to lay out.
        if not plan.has_late_sizes(bindings):
            plan.new_frame(bindings)


def test_there_are_fast_kernels() -> None:
    assert len(OPS) > 20


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_a_problem_uses_the_kernel(op: type[Op], used_kernels: set[type[Op]]) -> None:
    assert op in used_kernels, f"no hand problem makes a plan that uses the kernel of {op.__name__}"


def test_a_kernel_that_doubles_is_caught() -> None:
    identity = next(op for op in OPS if op.__name__ == "Identity")

    def doubled(op: Op, facts: Concrete) -> Kernel:
        return frame.Compute(lambda ins, outs: lambda: _double(ins[0], outs[0]))

    with FAST.replaced(identity, doubled), pytest.raises(CheckFailure) as caught:
        fast_equals_eval(IdentityProblem())
    assert caught.value.symptom == "wrong_value"


def _double(source: frame.Tensor, target: frame.Tensor) -> None:
    target[...] = source * 2
