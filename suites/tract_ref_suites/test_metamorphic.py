"""Streams that must agree: at all pulses, in all cuts, of models that mean the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref import pulsify
from tract_ref.ir.model import Model
from tract_ref.ops.conv import Conv
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.checks.metamorphic import (
    any_cut_agrees,
    composed,
    every_multiple_streams,
    streams_agree,
)
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.chains import (
    ChainProblem,
    chain_problems,
    field_of,
    source,
    total_stride,
)
from tract_ref_suites.problems.unets import UNetProblem, unet_problems
from tract_ref_suites.strategies.chunkings import chunkings
from tract_ref_suites.strategies.models import CHANNELS, Step
from tract_ref_suites.strategies.windows import Along, window_spec

MOST_PULSES = 24
"""Multiples of the stride in one sweep, for the rare field that is longer than that."""


def sweep(problem: ChainProblem) -> int:
    stride, field = total_stride(problem.steps), field_of(problem.steps)
    most = min(3 * field, MOST_PULSES * stride)
    return every_multiple_streams(problem, stride=stride, most=max(most, 2 * stride))


@given(chain_problems())
def test_a_chain_streams_at_every_multiple_of_its_stride_and_at_no_other_pulse(
    problem: ChainProblem,
) -> None:
    assert sweep(problem) >= 2


def test_a_sweep_sees_an_accepted_pulse_that_is_not_a_multiple() -> None:
    plain = ChainProblem(steps=(Step("Neg"),), frames=5, sizes=(1,))
    with pytest.raises(CheckFailure, match="pulse 1 is accepted"):
        every_multiple_streams(plain, stride=2, most=4)


def test_a_sweep_sees_a_multiple_that_is_refused() -> None:
    halved = ChainProblem(steps=(Step("sample", Along(1, 2)),), frames=5, sizes=(2,))
    with pytest.raises(CheckFailure, match="pulse=1 brings 1 frames"):
        every_multiple_streams(halved, stride=1, most=4)


@given(st.data())
def test_any_cut_of_a_chain_gives_the_batch_value(data: st.DataObject) -> None:
    problem = data.draw(chain_problems())
    any_cut_agrees(problem, data.draw(chunkings(problem.length)))


@given(st.data())
def test_any_cut_of_an_encoder_with_its_decoder_gives_the_batch_value(data: st.DataObject) -> None:
    problem: UNetProblem = data.draw(unet_problems())
    any_cut_agrees(problem, data.draw(chunkings(problem.length)))


@given(chain_problems(most=2), st.integers(1, 9), st.booleans())
def test_frames_added_in_front_and_dropped_again_change_nothing(
    problem: ChainProblem, frames: int, is_last: bool
) -> None:
    idle = (Step("pad", pair=(frames, 0)), Step("crop", pair=(frames, 0)))
    steps = (*problem.steps, *idle) if is_last else (*idle, *problem.steps)
    streams_agree(problem, replace(problem, steps=steps))


@given(chain_problems(most=2), st.integers(1, 9))
def test_frames_added_behind_and_dropped_again_change_nothing(
    problem: ChainProblem, frames: int
) -> None:
    idle = (Step("concat", pair=(0, frames), seed=1), Step("crop", pair=(0, frames)))
    streams_agree(problem, replace(problem, steps=(*idle, *problem.steps)))


def test_a_frame_that_is_not_dropped_again_is_seen() -> None:
    plain = ChainProblem(steps=(Step("Neg"),), frames=5, sizes=(2,))
    longer = replace(plain, steps=(Step("pad", pair=(1, 0)), Step("Neg")))
    with pytest.raises(CheckFailure):
        streams_agree(plain, longer)


@dataclass(frozen=True, kw_only=True)
class ComposedProblem(ChainProblem):
    """Two convolutions without padding, as one."""

    def model(self) -> Model:
        first, second = self.steps
        kernel = composed(
            first.weights(CHANNELS),
            second.weights(CHANNELS),
            stride=first.stride,
            dilation=second.along.dilation,
        )
        model = Model()
        x = model.add_source("x", source(model))
        along = Along(kernel.shape[2], first.stride * second.stride)
        weights = model.add_const("kernel", kernel)
        op = Conv(window_spec((along,)), 1)
        model.set_outputs(model.wire("both", op, (x, weights)), ["y"])
        return model


@given(
    kernels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 3),
    factor=st.integers(1, 3),
    frames=st.integers(0, 40),
)
def test_two_convolutions_are_the_convolution_of_their_composed_kernel(
    kernels: tuple[int, int],
    strides: tuple[int, int],
    dilation: int,
    factor: int,
    frames: int,
) -> None:
    first = Step("conv", Along(kernels[0], strides[0]), seed=1)
    second = Step("conv", Along(kernels[1], strides[1], dilation), seed=2)
    pulse = strides[0] * strides[1] * factor
    both = ChainProblem(steps=(first, second), frames=frames, sizes=(pulse,))
    one = ComposedProblem(**vars(both))
    streams_agree(both, one)
    delays = [pulsify(p.model(), pulse, symbol=SYMBOL).delays for p in (both, one)]
    # Each of the two rounds its own delay up.
    assert delays[0] >= delays[1]


def test_a_wrong_composed_kernel_is_seen() -> None:
    first, second = np.ones((2, 2, 2)), np.ones((2, 2, 3))
    assert composed(first, second, stride=2).shape == (2, 2, 6)
    assert composed(first, second).sum() == 2 * 2 * 2 * 2 * 3
    both = ChainProblem(
        steps=(Step("conv", Along(2), seed=1), Step("conv", Along(2), seed=2)),
        frames=9,
        sizes=(4,),
    )
    other = replace(both.steps[0], seed=3)
    with pytest.raises(CheckFailure):
        streams_agree(both, ComposedProblem(**vars(replace(both, steps=(other, both.steps[1])))))
