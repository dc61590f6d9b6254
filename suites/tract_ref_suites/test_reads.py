"""Which source frames a frame depends on: exact for every phase."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from tract_ref import pulsify
from tract_ref.passes.reads import NOTHING, Reads, source_reads, windowed
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.chains import ChainProblem
from tract_ref_suites.problems.deconv import Spread
from tract_ref_suites.problems.unets import Level, UNetProblem
from tract_ref_suites.strategies.models import Step
from tract_ref_suites.strategies.windows import Along

ONE = source_reads(Fraction(1))


def test_two_frames_per_source_frame_belong_to_it() -> None:
    reads = source_reads(Fraction(2))
    assert [reads.span(i) for i in range(-1, 4)] == [(-1, -1), (0, 0), (0, 0), (1, 1), (1, 1)]


def test_a_strided_window_reads_from_stride_times_its_number() -> None:
    reads = windowed(Fraction(1, 2), [(ONE, lambda i: (2 * i - 1, 2 * i + 3))], endless=False)
    assert reads == Reads(2, ((-1, 3),))
    assert reads.span(3) == (5, 9)
    assert reads.widest == 5


def test_a_frame_that_reads_nothing_widens_nothing() -> None:
    coded = windowed(Fraction(3), [(ONE, lambda i: (-(-i // 3), i // 3))], endless=False)
    assert coded.spans == ((0, 0), NOTHING, NOTHING)
    assert coded.widest == 1
    back = windowed(Fraction(1), [(coded, lambda i: (3 * i, 3 * i + 3))], endless=False)
    assert back.spans == ((0, 1),)


def test_a_long_window_needs_only_its_first_and_last_period() -> None:
    reads = Reads(2, ((0, 5), (-3, 1), (1, 1)))
    every = [reads.span(i) for i in range(-7, 23)]
    assert reads.hull(-7, 22) == (min(a for a, _ in every), max(b for _, b in every))


def test_a_recurrence_has_no_widest_frame() -> None:
    reads = windowed(Fraction(1), [(ONE, lambda i: (i, i))], endless=True)
    assert math.isinf(reads.widest)


@pytest.mark.parametrize(
    ("skip", "field"), [(0, 3), (1, 4), (2, 5)], ids=["beside", "one-ahead", "two-ahead"]
)
def test_phases_are_told_apart_where_decoded_frames_meet_their_source(
    skip: int, field: int
) -> None:
    level = Level(Along(3, 3), Spread(3, 3), skip)
    problem = UNetProblem(levels=(level,), frames=12, sizes=(3,))
    assert pulsify(problem.model(), 3, symbol=SYMBOL).receptive_field == field


def test_the_field_of_a_chain_is_what_its_windows_add_up_to() -> None:
    steps = (Step("conv", Along(3)), Step("sample", Along(1, 2)), Step("maxpool", Along(4)))
    problem = ChainProblem(steps=steps, frames=9, sizes=(2,))
    assert pulsify(problem.model(), 2, symbol=SYMBOL).receptive_field == 3 + 2 * 3
