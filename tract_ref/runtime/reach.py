"""What the output frames of an op read of its inputs: the increments of pulsification v2.

Output frame j reads the input frames from floor((a*j + lo) / q) to floor((a*j + hi) / q):

    pointwise        a=1 q=1  lo = hi = 0            window, stride s     a=s q=1  lo = -before
    slice from c     a=1 q=1  lo = hi = c                                 hi = field - before
    downsample s, m  a=s q=1  lo = hi = m            deconv, stride s     a=1 q=s  hi = before
    reshape u/v      a=v q=u  lo = 0, hi = v - 1                          lo = hi - field + s - 1

From n input frames without an end, the output frames that are computable are those of which the
last frame read has come:   count(n) = max(0, floor((q*n - 1 - hi) / a) + 1).

Source: spec/pulse.md 9.4, whose rows are instances of this one formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from tract_ref.dim import Dim
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op


@dataclass(frozen=True, slots=True)
class Reach:
    """Which frames of one input an output frame reads.

    Attributes:
        scale: a, input steps per output frame.
        per: q, output frames per step back.
        low: lo, of the first frame read.
        high: hi, of the last frame read.
        front: input frames without which nothing can be emitted, though no window reads them: what
            is written in front of the stream is made of its first frames (edge, reflect).
        back: input frames before those of the next window that what follows the last frame is made
            of, and that are therefore kept.
        beyond: frames after the last one that are read, at most.
        step: of the output frames that an input frame reaches, every `step`-th one reads it.
    """

    scale: int = 1
    per: int = 1
    low: int = 0
    high: int = 0
    front: int = 0
    back: int = 0
    beyond: int = 0
    step: int = 1

    def first(self, frame: int) -> int:
        """Return the first input frame that an output frame reads; may be negative."""
        return (self.scale * frame + self.low) // self.per

    def last(self, frame: int) -> int:
        """Return the last input frame that an output frame reads."""
        return (self.scale * frame + self.high) // self.per

    def count(self, frames: int) -> int:
        """Return how many output frames read nothing beyond the first `frames` input frames."""
        if frames < self.front:
            return 0
        return max(0, (self.per * frames - 1 - self.high) // self.scale + 1)

    def window(self, start: int, frames: int, have: int) -> tuple[int, int]:
        """Return the input frames that an increment is given.

        Args:
            start: index of its first output frame.
            frames: how many output frames it has.
            have: input frames that have come.

        Returns:
            First frame and one past the last: those that are read and exist, and, where something
            in front of the stream or after it is read, those that it is made of.
        """
        first, stop = self.first(start), self.last(start + frames - 1) + 1
        low, high = min(max(0, first), have), min(max(0, stop), have)
        if first < 0:
            high = max(high, min(self.front, have))
        if stop > have:
            low = max(0, min(low, have - self.back))
        return low, max(low, high)

    def keeps(self, start: int, have: int) -> int:
        """Return the first input frame that output frames from `start` on are made of."""
        return min(self.first(start), have - self.back)


POINTWISE = Reach()


@dataclass(frozen=True, slots=True)
class Increment:
    """One evaluation of an op: which output frames it makes, from which input frames.

    Attributes:
        start: index of the first output frame.
        frames: how many output frames are made; at least one.
        windows: per input, the half-open range of input frames that it is given; empty for one that
            does not stream.
        lengths: per input, its length where that is certain and it has come whole, else None.
    """

    start: int
    frames: int
    windows: tuple[tuple[int, int], ...]
    lengths: tuple[int | None, ...]

    def outside(self, reach: Reach, slot: int = 0) -> tuple[int, int]:
        """Return how many frames are read before the first and after the last one given."""
        first, stop = self.windows[slot]
        end = self.start + self.frames - 1
        return max(0, first - reach.first(self.start)), max(0, reach.last(end) + 1 - stop)


Main = Callable[[Increment], tuple[Op, ...]]
"""Ops that make the frames of an increment from the frames of its windows, applied in a row.

The first one gets all inputs of the node. An op with state keeps it from increment to increment.
"""


def whole(op: Op) -> Main:
    """Return what applies one op to every increment as it is."""
    return lambda _: (op,)


@dataclass(frozen=True, slots=True)
class FixedTurn:
    """One turn of a fixed pulse.

    Attributes:
        read: frames of the stream that the op is given, 0 when none is.
        frames: output frames that it makes.
        delay: raw index of output frame 0.
        phase: frames given before the first one that is read.
    """

    read: Dim
    frames: Dim
    delay: int
    phase: int = 0


OpOfTurn = Callable[[FixedTurn], Op | None]
"""What makes a turn of its frames; None: they are the output."""
Lowering = Callable[..., tuple[Outlet, ...]]
"""What wires a node in a pulsed model, given the context of the pulse."""


@dataclass(frozen=True)
class RegionPlan:
    """What an op that streams needs, to make any stretch of its output.

    In fixed pulses the op of a turn is `main`, where it does not depend on where a stretch is and
    how long.

    Attributes:
        axis: stream axis of the outputs.
        length: batch length of the outputs on it.
        rate: frames of the outputs per source frame.
        inputs: per input what an output frame reads of it; None for one that does not stream.
        main: what makes an increment; None: the window itself is the output.
        fill: what windows read outside the stream, in fixed pulses: a name of `stream/tables` or a
            number; None for an op that has no windows: it keeps frames, or regroups them.
        turn: the op of a turn in fixed pulses; None: it is that of `main`.
        unit: output frames that a turn of a fixed pulse brings a multiple of.
        lowered: how the node is wired in fixed pulses, where what it needs says too little.
    """

    axis: int
    length: Dim
    rate: Fraction
    inputs: tuple[Reach | None, ...]
    main: Main | None
    fill: str | Tensor | None = None
    turn: OpOfTurn | None = None
    unit: int = 1
    lowered: Lowering | None = None

    def ops(self) -> tuple[Op, ...]:
        """Return the ops of an increment: where it is changes none of those that keep state."""
        if self.main is None:
            return ()
        count = len(self.inputs)
        return self.main(Increment(0, 1, ((0, 1),) * count, (None,) * count))
