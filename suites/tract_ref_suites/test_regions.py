"""Regions in closed form: ramps and counts against brute force, and their view as dims."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.dim import Dim, ceil_div, dim_max, dim_min, evaluate, sym
from tract_ref.errors import Refused
from tract_ref.runtime.reach import Reach
from tract_ref.stream.region import (
    LARGEST_PERIOD,
    AxisRegion,
    Count,
    Ramp,
    count_of,
    joined_regions,
    ramp,
    slow_count,
    source_region,
)
from tract_ref.stream.region_view import held_after, increment_of

S, T, P = sym("S"), sym("T"), sym("P")
PERIODS = (1, 2, 3, 4, 6)


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    """Draw a ramp that never decreases, of a short period."""
    period = draw(st.sampled_from(PERIODS))
    rises = draw(st.lists(st.integers(0, 3), min_size=period, max_size=period))
    value = draw(st.integers(-8, 8))
    values: list[int] = []
    for rise in rises:
        values.append(value)
        value += rise
    return ramp(sum(rises), values)


@st.composite
def counts(draw: st.DrawFn) -> Count:
    """Draw the least of one to three clauses, each the greatest of one or two ramps."""
    clauses = draw(st.lists(st.lists(ramps(), min_size=1, max_size=2), min_size=1, max_size=3))
    total = Count.of(*clauses[0])
    for clause in clauses[1:]:
        total = total.least(Count.of(*clause))
    return total


reaches = st.builds(
    Reach,
    scale=st.integers(1, 4),
    per=st.integers(1, 3),
    low=st.just(-5),
    high=st.integers(-5, 9),
)


@st.composite
def regions(draw: st.DrawFn) -> AxisRegion:
    """Draw what one to three ops in a row make of a source, the end known or not."""
    end = draw(st.none() | st.integers(0, 30))
    region = source_region(Fraction(1), end, S, "S")
    length: Dim = S
    for _ in range(draw(st.integers(1, 3))):
        reach = draw(reaches)
        front = draw(st.integers(0, 4))
        length = dim_max(0, (length * reach.per + draw(st.integers(-6, 6))) // reach.scale)
        plan = Reach(reach.scale, reach.per, reach.low, reach.high, front)
        slow = slow_count([(S, Fraction(1))], "S", draw(st.integers(0, 3)))
        region = joined_regions([(region, plan)], length, "S", slow, end)
    return region


def agree(count: Count | Ramp, value: Callable[[int], int]) -> None:
    """Require a value after any number of frames: over periods of all that is drawn, and far."""
    for source in (*range(60), 10**6, 10**6 + 7, 10**12 + 5):
        assert count.at(source) == value(source), source


# Ramps


@given(ramps())
def test_a_ramp_repeats_its_rise_over_every_period(each: Ramp) -> None:
    for source in range(40):
        assert each.at(source + each.period) == each.at(source) + each.step


@given(ramps(), st.sampled_from((1, 2, 5)))
def test_a_ramp_is_made_with_its_shortest_period(each: Ramp, times: int) -> None:
    step, values = each.over(each.period * times)
    assert ramp(step, values) == each
    agree(Ramp(step, values), each.at)


@given(ramps(), ramps())
def test_the_sum_of_ramps_is_the_sum_of_their_values(a: Ramp, b: Ramp) -> None:
    agree(a + b, lambda s: a.at(s) + b.at(s))


@given(ramps(), st.integers(-3, 3))
def test_the_multiple_of_a_ramp_is_the_multiple_of_its_values(a: Ramp, factor: int) -> None:
    agree(a.times(factor), lambda s: factor * a.at(s))


@given(ramps(), st.integers(1, 5), st.integers(1, 5), st.integers(-9, 9))
def test_a_ramp_goes_through_a_floor(a: Ramp, scale: int, per: int, shift: int) -> None:
    agree(a.through(scale, per, shift), lambda s: (per * a.at(s) + shift) // scale)


@given(ramps(), ramps())
def test_a_ramp_covers_exactly_those_that_are_nowhere_larger(a: Ramp, b: Ramp) -> None:
    # After 24 periods of both, the steeper one has overtaken whatever began 20 higher.
    seen = range(24 * a.period * b.period)
    assert a.covers(b) == all(a.at(s) >= b.at(s) for s in seen)


def test_phases_that_never_recur_soon_are_refused() -> None:
    long = Ramp(1, (0,)).through(LARGEST_PERIOD, 1, 0)
    assert long.period == LARGEST_PERIOD
    with pytest.raises(Refused, match=f"recur after {2 * LARGEST_PERIOD} source frames"):
        Ramp(1, (0,)).through(2 * LARGEST_PERIOD, 1, 0)


# Counts


@given(counts(), counts())
def test_least_greatest_and_sum_of_counts_are_those_of_their_values(a: Count, b: Count) -> None:
    agree(a.least(b), lambda s: min(a.at(s), b.at(s)))
    agree(a.greatest(b), lambda s: max(a.at(s), b.at(s)))
    agree(a.plus(b), lambda s: a.at(s) + b.at(s))


@given(counts(), st.integers(-3, 3))
def test_the_multiple_of_a_count_is_the_multiple_of_its_values(a: Count, factor: int) -> None:
    agree(a.times(factor), lambda s: factor * a.at(s))


@given(counts(), reaches)
def test_a_count_goes_through_an_op_as_its_frames_do(a: Count, reach: Reach) -> None:
    frames = a.greatest(Count.constant(0))
    agree(frames.through(reach), lambda s: reach.count(frames.at(s)))


@given(st.integers(0, 40), reaches)
def test_the_frames_of_a_reach_are_those_whose_last_frame_has_come(n: int, reach: Reach) -> None:
    count = reach.count(n)
    assert all(reach.last(frame) < n for frame in range(count))
    assert reach.last(count) >= n


@given(counts(), st.integers(-10, 40))
def test_a_count_reaches_a_value_when_it_first_holds_as_much(a: Count, value: int) -> None:
    found = a.reaches(value)
    # Beyond 600 frames every ramp that rises has risen by more than 50.
    first = next((s for s in range(600) if a.at(s) >= value), None)
    assert found == first


@given(counts())
def test_no_clause_and_no_ramp_of_a_count_is_there_for_nothing(a: Count) -> None:
    for clause in a.clauses:
        others = [each for each in a.clauses if each is not clause]
        assert not any(
            all(any(mine.covers(each) for mine in clause) for each in other) for other in others
        )
        assert not any(x is not y and x.covers(y) for x in clause for y in clause)


LENGTHS: dict[str, Dim] = {
    "S": S,
    "S-3": S - 3,
    "max(0,S-3)": dim_max(0, S - 3),
    "min(S,5)": dim_min(S, 5),
    "max(2,min(S-1,7))": dim_max(2, dim_min(S - 1, 7)),
    "S/2": S // 2,
    "ceil(S/3)": ceil_div(S, 3),
    "2*(S/2)": S // 2 * 2,
    "S/2+S/3": S // 2 + S // 3,
    "3*min(S/2,4)+1": dim_min(S // 2, 4) * 3 + 1,
    "max(0,(5*S-7)/4)": dim_max(0, (S * 5 - 7) // 4),
    "4": 4,
}


@pytest.mark.parametrize("text", list(LENGTHS))
@pytest.mark.parametrize("least", [0, 4])
def test_a_length_as_a_count_is_the_length(text: str, least: int) -> None:
    length = LENGTHS[text]
    slow = slow_count([(S, Fraction(1))], "S", least)
    agree(count_of(length, "S", slow), lambda s: evaluate(length, {"S": max(s, least)}))


@pytest.mark.parametrize("text", list(LENGTHS))
def test_what_falls_in_a_length_is_no_part_of_its_region(text: str) -> None:
    length = LENGTHS[text]
    source = source_region(Fraction(1), None, S, "S")
    slow = slow_count([(S, Fraction(1))], "S", 0)
    # It reads nothing: what is certain of the length is all there at once.
    region = joined_regions([(source, Reach(high=-(10**9)))], length, "S", slow, None)
    for _, count in region.pieces:
        assert all(each.step >= 0 for clause in count.clauses for each in clause)
    for s in range(40):
        assert region.at(s) == max(0, evaluate(length, {"S": s}))


@pytest.mark.parametrize(
    ("length", "rate", "slow"),
    [
        (S, Fraction(1), [0, 1, 2, 3, 4, 5, 6]),
        (S + 2, Fraction(1), [0, 0, 0, 1, 2, 3, 4]),
        (S * 2, Fraction(2), [0, 1, 2, 3, 4, 5, 6]),
        (S // 2, Fraction(1, 2), [0, 0, 2, 2, 4, 4, 6]),
        ((S + 1) // 2, Fraction(1, 2), [0, 0, 1, 1, 3, 3, 5]),
    ],
)
def test_the_frames_of_an_input_tell_the_smallest_stream(
    length: Dim, rate: Fraction, slow: list[int]
) -> None:
    count = slow_count([(length, rate)], "S", 0)
    assert [count.at(s) for s in range(7)] == slow


@pytest.mark.parametrize(
    ("length", "end", "held", "complete"),
    [
        (S, 4, [0, 1, 2, 3, 4, 4], 4),
        (S - 2, 4, [0, 1, 2, 2, 2, 2], 2),
        (S + 2, 3, [0, 1, 2, 5, 5, 5], 3),
        (S, 0, [0, 0, 0, 0, 0, 0], 0),
    ],
)
def test_an_input_of_an_announced_end_is_complete_with_its_last_frame(
    length: Dim, end: int, held: list[int], complete: int
) -> None:
    region = source_region(Fraction(1), end, length, "S")
    assert [region.at(s) for s in range(6)] == held
    assert region.complete == complete


# The view in turns


@given(regions())
def test_a_region_never_falls(region: AxisRegion) -> None:
    values = [region.at(s) for s in range(80)]
    assert values == sorted(values)


@given(regions())
def test_the_dims_of_turns_are_the_closed_form(region: AxisRegion) -> None:
    # Both sides are quasi-affine from the last piece on: equal over two periods, equal for ever.
    _, last = region.pieces[-1]
    until = region.pieces[-1][0] + 2 * max(last.period, 1) + 2
    held = held_after(region, T, 1)
    brought = increment_of(region, T, 1)
    for turn in range(until):
        assert value_of(held, turn) == region.at(turn)
        assert value_of(brought, turn) == region.at(turn + 1) - region.at(turn)


@given(regions(), st.integers(1, 9))
def test_the_dims_of_a_pulse_that_is_a_symbol_are_the_closed_form(
    region: AxisRegion, pulse: int
) -> None:
    held, brought = held_after(region, T, P), increment_of(region, T, P)
    for turn in range(12):
        assert value_of(held, turn, pulse) == region.at(turn * pulse)
        after = region.at((turn + 1) * pulse)
        assert value_of(brought, turn, pulse) == after - region.at(turn * pulse)


def value_of(dim: Dim, turn: int, pulse: int = 1) -> int:
    """Return the value of a dim of T and P."""
    return evaluate(dim, {"T": turn, "P": pulse})


def test_the_increments_of_a_window_are_written_in_turns() -> None:
    source = source_region(Fraction(1), None, S, "S")
    slow = slow_count([(S, Fraction(1))], "S", 0)
    conv = joined_regions([(source, Reach(high=2))], dim_max(0, S - 2), "S", slow, None)
    assert conv.pieces == ((0, Count.of(Ramp(0, (0,)), Ramp(1, (-2,)))),)
    assert str(held_after(conv, T, P)) == str(dim_max(0, T * P - 2))
    assert increment_of(conv, 0, 4) == 2
    assert increment_of(conv, 1, 4) == 4
