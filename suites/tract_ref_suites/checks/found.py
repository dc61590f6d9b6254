"""A found case as a problem, so that the law that it broke can be asked again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from tract_ref import load
from tract_ref.approx import Array
from tract_ref.ir.model import Model
from tract_ref_suites.cases import CaseFolder
from tract_ref_suites.checks import OWN_LAWS, REFERENCE, Law, laws_for
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.problems.base import Problem


@dataclass(frozen=True)
class FolderProblem(Problem):
    """The model, inputs, expected outputs and pulses of a case folder."""

    case: CaseFolder

    family: ClassVar[str] = "found"
    op: ClassVar[str] = "found"

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        return self.case.arrays()

    @property
    def length(self) -> int:
        return self.case.stream.length if self.case.stream is not None else 0

    @property
    def pulses(self) -> tuple[int, ...]:
        return () if self._may_refuse else self._asked

    @property
    def refused_at(self) -> tuple[int, ...]:
        return self._asked if self._may_refuse else ()

    @property
    def _asked(self) -> tuple[int, ...]:
        return self.case.stream.pulses if self.case.stream is not None else ()

    @property
    def _may_refuse(self) -> bool:
        return any(assertion.may_refuse for assertion in self.case.asserts)

    def model(self) -> Model:
        return load(self.case.model_path)

    def inputs(self) -> dict[str, Array]:
        return {name: self._arrays[name] for name in self.model().input_names}

    def expected(self) -> dict[str, Array]:
        return {name: self._arrays[name] for name in self.model().output_names}

    @property
    def oracle_approx(self) -> str:
        return self.case.approx

    @property
    def fast_approx(self) -> str:
        # The family is not known any more; `close` is the widest of the families' tolerances.
        return "close"


def law_of(case: CaseFolder, engine: Engine) -> Law | None:
    """Return the law that a found case broke, None when its assertions say it all."""
    if case.origin is None:
        return None
    laws = OWN_LAWS if engine.name == REFERENCE else laws_for(engine)
    return next((law for law in laws if law.id == case.origin.check), None)
