"""Regions in turns: what a wire holds after T turns of P source frames, as dims of T and P.

    held(T)      = out(T*P)
    increment(T) = out((T+1)*P) - out(T*P)       the frames that turn T brings, T from 0 on

Nothing counts with these dims: they are what a region looks like to who thinks in turns. The two
symbols are the caller's: names that the model uses would say something else.
"""

from __future__ import annotations

from tract_ref.dim import Dim, ge
from tract_ref.stream.region import AxisRegion
from tract_ref.stream.region_text import count_dim


def held_after(region: AxisRegion, turns: Dim, pulse: Dim) -> Dim:
    """Return the frames that a wire holds after so many turns.

    Args:
        region: of the wire.
        turns: how many turns.
        pulse: source frames per turn.

    Raises:
        Refused: a count has too many phases to write down.
    """
    source = turns * pulse
    total: Dim = 0
    before: Dim = 0
    for start, count in region.pieces:
        now = count_dim(count, source)
        total = total + (now - before) * (ge(source, start) if start else 1)
        before = now
    return total


def increment_of(region: AxisRegion, turn: Dim, pulse: Dim) -> Dim:
    """Return the frames that one turn brings, from turn 0 on.

    Raises:
        Refused: a count has too many phases to write down.
    """
    return held_after(region, turn + 1, pulse) - held_after(region, turn, pulse)
