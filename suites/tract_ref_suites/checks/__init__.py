"""The laws: plain functions of a problem, and of an engine for the laws about other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tract_ref_suites.checks.engine import (
    engine_equals_batch,
    engine_streams_batch,
    engine_takes_any_turns,
)
from tract_ref_suites.checks.facts import wires_match_their_facts
from tract_ref_suites.checks.fast import fast_equals_eval
from tract_ref_suites.checks.increments import increments_are_exact
from tract_ref_suites.checks.oracle import eval_equals_oracle
from tract_ref_suites.checks.passes import declutter_changes_no_value, round_trip_keeps_model
from tract_ref_suites.checks.roi import regions_cover_what_shows
from tract_ref_suites.checks.sessions import sessions_are_values
from tract_ref_suites.checks.stream import (
    any_pulse_agrees,
    filler_never_shows,
    stream_equals_batch,
)
from tract_ref_suites.checks.symbolic import any_turns_agree
from tract_ref_suites.checks.tight import nothing_is_too_large
from tract_ref_suites.checks.v1_v2 import v2_equals_v1
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.problems.base import Problem

REFERENCE = "reference"


@dataclass(frozen=True)
class Law:
    """One law.

    Attributes:
        id: stable name.
        check: raises CheckFailure when the law does not hold.
        streams: it says nothing about problems that do not stream.
        refuses: it says something about problems that must be refused.
    """

    id: str
    check: Callable[[Problem, Engine], None]
    streams: bool = False
    refuses: bool = False

    def is_about(self, problem: Problem) -> bool:
        """Say whether the law says something about a problem."""
        return (
            not self.streams or bool(problem.pulses) or (self.refuses and bool(problem.refused_at))
        )


def _own(check: Callable[[Problem], None]) -> Callable[[Problem, Engine], None]:
    return lambda problem, engine: check(problem)


def _nothing_is_too_small_or_too_large(problem: Problem) -> None:
    nothing_is_too_large(problem)
    regions_cover_what_shows(problem)


OWN_LAWS = (
    Law("P0", _own(eval_equals_oracle)),
    Law("P1", _own(stream_equals_batch), streams=True, refuses=True),
    Law("P2", _own(any_pulse_agrees), streams=True),
    Law("P3", _own(filler_never_shows), streams=True),
    Law("P4", _own(declutter_changes_no_value)),
    Law("P5", _own(v2_equals_v1), streams=True, refuses=True),
    Law("P6", _own(round_trip_keeps_model)),
    Law("P7", _own(wires_match_their_facts)),
    Law("P8", _own(sessions_are_values), streams=True),
    Law("P9", _own(_nothing_is_too_small_or_too_large)),
    Law("P11", _own(fast_equals_eval)),
    Law("P12", _own(increments_are_exact), streams=True, refuses=True),
    Law("P13", _own(any_turns_agree), streams=True),
)
ENGINE_BATCH = Law("P10", engine_equals_batch)
ENGINE_STREAM = Law("P1", engine_streams_batch, streams=True, refuses=True)
ENGINE_TURNS = Law("P13", engine_takes_any_turns, streams=True)


def laws_for(engine: Engine) -> tuple[Law, ...]:
    """Return the laws that an engine is held to; the reference also through its own door."""
    if engine.name == REFERENCE:
        return (*OWN_LAWS, ENGINE_BATCH)
    abilities = engine.can()
    offered = (
        (ENGINE_BATCH, abilities.batch),
        (ENGINE_STREAM, abilities.stream),
        (ENGINE_TURNS, abilities.turns),
    )
    return tuple(law for law, is_offered in offered if is_offered)
