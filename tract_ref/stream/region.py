"""Regions in closed form: how many frames of a wire are computable after s source frames.

    Ramp    step * (s div q) + offsets[s mod q]                q = the number of offsets
    Count   the least of clauses, each the greatest of ramps
    Region  what a wire holds: a count from each of a few source frames on, and when it is complete

The counts of one op after another stay in this form, because a non-decreasing function goes through
min and max, and floor((q*n + c) / a) of a ramp is a ramp of a longer period. No tree ever nests:
ramps that another one dominates are dropped, and on a chain one is left.

Source: spec/pulse.md 9.4; docs/pulse-v2.md has the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from math import lcm

from tract_ref.dim import Dim, TDim, evaluate
from tract_ref.dim.tdim import Atom
from tract_ref.errors import Refused
from tract_ref.runtime.inputs import least_length
from tract_ref.runtime.reach import Reach

LARGEST_PERIOD = 1 << 16
"""Source frames after which the phases of all strides of a path recur, at most."""
# Source frames of a fall that are looked at one by one.
_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True)
class Ramp:
    """A quasi-affine function of the source frames received, never decreasing.

    Attributes:
        step: how much it grows over one period.
        offsets: its values at the source frames of the first period.
    """

    step: int
    offsets: tuple[int, ...]

    @property
    def period(self) -> int:
        """Source frames after which it has grown by `step`."""
        return len(self.offsets)

    def at(self, source: int) -> int:
        """Return the value after `source` frames."""
        turns, phase = divmod(source, len(self.offsets))
        return self.step * turns + self.offsets[phase]

    def over(self, period: int) -> tuple[int, tuple[int, ...]]:
        """Return step and values of a longer period, a multiple of this one."""
        times = period // self.period
        values = tuple(self.step * t + value for t in range(times) for value in self.offsets)
        return self.step * times, values

    def through(self, scale: int, per: int, shift: int) -> Ramp:
        """Return floor((per * self + shift) / scale)."""
        times = _times(self.step * per, scale)
        period = times * self.period
        if period > LARGEST_PERIOD:
            raise Refused(
                f"the phases of the strides on one path recur after {period} source frames; "
                f"regions count at most {LARGEST_PERIOD}",
                remedy="use strides that divide each other",
            )
        step, values = self.over(period)
        return ramp(step * per // scale, ((per * v + shift) // scale for v in values))

    def __add__(self, other: Ramp) -> Ramp:
        period = lcm(self.period, other.period)
        (a, left), (b, right) = self.over(period), other.over(period)
        return ramp(a + b, (x + y for x, y in zip(left, right, strict=True)))

    def times(self, factor: int) -> Ramp:
        """Return the multiple; of a negative factor it decreases, for a moment."""
        return Ramp(self.step * factor, tuple(value * factor for value in self.offsets))

    def covers(self, other: Ramp) -> bool:
        """Say whether this is at least as large as another one after any number of frames."""
        if self.step * other.period < other.step * self.period:
            return False
        period = lcm(self.period, other.period)
        (_, left), (_, right) = self.over(period), other.over(period)
        return all(x >= y for x, y in zip(left, right, strict=True))


def _times(growth: int, scale: int) -> int:
    """Return over how many periods a growth is a multiple of `scale`."""
    return lcm(growth, scale) // abs(growth) if growth else 1


def ramp(step: int, offsets: Iterable[int]) -> Ramp:
    """Return the ramp of the shortest period with these values."""
    values = tuple(offsets)
    whole = len(values)
    for period in range(1, whole // 2 + 1):
        if whole % period or step % (whole // period):
            continue
        part = step // (whole // period)
        if all(values[i] == values[i - period] + part for i in range(period, whole)):
            return Ramp(part, values[:period])
    return Ramp(step, values)


SOURCE = Ramp(1, (0,))


@dataclass(frozen=True)
class Count:
    """The least of several clauses, each the greatest of some ramps.

    Attributes:
        clauses: none of them is at least as large as another one everywhere.
    """

    clauses: tuple[tuple[Ramp, ...], ...]

    @staticmethod
    def of(*ramps: Ramp) -> Count:
        """Return the greatest of some ramps."""
        return Count((_greatest(ramps),))

    @staticmethod
    def constant(value: int) -> Count:
        """Return a count that never changes."""
        return Count.of(Ramp(0, (value,)))

    def at(self, source: int) -> int:
        """Return the value after `source` frames."""
        return min(max(each.at(source) for each in clause) for clause in self.clauses)

    def least(self, other: Count) -> Count:
        """Return the least of two counts."""
        return _count((*self.clauses, *other.clauses))

    def greatest(self, other: Count) -> Count:
        """Return the greatest of two counts."""
        return _count((*a, *b) for a in self.clauses for b in other.clauses)

    def mapped(self, function: Callable[[Ramp], Ramp]) -> Count:
        """Apply a function that never decreases."""
        return _count(tuple(function(each) for each in clause) for clause in self.clauses)

    def plus(self, other: Count) -> Count:
        """Return the sum."""
        return _count(
            tuple(a + b for a in left for b in right)
            for left in self.clauses
            for right in other.clauses
        )

    def times(self, factor: int) -> Count:
        """Return the multiple; a negative factor turns least and greatest around."""
        if factor >= 0:
            return self.mapped(lambda each: each.times(factor))
        parts = [_count((each.times(factor),) for each in clause) for clause in self.clauses]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.greatest(part)
        return whole

    def through(self, reach: Reach) -> Count:
        """Return the output frames that are computable from this many input frames, front aside."""
        shift = reach.scale - 1 - reach.high
        none = Ramp(0, (0,))
        return _count(
            (none, *(each.through(reach.scale, reach.per, shift) for each in clause))
            for clause in self.clauses
        )

    def reaches(self, value: int) -> int | None:
        """Return after how many source frames the count is at least a value, None if never."""
        first = 0
        for clause in self.clauses:
            found = [s for s in (_reaches(each, value) for each in clause) if s is not None]
            if not found:
                return None
            first = max(first, min(found))
        return first

    @cached_property
    def period(self) -> int:
        """Source frames after which every ramp has gone through its phases."""
        return lcm(*(each.period for clause in self.clauses for each in clause))


def _reaches(each: Ramp, value: int) -> int | None:
    if each.offsets[0] >= value:
        return 0
    if not each.step:
        return next((s for s, got in enumerate(each.offsets) if got >= value), None)
    turns = max(0, -((each.offsets[-1] - value) // each.step))
    at = max(0, turns - 1) * each.period
    while each.at(at) < value:
        at += 1
    return at


def _greatest(ramps: Iterable[Ramp]) -> tuple[Ramp, ...]:
    kept: list[Ramp] = []
    for each in dict.fromkeys(ramps):
        if any(other.covers(each) for other in kept):
            continue
        kept = [other for other in kept if not each.covers(other)]
        kept.append(each)
    return tuple(sorted(kept, key=lambda each: (Fraction(each.step, each.period), each.offsets)))


def _count(clauses: Iterable[tuple[Ramp, ...]]) -> Count:
    kept: list[tuple[Ramp, ...]] = []
    for clause in dict.fromkeys(_greatest(clause) for clause in clauses):
        if any(_is_above(clause, other) for other in kept):
            continue
        kept = [other for other in kept if not _is_above(other, clause)]
        kept.append(clause)
    return Count(tuple(kept))


def _is_above(clause: tuple[Ramp, ...], other: tuple[Ramp, ...]) -> bool:
    """Say whether a clause is nowhere the smaller one, as far as single ramps show it."""
    return all(any(mine.covers(each) for mine in clause) for each in other)


def count_of(length: Dim, symbol: str, slow: Count) -> Count:
    """Return a length as a count.

    Args:
        length: affine, floored, min and max terms of the stream symbol.
        symbol: the stream symbol.
        slow: what stands for it.

    Raises:
        Refused: the length is of another form, or another symbol of it is not set.
    """
    if not isinstance(length, TDim):
        return Count.constant(length)
    total = Count.constant(length.constant)
    for monomial, coefficient in length.terms:
        if len(monomial) != 1:
            raise _not_quasi_affine(length)
        total = total.plus(_of_atom(monomial[0], symbol, slow, length).times(coefficient))
    return total


def _of_atom(atom: Atom, symbol: str, slow: Count, whole: Dim) -> Count:
    if atom.kind == "symbol" and atom.name == symbol:
        return slow
    pieces = [count_of(piece, symbol, slow) for piece in atom.pieces]
    if atom.kind == "floor":
        return pieces[0].mapped(lambda each: each.through(atom.divisor, 1, 0))
    if atom.kind == "max":
        return reduce(Count.greatest, pieces)
    raise _not_quasi_affine(whole)


def _without_falls(count: Count) -> Count:
    """Return a count that never decreases without the decreasing ramps that no value needs.

    A length such as min(2, s) arrives as a difference, max(0, s) - max(0, s - 2). Where a falling
    ramp is above the rest of its clause, another clause is below that rest.
    """
    clauses = list(count.clauses)
    for number, clause in enumerate(clauses):
        rest = tuple(each for each in clause if each.step >= 0)
        others = [c for i, c in enumerate(clauses) if i != number and _never_falls(c)]
        if len(rest) == len(clause) or not rest or not others:
            continue
        fallen = _first(lambda s, a=clause, b=rest: _at(a, s) == _at(b, s))
        seen = range(fallen) if fallen <= _LOOKED_AT else ()
        known = all(min(_at(c, s) for c in others) <= _at(rest, s) for s in seen)
        if not seen and fallen:
            # The others never decrease: what they are at the end of the fall, they are at most.
            known = min(_at(c, fallen - 1) for c in others) <= _at(rest, 0)
        clauses[number] = rest if known else clause
    return _count(clauses)


def _at(clause: tuple[Ramp, ...], source: int) -> int:
    return max(each.at(source) for each in clause)


def _never_falls(clause: tuple[Ramp, ...]) -> bool:
    return all(each.step >= 0 for each in clause)


def _first(holds: Callable[[int], bool]) -> int:
    """Return the first number from which on a condition holds, by doubling and halving."""
    high = 1
    while not holds(high - 1):
        high *= 2
    low = high // 2
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle - 1) else (middle, high)
    return high - 1


def _not_quasi_affine(length: Dim) -> Refused:
    return Refused(
        f"the length {length} is no minimum or maximum of a*S/q + b",
        remedy="set the other symbols, or stream a length that grows evenly",
    )


@dataclass(frozen=True)
class AxisRegion:
    """What a wire holds along its stream axis after s source frames.

    Attributes:
        pieces: from which s on which count holds; the first one from 0 on. A new one begins where
            an input is complete, or where the first frames that a border copies have come.
        complete: s from which the whole wire is there for certain; None when only the end tells.
    """

    pieces: tuple[tuple[int, Count], ...]
    complete: int | None = None

    def at(self, source: int) -> int:
        """Return how many frames the wire holds after `source` source frames."""
        return self.count_at(source).at(source)

    def count_at(self, source: int) -> Count:
        """Return the count that holds after `source` source frames."""
        return next(count for start, count in reversed(self.pieces) if start <= source)

    def reaches(self, frames: int) -> int | None:
        """Return after how many source frames there are at least `frames`, None if never."""
        ends = [*(start for start, _ in self.pieces[1:]), None]
        for (start, count), end in zip(self.pieces, ends, strict=True):
            found = count.reaches(frames)
            if found is not None and (end is None or found < end):
                return max(start, found)
        return None


def source_region(rate: Fraction, end: int | None, length: Dim, symbol: str) -> AxisRegion:
    """Return the region of an input that brings `rate` frames per source frame.

    Args:
        rate: frames per source frame.
        end: the largest stream length that is possible, None where there is none.
        length: batch length of the input.
        symbol: the stream symbol.
    """
    count = Count.of(SOURCE.times(rate.numerator).through(rate.denominator, 1, 0))
    if end is None:
        return AxisRegion(((0, count),))
    total = Count.constant(max(0, evaluate(length, {symbol: end})))
    found = count.reaches(total.at(0))
    whole = end if found is None else min(end, found)
    return AxisRegion(((0, count), (whole, total)) if whole else ((0, total),), whole)


def slow_count(inputs: Iterable[tuple[Dim, Fraction]], symbol: str, least: int) -> Count:
    """Return the smallest stream length that is possible after s source frames.

    Of an input of length S + 2, s frames say that S is at least s - 2; of one of length S/2, n
    frames say that it is at least 2*n.

    Args:
        inputs: length of every input, and its frames per source frame.
        symbol: the stream symbol.
        least: what is asserted.
    """
    ramps = [Ramp(0, (least,))]
    for length, rate in inputs:
        period = rate.denominator
        # Far from where a length is clamped at 0.
        far = period << 40
        frames = ((far + s) * rate.numerator // period for s in range(period))
        ramps.append(ramp(period, (least_length(length, symbol, n) - far for n in frames)))
    return Count.of(*ramps)


def joined_regions(
    parts: Iterable[tuple[AxisRegion, Reach]],
    length: Dim,
    symbol: str,
    slow: Count,
    end: int | None,
    longest: int | None = None,
) -> AxisRegion:
    """Return the region of what an op makes, from those of the inputs that stream.

    out(s) = min(L(slow), count through reach of every input that is not complete)
    slow   = the stream length where it is known, else the smallest one that is possible

    Args:
        parts: region of each input, and what an output frame reads of it.
        length: L, batch length of the output.
        symbol: the stream symbol.
        slow: the smallest stream length that is possible after s source frames.
        end: the stream length where it is known.
        longest: the largest stream length that is possible, None where there is no end.
    """
    given = list(parts)
    if end is None:
        cap, settled, total = _certain(length, symbol, slow, longest)
    else:
        total = max(0, evaluate(length, {symbol: end}))
        cap, settled = Count.constant(total), 0
    breaks = {0}
    fronts: list[int | None] = []
    for region, reach in given:
        breaks |= {start for start, _ in region.pieces}
        front = region.reaches(reach.front)
        fronts.append(front)
        breaks |= {front} if front is not None else set()
    pieces: list[tuple[int, Count]] = []
    for start in sorted(breaks):
        count = cap
        for (region, reach), front in zip(given, fronts, strict=True):
            if region.complete is not None and start >= region.complete:
                continue
            is_open = front is not None and start >= front
            found = region.count_at(start).through(reach) if is_open else Count.constant(0)
            count = count.least(found)
        if not pieces or pieces[-1][1] != count:
            pieces.append((start, count))
    region = AxisRegion(tuple(pieces))
    if settled is None:
        return region
    whole = region.reaches(total)
    if whole is None:
        return region
    complete = max(settled, whole)
    kept = [piece for piece in pieces if piece[0] < complete]
    return AxisRegion((*kept, (complete, Count.constant(total))), complete)


def _certain(
    length: Dim, symbol: str, slow: Count, longest: int | None
) -> tuple[Count, int | None, int]:
    """Return a length as a count; from when on it cannot change, if ever; what it is then."""
    cap = _without_falls(count_of(length, symbol, slow).greatest(Count.constant(0)))
    if not isinstance(length, TDim):
        return cap, 0, max(0, length)
    if longest is not None:
        total = max(0, evaluate(length, {symbol: longest}))
        return cap, cap.reaches(total), total
    # A clause without a growing ramp bounds the length for all times.
    bounds = [
        max(max(each.offsets) for each in clause)
        for clause in cap.clauses
        if not any(each.step > 0 for each in clause)
    ]
    if not bounds:
        return cap, None, 0
    return cap, cap.reaches(min(bounds)), min(bounds)
