"""Every law is seen failing: on engines broken on purpose, and not on the sound one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from tract_ref_suites.checks import OWN_LAWS
from tract_ref_suites.meta.mutants import MUTANTS, all_laws, leaves_nothing, needed, problems_of
from tract_ref_suites.meta.mutants_stream import STREAM_MUTANTS
from tract_ref_suites.problems.base import Problem

LEAST_MUTANTS = 24
LEAST_PER_LAW = 2
LEAST_STREAMING = 25


@pytest.mark.parametrize("name", list(MUTANTS))
def test_every_expected_law_catches_the_mutant(name: str) -> None:
    mutant = MUTANTS[name]
    laws = all_laws()
    for law_id in sorted(mutant.expected_checks):
        count = needed(mutant, laws[law_id])
        assert count is not None, f"{law_id} is blind to {name}: {mutant.about}"


def test_there_are_enough_mutants_of_what_streams() -> None:
    streaming = [
        mutant
        for mutant in STREAM_MUTANTS.values()
        if mutant.kind in ("rule", "state")
        and any(isinstance(p, Problem) and p.pulses for p in problems_of(mutant))
    ]
    assert STREAM_MUTANTS.items() <= MUTANTS.items()
    assert len(streaming) >= LEAST_STREAMING


def test_there_are_enough_mutants_of_what_computes() -> None:
    inside = [mutant for mutant in MUTANTS.values() if mutant.kind != "output"]
    assert len(MUTANTS) >= LEAST_MUTANTS
    assert 3 * len(inside) >= 2 * len(MUTANTS)


@pytest.mark.parametrize("law_id", list(all_laws()))
def test_every_law_has_mutants_to_catch(law_id: str) -> None:
    catching = [name for name, mutant in MUTANTS.items() if law_id in mutant.expected_checks]
    assert len(catching) >= LEAST_PER_LAW, f"{law_id} is expected to catch only {catching}"


@pytest.mark.parametrize("name", list(MUTANTS))
def test_every_mutant_expects_laws_that_exist_and_has_problems(name: str) -> None:
    mutant = MUTANTS[name]
    assert mutant.expected_checks
    assert mutant.expected_checks <= set(all_laws())
    assert next(problems_of(mutant), None) is not None


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_mutant_is_gone_after_its_context(name: str) -> None:
    mutant = MUTANTS[name]
    assert leaves_nothing(mutant, all_laws()[min(mutant.expected_checks)])


def test_a_mutant_that_stays_is_seen() -> None:
    sound = MUTANTS["downsample-delay-rounded-up"]
    with ExitStack() as until_the_end:

        @contextmanager
        def leaks() -> Iterator[None]:
            until_the_end.enter_context(sound.apply())
            yield

        stays = replace(sound, apply=leaks)
        for law_id in sound.expected_checks & {law.id for law in OWN_LAWS}:
            assert not leaves_nothing(stays, all_laws()[law_id])
            until_the_end.close()
            assert leaves_nothing(sound, all_laws()[law_id])
