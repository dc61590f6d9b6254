"""Simplification under assertions: one small function per law.

The laws that need no assertion are in the constructors; here are those that need a proof.
"""

from __future__ import annotations

from tract_ref.dim.build import broadcast
from tract_ref.dim.prove import Prover
from tract_ref.dim.query import rebuild_atom, replace_atoms, substitute
from tract_ref.dim.tdim import Atom, Dim, TDim, atom_dim, dim_max

_ROUNDS = 3
_PIECES = 24


class Simplifier:
    """Memoised simplification under the assertions of a prover.

    Args:
        prover: decides the order of two dimensions.
    """

    def __init__(self, prover: Prover) -> None:
        self._prover = prover
        self._dims: dict[TDim, Dim] = {}
        self._atoms: dict[Atom, Dim] = {}

    def simplify(self, dim: Dim) -> Dim:
        """Return an equal dimension, smaller where the assertions allow."""
        if not isinstance(dim, TDim):
            return dim
        found = self._dims.get(dim)
        if found is None:
            found = self._dims[dim] = self._rounds(dim)
        return found

    def _rounds(self, dim: TDim) -> Dim:
        result = substitute(dim, self._prover.equalities)
        for _ in range(_ROUNDS):
            before = result
            result = self._once(result)
            if result is before:
                break
        return result

    def _once(self, dim: Dim) -> Dim:
        if not isinstance(dim, TDim):
            return dim
        for atom in dim.atoms:
            if atom not in self._atoms:
                sizes = [replace_atoms(p, self._atoms) for p in atom.pieces]
                self._atoms[atom] = self._atom(rebuild_atom(atom, sizes))
        return self._fixed(replace_atoms(dim, self._atoms))

    def _atom(self, dim: Dim) -> Dim:
        """Apply the law of an atom whose pieces are simple already."""
        if not isinstance(dim, TDim) or dim.constant or len(dim.terms) != 1:
            return dim
        monomial, coefficient = dim.terms[0]
        if coefficient != 1 or len(monomial) != 1:
            return dim
        atom = monomial[0]
        if atom.kind == "max":
            return self._largest(atom)
        if atom.kind == "broadcast":
            return self._broadcast(atom)
        return self._fixed(dim)

    def _fixed(self, dim: Dim) -> Dim:
        """Low == high makes a constant, for a quotient, a comparison or a sum."""
        if not isinstance(dim, TDim):
            return dim
        atom = dim.terms[0][0][0]
        if len(dim.terms) == 1 and len(dim.terms[0][0]) == 1 and atom.kind in ("ge", "eq"):
            return self._comparison(dim, atom)
        low = self._prover.lower(dim)
        if low is None:
            return dim
        return low if low == self._prover.upper(dim) else dim

    def _comparison(self, dim: TDim, atom: Atom) -> Dim:
        """Decide (a >= b) and (a == b) from the bounds of a - b."""
        difference = atom.pieces[0]
        if atom.kind == "eq":
            answer = self._prover.decide_zero(difference)
        else:
            low, high = self._prover.lower(difference), self._prover.upper(difference)
            answer = True if low is not None and low >= 0 else None
            answer = False if high is not None and high < 0 else answer
        if answer is None:
            return dim
        return dim - atom_dim(atom) * dim.terms[0][1] + dim.terms[0][1] * int(answer)

    def _largest(self, atom: Atom) -> Dim:
        """Drop each piece that is never above another one."""
        kept = list(atom.pieces)
        if len(kept) > _PIECES:
            return atom_dim(atom)
        for piece in atom.pieces:
            others = [k for k in kept if k is not piece]
            if others and any(self._never_below(k, piece) for k in others):
                kept = others
        return dim_max(*kept) if len(kept) < len(atom.pieces) else atom_dim(atom)

    def _never_below(self, left: Dim, right: Dim) -> bool:
        low = self._prover.lower(left - right)
        return low is not None and low >= 0

    def _broadcast(self, atom: Atom) -> Dim:
        """A # b = a for 1 <= b <= a: an equal or a stretched size; a # b = a for a >= 2."""
        kept = list(atom.pieces)
        for piece in atom.pieces:
            if not self._never_below(piece, 1):
                continue
            others = [k for k in kept if k is not piece]
            if any(self._never_below(k, piece) for k in others):
                kept = others
        return broadcast(*kept) if len(kept) < len(atom.pieces) else atom_dim(atom)
