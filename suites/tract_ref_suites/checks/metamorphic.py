"""Laws between two models, or a model and itself at another pulse (spec/pulse.md T6, T8)."""

from __future__ import annotations

import numpy as np

from tract_ref import pulsify
from tract_ref.approx import Array
from tract_ref.errors import Refused
from tract_ref_suites.checks.failure import CheckFailure, require, require_equal, stage
from tract_ref_suites.checks.stream import require_kept
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import run_pushes, run_turns
from tract_ref_suites.problems.base import SYMBOL, Problem


def every_multiple_streams(problem: Problem, *, stride: int, most: int) -> int:
    """Stream at every multiple of the total stride, see every other pulse refused.

    Args:
        problem: the problem; its own pulses do not matter.
        stride: source frames per output frame.
        most: largest pulse.

    Returns:
        How many pulses streamed.

    Raises:
        CheckFailure: a multiple is refused or wrong, or another pulse is accepted.
    """
    subject = Subject(problem)
    streamed = 0
    for pulse in range(1, most + 1):
        if pulse % stride:
            _require_refused(subject, pulse, stride)
            continue
        streamed += 1
        plan = subject.pulsed_plan(pulse)
        with stage("run"):
            raw = run_turns(plan, subject.inputs, problem.length)
        for name, output in raw.items():
            require_kept(output, subject.batch[name], name, f"pulse {pulse} of a sweep")
    return streamed


def _require_refused(subject: Subject, pulse: int, stride: int) -> None:
    try:
        pulsify(subject.model, pulse, symbol=SYMBOL)
    except Refused as refusal:
        names = f"pulse={pulse} brings "
        text = f"pulse {pulse}, stride {stride}: refused by {str(refusal)!r}"
        require(names in str(refusal), "pulsify", "refused", text)
        return
    text = f"pulse {pulse} is accepted although {stride} source frames make one of output"
    raise CheckFailure("pulsify", "wrong_value", text)


def streams_agree(left: Problem, right: Problem) -> None:
    """Require that two problems of one input give the same promised frames at every pulse.

    Raises:
        CheckFailure: they do not.
    """
    for pulse in left.pulses:
        first, second = (_kept(Subject(problem), pulse) for problem in (left, right))
        require(list(first) == list(second), "run", "wrong_shape", "other outputs")
        for name, value in first.items():
            what = f"pulse {pulse}: {type(right).__name__} against {type(left).__name__}"
            require_equal(second[name], value, wire=name, what=what)


def _kept(subject: Subject, pulse: int) -> dict[str, Array]:
    plan = subject.pulsed_plan(pulse)
    with stage("run"):
        raw = run_turns(plan, subject.inputs, subject.problem.length)
    return {name: output.kept for name, output in raw.items()}


def any_cut_agrees(problem: Problem, sizes: tuple[int, ...]) -> None:
    """Require that a stream pushed in these sizes is the batch value.

    Raises:
        CheckFailure: it is not.
    """
    subject = Subject(problem)
    for pulse in problem.pulses:
        plan = subject.pulsed_plan(pulse)
        with stage("run"):
            values, _ = run_pushes(plan, subject.inputs, sizes)
        for name, value in values.items():
            what = f"pulse {pulse}, pushes of {list(sizes)}"
            require_equal(value, subject.batch[name], wire=name, what=what)


def composed(first: Array, second: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """Return the kernel [O, C, K] of two convolutions in one.

    Args:
        first: kernel of the convolution that comes first.
        second: kernel of the one that follows.
        stride: of the first one: what the second reads lies so far apart.
        dilation: of the second one.
    """
    apart = stride * dilation
    size = first.shape[2] + (second.shape[2] - 1) * apart
    kernel = np.zeros((second.shape[0], first.shape[1], size), first.dtype)
    for j in range(second.shape[2]):
        for i in range(first.shape[2]):
            kernel[:, :, i + j * apart] += second[:, :, j] @ first[:, :, i]
    return kernel
