"""Strategies reach the corners, throw next to nothing away, and shrink to the dull case."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample, UnsatisfiedAssumption
from hypothesis.strategies import SearchStrategy

from tract_ref import pulsify
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem, Streamed, Values

BUDGET = 100
"""Examples drawn per strategy, enough to meet every corner."""
MOST_DISCARDED = 0.1
DULL_FRAMES = 4
LONGEST_REPR = 700
QUIET = settings(
    max_examples=BUDGET,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SEARCH = settings(QUIET, derandomize=True)

ALL = [f"{family.name}/{slug}" for family in families().values() for slug in family.strategies]


def asked(problem: Problem) -> tuple[int, ...]:
    """Return the pulses at which a problem says something."""
    return (*problem.pulses, *problem.refused_at)


CORNERS: dict[str, Callable[[Problem], bool]] = {
    "shorter than the pulse": lambda p: any(p.length < pulse for pulse in asked(p)),
    "longer than the pulse": lambda p: any(p.length > pulse for pulse in asked(p)),
    "whole pulses": lambda p: any(p.length and p.length % q == 0 for q in asked(p)),
    "a rest": lambda p: any(p.length % pulse for pulse in asked(p)),
}


def strategy_named(name: str) -> SearchStrategy[Problem]:
    stem, _, slug = name.partition("/")
    return families()[stem].strategies[slug]()


@cache
def drawn(name: str) -> tuple[tuple[Problem, ...], int]:
    """Return what the budget draws, and how many draws were thrown away."""
    kept: list[Problem] = []
    discarded = 0
    strategy = strategy_named(name)

    @seed(0)
    @settings(QUIET, phases=[Phase.generate])
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        nonlocal discarded
        try:
            kept.append(data.draw(strategy))
        except UnsatisfiedAssumption:
            discarded += 1
            raise

    collect()
    return tuple(kept), discarded


@pytest.mark.parametrize("name", ALL)
def test_a_strategy_throws_little_away_and_reaches_the_corners(name: str) -> None:
    kept, discarded = drawn(name)
    assert kept
    assert discarded <= MOST_DISCARDED * (len(kept) + discarded)
    streaming = [problem for problem in kept if asked(problem)]
    if streaming:
        missed = [label for label, is_one in CORNERS.items() if not any(map(is_one, streaming))]
        assert not missed


def test_empty_streams_are_drawn_by_most_families() -> None:
    with_empty = {
        name.partition("/")[0]
        for name in ALL
        if any(problem.pulses and not problem.length for problem in drawn(name)[0])
    }
    with_streams = {name.partition("/")[0] for name in ALL if any(p.pulses for p in drawn(name)[0])}
    assert len(with_empty) >= 0.8 * len(with_streams), sorted(with_streams - with_empty)


def meets_two_delays(problem: Problem) -> bool:
    """Say whether a node reads two streams of different delays."""
    if not problem.pulses:
        return False
    pulsed = pulsify(problem.model(), problem.pulses[0], symbol=SYMBOL)
    batch = pulsed.batch
    for node in batch.nodes.values():
        infos = [pulsed.infos.get(batch.wire_name(wire)) for wire in node.inputs]
        delays = {info.stream.delay for info in infos if info is not None and info.stream}
        if len(delays) > 1:
            return True
    return False


@pytest.mark.parametrize("name", ["graphs/Dag-random", "concat/Concat-beside", "binary/Add-floats"])
def test_two_streams_of_different_delays_meet(name: str) -> None:
    assert any(meets_two_delays(problem) for problem in drawn(name)[0])


@pytest.mark.parametrize("name", ALL)
def test_the_simplest_problem_is_a_dull_one(name: str) -> None:
    """Shrinking ends at the simplest choices, with which drawing begins."""
    simplest = drawn(name)[0][0]
    assert simplest.length <= DULL_FRAMES
    assert len(repr(simplest)) < LONGEST_REPR


def test_a_long_stream_shrinks_to_one_that_is_dull_in_all_else() -> None:
    found = find(strategy_named("slicing/Slice-stream"), lambda p: p.length >= 5, settings=SEARCH)
    assert isinstance(found, Streamed)
    # Lengths are drawn as multiples of the pulse too: the shortest may be one frame away.
    assert found.length <= 6
    assert (found.crop, found.values) == ((0, 0), Values())


def test_what_is_never_drawn_is_not_found() -> None:
    with pytest.raises(NoSuchExample):
        find(strategy_named("conv/Conv-1d"), lambda p: p.length > 10_000, settings=SEARCH)
