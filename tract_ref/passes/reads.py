"""Which source frames a frame of a wire depends on, exactly, phase by phase.

A wire brings m frames for every n source frames. Frame a*m + r depends on source frames a*n + first
to a*n + last of phase r. Where a stream is spread (a transposed convolution, merged axes) its m
frames reach differently far, so phases are told apart until streams meet. The first frames of a
wire may depend on others: those of another stream, or copies of its first one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
        head: of the first frames, where the phases do not tell; then nothing is before frame 0.
    """

    period: int
    spans: tuple[Span, ...]
    head: tuple[Span, ...] = ()

    def span(self, frame: int) -> Span:
        """Return the source frames that a frame depends on."""
        if self.head and frame < len(self.head):
            return self.head[frame] if frame >= 0 else NOTHING
        turn, phase = divmod(frame, len(self.spans))
        first, last = self.spans[phase]
        return first + turn * self.period, last + turn * self.period

    def hull(self, first: int, last: int) -> Span:
        """Return the source frames that frames `first` to `last` depend on."""
        if self.head:
            begin = joined(self.head[max(0, first) : max(0, last + 1)])
            first = max(first, len(self.head))
            return joined((begin, self._later(first, last))) if first <= last else begin
        return self._later(first, last)

    def _later(self, first: int, last: int) -> Span:
        """Return the same of frames behind the head."""
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
        return max(0, *(last - first + 1 for first, last in (*self.spans, *self.head)))


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
Part = tuple[Reads, Window]
"""What an input reads, and what of it a frame of the output reads."""


def windowed(rate: Fraction, parts: Sequence[Part], *, endless: bool) -> Reads:
    """Return the reads of a wire of some rate, from those of its inputs.

    Args:
        rate: frames per source frame.
        parts: the inputs, one at least, and what of each a frame reads.
        endless: the wire remembers its whole past.
    """
    period = math.lcm(rate.denominator, *(reads.period for reads, _ in parts))
    frames = rate.numerator * period // rate.denominator
    headless = [
        (replace(reads, head=()), window) if reads.head else (reads, window)
        for reads, window in parts
    ]
    spans = [_read(headless, i) for i in range(frames)]
    headed = any(reads.head for reads, _ in parts)
    head = [_read(parts, i) for i in range(_headed(parts, frames))] if headed else []
    if endless:
        spans = [(-math.inf, max(last, 0)) for _, last in spans]
        head = [(-math.inf, last) for _, last in head]
    # No source frame is before the first: what would read one reads padding, or a copy of it.
    return Reads(period, tuple(spans), tuple(_clipped(span) for span in head))


def _read(parts: Sequence[Part], frame: int) -> Span:
    if len(parts) == 1:
        reads, window = parts[0]
        return reads.hull(*window(frame))
    return joined(reads.hull(*window(frame)) for reads, window in parts)


def _headed(parts: Sequence[Part], phases: int) -> int:
    """Return how many frames there are up to the last that reads into a head.

    Of each phase the windows only advance.
    """
    parts = [(reads, window) for reads, window in parts if reads.head]
    frame = count = 0
    while frame < count + phases:
        frame += 1
        if any(window(frame - 1)[0] < len(reads.head) for reads, window in parts):
            count = frame
    return count


def _clipped(span: Span) -> Span:
    first, last = span
    if first > last or math.isinf(first):
        return span
    return max(first, 0), max(last, 0)


def added_at(place: int, *, field: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the first and last frame that a transposed window adds to a place of its output.

    Frame i is added at i*stride + k*dilation, 0 <= k*dilation <= field; none where last < first.
    """
    # Taps of one residue lie lcm(dilation, stride) apart.
    rounds = min(stride, field // dilation + 1)
    first = next((k for k in range(rounds) if not (place - k * dilation) % stride), None)
    if first is None:
        return place // stride + 1, place // stride
    apart = math.lcm(dilation, stride)
    last = first * dilation + (field - first * dilation) // apart * apart
    return (place - last) // stride, (place - first * dilation) // stride


def begun(frames: int, early: Part, rest: Reads) -> Reads:
    """Return the reads of a wire whose first frames come from another input than the rest.

    Args:
        frames: how many.
        early: the other input, and which of its frames each of them reads.
        rest: what the wire reads otherwise.
    """
    first = [_read([early], frame) for frame in range(frames)]
    later = [rest.span(frame) for frame in range(frames, len(rest.head))]
    return replace(rest, head=tuple(_clipped(span) for span in (*first, *later)))
