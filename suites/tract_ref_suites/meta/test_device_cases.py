"""The case folders about memory on a device catch the bugs that they are about.

Each is a bug that a real device backend had (spec/attention.md 5): any engine meets the cases
through the engine protocol; here the reference meets them, broken in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tract_ref_suites.cases import OF_EVERY_ENGINE, case_folders, load_case
from tract_ref_suites.checks.case import check_assertion
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.engines.reference import ReferenceEngine
from tract_ref_suites.meta import broken
from tract_ref_suites.meta import broken_stream as bad
from tract_ref_suites.meta.mutant import Apply


@dataclass(frozen=True)
class DeviceMutant:
    """A bug of a device backend.

    Attributes:
        apply: context in which the reference has it.
        caught_by: case folders that must fail.
        blind: case folders that cannot see it.
        fast: the bug is in the memory of the fast kernels.
    """

    apply: Apply
    caught_by: tuple[str, ...]
    blind: tuple[str, ...] = ()
    fast: bool = False


_WIDE = ("delay-shift-f16", "delay-shift-f32", "delay-shift-i64")
_SHIFTS = ("delay-overlapping-shift", "delay-overlapping-shift-inner-axis")

DEVICE_MUTANTS = {
    "dirty-history": DeviceMutant(broken.dirty_history, ("delay-history-is-zero",)),
    "poisoned-history": DeviceMutant(
        lambda: bad.delay_starts_with(1e30), ("delay-history-is-zero",)
    ),
    "dirty-tape": DeviceMutant(bad.dirty_tape, ("delay-history-is-zero",), fast=True),
    "descending-shift": DeviceMutant(
        lambda: broken.tape_shift(broken.shift_one_by_one), (*_SHIFTS, *_WIDE), fast=True
    ),
    "shift-in-two-threads": DeviceMutant(
        lambda: broken.tape_shift(bad.shift_in_pieces),
        (*_SHIFTS, "delay-overlapping-shift-long-rows"),
        fast=True,
    ),
    "flat-shift": DeviceMutant(
        lambda: broken.tape_shift(bad.shift_flat),
        ("delay-overlapping-shift-inner-axis", *_WIDE),
        ("delay-overlapping-shift-long-rows",),
        fast=True,
    ),
    "shift-of-too-few-bytes": DeviceMutant(
        lambda: broken.tape_shift(bad.shift_too_few_bytes), _WIDE, ("delay-shift-bool",), fast=True
    ),
    "pad-of-too-few-bytes": DeviceMutant(bad.pad_copies_too_few_bytes, _WIDE),
    "pad-of-contiguous-input-only": DeviceMutant(
        bad.pad_ignores_strides, ("pulse-pad-strided-input",), ("delay-shift-f32",)
    ),
    "tail-filled-without-after": DeviceMutant(
        bad.tail_filled_without_after, ("pulse-pad-tail-without-after",), ("delay-shift-f32",)
    ),
}


def holds(slug: str, *, fast: bool) -> bool:
    """Say whether the reference gives what a case states, as any engine is asked."""
    case = load_case(next(folder for folder in case_folders() if folder.name == slug))
    engine = ReferenceEngine(fast=fast)
    asked = [assertion for assertion in case.asserts if assertion.kind in OF_EVERY_ENGINE]
    assert asked
    try:
        for assertion in asked:
            check_assertion(case, assertion, engine)
    except CheckFailure:
        return False
    return True


def cells() -> list[tuple[str, str, bool]]:
    """Return mutant, case folder, and whether the case must fail."""
    return [
        (name, slug, slug in mutant.caught_by)
        for name, mutant in DEVICE_MUTANTS.items()
        for slug in (*mutant.caught_by, *mutant.blind)
    ]


@pytest.mark.parametrize(("name", "slug", "caught"), cells())
def test_a_case_fails_on_the_bug_that_it_is_about_and_on_no_other(
    name: str, slug: str, caught: bool
) -> None:
    mutant = DEVICE_MUTANTS[name]
    assert holds(slug, fast=mutant.fast)
    with mutant.apply():
        assert holds(slug, fast=mutant.fast) is not caught
    assert holds(slug, fast=mutant.fast)


def test_every_device_case_is_the_witness_of_a_bug() -> None:
    slugs = {
        folder.name for folder in case_folders() if folder.name.startswith(("delay-", "pulse-pad-"))
    }
    judged = {slug for _, slug, _ in cells()}
    assert slugs == judged
