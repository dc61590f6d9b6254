"""Streaming facts: how a pulsed wire lines up with its batch wire.

The law (spec of tract's pulse, v1): let `raw` be the concatenation over turns of a pulsed wire
along its
stream axis and `batch` the batch wire; then for every 0 <= i < length(S):

    raw[delay + i] == batch[i]

Nothing is promised before `delay` nor from `delay + length` on.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tract_ref.dim import Dim
from tract_ref.ir.fact import Fact

LATE_END = "waits until the end of the stream is known"
"""Why what happens after the last frame comes late, where a delay is explained."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A wire with one stream axis.

    Attributes:
        axis: the stream axis.
        length: batch length on that axis, in frames of this wire.
        delay: frames of this wire before `raw` lines up with `batch`.
        rate: frames of this wire per frame of the source; rate x pulse frames come per turn.
    """

    axis: int
    length: Dim
    delay: int
    rate: Fraction = Fraction(1)

    def at(self, delay: int) -> Linear:
        """Return the same frames at another delay."""
        return Linear(self.axis, self.length, delay, self.rate)

    def __str__(self) -> str:
        """Print for `--explain` and dumps."""
        rate = "" if self.rate == 1 else f" rate={self.rate}"
        return f"axis={self.axis} length={self.length} delay={self.delay}{rate}"


StreamInfo = Linear


@dataclass(frozen=True, slots=True)
class PulsedFact:
    """Fact of a pulsed wire: the shape of one turn, and how it streams (None = it does not)."""

    fact: Fact
    stream: StreamInfo | None
