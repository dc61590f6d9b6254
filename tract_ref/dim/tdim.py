"""Symbolic dimensions: integer polynomials over atoms, kept in normal form by their constructors.

    dim  = constant + sum_i coefficient_i * product_j atom_ij
    atom = symbol | floor(dim / q) | max(dims) | broadcast(dims) | (dim >= 0) | (dim == 0)

Every value is interned, so equality is identity. A minimum is a negated maximum:
min(a, b) = -max(-a, -b). A maximum is stored without the part that all its pieces can give away
(`max(-2, S-4)` is `-2 + max(0, S-2)`), which makes sums of clamps cancel; `pieces` and `str` put
that part back inside, so nested clamps flatten and a chain of windows keeps a constant size.

Differs from tract: division is floor everywhere, because tract rewrites with floor laws and
evaluates with truncation, which disagree on negative numerators.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from math import gcd
from typing import Literal, TypeAlias, TypeGuard

from tract_ref.dim import trace
from tract_ref.dim.limits import limited, require_product
from tract_ref.dim.order import digest, monomial_key, ordered_atoms, piece_key
from tract_ref.dim.telling import tell_clamp, tell_product, tell_quotient, tell_sum
from tract_ref.errors import InvalidModel

Kind: TypeAlias = Literal["symbol", "floor", "max", "broadcast", "ge", "eq"]
_RANK: dict[Kind, int] = {"symbol": 0, "floor": 1, "max": 2, "broadcast": 3, "ge": 4, "eq": 5}


class Atom:
    """An indivisible factor; interned, compared by identity. Made by `make_atom` only."""

    __slots__ = ("_text", "divisor", "key", "kind", "name", "pieces", "symbols")

    def __init__(self, kind: Kind, name: str, pieces: tuple[Dim, ...], divisor: int) -> None:
        self.kind: Kind = kind
        self.name = name
        self.pieces = pieces
        self.divisor = divisor
        self._text: str | None = None
        self.symbols: frozenset[str]
        self.key: tuple[int, str]
        if kind == "symbol":
            self.symbols = frozenset((name,))
            self.key = (0, name)
        else:
            self.symbols = frozenset[str]().union(
                *(p.symbols for p in pieces if isinstance(p, TDim))
            )
            self.key = (_RANK[kind], digest(divisor, pieces))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return make_atom, (self.kind, self.name, self.pieces, self.divisor)

    def __copy__(self) -> Atom:
        return self

    def __deepcopy__(self, memo: object) -> Atom:
        return self

    def __str__(self) -> str:
        if self._text is None:
            self._text = _atom_text(self)
        return self._text


class TDim:
    """A dimension that depends on at least one symbol. Made by operators and constructors only.

    `sym("S") == 2` is False: `==` asks whether two dimensions are one, not whether they may be
    equal at some point. `eq` makes a comparison, a `Scope` decides one.

    Args:
        constant: the constant term.
        terms: (monomial, coefficient) pairs, coefficients nonzero, sorted by monomial.
    """

    __slots__ = ("_atoms", "_symbols", "_text", "constant", "terms")
    # numpy integers then leave `np.int64(2) + dim` to `__radd__`.
    __array_ufunc__ = None

    def __init__(self, constant: int, terms: Terms) -> None:
        self.constant = constant
        self.terms = terms
        self._text: str | None = None
        self._symbols: frozenset[str] | None = None
        self._atoms: tuple[Atom, ...] | None = None

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols this dimension depends on."""
        if self._symbols is None:
            self._symbols = frozenset[str]().union(*(a.symbols for m, _ in self.terms for a in m))
        return self._symbols

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """All atoms at any depth, each once, after the atoms it is made of."""
        if self._atoms is None:
            self._atoms = ordered_atoms(self)
        return self._atoms

    def __add__(self, other: Dim) -> Dim:
        result = combine(self, other)
        if trace.on:
            tell_sum("add", (self, other), result)
        return result

    def __radd__(self, other: int) -> Dim:
        result = combine(self, other)
        if trace.on:
            tell_sum("add", (other, self), result)
        return result

    def __sub__(self, other: Dim) -> Dim:
        result = 0 if other is self else combine(self, other, -1)
        if trace.on:
            tell_sum("subtract", (self, other), result)
        return result

    def __rsub__(self, other: int) -> Dim:
        result = combine(scale(self, -1), other)
        if trace.on:
            tell_sum("subtract", (other, self), result)
        return result

    def __neg__(self) -> TDim:
        result = scale(self, -1)
        if trace.on:
            tell_product("negate", (self,), result)
        return result

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, TDim):
            result = _multiply(self, other)
        else:
            factor = operator.index(other)
            result = scale(self, factor) if factor else 0
        if trace.on:
            tell_product("multiply", (self, other), result)
        return result

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Dim:
        if isinstance(other, TDim):
            raise InvalidModel(f"({self})/({other}): a divisor must be a positive integer")
        divisor = operator.index(other)
        if divisor <= 0:
            raise InvalidModel(f"({self})/{divisor}: a divisor must be a positive integer")
        return _floor_div(self, divisor)

    def __bool__(self) -> bool:
        raise TypeError(f"the truth of {self} is not known; ask a Scope")

    def __str__(self) -> str:
        if self._text is None:
            # Inner texts first: a dimension may be nested deeper than the stack.
            for atom in self.atoms:
                str(atom)
            limited(self)
            self._text = _text(self)
        return self._text

    def __repr__(self) -> str:
        return f"TDim({self})"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _intern, (self.constant, self.terms)

    def __copy__(self) -> TDim:
        return self

    def __deepcopy__(self, memo: object) -> TDim:
        return self


