"""How late the frames of an output come, in source frames.

Frame j of an output of rate r stands where source frame (j + 1) / r ends. Its latency is the source
frames received when it was given out, less that: 0 for a frame that comes as soon as the source
frame at its place, negative for one that comes before it, as padding in front of the stream does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Latency:
    """The latency of some frames.

    Attributes:
        least: the smallest one.
        median: the middle one, the smaller of two.
        most: the largest one.
    """

    least: Fraction
    median: Fraction
    most: Fraction


class LatencyCount:
    """The latencies of the frames given out so far.

    Args:
        rate: frames of the output per source frame.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self.frames = 0
        self._found: Counter[int] = Counter()

    def add(self, received: int, frames: int) -> Latency | None:
        """Count the next frames; return their own latency, None for no frames.

        Args:
            received: source frames received when they were given out.
            frames: how many were given out.
        """
        per, step = self.rate.numerator, self.rate.denominator
        start, self.frames = self.frames, self.frames + frames
        # In parts of 1/per source frame.
        found = range(
            received * per - (start + 1) * step, received * per - self.frames * step - 1, -step
        )
        self._found.update(found)
        return self._summary(Counter(found)) if frames else None

    @property
    def all(self) -> Latency | None:
        """The latency of all frames so far, None for no frames."""
        return self._summary(self._found) if self.frames else None

    def _summary(self, counted: Counter[int]) -> Latency:
        total, passed = sum(counted.values()), 0
        values = sorted(counted)
        middle = values[0]
        for middle in values:
            passed += counted[middle]
            if 2 * passed >= total:
                break
        return Latency(*(Fraction(v, self.rate.numerator) for v in (values[0], middle, values[-1])))
