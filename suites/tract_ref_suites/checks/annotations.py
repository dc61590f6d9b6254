"""What a fact says of single elements is what they are: `uniform` and `per_element`.

The expressions are evaluated here by a walk of its own, in exact integers, over the coordinates of
the value; a quotient is rounded once into the dtype of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import mul
from typing import Any

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Dim, TDim, evaluate
from tract_ref.dim.tdim import Atom
from tract_ref.ir.fact import Fact
from tract_ref.ir.per_element import PREFIX, PerElement, is_coordinate
from tract_ref_suites.checks.failure import CheckFailure, First


def require_annotations(
    fact: Fact, value: Array, symbols: Mapping[str, int], *, wire: str, where: str
) -> None:
    """Require that the elements of a wire are what its fact says, as far as symbols are bound.

    Raises:
        CheckFailure: an element is another one.
    """
    if fact.uniform is not None and fact.uniform.dtype == value.dtype:
        expected = np.broadcast_to(fact.uniform, value.shape)
        _require(value, expected, wire, f"{where}: {wire!r} is said to be all {fact.uniform}")
    said = fact.per_element
    if said is None or _unbound(said, symbols):
        return
    _require(
        _numbers(value, symbols),
        expected_elements(said, value, symbols),
        wire,
        f"{where}: elements of {wire!r} are said to be {said}",
    )


def _unbound(said: PerElement, symbols: Mapping[str, int]) -> set[str]:
    names = said.numerator.symbols if isinstance(said.numerator, TDim) else frozenset[str]()
    return {name for name in names if not is_coordinate(name) and name not in symbols}


def expected_elements(said: PerElement, value: Array, symbols: Mapping[str, int]) -> Array:
    """Return what an annotation says of every element of a value, in the value's dtype."""
    places = np.indices(value.shape).astype(object)
    bindings: dict[str, Any] = {f"{PREFIX}{axis}": at for axis, at in enumerate(places)}
    numbers = values_of(said.numerator, bindings | dict(symbols))
    whole = np.broadcast_to(np.asarray(numbers, object), value.shape)
    if value.dtype.kind == "f":
        # Rounded in f64, and once more without harm in a dtype of less than half its bits.
        return np.asarray(whole / said.divisor, np.float64).astype(value.dtype)
    return whole


def values_of(dim: Dim, bindings: Mapping[str, Any]) -> Any:
    """Evaluate a dimension over whole arrays of integers, exactly."""
    if not isinstance(dim, TDim):
        return dim
    return dim.constant + sum(
        factor * reduce(mul, (_atom(atom, bindings) for atom in monomial))
        for monomial, factor in dim.terms
    )


def _atom(atom: Atom, bindings: Mapping[str, Any]) -> Any:
    if atom.kind == "symbol":
        return bindings[atom.name]
    sizes = [values_of(piece, bindings) for piece in atom.pieces]
    if atom.kind == "floor":
        return sizes[0] // atom.divisor
    if atom.kind in ("ge", "eq"):
        is_so = sizes[0] >= 0 if atom.kind == "ge" else sizes[0] == 0
        return np.asarray(is_so, bool).astype(object) * 1
    found = sizes[0]
    for size in sizes[1:]:
        # A broadcast of sizes that do not differ, or of which one is 1, is the larger one.
        found = np.where(np.asarray(size > found, bool), size, found)
    return found


def _numbers(value: Array, symbols: Mapping[str, int]) -> Array:
    if value.dtype.kind == "O":
        return np.asarray(np.frompyfunc(lambda dim: evaluate(dim, symbols), 1, 1)(value), object)
    return value if value.dtype.kind == "f" else value.astype(object) * 1


def _require(got: Array, expected: Array, wire: str, claim: str) -> None:
    differs = np.asarray(got != expected, bool)
    if got.dtype.kind == "f":
        differs &= ~(np.isnan(got) & np.isnan(np.asarray(expected, got.dtype)))
    if differs.any():
        index = tuple(int(i) for i in np.argwhere(differs)[0])
        first = First(wire, None, index, got[index], expected[index])
        raise CheckFailure("run", "wrong_value", claim, first=first)