Dim: TypeAlias = int | TDim
Monomial: TypeAlias = tuple[Atom, ...]
Terms: TypeAlias = tuple[tuple[Monomial, int], ...]

# Plain dictionaries: `setdefault` is atomic, which keeps identity true across threads.
_DIMS: dict[tuple[int, Terms], TDim] = {}
_ATOMS: dict[tuple[Kind, str, tuple[Dim, ...], int], Atom] = {}


def make_atom(kind: Kind, name: str = "", pieces: tuple[Dim, ...] = (), divisor: int = 1) -> Atom:
    """Return the one atom with this content; the caller has applied every law."""
    key = (kind, name, pieces, divisor)
    found = _ATOMS.get(key)
    return found if found is not None else _ATOMS.setdefault(key, Atom(*key))


def atom_dim(atom: Atom) -> TDim:
    """Return the dimension that is just this atom."""
    return _intern(0, (((atom,), 1),))


def _intern(constant: int, terms: Terms) -> TDim:
    key = (constant, terms)
    found = _DIMS.get(key)
    return found if found is not None else _DIMS.setdefault(key, TDim(constant, terms))


def build(constant: int, terms: dict[Monomial, int]) -> Dim:
    """Return constant + sum of terms; zero coefficients are dropped."""
    kept = [item for item in terms.items() if item[1]]
    if not kept:
        return constant
    if len(kept) > 1:
        kept.sort(key=lambda item: monomial_key(item[0]))
    return _intern(constant, tuple(kept))


def combine(left: Dim, right: Dim, factor: int = 1) -> Dim:
    """Return left + factor * right for a factor that is not zero; it tells no step."""
    if not isinstance(right, TDim):
        constant = factor * operator.index(right)
        if isinstance(left, TDim):
            return _intern(left.constant + constant, left.terms) if constant else left
        return operator.index(left) + constant
    if not isinstance(left, TDim):
        return combine(scale(right, factor), left)
    terms = dict(left.terms)
    for monomial, coefficient in right.terms:
        terms[monomial] = terms.get(monomial, 0) + factor * coefficient
    return build(left.constant + factor * right.constant, terms)


def scale(dim: TDim, factor: int) -> TDim:
    """Return factor * dim for a factor that is not zero."""
    return _intern(dim.constant * factor, tuple([(m, c * factor) for m, c in dim.terms]))


def _multiply(left: TDim, right: TDim) -> Dim:
    # Terms are sorted by degree.
    degree = len(left.terms[-1][0]) + len(right.terms[-1][0])
    require_product(len(left.terms), len(right.terms), degree)
    terms: dict[Monomial, int] = {}
    for a, p in (((), left.constant), *left.terms):
        for b, q in (((), right.constant), *right.terms):
            monomial = times(a, b)
            terms[monomial] = terms.get(monomial, 0) + p * q
    constant = terms.pop((), 0)
    return build(constant, terms)


def times(left: Monomial, right: Monomial) -> Monomial:
    """Return the product of two monomials; x * x = x for an atom that is 0 or 1."""
    if not left or not right:
        return left or right
    factors = sorted(left + right, key=lambda a: a.key)
    return tuple(
        a
        for i, a in enumerate(factors)
        if a.kind not in ("ge", "eq") or i == 0 or factors[i - 1] is not a
    )


def content(dim: TDim) -> int:
    """Return the greatest common divisor of all coefficients, the constant left out."""
    return gcd(*(c for _, c in dim.terms))


