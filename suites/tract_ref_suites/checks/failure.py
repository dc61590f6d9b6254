"""How a check says no: stage, symptom, and the first place where two values part."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tract_ref.approx import Array, Comparison, compare
from tract_ref.errors import InternalError, MalformedFile, TractRefError

Stage = Literal["read", "declutter", "pulsify", "plan", "run", "compare"]
Symptom = Literal[
    "malformed",
    "refused",
    "crash",
    "timeout",
    "wrong_shape",
    "wrong_dtype",
    "wrong_delay",
    "wrong_value",
    "not_deterministic",
]
STAGES: tuple[str, ...] = get_args(Stage)
SYMPTOMS: tuple[str, ...] = get_args(Symptom)


@dataclass(frozen=True)
class First:
    """The first element that differs.

    Attributes:
        wire: output or inner wire.
        pulse: number of the turn that brought it (0-based); None in batch.
        index: position in the value of the wire, delay cut.
        got: value on the judged side.
        expected: value on the trusted side.
    """

    wire: str
    pulse: int | None
    index: tuple[int, ...]
    got: object
    expected: object

    def __str__(self) -> str:
        turn = "" if self.pulse is None else f", pulse {self.pulse}"
        place = list(self.index)
        return f"wire {self.wire!r}{turn}, index {place}: {self.got} where {self.expected} is right"


class CheckFailure(AssertionError):
    """A law does not hold.

    Args:
        stage: where: read, declutter, pulsify, plan, run or compare.
        symptom: what: one of SYMPTOMS.
        detail: what was seen.
        first: the first difference, when two values were compared.
    """

    def __init__(
        self, stage: str, symptom: Symptom, detail: str, *, first: First | None = None
    ) -> None:
        self.stage = stage
        self.symptom: Symptom = symptom
        self.detail = detail
        self.first = first
        text = f"{stage}/{symptom}: {detail}"
        super().__init__(f"{text}; {first}" if first is not None else text)


class NotOffered(Exception):
    """The question cannot be put: by a written refusal there is no file form, or no such ability.

    It is counted apart; it is neither a pass nor a failure.
    """


def symptom_of(error: TractRefError) -> Symptom:
    """Return the symptom that an error of the project stands for."""
    if isinstance(error, InternalError):
        return "crash"
    return "malformed" if isinstance(error, MalformedFile) else "refused"


@contextmanager
def stage(name: Stage) -> Generator[None]:
    """Turn an error of the project into a failure of this stage."""
    try:
        yield
    except TractRefError as error:
        text = f"{type(error).__name__}: {error}"
        raise CheckFailure(name, symptom_of(error), text) from error


def require_equal(
    got: Array,
    expected: Array,
    *,
    wire: str,
    what: str,
    approx: str = "exact",
    bound: Array | None = None,
    stream: tuple[int, int, int] | None = None,
) -> None:
    """Compare two values.

    Args:
        got: the judged value.
        expected: the trusted value.
        wire: name for the message.
        what: what is compared with what.
        approx: a named tolerance.
        bound: largest error, for the tolerance `bound`.
        stream: axis, delay and frames per turn of a streamed value, to name the pulse.

    Raises:
        CheckFailure: they differ.
    """
    result = compare(got, expected, approx=approx, bound=bound)
    if not result.within:
        raise difference(result, wire=wire, what=what, stream=stream)


def difference(
    result: Comparison, *, wire: str, what: str, stream: tuple[int, int, int] | None
) -> CheckFailure:
    """Return the failure that a comparison outside its tolerance stands for."""
    if result.first is None:
        symptom: Symptom = "wrong_dtype" if result.reason.startswith("dtype") else "wrong_shape"
        return CheckFailure("compare", symptom, f"{what}: {wire!r}: {result.reason}")
    found = result.first
    pulse = None
    if stream is not None:
        axis, delay, frames = stream
        pulse = (found.index[axis] + delay) // max(1, frames)
    first = First(wire, pulse, found.index, found.got, found.expected)
    return CheckFailure("compare", "wrong_value", what, first=first)


def require(claim: bool, stage_name: Stage, symptom: Symptom, detail: str) -> None:
    """Raise a failure unless the claim holds."""
    if not claim:
        raise CheckFailure(stage_name, symptom, detail)


def shown(values: Any) -> str:
    """Return a short text of a list for messages."""
    text = str(values)
    return text if len(text) <= 200 else f"{text[:197]}..."
