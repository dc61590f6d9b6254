"""Every law is seen failing: on engines broken on purpose, and not on the sound one."""

from __future__ import annotations

import pytest

from tract_ref_suites.meta.mutants import MUTANTS, all_laws, needed, problems_of

LEAST_MUTANTS = 24
LEAST_PER_LAW = 2


@pytest.mark.parametrize("name", list(MUTANTS))
def test_every_expected_law_catches_the_mutant(name: str) -> None:
    mutant = MUTANTS[name]
    laws = all_laws()
    for law_id in sorted(mutant.expected_checks):
        count = needed(mutant, laws[law_id])
        assert count is not None, f"{law_id} is blind to {name}: {mutant.about}"


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
    law = all_laws()[min(mutant.expected_checks)]
    before = needed(mutant, law)
    assert needed(mutant, law) == before
