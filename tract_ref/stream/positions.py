"""Values of dimensions over coordinates at every position of a concrete shape.

Passes prove; the suites and whoever shows a region to a user count out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np

from tract_ref.dim import Dim, TDim
from tract_ref.dim.tdim import Atom
from tract_ref.errors import EvalError, Inconclusive
from tract_ref.ir.fact import Tensor
from tract_ref.ir.per_element import PREFIX
from tract_ref.stream.roi import Region


def positions(region: Region, shape: tuple[int, ...], bindings: Mapping[str, int]) -> Tensor:
    """Return, per position of a concrete shape, whether it is observed.

    Raises:
        Inconclusive: a symbol is neither bound nor a coordinate of the shape.
        EvalError: the region is neither 0 nor 1 somewhere.
    """
    if region is None:
        return np.ones(shape, np.bool_)
    value = np.broadcast_to(element_values(region, shape, bindings), shape)
    if not np.isin(value, (0, 1)).all():
        raise EvalError(f"the region {region} is neither 0 nor 1 at a position of {list(shape)}")
    return value == 1


def element_values(dim: Dim, shape: tuple[int, ...], bindings: Mapping[str, int]) -> Tensor:
    """Return the value of a dimension at every position, as an array that broadcasts to `shape`.

    Raises:
        Inconclusive: a symbol is neither bound nor a coordinate of the shape.
    """
    if not isinstance(dim, TDim):
        return np.asarray(dim, np.int64)
    places = np.indices(shape, np.int64, sparse=True)
    known = {f"{PREFIX}{axis}": place for axis, place in enumerate(places)}
    known |= {name: np.asarray(value, np.int64) for name, value in bindings.items()}
    missing = sorted(dim.symbols - known.keys())
    if missing:
        raise Inconclusive(f"{dim} has no value: {', '.join(missing)} not set")
    values: dict[Atom, Tensor] = {}
    for atom in dim.atoms:
        values[atom] = known[atom.name] if atom.kind == "symbol" else _atom_values(atom, values)
    return _sum_values(dim, values)


def _sum_values(dim: Dim, values: Mapping[Atom, Tensor]) -> Tensor:
    if not isinstance(dim, TDim):
        return np.asarray(dim, np.int64)
    total = np.asarray(dim.constant, np.int64)
    for monomial, factor in dim.terms:
        term = np.asarray(factor, np.int64)
        for atom in monomial:
            term = term * values[atom]
        total = total + term
    return total


def _atom_values(atom: Atom, values: Mapping[Atom, Tensor]) -> Tensor:
    pieces = [_sum_values(piece, values) for piece in atom.pieces]
    first = pieces[0]
    if atom.kind == "floor":
        return first // atom.divisor
    if atom.kind == "max":
        return reduce(np.maximum, pieces)
    if atom.kind in ("ge", "eq"):
        holds = first >= 0 if atom.kind == "ge" else first == 0
        return holds.astype(np.int64)
    return reduce(lambda a, b: np.where(a == 1, b, a), pieces)
