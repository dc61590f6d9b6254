"""What the suite asks of an engine, and the four kinds of answer it gets.

An engine never raises because of a case: it answers `Values`, `Refused`, `Crashed` or `TimedOut`.
The `Refused` of this module is an *answer about another program*; `tract_ref.errors.Refused` is the
exception of our own passes. Write `protocol.Refused` wherever both are in sight. An exception that
does leave an engine is a fault of the harness, never a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Stage: TypeAlias = Literal["read", "declutter", "pulsify", "plan", "run"]
Format: TypeAlias = Literal["nnef", "onnx"]
End: TypeAlias = Literal["known", "late"]

NUMERIC = frozenset(np.dtype(kind).name for kind in (*"?BHILbhil", "float16", "float32", "float64"))
"""Names of the numpy dtypes that every engine here takes: booleans, integers, floats."""


@dataclass(frozen=True, eq=False)
class Case:
    """One model with its whole inputs.

    Attributes:
        folder: directory that holds the model.
        model_file: path of the model inside `folder`: `graph.nnef`, an NNEF archive, or `*.onnx`.
        inputs: whole inputs by name, in the order of the model's inputs. An engine goes by name
            when every input of the model is named here, else by position.
        symbol: the stream symbol; None when the case does not stream.
        length: value of the symbol, in frames of the source.
        axes: stream axis of each streaming input, by name.
        expected: batch length of each output on its stream axis, in frames of that output, by
            position (any number for an output that does not stream). It only tells an engine how
            many flush turns to run. Empty: the engine computes it from its own facts.
    """

    folder: Path
    model_file: str
    inputs: Mapping[str, Array]
    symbol: str | None = None
    length: int | None = None
    axes: Mapping[str, int] = field(default_factory=dict[str, int])
    expected: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """Path of the model file."""
        return self.folder / self.model_file

    @property
    def format(self) -> Format:
        """Format of the model, from the suffix of its file."""
        return "onnx" if self.model_file.endswith(".onnx") else "nnef"


@dataclass(frozen=True)
class Chunking:
    """How the stream is cut, in frames of the source.

    Attributes:
        pulse: frames per turn; a shorter last chunk is completed with `filler`.
        sizes: frames of each push; they add up to the length of the case.
        end: `known` binds the stream symbol at every turn; `late` leaves it unbound until the first
            turn whose chunk is incomplete (an empty one when the pulse divides the length).
    """

    pulse: int
    sizes: tuple[int, ...]
    end: End = "known"

    @classmethod
    def regular(cls, length: int, pulse: int, end: End = "known") -> Chunking:
        """Cut `length` frames in pulses, the last one possibly short."""
        full, rest = divmod(length, pulse)
        return cls(pulse, (pulse,) * full + ((rest,) if rest else ()), end)

    @property
    def is_regular(self) -> bool:
        """All pushes carry `pulse` frames, except that the last may carry fewer."""
        if not self.sizes:
            return True
        *full, last = self.sizes
        return all(size == self.pulse for size in full) and 0 < last <= self.pulse


@dataclass(frozen=True, eq=False)
class Values:
    """The engine's outputs, by position.

    Attributes:
        outputs: batch values; of a stream, the raw uncut concatenation along each output's stream
            axis. An output that does not stream is given as of the last turn.
        delay: frames to drop from each raw output, in frames of that output; None in batch.
        axes: stream axis of each output, -1 when it does not stream; None in batch.
        increments: frames that each output gained at each turn, flush turns included; None when the
            engine does not tell.
    """

    outputs: tuple[Array, ...]
    delay: tuple[int, ...] | None = None
    axes: tuple[int, ...] | None = None
    increments: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class Refused:
    """The engine declined the case.

    Attributes:
        stage: the pass or phase that declined: read, declutter, pulsify, plan or run.
        reason: the engine's words, on one line.
    """

    stage: str
    reason: str


@dataclass(frozen=True)
class Crashed:
    """The engine's process died.

    Attributes:
        code: exit status; `-n` means killed by signal n.
        tail: last lines of its standard error, without back-traces.
    """

    code: int
    tail: str


@dataclass(frozen=True)
class TimedOut:
    """The engine did not answer within the limit and was killed.

    Attributes:
        seconds: the limit.
    """

    seconds: float


Outcome: TypeAlias = Values | Refused | Crashed | TimedOut


@dataclass(frozen=True)
class Abilities:
    """What an engine offers; tests outside of it are not generated.

    Attributes:
        formats: model formats it reads.
        dtypes: names of the numpy dtypes it takes as inputs.
        batch: it can run a whole input.
        stream: it can run in pulses.
        turns: pulsified once, it takes turns of any number of pulses; uneven pushes are such turns.
    """

    formats: frozenset[str]
    dtypes: frozenset[str]
    batch: bool
    stream: bool
    turns: bool = False


class Engine(Protocol):
    """Three calls; results are values."""

    @property
    def name(self) -> str:
        """Name under which the engine is chosen and reported."""
        ...

    @property
    def version(self) -> str:
        """Version of the program behind the engine."""
        ...

    def can(self) -> Abilities:
        """Tell what the engine offers."""
        ...

    def run(self, case: Case) -> Outcome:
        """Run one batch."""
        ...

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        """Run the case in pulses, flush turns included, and answer the raw outputs."""
        ...


def filler(array: Array) -> Any:
    """Return the value that completes a short chunk of `array`.

    NaN for floats, so that a read past the end shows. For the other types the largest value of the
    input: it differs from a zero pad, and stays a legal index where the input indexes a table.
    """
    if array.dtype.kind in "fc":
        return np.nan
    return array.max() if array.size else array.dtype.type(0)
