"""Which source frames a frame depends on: exact for every phase."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tract_ref import pulsify
from tract_ref.dim import Scope, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Add
from tract_ref.ops.concat import Concat
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool
from tract_ref.ops.slicing import Slice
from tract_ref.passes.reads import NOTHING, Reads, added_at, begun, source_reads, windowed
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.problems.chains import ChainProblem
from tract_ref_suites.problems.deconv import DeconvProblem, Spread
from tract_ref_suites.problems.unets import Level, UNetProblem
from tract_ref_suites.strategies.models import Step
from tract_ref_suites.strategies.windows import Along, window_spec

ONE = source_reads(Fraction(1))
ONE_RATE = Fraction(1)
S = sym(SYMBOL)


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


def test_first_frames_of_another_stream_are_told_apart_as_far_as_they_are_read() -> None:
    # Source frames 7, 8, then 0, 1, 2, ..: two frames at once are one apart, but for 8 and 0.
    front = begun(
        2, (ONE, lambda i: (i + 7, i + 7)), windowed(ONE_RATE, [(ONE, _back)], endless=False)
    )
    assert [front.span(i) for i in range(-1, 4)] == [NOTHING, (7, 7), (8, 8), (0, 0), (1, 1)]
    pairs = windowed(ONE_RATE, [(front, lambda i: (i, i + 1))], endless=False)
    assert pairs == Reads(1, ((-2, -1),), ((7, 8), (0, 8)))
    assert pairs.widest == 9


def test_a_dilated_kernel_adds_frames_of_one_phase_only() -> None:
    # Taps 0, 3, 6, 9 of frames two apart: even places are reached by 0 and 6, odd ones by 3 and 9.
    assert [added_at(p, field=9, stride=2, dilation=3) for p in (8, 9)] == [(1, 4), (0, 3)]
    assert added_at(3, field=2, stride=4, dilation=2) == (1, 0)
    problem = DeconvProblem(shape=(1, 1, 9), axis=2, sizes=(2,), axes=(Spread(4, 2, 3),))
    assert pulsify(problem.model(), 2, symbol=SYMBOL).receptive_field == 4


def _field(model: Model, *outputs: Outlet, pulse: int = 4) -> int | None:
    model.set_outputs(outputs, [f"y{slot}" for slot in range(len(outputs))])
    return pulsify(model, pulse, symbol=SYMBOL).receptive_field


def _streamed(*, least: int = 0) -> tuple[Model, Outlet]:
    model = Model(Scope([f"{SYMBOL}>={least}"] if least else []))
    return model, model.add_source("x", Fact(np.dtype("f4"), (1, 1, S)))


def _window(model: Model, wire: Outlet, kernel: int) -> Outlet:
    return model.wire("window", MaxPool(window_spec((Along(kernel),))), (wire,))[0]


@pytest.mark.parametrize(("pair", "kernel"), [((9, 2), 1), ((3, 2), 3), ((0, 4), 3), ((5, 0), 2)])
def test_a_copied_border_widens_no_field(pair: tuple[int, int], kernel: int) -> None:
    model, wire = _streamed()
    (wire,) = model.wire("pad", Pad(((0, 0), (0, 0), pair), "edge", 0.0), (wire,))
    assert _field(model, _window(model, wire, kernel)) == kernel


def test_a_copied_border_meets_what_is_not_padded() -> None:
    model, wire = _streamed()
    (padded,) = model.wire("pad", Pad(((0, 0), (0, 0), (5, 0)), "edge", 0.0), (wire,))
    (cut,) = model.wire("cut", Slice(2, 0, S), (padded,))
    # Frame i is frame max(0, i - 5) beside frame i.
    assert _field(model, *model.wire("sum", Add(), (cut, wire))) == 6


def test_first_frames_in_front_reach_from_their_place_or_from_that_of_the_stream() -> None:
    model, wire = _streamed(least=4)
    (piece,) = model.wire("piece", Slice(2, 1, 4), (wire,))
    (joined,) = model.wire("join", Concat(2), (piece, wire))
    (cut,) = model.wire("cut", Slice(2, 0, S), (joined,))
    # Beside frame i stands frame i + 1 at first, frame i - 3 from frame 3 on.
    assert _field(model, *model.wire("sum", Add(), (cut, wire))) == 4


def test_a_window_reaches_from_first_frames_in_front_to_the_stream_behind_them() -> None:
    model, wire = _streamed(least=10)
    (piece,) = model.wire("piece", Slice(2, 9, 10), (wire,))
    (joined,) = model.wire("join", Concat(2), (piece, wire))
    assert _field(model, joined) == 1
    assert _field(model, _window(model, joined, 3)) == 10


def _back(frame: int) -> tuple[int, int]:
    return frame - 2, frame - 2
