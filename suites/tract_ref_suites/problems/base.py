"""Problem: one generated or hand-written question, with the answer by another road.

A family file exports three tables, each keyed by a readable slug:

    STRATEGIES: dict[str, Callable[[], SearchStrategy[Problem]]]    one per op (or per closed
    variant) HAND:       dict[str, Problem]                                  dull cases and known
    corners ERRORS:     dict[str, ErrorCase]                                one per written refusal
    and rule
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.approx import Array
from tract_ref.errors import TractRefError
from tract_ref.ir.model import Model

SYMBOL = "S"


@dataclass(frozen=True)
class Problem(ABC):
    """One model with whole inputs and expected outputs.

    Attributes:
        family: stem of the file in `ops/` and in `problems/`.
        op: name of the op under test.
        length: stream length S of the inputs, in source frames.
        pulses: pulses at which the model must stream; empty when it is batch only.
        approx: named tolerance between two executions of it; `exact` for `eval` against `eval`.
    """

    family: ClassVar[str]
    op: ClassVar[str]

    @property
    @abstractmethod
    def length(self) -> int:
        """Stream length, in source frames."""

    @property
    @abstractmethod
    def pulses(self) -> tuple[int, ...]:
        """Pulses at which the model must stream."""

    @abstractmethod
    def model(self) -> Model:
        """Build the batch model, with the stream symbol S on one axis of each streaming input."""

    @abstractmethod
    def inputs(self) -> dict[str, Array]:
        """Return whole inputs by name."""

    @abstractmethod
    def expected(self) -> dict[str, Array]:
        """Return the batch outputs by another road: loops over elements, never the op judged."""

    @property
    def oracle_approx(self) -> str:
        """Named tolerance between the reference and `expected`."""
        return "close"


@dataclass(frozen=True)
class ErrorCase:
    """Something that must be refused or rejected.

    Attributes:
        attempt: does it.
        error: the class of the error.
        starts: first words of the message.
        refusal: `TABLE:Op` of the written refusal that it witnesses, empty for other errors.
    """

    attempt: Callable[[], object]
    error: type[TractRefError]
    starts: str
    refusal: str = ""


def small_integers(seed: int, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Draw integers in [-5, 5] other than 0: sums are exact and no element hides an error."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 6, shape) * rng.choice([-1, 1], shape)
    return values.astype(np.dtype(dtype))


def normals(seed: int, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Draw normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.dtype(dtype))


Family = Mapping[str, object]
