"""Simplification under assertions: one small function per law.

The laws that need no assertion are in the constructors; here are those that need a proof.
"""

from __future__ import annotations

from tract_ref.dim import trace
from tract_ref.dim.build import broadcast
from tract_ref.dim.proof import at_least, between, solutions
from tract_ref.dim.prove import Prover
from tract_ref.dim.query import rebuild_atom, replace_atoms, substitute
from tract_ref.dim.tdim import Atom, Dim, TDim, atom_dim, combine, dim_max

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
        result = self._solved(dim)
        for _ in range(_ROUNDS):
            before = result
            result = self._once(result)
            if result is before:
                break
        return result

    def _solved(self, dim: TDim) -> Dim:
        """Replace the symbols that equalities give a value."""
        values = self._prover.equalities
        result = substitute(dim, values)
        if trace.on and result is not dim:
            names = tuple(sorted(dim.symbols & values.keys()))
            operands = (dim, *(values[name] for name in names))
            proofs = solutions(self._prover, names)
            trace.tell(trace.EQUALITY, "substitute", operands, result, symbols=names, proofs=proofs)
        return result

    def _once(self, dim: Dim) -> Dim:
        if not isinstance(dim, TDim):
            return dim
        for atom in dim.atoms:
            if atom not in self._atoms:
                sizes = [replace_atoms(p, self._atoms) for p in atom.pieces]
                self._atoms[atom] = self._atom(rebuild_atom(atom, sizes))
        result = replace_atoms(dim, self._atoms)
        if trace.on and result is not dim:
            trace.tell(trace.REPLACED, "value", (dim,), result)
        return self._fixed(result)

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
        if self._prover.points.varies(dim):
            return dim
        low = self._prover.lower(dim)
        if low is None or low != self._prover.upper(dim):
            return dim
        if trace.on:
            proofs = between(self._prover, dim, low, low)
            trace.tell(trace.CONSTANT, "value", (dim,), low, proofs=proofs)
        return low

    def _comparison(self, dim: TDim, atom: Atom) -> Dim:
        """Decide (a >= b) and (a == b) from the bounds of a - b, or write it as a sum.

        (d == 0) = 1 - d for d in [0, 1]; (d == 0) = (d >= 0) = 1 + d for d in [-1, 0].
        """
        difference = atom.pieces[0]
        low, high = self._prover.lower(difference), self._prover.upper(difference)
        if atom.kind == "eq":
            decided = self._prover.decide_zero(difference)
        else:
            decided = True if low is not None and low >= 0 else None
            decided = False if high is not None and high < 0 else decided
        answer: Dim | None = None if decided is None else int(decided)
        if decided is None and low is not None and high is not None:
            if low >= -1 and high <= 0:
                answer = 1 + difference
            elif atom.kind == "eq" and low >= 0 and high <= 1:
                answer = 1 - difference
        if answer is None:
            return dim
        factor = dim.terms[0][1]
        result = combine(combine(dim, atom_dim(atom), -factor), answer, factor)
        if trace.on:
            self._tell_comparison(atom, decided, answer)
        return result

    def _tell_comparison(self, atom: Atom, decided: bool | None, answer: Dim) -> None:
        """Tell what decided a comparison, or the interval that made it a sum."""
        prover, difference = self._prover, atom.pieces[0]
        negated = combine(0, difference, -1)
        if decided is None:
            law = trace.COMPARE_LINEAR
            low, high = prover.lower(difference), prover.upper(difference)
            assert low is not None
            assert high is not None
            proofs = between(prover, difference, low, high)
        elif decided:
            law = trace.PROVED_TRUE
            proofs = at_least(prover, difference, 0)
            proofs += at_least(prover, negated, 0) if atom.kind == "eq" else ()
        else:
            law = trace.PROVED_FALSE
            low = prover.lower(difference)
            above = atom.kind == "eq" and low is not None and low > 0
            proofs = at_least(prover, difference if above else negated, 1)
        trace.tell(law, "value", (atom_dim(atom),), answer, proofs=proofs)

    def _largest(self, atom: Atom) -> Dim:
        """Drop each piece that is never above another one."""
        kept = list(atom.pieces)
        if len(kept) > _PIECES:
            return atom_dim(atom)
        for piece in atom.pieces:
            others = [k for k in kept if k is not piece]
            above = next((k for k in others if self._never_below(k, piece)), None)
            if above is None:
                continue
            if trace.on:
                self._tell_dropped(trace.PROVED_PIECE, kept, others, (above, piece))
            kept = others
        return dim_max(*kept) if len(kept) < len(atom.pieces) else atom_dim(atom)

    def _never_below(self, left: Dim, right: Dim) -> bool:
        return self._prover.never_negative(combine(left, right, -1))

    def _broadcast(self, atom: Atom) -> Dim:
        """A # b = a for 1 <= b <= a: an equal or a stretched size; a # b = a for a >= 2."""
        kept = list(atom.pieces)
        for piece in atom.pieces:
            if not self._never_below(piece, 1):
                continue
            others = [k for k in kept if k is not piece]
            above = next((k for k in others if self._never_below(k, piece)), None)
            if above is None:
                continue
            if trace.on:
                self._tell_dropped(trace.PROVED_SIZE, kept, others, (above, piece), (piece, 1))
            kept = others
        return broadcast(*kept) if len(kept) < len(atom.pieces) else atom_dim(atom)

    def _tell_dropped(
        self, law: trace.Law, kept: list[Dim], others: list[Dim], *ordered: tuple[Dim, Dim]
    ) -> None:
        """Tell that a piece is dropped, and what it was found not to be above."""
        proofs: tuple[trace.Proof, ...] = ()
        for left, right in ordered:
            proofs += at_least(self._prover, combine(left, right, -1), 0)
        name = "max" if law is trace.PROVED_PIECE else "broadcast"
        with trace.silent():
            after = dim_max(*others) if name == "max" else broadcast(*others)
        trace.tell(law, name, tuple(kept), after, proofs=proofs)
