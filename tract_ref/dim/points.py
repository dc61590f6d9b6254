"""Integers that satisfy the assertions: a point where a claim fails saves the search for a proof.

A proof shows what holds wherever the known facts hold, so a counter-example among such points
means that there is none. A claim that holds at all points still needs its proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

from tract_ref.dim.query import atom_value, value_of
from tract_ref.dim.tdim import Atom, Dim, TDim
from tract_ref.errors import EvalError

_TRIES = 24
_KEPT = 6
# How far the symbols of successive points lie from their bounds.
_SPREADS = (4, 40, 9, 400, 2, 17)


class Points:
    """A few points at which all facts hold, with the values of atoms there.

    Args:
        bounds: the smallest and largest value of a symbol, None where there is none.
        facts: dimensions that are >= 0.
    """

    def __init__(
        self, bounds: Callable[[str], tuple[int | None, int | None]], facts: Sequence[TDim]
    ) -> None:
        self._bounds = bounds
        self._facts = facts
        self._values: dict[int, dict[Atom, int]] = {}
        self._kept: tuple[int, ...] | None = None

    def _numbers(self) -> tuple[int, ...]:
        """Find the points when they are first needed."""
        if self._kept is None:
            found: list[int] = []
            for number in range(_TRIES):
                self._values[number] = {}
                if len(found) < _KEPT and self._holds(number):
                    found.append(number)
            self._kept = tuple(found)
        return self._kept

    def _holds(self, number: int) -> bool:
        values = (self._at(number, fact) for fact in self._facts)
        return all(value is not None and value >= 0 for value in values)

    def is_negative(self, dim: Dim) -> bool:
        """Tell whether a dimension is below 0 at one of the points."""
        return any((value or 0) < 0 for value in (self._at(n, dim) for n in self._numbers()))

    def varies(self, dim: Dim) -> bool:
        """Tell whether a dimension has two values among the points."""
        first: int | None = None
        for number in self._numbers():
            value = self._at(number, dim)
            if first is None:
                first = value
            elif value is not None and value != first:
                return True
        return False

    def _at(self, number: int, dim: Dim) -> int | None:
        """Return the value at a point; None where a broadcast has none, or a symbol no room."""
        if not isinstance(dim, TDim):
            return dim
        values = self._values[number]
        if any(atom not in values for monomial, _ in dim.terms for atom in monomial):
            for atom in dim.atoms:
                if atom not in values:
                    value = self._of_atom(number, atom, values)
                    if value is None:
                        return None
                    values[atom] = value
        return value_of(dim, values)

    def _of_atom(self, number: int, atom: Atom, values: dict[Atom, int]) -> int | None:
        if atom.kind == "symbol":
            return self._of_symbol(number, atom.name)
        try:
            return atom_value(atom, values)
        except EvalError:
            return None

    def _of_symbol(self, number: int, name: str) -> int | None:
        low, high = self._bounds(name)
        spread = _SPREADS[number % len(_SPREADS)]
        chance = int.from_bytes(blake2b(f"{number} {name}".encode(), digest_size=4).digest(), "big")
        if low is None:
            low = -spread // 2 if high is None else high - spread
        value = low + chance % (spread + 1)
        return value if high is None else min(value, high) if low <= high else None
