"""Which source frames a frame of a wire depends on, exactly, phase by phase.

A wire brings m frames for every n source frames. Frame a*m + r depends on source frames a*n + first
to a*n + last of phase r. Where a stream is spread (a transposed convolution, merged axes) its m
frames reach differently far, so phases are told apart until streams meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

Span = tuple[float, float]
"""First and last source frame; the first is minus infinity behind a recurrence."""
NOTHING: Span = (math.inf, -math.inf)
"""The span of a frame that depends on no source frame, as between those that are spread."""


@dataclass(frozen=True)
class Reads:
    """Source frames per frame of a wire.

    Attributes:
        period: source frames after which phases come again.
        spans: per phase, relative to the first source frame of the period.
    """

    period: int
    spans: tuple[Span, ...]

    def span(self, frame: int) -> Span:
        """Return the source frames that a frame depends on."""
        turn, phase = divmod(frame, len(self.spans))
        first, last = self.spans[phase]
        return first + turn * self.period, last + turn * self.period

    def hull(self, first: int, last: int) -> Span:
        """Return the source frames that frames `first` to `last` depend on."""
        if len(self.spans) == 1 and first <= last:
            low, high = self.spans[0]
            return low + first * self.period, high + last * self.period
        # Later periods repeat the first one: its phases and those of the last one tell all.
        count = len(self.spans)
        frames = {*range(first, min(last, first + count) + 1)}
        frames |= {*range(max(first, last - count), last + 1)}
        return joined(self.span(frame) for frame in frames)

    @property
    def widest(self) -> float:
        """Most source frames that one frame depends on."""
        return max(0, *(last - first + 1 for first, last in self.spans))


def joined(spans: Iterable[Span]) -> Span:
    """Return the smallest span around spans."""
    whole = NOTHING
    for first, last in spans:
        whole = min(whole[0], first), max(whole[1], last)
    return whole


def source_reads(rate: Fraction) -> Reads:
    """Return the reads of a source: frame k belongs to source frame floor(k / rate)."""
    frames, period = rate.numerator, rate.denominator
    places = (k * period // frames for k in range(frames))
    return Reads(period, tuple((place, place) for place in places))


Window = Callable[[int], tuple[int, int]]
"""First and last frame of an input that a frame of the output reads."""


def windowed(rate: Fraction, parts: Sequence[tuple[Reads, Window]], *, endless: bool) -> Reads:
    """Return the reads of a wire of some rate, from those of its inputs.

    Args:
        rate: frames per source frame.
        parts: the inputs, one at least, and what of each a frame reads.
        endless: the wire remembers its whole past.
    """
    period = math.lcm(rate.denominator, *(reads.period for reads, _ in parts))
    frames = rate.numerator * period // rate.denominator
    if len(parts) == 1:
        reads, window = parts[0]
        spans = [reads.hull(*window(i)) for i in range(frames)]
    else:
        spans = [joined(reads.hull(*window(i)) for reads, window in parts) for i in range(frames)]
    if endless:
        spans = [(-math.inf, max(last, 0)) for _, last in spans]
    return Reads(period, tuple(spans))