def divide_exactly(dim: Dim, divisor: int) -> Dim:
    """Return dim / divisor for coefficients that are multiples of it; the constant is floored."""
    if not isinstance(dim, TDim):
        return dim // divisor
    if divisor == 1:
        return dim
    return _intern(dim.constant // divisor, tuple([(m, c // divisor) for m, c in dim.terms]))


def _floor_div(dim: TDim, divisor: int) -> Dim:
    """Take multiples of the divisor out, then divide inside a clamp or make a quotient."""
    if divisor == 1:
        if trace.on:
            trace.tell(trace.DIVIDE_ONE, "floor", (dim,), dim, divisor=1)
        return dim
    whole = {m: c // divisor for m, c in dim.terms if c % divisor == 0}
    rest = build(dim.constant, {m: c for m, c in dim.terms if c % divisor}) if whole else dim
    divided = _divide_rest(rest, divisor) if isinstance(rest, TDim) else rest // divisor
    if not whole:
        return divided
    result = combine(divided, build(0, whole))
    if trace.on:
        trace.tell(trace.WHOLE, "floor", (dim,), result, divisor=divisor)
    return result


def _divide_rest(dim: TDim, divisor: int) -> Dim:
    """max(a, b)/q = max(a/q, b/q); without a clamp a quotient is made."""
    clamped = clamp_of(dim)
    if clamped is None:
        return _quotient(dim, divisor)
    divided = [piece // divisor for piece in pieces(dim)]
    result = dim_max(*divided) if clamped[1] > 0 else dim_min(*divided)
    if trace.on:
        trace.tell(trace.DIVIDE_CLAMP, "floor", (dim,), result, divisor=divisor)
    return result


def _quotient(dim: TDim, divisor: int) -> Dim:
    """floor((q*a + r)/q) = a + floor(r/q), with 0 <= each coefficient of r < q."""
    outside = build(dim.constant // divisor, {m: c // divisor for m, c in dim.terms})
    common = gcd(divisor, *(c % divisor for _, c in dim.terms))
    inside = build(
        dim.constant % divisor // common, {m: c % divisor // common for m, c in dim.terms}
    )
    # No coefficient is a multiple of the divisor, so `inside` has terms and a divisor above 1.
    assert isinstance(inside, TDim)
    merged = _merge_quotient(inside, divisor // common)
    if merged is None:
        merged = atom_dim(make_atom("floor", "", (inside,), divisor // common))
    result = combine(outside, merged)
    if trace.on:
        reduced = build(dim.constant % divisor, {m: c % divisor for m, c in dim.terms})
        tell_quotient((dim, reduced), divisor, common, (merged, result))
    return result


def _merge_quotient(dim: TDim, divisor: int) -> Dim | None:
    """floor((floor(x/a) + y)/q) = floor((x + a*y)/(a*q)) for the only quotient of a sum."""
    found = [(m, c) for m, c in dim.terms if len(m) == 1 and m[0].kind == "floor"]
    if len(found) != 1 or found[0][1] != 1:
        return None
    inner = found[0][0][0]
    rest = combine(dim, atom_dim(inner), -1)
    result = combine(inner.pieces[0], rest, inner.divisor) // (inner.divisor * divisor)
    if trace.on:
        trace.tell(trace.NESTED, "floor", (dim,), result, divisor=divisor)
    return result


def clamp_of(dim: TDim) -> tuple[Atom, int] | None:
    """Return the maximum of this sum and its coefficient, if there is exactly one such term."""
    found: tuple[Atom, int] | None = None
    for monomial, coefficient in dim.terms:
        if len(monomial) == 1 and monomial[0].kind == "max":
            if found is not None:
                return None
            found = monomial[0], coefficient
    return found


def pieces(dim: TDim) -> list[Dim]:
    """Return the alternatives of a sum with one clamp: rest + c * each piece."""
    clamped = clamp_of(dim)
    if clamped is None:
        return [dim]
    atom, factor = clamped
    rest = combine(dim, atom_dim(atom), -factor)
    return [combine(rest, piece, factor) for piece in atom.pieces]


def dim_max(*dims: Dim) -> Dim:
    """Return the largest of some dimensions, flattened."""
    if not dims:
        raise InvalidModel("max(): needs at least one dimension")
    return _largest(dims, 1)


def dim_min(*dims: Dim) -> Dim:
    """Return the smallest of some dimensions, flattened."""
    if not dims:
        raise InvalidModel("min(): needs at least one dimension")
    result = _largest([scale(d, -1) if isinstance(d, TDim) else -d for d in dims], -1)
    return scale(result, -1) if isinstance(result, TDim) else -result


def _largest(dims: Sequence[Dim], sign: int) -> Dim:
    """The maximum; the sign is -1 when it stands for a negated minimum, for the record only."""
    found = list(_alternatives(dims))
    best: dict[Terms, int] = {}
    for dim in found:
        terms, constant = (dim.terms, dim.constant) if isinstance(dim, TDim) else ((), dim)
        if constant > best.get(terms, constant - 1):
            best[terms] = constant
    kept = dict(best)
    _absorb(kept)
    flat = [_intern(c, terms) if terms else c for terms, c in kept.items()]
    result = flat[0] if len(flat) == 1 else _clamp(flat, sign)
    if trace.on:
        merged = [_intern(c, terms) if terms else c for terms, c in best.items()]
        tell_clamp(
            sign,
            result,
            (trace.ABSORB, merged, flat),
            (trace.LARGEST, found, merged),
            (trace.FLATTEN, dims, found),
        )
    return result


def _alternatives(dims: Iterable[Dim]) -> Iterator[Dim]:
    """Flatten: a maximum inside a maximum gives its pieces."""
    for dim in dims:
        clamped = clamp_of(dim) if isinstance(dim, TDim) else None
        if isinstance(dim, TDim) and clamped is not None and clamped[1] > 0:
            yield from pieces(dim)
        else:
            yield dim if isinstance(dim, TDim) else operator.index(dim)


def _absorb(best: dict[Terms, int]) -> None:
    """max(a, min(a, b)) = a: drop each minimum that has a piece not above another one."""
    for terms, constant in list(best.items()):
        if not terms:
            continue
        dim = _intern(constant, terms)
        clamped = clamp_of(dim)
        if clamped is None or clamped[1] > 0:
            continue
        for piece in pieces(dim):
            part, offset = (piece.terms, piece.constant) if isinstance(piece, TDim) else ((), piece)
            if part != terms and part in best and best[part] >= offset:
                del best[terms]
                break


def _clamp(flat: list[Dim], sign: int) -> Dim:
    """Give away the smallest piece and the common factor: max(S, 2*T+S) = S + 2*max(0, T)."""
    offset = _plain_part(flat[0])
    for dim in flat[1:]:
        candidate = _plain_part(dim)
        difference = combine(candidate, offset, -1)
        leading = difference.terms[0][1] if isinstance(difference, TDim) else difference
        if leading < 0:
            offset = candidate
    reduced = [combine(dim, offset, -1) for dim in flat]
    factors = (c for d in reduced if isinstance(d, TDim) for _, c in d.terms)
    common = gcd(*factors, *(d.constant if isinstance(d, TDim) else d for d in reduced))
    divided = sorted((divide_exactly(d, common) for d in reduced), key=piece_key)
    atom = atom_dim(make_atom("max", "", tuple(divided)))
    scaled = scale(atom, common) if common != 1 else atom
    result = combine(scaled, offset)
    if trace.on:
        if common != 1:
            tell_clamp(sign, scaled, (trace.CLAMP_FACTOR, reduced, divided))
        tell_clamp(sign, result, (trace.RELATIVE_CLAMP, flat, reduced))
    return result


def _plain_part(dim: Dim) -> Dim:
    """Return a dimension without its clamp terms."""
    if not isinstance(dim, TDim):
        return dim
    plain = {m: c for m, c in dim.terms if m[0].kind != "max" or len(m) > 1}
    return dim if len(plain) == len(dim.terms) else build(dim.constant, plain)


def _text(dim: TDim) -> str:
    clamped = clamp_of(dim)
    if clamped is not None:
        name = "max" if clamped[1] > 0 else "min"
        return f"{name}({','.join(str(p) for p in sorted(pieces(dim), key=piece_key))})"
    bare: list[str] = []
    others = [str(dim.constant)] if dim.constant else []
    for monomial, coefficient in dim.terms:
        alone = coefficient == 1 and monomial[0].kind == "symbol" and len(monomial) == 1
        (bare if alone else others).append(_term_text(monomial, coefficient))
    return "+".join(bare + others)


def _atom_text(atom: Atom) -> str:
    if atom.kind == "symbol":
        return atom.name
    if atom.kind == "floor":
        return f"({atom.pieces[0]})/{atom.divisor}"
    if atom.kind == "max":
        return f"max({','.join(str(p) for p in atom.pieces)})"
    if atom.kind == "broadcast":
        return f"broadcast({', '.join(f'({p})' for p in atom.pieces)})"
    sign = ">=" if atom.kind == "ge" else "=="
    left, right = _both_sides(atom.pieces[0])
    return f"({left}{sign}{right})"


def _term_text(monomial: Monomial, coefficient: int) -> str:
    factors = [str(a) for a in monomial]
    text = factors[0] if len(factors) == 1 else "*".join(f"({f})" for f in factors)
    return text if coefficient == 1 else f"{coefficient}*{text}"


def _both_sides(difference: Dim) -> tuple[Dim, Dim]:
    """Split a - b into sides without minus signs, for printing a comparison."""
    if not isinstance(difference, TDim):
        return difference, 0
    constant = difference.constant
    left = build(max(constant, 0), {m: c for m, c in difference.terms if c > 0})
    right = build(max(-constant, 0), {m: -c for m, c in difference.terms if c < 0})
    return left, right


def is_concrete(dim: Dim) -> TypeGuard[int]:
    """Tell whether a dimension is a plain integer."""
    return not isinstance(dim, TDim)
