"""Constructors of dimensions that are not operators: symbols, broadcasts, comparisons, products."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tract_ref.dim.tdim import (
    Dim,
    TDim,
    atom_dim,
    content,
    divide_exactly,
    make_atom,
    piece_key,
)
from tract_ref.errors import InvalidModel

# Characters above ASCII are letters here: tract names coordinate symbols with a pictograph.
NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff](?:[A-Za-z0-9_.\x80-\U0010ffff]|/[A-Za-z]+)*")
_KNOWN: dict[str, TDim] = {}


def sym(name: str) -> TDim:
    """Return the symbol of that name; two symbols of one name are one symbol."""
    known = _KNOWN.get(name)
    if known is not None:
        return known
    if not NAME.fullmatch(name):
        raise InvalidModel(
            f"symbol name {name!r} is not an identifier; "
            "use a letter or _, then letters, digits, _ . /"
        )
    return _KNOWN.setdefault(name, atom_dim(make_atom("symbol", name)))


def symbols(dim: Dim) -> frozenset[str]:
    """Return the names of the symbols a dimension depends on."""
    return dim.symbols if isinstance(dim, TDim) else frozenset()


def ceil_div(dim: Dim, divisor: int) -> Dim:
    """Return the quotient rounded up: floor((dim + q - 1) / q)."""
    if divisor <= 0:
        raise InvalidModel(f"ceil(({dim})/{divisor}): a divisor must be a positive integer")
    return (dim + divisor - 1) // divisor


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of dimensions: the volume of a shape, 1 for an empty one."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def broadcast(*dims: Dim) -> Dim:
    """Return the size all dimensions take together: 1 stretches, others must be equal.

    Two dimensions that are not known to be equal are kept, and fail when they are evaluated.

    Errors:
        InvalidModel: two different integers, neither of them 1.
    """
    flat: set[Dim] = set()
    for dim in dims:
        flat.update(_broadcast_pieces(dim))
    flat.discard(1)
    numbers = sorted(d for d in flat if not isinstance(d, TDim))
    if len(numbers) > 1:
        raise InvalidModel(f"broadcast of {numbers[0]} and {numbers[1]}: sizes must be equal or 1")
    if len(flat) <= 1:
        return flat.pop() if flat else 1
    return atom_dim(make_atom("broadcast", "", tuple(sorted(flat, key=piece_key))))


def _broadcast_pieces(dim: Dim) -> tuple[Dim, ...]:
    if isinstance(dim, TDim) and not dim.constant and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and monomial[0].kind == "broadcast":
            return monomial[0].pieces
    return (dim,)


def ge(left: Dim, right: Dim) -> Dim:
    """Return 1 where left >= right, else 0."""
    difference = left - right
    if not isinstance(difference, TDim):
        return int(difference >= 0)
    # g*x + c >= 0 exactly when x + floor(c/g) >= 0, for integers.
    common = content(difference)
    reduced = divide_exactly(difference, common)
    return atom_dim(make_atom("ge", "", (reduced,)))


def eq(left: Dim, right: Dim) -> Dim:
    """Return 1 where left == right, else 0."""
    difference = left - right
    if not isinstance(difference, TDim):
        return int(difference == 0)
    common = content(difference)
    if difference.constant % common:
        return 0
    if difference.terms[0][1] < 0:
        difference = -difference
    return atom_dim(make_atom("eq", "", (divide_exactly(difference, common),)))
