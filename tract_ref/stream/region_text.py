"""Regions and reaches to read: one line of text, or a dim of the turn and the pulse.

The dim is a view: it is proved equal to the closed form by evaluation, and nothing counts with it.
"""

from __future__ import annotations

from fractions import Fraction

from tract_ref.dim import Dim, dim_max, dim_min
from tract_ref.errors import Refused
from tract_ref.runtime.reach import Reach
from tract_ref.stream.region import AxisRegion, Count, Ramp

# Values of a table of phases that a line shows.
_SHOWN = 12
_MOST_PHASES = 64


def region_text(region: AxisRegion) -> str:
    """Return how many frames a wire holds after s source frames, piece by piece."""
    parts: list[str] = []
    for start, count in region.pieces:
        text = count_text(count)
        if start == region.complete:
            text = f"{text}, complete" if start else f"{text}, complete from the start"
        parts.append(f"from s={start} on {text}" if start else text)
    return "; ".join(parts)


def count_text(count: Count) -> str:
    """Return a count as text: `min(max(0, s - 2), 10)`."""
    return _joined("min", [_joined("max", [_ramp_text(r) for r in c]) for c in count.clauses])


def _joined(name: str, texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{name}({', '.join(texts)})"


def _ramp_text(ramp: Ramp) -> str:
    if not ramp.step and ramp.period == 1:
        return str(ramp.offsets[0])
    slope = "s" if ramp.step == 1 else f"{ramp.step}*s"
    shift = _shift_of(ramp)
    if shift is None and len(set(ramp.offsets)) == 1:
        return _plus(f"{ramp.step}*floor(s / {ramp.period})", ramp.offsets[0])
    if shift is None:
        shown = ", ".join(str(value) for value in ramp.offsets[:_SHOWN])
        more = ", …" if ramp.period > _SHOWN else ""
        return f"{ramp.step}*floor(s / {ramp.period}) + [{shown}{more}][s mod {ramp.period}]"
    return _quotient(_plus(slope, shift), ramp.period)


def _plus(text: str, shift: int) -> str:
    return text if not shift else f"{text} {'+' if shift > 0 else '-'} {abs(shift)}"


def _quotient(text: str, divisor: int) -> str:
    if divisor == 1:
        return text
    return f"floor({f'({text})' if ' ' in text else text} / {divisor})"


def _shift_of(ramp: Ramp) -> int | None:
    """Return c where the ramp is floor((step*s + c) / period), None where it is no such quotient.

    Of several that give the same values, the one closest to 0.
    """
    period = ramp.period
    least = [period * value - ramp.step * phase for phase, value in enumerate(ramp.offsets)]
    low, high = max(least), min(least) + period - 1
    return None if low > high else min(max(low, 0), high)


def reach_text(reach: Reach, wire: str) -> str:
    """Return which frames of an input output frame j reads."""
    first, last = _frame_text(reach, reach.low), _frame_text(reach, reach.high)
    text = (
        f"frame {first} of {wire!r}" if first == last else f"frames {first} to {last} of {wire!r}"
    )
    if reach.front:
        text += f", once the first {reach.front} have come"
    if reach.back:
        text += f", the last {reach.back} after its end"
    return text


def _frame_text(reach: Reach, shift: int) -> str:
    step = "j" if reach.scale == 1 else f"{reach.scale}*j"
    return _quotient(_plus(step, shift), reach.per)


def region_dim(region: AxisRegion, source: Dim) -> Dim:
    """Return the frames that a wire holds, as a dim.

    Args:
        region: of one piece.
        source: source frames received, for instance (T+1)*P after turn T of P frames.

    Raises:
        Refused: the region is of several pieces, or has too many phases to write down.
    """
    (_, count), *later = region.pieces
    if later:
        raise Refused(
            f"the region changes its form after {later[0][0]} source frames",
            remedy="read it piece by piece",
        )
    return count_dim(count, source)


def count_dim(count: Count, source: Dim) -> Dim:
    """Return a count as a dim of the source frames received.

    Raises:
        Refused: it has too many phases to write down.
    """
    clauses = [dim_max(*(_ramp_dim(ramp, source) for ramp in c)) for c in count.clauses]
    return dim_min(*clauses)


def _ramp_dim(ramp: Ramp, source: Dim) -> Dim:
    period, shift = ramp.period, _shift_of(ramp)
    if shift is not None:
        return (source * ramp.step + shift) // period
    if period > _MOST_PHASES:
        raise Refused(
            f"the region has {period} phases; a dim is written with at most {_MOST_PHASES}",
            remedy="read it as a table",
        )
    # Each phase adds what its value is above the one before, once per period.
    last = ramp.offsets[-1] - ramp.step
    total: Dim = last
    for phase, value in enumerate(ramp.offsets):
        total = total + (source + (period - phase)) // period * (value - last)
        last = value
    return total


def frames_text(frames: Fraction) -> str:
    """Return a number of frames: whole, else with its fraction as a decimal."""
    return str(frames.numerator) if frames.denominator == 1 else f"{float(frames):g}"
