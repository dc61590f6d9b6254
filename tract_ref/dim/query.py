"""Questions about a dimension: its value, its rate, its period, what solves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import TypeAlias

from tract_ref.dim.build import broadcast, eq, ge, symbols
from tract_ref.dim.limits import is_writable, limited, too_long, whole
from tract_ref.dim.order import monomial_key
from tract_ref.dim.tdim import (
    Atom,
    Dim,
    Monomial,
    TDim,
    atom_dim,
    build,
    combine,
    content,
    dim_max,
    divide_exactly,
)
from tract_ref.errors import EvalError, Inconclusive

_DIVISION_STEPS = 1000
Rate: TypeAlias = int | Fraction


def evaluate(dim: Dim, bindings: Mapping[str, int]) -> int:
    """Return the value of a dimension, all its symbols being bound.

    Errors:
        Inconclusive: a symbol has no value.
        EvalError: a broadcast of two sizes that differ.
        InvalidModel: a symbol is bound to no integer, or the value is too long to be written.
    """
    if not isinstance(dim, TDim):
        return dim
    missing = dim.symbols.difference(bindings)
    if missing:
        raise Inconclusive(f"{dim} has no value: {_not_set(missing)}")
    values: dict[Atom, int] = {}
    for atom in dim.atoms:
        if atom.kind != "symbol":
            values[atom] = atom_value(atom, values)
            continue
        bound = bindings[atom.name]
        is_plain = type(bound) is int
        values[atom] = bound if is_plain else whole(bound, f"the value of {atom.name}")
    value = value_of(dim, values)
    if not is_writable(value):
        raise too_long()
    return value


def _not_set(names: Iterable[str]) -> str:
    listed = sorted(names)
    return f"symbol{'s' if len(listed) > 1 else ''} {', '.join(listed)} not set"


def value_of(dim: Dim, values: Mapping[Atom, int]) -> int:
    """Return the value of a sum whose atoms have values."""
    if not isinstance(dim, TDim):
        return dim
    total = dim.constant
    for monomial, coefficient in dim.terms:
        for atom in monomial:
            coefficient *= values[atom]
        total += coefficient
    return total


def atom_value(atom: Atom, values: Mapping[Atom, int]) -> int:
    """Return the value of an atom other than a symbol, from those of the atoms inside.

    Errors:
        EvalError: a broadcast of two sizes that differ.
    """
    sizes = [value_of(piece, values) for piece in atom.pieces]
    if atom.kind == "floor":
        return sizes[0] // atom.divisor
    if atom.kind == "max":
        return max(sizes)
    if atom.kind == "ge":
        return int(sizes[0] >= 0)
    if atom.kind == "eq":
        return int(sizes[0] == 0)
    distinct = sorted({size for size in sizes if size != 1})
    if len(distinct) > 1:
        raise EvalError(f"{atom}: {distinct[0]} and {distinct[1]} must be equal or 1")
    return distinct[0] if distinct else 1


def substitute(dim: Dim, mapping: Mapping[str, Dim]) -> Dim:
    """Replace symbols by dimensions, all at once.

    Errors:
        InvalidModel: a value is no dimension, or a number of the result is too long to be written.
    """
    if not isinstance(dim, TDim) or dim.symbols.isdisjoint(mapping):
        return dim
    known: dict[Atom, Dim] = {}
    for atom in dim.atoms:
        if atom.kind == "symbol":
            value = mapping.get(atom.name, atom_dim(atom))
            is_dim = isinstance(value, TDim)
            known[atom] = value if is_dim else whole(value, f"the value of {atom.name}")
        else:
            known[atom] = rebuild_atom(atom, [replace_atoms(p, known) for p in atom.pieces])
    return replace_atoms(dim, known)


def replace_atoms(dim: Dim, known: Mapping[Atom, Dim]) -> Dim:
    """Rebuild a sum with each of its atoms replaced by a dimension.

    Errors:
        InvalidModel: a number of the result is too long to be written.
    """
    if not isinstance(dim, TDim):
        return dim
    if all(known[a] is atom_dim(a) for m, _ in dim.terms for a in m):
        return dim
    total: Dim = dim.constant
    for monomial, coefficient in dim.terms:
        term = known[monomial[0]]
        for atom in monomial[1:]:
            term = term * known[atom]
        total = combine(total, term, coefficient)
    return limited(total)


def rebuild_atom(atom: Atom, sizes: Sequence[Dim]) -> Dim:
    """Make an atom again from other pieces, by its constructor."""
    if all(a == b for a, b in zip(sizes, atom.pieces, strict=True)):
        return atom_dim(atom)
    if atom.kind == "floor":
        return sizes[0] // atom.divisor
    if atom.kind == "max":
        return dim_max(*sizes)
    if atom.kind == "broadcast":
        return broadcast(*sizes)
    return ge(sizes[0], 0) if atom.kind == "ge" else eq(sizes[0], 0)


def slope(dim: Dim, symbol: str) -> Fraction:
    """Return the rate of a dimension as a symbol grows to infinity, the others being fixed.

    A maximum takes its steepest piece, a minimum its flattest.

    Errors:
        Inconclusive: the rate is not a constant, or a broadcast does not say which size it takes.
    """
    if symbol not in symbols(dim) or not isinstance(dim, TDim):
        return Fraction(0)
    rates: dict[Atom, Rate] = {}
    for atom in dim.atoms:
        rates[atom] = _atom_rate(atom, symbol, rates)
    return Fraction(_rate(dim, symbol, rates))


def _rate(dim: Dim, symbol: str, rates: Mapping[Atom, Rate]) -> Rate:
    total: Rate = 0
    for monomial, coefficient in dim.terms if isinstance(dim, TDim) else ():
        moving = [atom for atom in monomial if symbol in atom.symbols]
        if not moving:
            continue
        if len(monomial) > 1:
            text = "*".join(f"({atom})" for atom in monomial)
            raise Inconclusive(f"{dim} has no constant rate in {symbol}: {text} is not linear")
        total += coefficient * rates[moving[0]]
    return total


def _atom_rate(atom: Atom, symbol: str, rates: Mapping[Atom, Rate]) -> Rate:
    if atom.kind == "symbol":
        return int(atom.name == symbol)
    if symbol not in atom.symbols or atom.kind in ("ge", "eq"):
        return 0
    inner = [_rate(piece, symbol, rates) for piece in atom.pieces]
    if atom.kind == "floor":
        return Fraction(inner[0], atom.divisor)
    if atom.kind == "max":
        return max(inner)
    if len(set(inner)) > 1:
        raise Inconclusive(f"{atom} has no rate in {symbol}: which size it takes is not known")
    return inner[0]


def period(dim: Dim, symbol: str) -> int:
    """Return p such that adding p to a large enough symbol adds a whole number, slope * p.

    Errors:
        Inconclusive: the dimension has no constant rate in the symbol.
    """
    if symbol not in symbols(dim) or not isinstance(dim, TDim):
        return 1
    rates: dict[Atom, Rate] = {}
    periods: dict[Atom, int] = {}
    for atom in dim.atoms:
        rates[atom] = _atom_rate(atom, symbol, rates)
        if symbol not in atom.symbols or atom.kind == "symbol":
            periods[atom] = 1
            continue
        inner = lcm(*(_period(piece, periods) for piece in atom.pieces))
        advance = rates[atom] * inner if atom.kind == "floor" else 1
        periods[atom] = inner * advance.denominator
    _rate(dim, symbol, rates)
    return _period(dim, periods)


def _period(dim: Dim, periods: Mapping[Atom, int]) -> int:
    if not isinstance(dim, TDim):
        return 1
    return lcm(*(periods[atom] for monomial, _ in dim.terms for atom in monomial))


def solve_for(symbol: str, left: Dim, right: Dim) -> Dim | None:
    """Return the value of a symbol that makes both sides equal; None unless linear and exact."""
    difference = left - right
    if not isinstance(difference, TDim):
        return None
    factor = 0
    for monomial, coefficient in difference.terms:
        if len(monomial) == 1 and monomial[0].name == symbol:
            factor = coefficient
        elif any(symbol in atom.symbols for atom in monomial):
            return None
    if not factor:
        return None
    rest = difference.terms if factor > 0 else (-difference).terms
    constant = difference.constant if factor > 0 else -difference.constant
    others = {m: -c for m, c in rest if m[0].name != symbol or len(m) > 1}
    divisor = abs(factor)
    if constant % divisor or any(c % divisor for c in others.values()):
        return None
    return divide_exactly(build(-constant, others), divisor)


def maybe_div(left: Dim, right: Dim) -> tuple[Dim, int]:
    """Cancel common factors: left / right = quotient / divisor, with a positive integer divisor.

    Errors:
        Inconclusive: a symbolic factor of `right` is not a factor of `left`.
        EvalError: `right` is 0.
    """
    if not isinstance(right, TDim):
        if right == 0:
            raise EvalError(f"({left})/0: division by zero")
        common = gcd(_whole_content(left), right)
        sign = -1 if right < 0 else 1
        return sign * divide_exactly(left, common), abs(right) // common
    if not isinstance(left, TDim) and left == 0:
        return 0, 1
    below, above = _whole_content(right), _whole_content(left)
    quotient = _divide(divide_exactly(left, above), divide_exactly(right, below))
    if quotient is None:
        raise Inconclusive(f"({left}) is not known to be a multiple of ({right})")
    common = gcd(above, below)
    return quotient * (above // common), below // common


def _whole_content(dim: Dim) -> int:
    """Return the greatest common divisor of the coefficients and the constant."""
    return gcd(content(dim), dim.constant) if isinstance(dim, TDim) else abs(dim)


def _leading(dim: Dim) -> tuple[Monomial, int]:
    if not isinstance(dim, TDim):
        return (), dim
    return max(dim.terms, key=lambda term: monomial_key(term[0]))


def _divide(left: Dim, right: Dim) -> Dim | None:
    """Divide polynomials by their leading terms; None when a remainder is left."""
    top, factor = _leading(right)
    quotient: Dim = 0
    for _ in range(_DIVISION_STEPS):
        if not isinstance(left, TDim) and left == 0:
            return quotient
        monomial, coefficient = _leading(left)
        missing = list(monomial)
        for atom in top:
            if atom not in missing:
                return None
            missing.remove(atom)
        if coefficient % factor:
            return None
        step = (
            build(0, {tuple(missing): coefficient // factor}) if missing else coefficient // factor
        )
        quotient = quotient + step
        left = left - step * right
    return None
