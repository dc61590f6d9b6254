"""Regions of interest: which positions of a wire an output of the model can show.

A region is a dimension that is 0 or 1 over the coordinates of a wire and the model's symbols:

    None            every position is observed
    0               none is
    (🎯1>=3)        those from position 3 of axis 1 on

and is kept as a union of conjunctions of comparisons. What is not observed may hold anything, NaN
included, and no output changes. Every step here may widen a region, and none narrows it.

Source: spec/attention.md 1.6. Differs from tract: projections are proved on integers, shifts have
the sound sign, constant offsets count, and a union is not given up when one reader sees more.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import product as pairs_of
from typing import TypeAlias

from tract_ref.dim import Assertion, Dim, Scope, TDim, eq, ge, product, sym, symbols
from tract_ref.dim import substitute as substitute_dim
from tract_ref.dim.limits import is_short_product
from tract_ref.dim.query import replace_atoms
from tract_ref.dim.tdim import Atom, Monomial, atom_dim, build
from tract_ref.ir.fact import Shape
from tract_ref.ir.per_element import coordinate, coordinate_axes, is_coordinate, remap, within

Region: TypeAlias = Dim | None

# Beyond these sizes an expression says more than any pass reads out of it, and is widened.
_LARGEST = 120
_ALTERNATIVES = 6
_BOOLEAN = ("ge", "eq")
# Stands for an output position that is being eliminated; no axis has it as its coordinate.
_OUTPUT = sym("🎯i")


def is_boolean(value: Dim) -> bool:
    """Say whether a dimension is a polynomial of comparisons."""
    return not isinstance(value, TDim) or all(
        atom.kind in _BOOLEAN for monomial, _ in value.terms for atom in monomial
    )


def size_of(value: Dim) -> int:
    """Return how many factors and atoms an expression has."""
    if not isinstance(value, TDim):
        return 1
    return sum(len(monomial) for monomial, _ in value.terms) + len(value.atoms)


def alternatives(region: Dim) -> list[Monomial]:
    """Return conjunctions of which one holds wherever the region does.

    A sum that is 1 has a term that is 1 among those it adds.
    """
    if not isinstance(region, TDim):
        return [()] if region else []
    found: list[Monomial] = [m for m, factor in region.terms if factor > 0]
    return [()] if region.constant > 0 else found


def _is_union(region: Dim, found: list[Monomial]) -> bool:
    """Say whether a region is exactly the union of its alternatives."""
    if not isinstance(region, TDim):
        return True
    if not region.constant and len(found) == len(region.terms):
        return True
    return len(found) <= _ALTERNATIVES and _any(map(_all, found)) == region


def _all(monomial: Monomial) -> Dim:
    return product(atom_dim(atom) for atom in monomial)


def _any(regions: Iterable[Dim]) -> Dim:
    """Return where one of several regions holds; of what is too large together, everywhere."""
    whole: Dim = 0
    for region in regions:
        both = _both(whole, region)
        if both is None:
            return 1
        whole = whole + region - both
    return whole


def _both(a: Dim, b: Dim) -> Dim | None:
    """Return where two regions hold, None when multiplying them out is too much work."""
    if isinstance(a, TDim) and isinstance(b, TDim):
        degree = max(len(m) for m, _ in a.terms) + max(len(m) for m, _ in b.terms)
        if not is_short_product(len(a.terms), len(b.terms), degree):
            return None
    return a * b


def complement(region: Region) -> Dim:
    """Return where a region does not hold; each comparison is turned around."""
    if region is None:
        return 0
    if not isinstance(region, TDim):
        return 1 - region
    found = alternatives(region)
    longest = max([len(found), *map(len, found)])
    if longest > _ALTERNATIVES or not _is_union(region, found):
        return 1 - region
    none: Dim | None = 1
    for monomial in found:
        none = None if none is None else _both(none, _any(map(_unlike, monomial)))
    return 1 - region if none is None else none


def _unlike(atom: Atom) -> Dim:
    (piece,) = atom.pieces
    below = ge(-1 - piece, 0)
    return below if atom.kind == "ge" else below + ge(piece - 1, 0)


def as_region(value: Dim) -> Dim:
    """Return a dimension that is known to be 0 or 1 as a region, with its negations resolved."""
    if not isinstance(value, TDim):
        return int(value != 0)
    if not is_boolean(value):
        return ge(value, 1)
    if value.constant:
        return complement(1 - value) if value.constant == 1 else value
    common = frozenset(value.terms[0][0]).intersection(*(m for m, _ in value.terms))
    if not common or len(value.terms) == 1:
        return value
    rest = {tuple(a for a in m if a not in common): c for m, c in value.terms}
    inner = build(rest.pop((), 0), rest)
    factor = product(atom_dim(atom) for atom in sorted(common, key=lambda atom: atom.key))
    return factor * as_region(inner)


def where_not_zero(value: Dim) -> Dim:
    """Return where a whole number is not 0."""
    if isinstance(value, TDim) and is_boolean(value) and len(value.terms) == 1:
        return _all(value.terms[0][0]) if not value.constant else _nonzero(value)
    return _nonzero(value)


def _nonzero(value: Dim) -> Dim:
    return ge(value, 1) + ge(-1, value)


# Proofs


@lru_cache(maxsize=4096)
def _knowing(monomial: Monomial, shape: Shape, scope: Scope) -> Scope:
    """Return a scope in which a conjunction holds, at positions of a shape."""
    known = within(shape, scope)
    for atom in monomial:
        relation = ">=" if atom.kind == "ge" else "=="
        known = known.asserting(Assertion(atom.pieces[0], relation, 0))
    return known


@lru_cache(maxsize=1 << 15)
def _entails(given: Monomial, atom: Atom, shape: Shape, scope: Scope) -> bool:
    if atom in given:
        return True
    known, (piece,) = _knowing(given, shape, scope), atom.pieces
    if atom.kind == "eq":
        return known.decide_equal(piece, 0) is True
    return known.proves_ge(piece, 0) is True


@lru_cache(maxsize=1 << 15)
def _excludes(given: Monomial, atom: Atom, shape: Shape, scope: Scope) -> bool:
    known, (piece,) = _knowing(given, shape, scope), atom.pieces
    if atom.kind == "eq":
        return known.decide_equal(piece, 0) is False
    return known.proves_ge(piece, 0) is False


def _implies(given: Monomial, wanted: Monomial, shape: Shape, scope: Scope) -> bool:
    return all(_entails(given, atom, shape, scope) for atom in wanted)


def settle(region: Region, shape: Shape, scope: Scope) -> Region:
    """Return a region in its shortest form for positions of a shape.

    Coordinates of axes of one position are 0; what is proved is left out; a region that holds
    everywhere, or that is too large to be of use, is None.
    """
    if region is None or not isinstance(region, TDim):
        return None if region is None or region else 0
    # A proof looks for the dims as they are after simplification.
    shape = tuple(scope.simplify(dim) for dim in shape)
    region = remap(as_region(region), {axis: 0 for axis, dim in enumerate(shape) if dim == 1})
    region = _decided(region, within(shape, scope))
    if not isinstance(region, TDim):
        return None if region else 0
    found = alternatives(region)
    if _is_union(region, found):
        return _joined(found, shape, scope)
    return region if size_of(region) <= _LARGEST else None


def _decided(region: Dim, known: Scope) -> Dim:
    """Replace the comparisons that are decided; simplify what the others compare.

    `Scope.simplify` would also write a comparison as a sum, which is no longer a region.
    """
    if not isinstance(region, TDim):
        return region
    made: dict[Atom, Dim] = {}
    for atom in {atom for monomial, _ in region.terms for atom in monomial}:
        piece = known.simplify(atom.pieces[0])
        piece = _without_floor(piece) if atom.kind == "ge" else piece
        made[atom] = ge(piece, 0) if atom.kind == "ge" else eq(piece, 0)
        answer = known.proves_ge(piece, 0) if atom.kind == "ge" else known.decide_equal(piece, 0)
        made[atom] = made[atom] if answer is None else int(answer)
    return replace_atoms(region, made)


def _without_floor(piece: Dim) -> Dim:
    """Return a dimension that is >= 0 where another is, without its only quotient.

    floor(y / q) >= b is y >= q*b, and floor(y / q) <= b is y <= q*b + q - 1.
    """
    if not isinstance(piece, TDim):
        return piece
    found = [(m[0], c) for m, c in piece.terms if len(m) == 1 and m[0].kind == "floor"]
    if len(found) != 1 or abs(found[0][1]) != 1:
        return piece
    ((atom, factor),) = found
    rest, (inner,), q = piece - factor * atom_dim(atom), atom.pieces, atom.divisor
    if isinstance(rest, TDim) and any(part.kind == "floor" for part in rest.atoms):
        return piece
    return inner + q * rest if factor > 0 else q * rest + q - 1 - inner


def union(a: Region, b: Region, shape: Shape, scope: Scope) -> Region:
    """Return where either region holds, at positions of a shape."""
    if a is None or b is None:
        return None
    shape = tuple(scope.simplify(dim) for dim in shape)
    found = [alternatives(a), alternatives(b)]
    if _is_union(a, found[0]) and _is_union(b, found[1]):
        return _joined([*found[0], *found[1]], shape, scope)
    return settle(_any((a, b)), shape, scope)


def _joined(found: list[Monomial], shape: Shape, scope: Scope) -> Region:
    """Return the union of conjunctions, each alternative and each factor of it being needed."""
    kept: list[Monomial] = []
    for monomial in dict.fromkeys(found):
        wanted = _reduced(monomial, shape, scope)
        at = 0
        while wanted is not None and at < len(kept):
            hull = _hull(kept[at], wanted, shape, scope)
            if hull is None:
                at += 1
            else:
                del kept[at]
                wanted, at = hull, 0
        if wanted is not None:
            kept.append(wanted)
    if () in kept or len(kept) > _ALTERNATIVES:
        return None
    region = _any(map(_all, kept))
    return region if size_of(region) <= _LARGEST else None


def _reduced(monomial: Monomial, shape: Shape, scope: Scope) -> Monomial | None:
    """Return a conjunction without what its other factors imply, None when it never holds."""
    for atom in monomial:
        others = tuple(a for a in monomial if a is not atom)
        if _excludes(others, atom, shape, scope):
            return None
        if _entails(others, atom, shape, scope):
            return _reduced(others, shape, scope)
    return monomial


def _hull(a: Monomial, b: Monomial, shape: Shape, scope: Scope) -> Monomial | None:
    """Return the conjunction that is exactly the union of two, None when none was found.

    Where one factor of each holds when the other's does not, the other factors together say what
    both say: x < 6 and x >= 6 cancel in (x >= 3)(x < 6) or (x >= 6)(x < 9).
    """
    if _implies(a, b, shape, scope):
        return b
    if _implies(b, a, shape, scope):
        return a
    for left, right in pairs_of(a, b):
        turned = _unlike(left)
        if left.kind != "ge" or not isinstance(turned, TDim):
            continue
        if not _entails(turned.terms[0][0], right, shape, scope):
            continue
        rest = _all((*(x for x in a if x is not left), *(x for x in b if x is not right)))
        joined = rest.terms[0][0] if isinstance(rest, TDim) else ()
        if _implies(a, joined, shape, scope) and _implies(b, joined, shape, scope):
            return joined
    return None


def either(*regions: Region) -> Region:
    """Return where one of several regions holds, without a proof; of too many, everywhere."""
    known = [region for region in dict.fromkeys(regions) if region is not None]
    if len(known) < len(set(regions)):
        return None
    whole = _any(known) if len(known) <= _ALTERNATIVES else 1
    return whole if size_of(whole) <= _LARGEST else None


def intersection(a: Region, b: Region) -> Region:
    """Return where both regions hold; of two that are too large together, the shorter one."""
    if a is None or b is None:
        return a if b is None else b
    both = _both(a, b)
    if both is not None and size_of(both) <= _LARGEST:
        return both
    return a if size_of(a) <= size_of(b) else b


# Projection


def project(region: Region, kept: Iterable[int], shape: Shape) -> Region:
    """Return a region over some coordinates that holds wherever the region does for some others.

    Exact where the coordinates that go are bounded by comparisons that are linear in them, or
    linear under one floor; a factor of any other form is dropped.

    Args:
        region: over positions of `shape`.
        kept: the axes whose coordinates stay.
        shape: bounds of the coordinates that go.
    """
    if region is None:
        return None
    stays = frozenset(kept)
    for axis in sorted(coordinate_axes(region) - stays):
        region = some(region, coordinate(axis), (0, shape[axis] - 1))
    return region


def some(region: Dim, variable: Dim, axis: tuple[Dim, Dim]) -> Dim:
    """Return where a region holds for at least one position of an axis.

    Args:
        region: over a coordinate, and others.
        variable: the coordinate that is eliminated.
        axis: the first and the last position of the axis.
    """
    assert isinstance(variable, TDim)
    (name,) = variable.symbols
    found = [_eliminated(monomial, name, *axis) for monomial in alternatives(region)]
    return _any(dict.fromkeys(found)) if len(found) <= _ALTERNATIVES else 1


def _eliminated(monomial: Monomial, name: str, low: Dim, high: Dim) -> Dim:
    """Eliminate an integer from a conjunction: each lower bound is at most each upper one."""
    lows, highs, kept = [low], [high], [atom for atom in monomial if name not in atom.symbols]
    if len(kept) == len(monomial):
        # The variable may take any value, and an empty axis observes nothing anyway.
        return _all(monomial)
    for atom in monomial:
        if atom in kept:
            continue
        if atom.kind == "eq":
            solved = _solved(atom.pieces[0], name)
            if solved is not None and solved[2] is None:
                factor, rest, _ = solved
                return _replaced(monomial, name, factor, rest, low, high)
            ends = _bounds(atom.pieces[0], name) + _bounds(-atom.pieces[0], name)
        else:
            ends = _bounds(atom.pieces[0], name)
        lows += [end for is_low, end in ends if is_low]
        highs += [end for is_low, end in ends if not is_low]
    told: dict[Dim, None] = {}
    for (first, below), (second, above) in pairs_of(enumerate(lows), enumerate(highs)):
        holds = ge(above, below)
        # That the axis is long enough, for symbols alone to say, is not worth a factor.
        is_length = not (first and second) and isinstance(holds, TDim)
        if not is_length or any(map(is_coordinate, symbols(holds))):
            told[holds] = None
    return _all(tuple(kept)) * product(told)


def _replaced(monomial: Monomial, name: str, factor: int, rest: Dim, low: Dim, high: Dim) -> Dim:
    """Put the only value that an equation factor*v + rest == 0 admits in the place of v."""
    way = -rest if factor > 0 else rest
    value = way // abs(factor)
    others = product(substitute_dim(atom_dim(atom), {name: value}) for atom in monomial)
    inside = ge(value, low) * ge(high, value)
    return others * inside * eq(way, abs(factor) * value)


def _solved(piece: Dim, name: str) -> tuple[int, Dim, Atom | None] | None:
    """Read a dimension as factor * x + rest, where x is the variable or one floor over it."""
    if not isinstance(piece, TDim):
        return None
    found = [(m, c) for m, c in piece.terms if any(name in atom.symbols for atom in m)]
    if len(found) != 1 or len(found[0][0]) != 1:
        return None
    ((atom,), factor) = found[0]
    if atom.kind not in ("symbol", "floor"):
        return None
    return factor, piece - factor * atom_dim(atom), atom if atom.kind == "floor" else None


def _bounds(piece: Dim, name: str) -> list[tuple[bool, Dim]]:
    """Return the bounds that `piece >= 0` sets to a variable: (is a lower one, its value)."""
    solved = _solved(piece, name)
    if solved is None:
        return []
    factor, rest, floor = solved
    is_low = factor > 0
    # factor*x + rest >= 0: x >= ceil(-rest / factor), or x <= floor(rest / -factor).
    bound = (-rest + factor - 1) // factor if is_low else rest // -factor
    if floor is None:
        return [(is_low, bound)]
    # floor(y / q) >= b is y >= q*b, and floor(y / q) <= b is y <= q*b + q - 1.
    (inner,), q = floor.pieces, floor.divisor
    return _bounds(inner - q * bound if is_low else q * bound + q - 1 - inner, name)


def shown(region: Dim, axis: int, low: Dim, high: Dim) -> Dim:
    """Return where a region holds for at least one position of an axis from `low` to `high`."""
    inside = ge(_OUTPUT, low) * ge(high, _OUTPUT)
    there = alternatives(remap(region, {axis: _OUTPUT}))
    return _any(some(_all(each) * inside, _OUTPUT, (low, high)) for each in there)


def read_by(
    region: Region, axis: int, size: Dim, low: Dim | None, high: Dim | None, *, scale: int = 1
) -> Region:
    """Return which positions of an axis are read by an observed position of the same axis.

    Args:
        region: what is observed, over the output's coordinates; the other axes stay as they are.
        axis: the axis.
        size: positions of the output on it.
        low: output position i reads position 🎯axis when low <= scale*i <= high; None = no bound.
        high: the other bound.
        scale: positions of the input per position of the output, 1 or more.
    """
    if region is None or axis not in coordinate_axes(region):
        return region
    reads: Dim = 1
    if low is not None:
        reads = reads * ge(scale * _OUTPUT, low)
    if high is not None:
        reads = reads * ge(high, scale * _OUTPUT)
    there = alternatives(remap(region, {axis: _OUTPUT}))
    return either(*(some(_all(each) * reads, _OUTPUT, (0, size - 1)) for each in there))
