"""The order of terms, pieces and atoms; it reads dimensions and makes none."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from tract_ref.dim.limits import too_long

if TYPE_CHECKING:
    from tract_ref.dim.tdim import Atom, Dim, Monomial, TDim


MonomialKey: TypeAlias = tuple[int, tuple[tuple[int, str], ...]]
# Sums sort their terms whenever they are made; the atoms, which are interned, keep these alive.
_KEYS: dict[Monomial, MonomialKey] = {}


def monomial_key(monomial: Monomial) -> MonomialKey:
    """Return the place of a monomial in the order of terms (by degree, then by atoms)."""
    found = _KEYS.get(monomial)
    if found is None:
        found = _KEYS[monomial] = len(monomial), tuple(a.key for a in monomial)
    return found


def piece_key(piece: Dim) -> tuple[list[tuple[object, int]], int]:
    """Return a key that sorts dimensions, constants first."""
    if isinstance(piece, int):
        return [], piece
    return [(monomial_key(m), c) for m, c in piece.terms], piece.constant


def digest(divisor: int, pieces: Sequence[Dim]) -> str:
    """Return what orders atoms the same way in every process, whatever was built first.

    Raises:
        InvalidModel: a number is too long to be written.
    """
    try:
        content = repr((divisor, [piece_key(p) for p in pieces]))
    except ValueError:
        raise too_long() from None
    return blake2b(content.encode(), digest_size=16).hexdigest()


def ordered_atoms(dim: TDim) -> tuple[Atom, ...]:
    """Walk without recursion, because a dimension may be nested thousands deep."""
    done: dict[Atom, None] = {}
    stack: list[tuple[Atom, bool]] = [(a, False) for m, _ in dim.terms for a in m]
    while stack:
        atom, ready = stack.pop()
        if atom in done:
            continue
        if ready or atom.kind == "symbol":
            done[atom] = None
            continue
        stack.append((atom, True))
        inner = (p for p in atom.pieces if not isinstance(p, int))
        stack.extend((a, False) for p in inner for m, _ in p.terms for a in m if a not in done)
    return tuple(done)
