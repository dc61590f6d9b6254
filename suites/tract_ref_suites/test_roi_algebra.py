"""Regions of interest as sets of positions, against sets that are counted out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, eq, ge, parse_dim, sym, symbols
from tract_ref.errors import EvalError, Inconclusive
from tract_ref.ir.per_element import coordinate
from tract_ref.stream.positions import positions
from tract_ref.stream.roi import (
    Region,
    as_region,
    complement,
    either,
    intersection,
    project,
    read_by,
    settle,
    size_of,
    union,
    where_not_zero,
)
from tract_ref.stream.roi_moves import bordered, cropped, reshaped, sampled, tiled
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.strategies.regions import (
    Place,
    conjunctions,
    places,
    regions,
    seen_along,
)

S = sym(SYMBOL)
SCOPE = Scope(["S>=0"])
AT = coordinate(0)
BESIDE = coordinate(1)
LARGEST = 120


@st.composite
def placed(draw: st.DrawFn, *, count: int) -> tuple[Place, tuple[Dim, ...]]:
    place = draw(places())
    rank = len(place.shape)
    return place, tuple(draw(regions(rank=rank)) for _ in range(count))


@given(placed(count=2))
def test_union_intersection_and_complement_are_those_of_sets(
    drawn: tuple[Place, tuple[Dim, ...]],
) -> None:
    place, (a, b) = drawn
    first, second = place.mask(a), place.mask(b)
    assert np.array_equal(place.mask(a * b), first & second)
    assert np.array_equal(place.mask(complement(a)), ~first)
    assert np.array_equal(place.mask(as_region(1 - a)), ~first)
    for region, wanted in (
        (union(a, b, place.shape, SCOPE), first | second),
        (either(a, b), first | second),
        (settle(a, place.shape, SCOPE), first),
    ):
        # A region that grows too large is widened to all, never to something in between.
        assert region is None or np.array_equal(place.mask(region), wanted)
    both = intersection(a, b)
    if size_of(a * b) <= LARGEST:
        assert np.array_equal(place.mask(both), first & second)
    else:
        assert size_of(0 if both is None else both) == min(size_of(a), size_of(b))
        assert (place.mask(both) >= first & second).all()


@given(placed(count=1), st.data())
def test_a_projection_covers_what_it_projects(
    drawn: tuple[Place, tuple[Dim, ...]], data: st.DataObject
) -> None:
    place, (region,) = drawn
    gone = data.draw(st.integers(0, len(place.shape) - 1))
    kept = [axis for axis in range(len(place.shape)) if axis != gone]
    found = project(region, kept, place.shape)
    assert f"🎯{gone}" not in (symbols(found) if found is not None else ())
    assert (place.mask(found) >= seen_along(place.mask(region), gone)).all()


@given(st.data())
def test_a_projection_of_linear_comparisons_is_exact(data: st.DataObject) -> None:
    # Of what the symbol alone decides nothing is said, so it is longer than all numbers.
    place = replace(data.draw(places(rank=2)), length=10)
    region = data.draw(conjunctions(rank=2))
    found = project(region, [1], place.shape)
    assert np.array_equal(place.mask(found), seen_along(place.mask(region), 0))


@given(st.data())
def test_what_windows_read_is_exact_for_intervals(data: st.DataObject) -> None:
    stride, field, before = (
        data.draw(st.integers(low, high)) for low, high in ((1, 3), (0, 4), (0, 2))
    )
    frames = data.draw(st.integers(max(0, field + 1 - before), 12))
    out = (frames + before - field - 1) // stride + 1
    first, last = sorted(data.draw(st.integers(0, 5)) for _ in range(2))
    region = ge(AT, first) * ge(last, AT)
    found = read_by(region, 0, out, AT + before - field, AT + before, scale=stride)
    wanted = np.zeros(frames, np.bool_)
    for window in range(first, min(last, out - 1) + 1):
        start = window * stride - before
        wanted[max(0, start) : max(0, start + field + 1)] = True
    assert np.array_equal(positions(found, (frames,), {}), wanted)


def _read(indices: Array | list[int], size: int, seen: Array) -> Array:
    """Mark the positions that observed output positions show."""
    wanted = np.zeros(size, np.bool_)
    for position, is_seen in zip(indices, seen, strict=True):
        wanted[position] |= is_seen
    return wanted


@given(st.data())
def test_crops_samples_pads_and_copies_move_positions_as_numpy_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(3, 7))
    region: Region = data.draw(st.none() | regions(rank=1))
    start, end = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 8))
    stride = data.draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
    modulo = data.draw(st.integers(0, 3)) if stride > 0 else 0
    pair = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    whole = np.arange(size)
    moves = [
        (cropped(region, 0, start, end), whole[start : max(start, end)]),
        (sampled(region, 0, stride, modulo, size), whole[modulo if stride > 0 else None :: stride]),
        (bordered(region, 0, pair, size, "edge"), np.pad(whole, pair, "edge")),
        (bordered(region, 0, pair, size, "reflect"), np.pad(whole, pair, "reflect")),
        (tiled(region, 0, 3, size, (3 * size,)), np.tile(whole, 3)),
    ]
    for moved, indices in moves:
        seen = positions(region, indices.shape, {SYMBOL: 4})
        settled = settle(moved, (size,), SCOPE)
        wanted = _read(indices, size, seen)
        assert settled is None or np.array_equal(positions(settled, (size,), {SYMBOL: 4}), wanted)


@pytest.mark.parametrize(
    ("mode", "pair", "shown", "copied"),
    [
        ("reflect", (0, 2), S, S - 2),
        ("reflect", (0, 2), S + 1, S - 3),
        ("reflect", (1, 2), S + 2, S - 3),
        ("reflect", (2, 0), 0, 2),
        ("reflect", (2, 0), 1, 1),
        ("edge", (0, 2), S, S - 1),
        ("edge", (0, 2), S + 1, S - 1),
        ("edge", (1, 2), S + 2, S - 1),
        ("edge", (2, 0), 0, 0),
        ("edge", (2, 0), 1, 0),
    ],
)
def test_a_border_shows_the_position_that_it_copies(
    mode: str, pair: tuple[int, int], shown: Dim, copied: Dim
) -> None:
    moved = bordered(eq(AT, shown), 0, pair, S, mode)
    long = Scope(["S>=9"])
    assert settle(moved, (S,), long) == settle(eq(AT, copied), (S,), long)


@pytest.mark.parametrize(
    ("comparisons", "first", "last"),
    [
        # Some 🎯0 from 6 on has ⌊🎯0/4⌋ <= 🎯1: 4*🎯1 + 3 >= 6.
        (ge(BESIDE, AT // 4) * ge(AT, 6), 1, 9),
        (ge(BESIDE, AT // 4) * ge(AT, 8), 2, 9),
        (ge(BESIDE, AT // 4) * ge(AT, 7), 1, 9),
        # Some 🎯0 up to 9 has ⌊🎯0/4⌋ >= 🎯1: 4*🎯1 <= 9.
        (ge(AT // 4, BESIDE) * ge(9, AT), 0, 2),
        (ge(AT // 4, BESIDE) * ge(7, AT), 0, 1),
        (ge(AT // 4, BESIDE) * ge(8, AT), 0, 2),
    ],
    ids=str,
)
def test_a_projection_under_a_floor_reaches_both_ends_of_its_block(
    comparisons: Dim, first: int, last: int
) -> None:
    place = Place((40, 10), 0)
    found = project(comparisons, [1], place.shape)
    assert place.mask(found)[0].tolist() == [first <= at <= last for at in range(10)]
    assert np.array_equal(place.mask(found), seen_along(place.mask(comparisons), 0))


def test_a_floor_is_taken_out_of_a_comparison_on_either_side() -> None:
    assert settle(ge(2, AT // 4), (40,), SCOPE) == ge(11, AT)
    assert settle(ge(AT // 4, 2), (40,), SCOPE) == ge(AT, 8)


@pytest.mark.parametrize(
    ("before", "after"),
    [((2, 3), (6,)), ((6,), (2, 3)), ((2, 6), (4, 3)), ((S, 2), (2 * S,)), ((S, 4), (2 * S, 2))],
    ids=str,
)
@given(data=st.data())
def test_a_reshape_keeps_row_major_order(
    before: tuple[Dim, ...], after: tuple[Dim, ...], data: st.DataObject
) -> None:
    source, target = Place((2, *before, 2), 3), Place((2, *after, 2), 3)
    region = data.draw(regions(rank=len(after) + 2))
    found = settle(reshaped(region, 1, before, after, target.shape), source.shape, SCOPE)
    wanted = target.mask(region).reshape(source.sizes)
    assert found is None or np.array_equal(source.mask(found), wanted)


def test_a_reshape_of_two_symbolic_dims_sees_everything_there() -> None:
    region = ge(AT, 1) * ge(BESIDE, 2)
    found = reshaped(region, 1, (S, 2 * S), (2 * S, S), (4, 2 * S, S))
    assert settle(found, (4, S, 2 * S), SCOPE) == ge(AT, 1)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (ge(AT, 3), ge(AT, 5), ge(AT, 3)),
        (ge(2, AT), ge(AT, 3), None),
        (ge(AT, 3) * ge(5, AT), ge(AT, 6) * ge(8, AT), ge(AT, 3) * ge(8, AT)),
        (ge(2, AT), ge(AT, 3) * ge(5, AT), ge(5, AT)),
        (ge(AT, 8), 0, ge(AT, 8)),
        (ge(AT, 1) * ge(0, AT), ge(AT, 8), ge(AT, 8)),
        (ge(AT, 0), 0, None),
        (ge(AT, 10), 0, 0),
        (ge(AT, 3), None, None),
    ],
    ids=["implied", "all", "meet", "front-meets", "none", "never", "proved", "outside", "reader"],
)
def test_a_union_has_its_shortest_form(a: Region, b: Region, wanted: Region) -> None:
    assert union(a, b, (10,), Scope()) == wanted
    assert union(b, a, (10,), Scope()) == wanted


def test_the_union_of_distant_intervals_keeps_both() -> None:
    a, b = ge(1, AT), ge(AT, 4)
    assert union(a, b, (10,), Scope()) == a + b - a * b


def test_a_chunk_band_is_projected_to_whole_chunks() -> None:
    # ⌊row/4⌋ - ⌊column/4⌋ in [0, 1]: rows 5 and on see the columns from chunk 0 on.
    band = ge(AT // 4 - BESIDE // 4, 0) * ge(1, AT // 4 - BESIDE // 4)
    one_row = settle(project(band * eq(AT, 5), [1], (S, S)), (S, S), SCOPE)
    place = Place((S, S), 16)
    assert place.mask(one_row)[0].tolist() == [True] * 8 + [False] * 8


def test_a_factor_that_is_not_linear_is_dropped_and_the_others_stay() -> None:
    square = ge(AT * AT - 9, 0)
    assert project(square * ge(BESIDE, 2), [1], (5, 5)) == ge(BESIDE, 2)


def test_a_region_that_grows_too_large_is_everywhere() -> None:
    region: Region = 0
    for number in range(0, 60, 3):
        region = union(region, eq(AT, number), (60,), Scope())
        if region is None:
            break
        assert size_of(region) <= LARGEST
    assert region is None


def test_regions_that_are_too_large_to_multiply_out_are_everywhere() -> None:
    # Four comparisons joined have 15 terms; three copies of them had 4,095, and raised.
    region: Dim = 0
    for each in (ge(AT, 0), ge(AT, -1), ge(0, AT), ge(AT, 1)):
        region = region + each - region * each
    assert tiled(region, 0, 3, 3, (9,)) == 1
    assert intersection(region, region) == region


def test_whole_numbers_that_are_not_zero() -> None:
    found = positions(where_not_zero(AT - 3), (6,), {})
    assert found.tolist() == [True, True, True, False, True, True]
    assert where_not_zero(ge(AT, 2)) == ge(AT, 2)
    twice = positions(where_not_zero(ge(AT, 2) + ge(AT, 4)), (6,), {})
    assert twice.tolist() == [False, False, True, True, True, True]


def test_a_value_in_other_words_becomes_a_region() -> None:
    odd = AT - 2 * (AT // 2)
    assert positions(as_region(odd), (4,), {}).tolist() == [False, True, False, True]
    assert as_region(1 - ge(AT, 3)) == ge(2, AT)
    assert as_region(ge(AT, 1) - ge(AT, 1) * ge(AT, 3)) == ge(AT, 1) * ge(2, AT)


def test_positions_refuse_what_has_no_value() -> None:
    with pytest.raises(Inconclusive, match="S not set"):
        positions(ge(S, AT), (3,), {})
    with pytest.raises(EvalError, match="neither 0 nor 1"):
        positions(AT, (3,), {})


def test_positions_evaluate_every_kind_of_dimension() -> None:
    dim = parse_dim("max(0,S-2)")
    region = ge(dim, AT) * ge((S // 2), AT) * (1 - eq(AT, 1))
    assert positions(region, (5,), {SYMBOL: 6}).tolist() == [True, False, True, True, False]
