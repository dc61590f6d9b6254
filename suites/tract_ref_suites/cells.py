"""The cells of the contract: law × problem × engine, each one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hypothesis import event
from hypothesis.strategies import SearchStrategy

from tract_ref_suites.checks import REFERENCE, Law, laws_for
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.engines.known_limits import SYMPTOMS_OF, Limit
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.problems import Family, families
from tract_ref_suites.problems.base import Problem
from tract_ref_suites.report import Recording, Tally


@dataclass
class Cell:
    """One law on one hand problem or one strategy, on one engine.

    Attributes:
        family: stem of the problem file.
        op: op, or slug of the strategy.
        case: slug of the hand problem, or `random`.
        law: the law.
        engine: the engine.
        limits: known limits of the engine.
        hand: the problem, None for random ones.
        strategy: what draws problems, None for hand ones.
        only_wrong: a refusal of the engine is no failure.
    """

    family: str
    op: str
    case: str
    law: Law
    engine: Engine
    limits: tuple[Limit, ...]
    hand: Problem | None = None
    strategy: Callable[[], SearchStrategy[Problem]] | None = None
    only_wrong: bool = False
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.family}/{self.op}/{self.case}"
        self.tally = Tally(name, self.law.id, self.engine.name)

    @property
    def id(self) -> str:
        """Id of the test: `family-Op-case-law-engine`."""
        return f"{self.family}-{self.op}-{self.case}-{self.law.id}-{self.engine.name}"

    def limit_of(self, problem: Problem) -> Limit | None:
        """Return the known limit that a problem is inside of."""
        for limit in self.limits:
            if limit.covers_problem(problem, self.law.id):
                return limit
        return None

    def check(self, problem: Problem) -> None:
        """Hold the engine to the law, save the problem when it fails."""
        if not self.law.is_about(problem):
            event("does not stream")
            return
        limit = self.limit_of(problem)
        if limit is not None:
            event(f"limit: {limit.id}")
            self.tally.limited += 1
            return
        with Recording(self.tally, self.id, problem):
            try:
                self.law.check(problem, self.engine)
            except CheckFailure as failure:
                if not self.only_wrong or failure.symptom not in SYMPTOMS_OF["refused"]:
                    raise
                self.tally.refused += 1


def hand_cells(engine: Engine, limits: tuple[Limit, ...]) -> Iterator[Cell]:
    """Yield a cell per hand problem and law that says something about it."""
    for family in families().values():
        for slug, problem in family.hand.items():
            for law in offered_laws(engine, family):
                if not law.is_about(problem):
                    continue
                cell = Cell(family.name, problem.op, slug, law, engine, limits, hand=problem)
                if cell.limit_of(problem) is None:
                    yield cell


def random_cells(engine: Engine, limits: tuple[Limit, ...]) -> Iterator[Cell]:
    """Yield a cell per strategy and law."""
    for family in families().values():
        for slug, strategy in family.strategies.items():
            for law in offered_laws(engine, family):
                yield Cell(family.name, slug, "random", law, engine, limits, strategy=strategy)


def offered_laws(engine: Engine, family: Family) -> tuple[Law, ...]:
    """Return the laws that can be put to an engine: it must read a format of the family.

    Problems in ONNX form repeat those in NNEF for engines that read nothing else, and for the
    reference, whose importer they judge.
    """
    formats = engine.can().formats
    if "onnx" in family.formats and "nnef" in formats and engine.name != REFERENCE:
        return ()
    return laws_for(engine) if formats & family.formats else ()


def cell_names(engine: Engine) -> set[tuple[str, str, str]]:
    """Return family, op and law of everything that is put to an engine."""
    return {
        (family.name, problem.op, law.id)
        for family in families().values()
        for problem in family.hand.values()
        for law in offered_laws(engine, family)
    }
