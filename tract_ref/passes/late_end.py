"""How far a stream can run ahead of its end: the search of spec/pulse.md 8.20."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tract_ref.dim import Dim, TDim, evaluate, period, sym
from tract_ref.runtime.inputs import least_length
from tract_ref.stream.region import SOURCE, Count, Ramp, count_of

# Pulses that are looked at one by one; where more would be, the closed form of the length is.
_DENSE_PULSES = 512


def most_ahead(
    length: TDim,
    symbol: str,
    unit: int,
    per_turn: int,
    least: int,
    *,
    grows: bool,
    inputs: Sequence[tuple[Dim, int]] = (),
) -> int:
    """Return how many raw frames may have come when a shorter length is still possible, less that.

    max over k >= 0 of (k*q - L(S_k)), over the k for which the length can still change; S_k is the
    smallest stream length that k whole turns allow, k*P for an input of length S.

    Args:
        length: L, in frames of the wire.
        symbol: the stream symbol.
        unit: P, source frames per turn.
        per_turn: q, frames of the wire per turn.
        least: smallest stream length that the model admits.
        grows: the length has no end; otherwise it is constant from some stream length on.
        inputs: length and frames per turn of every streaming input; none stands for S and P.

    Raises:
        Refused: the length is too long for a search and has no closed form.
    """
    uneven = [(dim, frames) for dim, frames in inputs if dim is not sym(symbol)]

    def shortest(turns: int) -> int:
        found = turns * unit if len(uneven) < len(inputs) or not inputs else 0
        ends = (least_length(dim, symbol, turns * frames) for dim, frames in uneven)
        return max(found, least, *ends)

    cycle = period(length, symbol)
    # A stream length beyond which every min and max of `length` has made its choice.
    settled = max((_constants(length) + 1) * cycle, least)
    first = settled // unit + 1 + _beyond(uneven, unit)
    if first > _DENSE_PULSES:
        return _by_ramps(length, symbol, per_turn, shortest, first if grows else None)
    last = None if grows else max(0, evaluate(length, {symbol: settled + (1 << 40)}))
    worst = 0
    for k in range(first + cycle // math.gcd(cycle, unit) + 1):
        at = max(0, evaluate(length, {symbol: shortest(k)}))
        if last is not None and at >= last:
            break
        worst = max(worst, k * per_turn - at)
    return worst


def _beyond(uneven: Sequence[tuple[Dim, int]], unit: int) -> int:
    """Return in how many turns the constant parts of inputs have come."""
    return sum(_constants(dim) for dim, _ in uneven) // unit + bool(uneven)


def _by_ramps(
    length: TDim, symbol: str, per_turn: int, shortest: Callable[[int], int], settled: int | None
) -> int:
    """Return the same from the closed form of the length, whatever its constants.

    k*q - ramp is linear along turns of one phase, so that of each clause, the greatest of some
    ramps, it is concave: it grows up to its maximum, found by halving, and not after it.
    """
    clauses = count_of(length, symbol, Count.of(SOURCE)).clauses
    end = settled
    if end is None:
        total = max(0, evaluate(length, {symbol: 1 << 60}))
        end = _first(lambda k: max(0, evaluate(length, {symbol: shortest(k)})) >= total)
    worst = 0
    for clause in clauses:
        step = math.lcm(*(each.period for each in clause))
        # Of a length without an end every phase has its maximum one period later at most.
        beyond = end if settled is None else end + step
        for phase in range(min(step, beyond)):
            worst = max(worst, _peak(clause, per_turn, shortest, phase, step, beyond))
    return worst


def _peak(
    clause: tuple[Ramp, ...],
    per_turn: int,
    shortest: Callable[[int], int],
    phase: int,
    step: int,
    end: int,
) -> int:
    """Return the maximum of k*q less a clause over k = phase, phase + step, ... before `end`."""

    def ahead(number: int) -> int:
        k = phase + number * step
        at = shortest(k)
        return k * per_turn - max(0, *(each.at(at) for each in clause))

    last = (end - 1 - phase) // step
    return ahead(_first(lambda n: n >= last or ahead(n + 1) <= ahead(n)))


def _first(holds: Callable[[int], bool]) -> int:
    """Return the first number for which a condition holds that never ceases to."""
    high = 1
    while not holds(high):
        high *= 2
    low = 0 if high == 1 else high // 2
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _constants(dim: Dim) -> int:
    """Return the sum of the sizes of every integer in a dim, at any depth."""
    if isinstance(dim, int):
        return abs(dim)
    total = abs(dim.constant) + sum(abs(coefficient) for _, coefficient in dim.terms)
    for monomial, _ in dim.terms:
        for atom in monomial:
            total += atom.divisor + sum(_constants(piece) for piece in atom.pieces)
    return total
