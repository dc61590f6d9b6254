"""What a mutant is: one part of the engine broken on purpose, and the laws that must catch it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tract_ref_suites.checks.dims import DimProblem
from tract_ref_suites.problems.base import Problem

Kind: TypeAlias = Literal["rule", "kernel", "state", "output", "dims"]
Apply: TypeAlias = Callable[[], AbstractContextManager[object]]
Tried: TypeAlias = Problem | DimProblem
"""What a mutant is tried on."""


@dataclass(frozen=True)
class Mutant:
    """One engine broken on purpose.

    Attributes:
        about: what is broken.
        kind: what kind of thing is broken.
        apply: context in which it is; it gives an engine when the answers are what is broken.
        expected_checks: laws that must catch it.
        problems: what it is tried on, in this order: `family/slug` of a hand problem or of a
            strategy, or a problem.
    """

    about: str
    kind: Kind
    apply: Apply
    expected_checks: frozenset[str]
    problems: tuple[str | Tried, ...]


def mutant(kind: Kind, about: str, apply: Apply, expected: str, *problems: str | Tried) -> Mutant:
    """Return a mutant.

    Args:
        kind: what kind of thing is broken.
        about: what is broken.
        apply: context in which it is.
        expected: laws that must catch it, separated by spaces.
        problems: what it is tried on.
    """
    return Mutant(about, kind, apply, frozenset(expected.split()), problems)
