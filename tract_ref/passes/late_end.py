"""How far a stream can run ahead of its end: the search of spec/pulse.md 8.20."""

from __future__ import annotations

import math

from tract_ref.dim import Dim, TDim, evaluate, period

# Pulses looked at one by one when searching the worst end of stream; beyond, the search relies on
# the length being quasi-affine: the rest is one period.
_DENSE_PULSES = 4096


def most_ahead(
    length: TDim, symbol: str, unit: int, per_turn: int, least: int, *, grows: bool
) -> int:
    """Return how many raw frames may have come when a shorter length is still possible, less that.

    max over k >= 0 of (k*q - L(max(k*P, least))), over the k for which the length can still change.

    Args:
        length: L, in frames of the wire.
        symbol: the stream symbol.
        unit: P, source frames per turn.
        per_turn: q, frames of the wire per turn.
        least: smallest stream length that the model admits.
        grows: the length has no end; otherwise it is constant from some stream length on.
    """
    cycle = period(length, symbol)
    # A stream length beyond which every min and max of `length` has made its choice.
    settled = (_constants(length) + 1) * cycle
    last = None if grows else max(0, evaluate(length, {symbol: settled + (1 << 40)}))
    first = settled // unit + 1
    worst = 0
    for k in (
        *range(min(first, _DENSE_PULSES)),
        *range(first, first + cycle // math.gcd(cycle, unit) + 1),
    ):
        at = max(0, evaluate(length, {symbol: max(k * unit, least)}))
        if last is not None and at >= last:
            break
        worst = max(worst, k * per_turn - at)
    return worst


def _constants(dim: Dim) -> int:
    """Return the sum of the sizes of every integer in a dim, at any depth."""
    if isinstance(dim, int):
        return abs(dim)
    total = abs(dim.constant) + sum(abs(coefficient) for _, coefficient in dim.terms)
    for monomial, _ in dim.terms:
        for atom in monomial:
            total += atom.divisor + sum(_constants(piece) for piece in atom.pieces)
    return total
