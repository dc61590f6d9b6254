"""Constructors of dimensions that are not operators: symbols, broadcasts, comparisons, products."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from tract_ref.dim import trace
from tract_ref.dim.limits import whole
from tract_ref.dim.order import piece_key
from tract_ref.dim.tdim import (
    Dim,
    Monomial,
    TDim,
    atom_dim,
    build,
    combine,
    content,
    divide_exactly,
    make_atom,
    scale,
)
from tract_ref.dim.telling import tell_sum
from tract_ref.errors import InvalidModel

_NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff](?:[A-Za-z0-9_.\x80-\U0010ffff]|/[A-Za-z]+)*")
_KNOWN: dict[str, TDim] = {}


def name_at(text: str, place: int) -> str:
    """Return the symbol name that begins at a place of a text, empty when there is none.

    Above ASCII it has letters, their marks, and pictographs: tract names coordinates with one.
    """
    found = _NAME.match(text, place)
    name = found.group() if found else ""
    if name.isascii():
        return name
    for index, letter in enumerate(name):
        if letter.isascii():
            continue
        kind = unicodedata.category(letter)
        if kind[0] != "L" and kind != "So" and (kind[0] != "M" or not index):
            return name[:index]
    return name


def is_name(text: str) -> bool:
    """Tell whether a text is the name of a symbol."""
    return bool(text) and name_at(text, 0) == text


def sym(name: str) -> TDim:
    """Return the symbol of that name; two symbols of one name are one symbol."""
    known = _KNOWN.get(name)
    if known is not None:
        return known
    if not is_name(name):
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
    divisor = whole(divisor, f"the divisor of ({dim})")
    if divisor <= 0:
        raise InvalidModel(f"ceil(({dim})/{divisor}): a divisor must be a positive integer")
    return (dim + divisor - 1) // divisor


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of dimensions: the volume of a shape, 1 for an empty one."""
    total: Dim = 1
    for dim in dims:
        total = total * (dim if isinstance(dim, TDim) else whole(dim, "a factor of a product"))
    return total


def combine_all(first: Dim, others: Sequence[Dim], factor: int) -> Dim:
    """Return first + factor * each of the others, sorted once; it tells the step."""
    terms: dict[Monomial, int] = {}
    constant = 0
    for dim, weight in ((first, 1), *((other, factor) for other in others)):
        if not isinstance(dim, TDim):
            constant += weight * dim
            continue
        constant += weight * dim.constant
        for monomial, coefficient in dim.terms:
            terms[monomial] = terms.get(monomial, 0) + weight * coefficient
    result = build(constant, terms)
    if trace.on:
        tell_sum("add" if factor > 0 else "subtract", (first, *others), result)
    return result


def broadcast(*dims: Dim) -> Dim:
    """Return the size all dimensions take together: 1 stretches, others must be equal.

    Two dimensions that are not known to be equal are kept, and fail when they are evaluated.

    Errors:
        InvalidModel: two different integers, neither of them 1.
    """
    found = [piece for dim in dims for piece in _broadcast_pieces(dim)]
    flat = set(found)
    flat.discard(1)
    numbers = sorted(d for d in flat if not isinstance(d, TDim))
    if len(numbers) > 1:
        raise InvalidModel(f"broadcast of {numbers[0]} and {numbers[1]}: sizes must be equal or 1")
    kept = tuple(sorted(flat, key=piece_key))
    if len(kept) <= 1:
        result = kept[0] if kept else 1
    else:
        result = atom_dim(make_atom("broadcast", "", kept))
    if trace.on:
        _tell_broadcast(dims, found, result)
    return result


def _tell_broadcast(dims: tuple[Dim, ...], found: list[Dim], result: Dim) -> None:
    longer = tuple(d for d in found if not (isinstance(d, int) and d == 1))
    if len(set(longer)) < len(longer):
        trace.tell(trace.EQUAL_SIZES, "broadcast", longer, result)
    if len(longer) < len(found):
        trace.tell(trace.STRETCH_ONE, "broadcast", tuple(found), result)
    if len(dims) < len(found):
        trace.tell(trace.FLATTEN_BROADCAST, "broadcast", dims, result)


def _broadcast_pieces(dim: Dim) -> tuple[Dim, ...]:
    if isinstance(dim, TDim) and not dim.constant and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and monomial[0].kind == "broadcast":
            return monomial[0].pieces
    return (dim,)


def ge(left: Dim, right: Dim) -> Dim:
    """Return 1 where left >= right, else 0."""
    difference = combine(left, right, -1)
    if not isinstance(difference, TDim):
        result = int(difference >= 0)
    else:
        # g*x + c >= 0 exactly when x + floor(c/g) >= 0, for integers.
        reduced = divide_exactly(difference, content(difference))
        result = atom_dim(make_atom("ge", "", (reduced,)))
    if trace.on:
        _tell_comparison("ge", (left, right), difference, result)
    return result


def eq(left: Dim, right: Dim) -> Dim:
    """Return 1 where left == right, else 0."""
    difference = combine(left, right, -1)
    if not isinstance(difference, TDim):
        result = int(difference == 0)
    elif difference.constant % content(difference):
        result = 0
    else:
        ahead = difference.terms[0][1] > 0
        reduced = divide_exactly(
            difference if ahead else scale(difference, -1), content(difference)
        )
        result = atom_dim(make_atom("eq", "", (reduced,)))
    if trace.on:
        _tell_comparison("eq", (left, right), difference, result)
    return result


def _tell_comparison(
    name: Literal["ge", "eq"], sides: tuple[Dim, Dim], difference: Dim, result: Dim
) -> None:
    """Tell each law of a comparison that did something, the last one first."""
    if isinstance(difference, TDim):
        common = content(difference)
        if name == "eq" and difference.constant % common:
            trace.tell(trace.COMPARE_MULTIPLE, "eq", (difference, 0), result)
        elif common > 1:
            trace.tell(trace.COMPARE_COMMON, name, (difference, 0), result)
        if name == "eq" and difference.terms[0][1] < 0:
            trace.tell(trace.COMPARE_SIGN, "eq", (difference, 0), result)
    trace.tell(trace.COMPARE_DIFFERENCE, name, sides, result)
