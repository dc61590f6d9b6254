"""Per-element values: what each element of a wire is, as a dimension over its coordinates.

The coordinate of axis k is an ordinary symbol, `🎯k`, that runs over the positions of that axis:
`0 <= 🎯k <= dim_k - 1`. A wire whose elements are whole numbers, or quotients of them, carries
`numerator / divisor` in its fact: a range is `start + step*🎯0`, a chunk-window mask is
`(🎯0/4==🎯1/4)`. Regions of interest are 0/1 expressions over the same coordinates.

Source: spec/ir.md 3, spec/attention.md 1.4; the coordinate names are tract's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isfinite, lcm
from typing import cast

import numpy as np

from tract_ref.dim import (
    Assertion,
    Dim,
    Scope,
    TDim,
    dim_max,
    dim_min,
    eq,
    ge,
    maybe_div,
    product,
    sym,
    symbols,
)
from tract_ref.dim import substitute as substitute_dim
from tract_ref.errors import InvalidModel

PREFIX = "🎯"
# Whole numbers that each type holds exactly, and the quotients of which it still tells apart; and
# the divisors that leave quotients normal.
_LARGEST = {"e": 1 << 10, "f": 1 << 23, "d": 1 << 52}
_DIVISORS = {"e": 1 << 14, "f": 1 << 126, "d": 1 << 1022}
# Symbols and coordinates stay below these, where a value is proved to fit in its type; the types
# that are not here hold too little to suppose anything.
_LENGTHS = {
    "float32": 1 << 22,
    "int32": 1 << 30,
    "uint32": 1 << 30,
    "float64": 1 << 40,
    "int64": 1 << 48,
    "uint64": 1 << 48,
}


def coordinate(axis: int) -> Dim:
    """Return the coordinate symbol of an axis."""
    return sym(f"{PREFIX}{axis}")


def coordinate_axes(dim: Dim) -> frozenset[int]:
    """Return the axes whose coordinates a dimension depends on."""
    return frozenset(int(name[1:]) for name in symbols(dim) if is_coordinate(name))


def is_coordinate(name: str) -> bool:
    """Say whether a symbol is a coordinate."""
    return name.startswith(PREFIX) and name[1:].isdecimal()


def require_no_coordinates(dims: Iterable[Dim]) -> None:
    """Check that symbols of a model are not taken for positions along an axis.

    Raises:
        InvalidModel: a dim has a symbol that is named like a coordinate.
    """
    for dim in dims:
        if isinstance(dim, TDim) and any(map(is_coordinate, dim.symbols)):
            raise InvalidModel(
                f"the dim {dim} has a symbol that is named like the coordinate of an axis",
                remedy=f"rename it: {PREFIX}0, {PREFIX}1.. stand for the positions along an axis",
            )


def remap(dim: Dim, places: Mapping[int, Dim]) -> Dim:
    """Replace coordinates, all at once: `{1: coordinate(0)}` reads axis 1 at coordinate 0."""
    return substitute_dim(dim, {f"{PREFIX}{axis}": place for axis, place in places.items()})


@lru_cache(maxsize=4096)
def within(shape: tuple[Dim, ...], scope: Scope) -> Scope:
    """Return a scope that also knows where the coordinates of a shape run."""
    known = scope
    for axis, dim in enumerate(shape):
        at = coordinate(axis)
        known = known.asserting(Assertion(at, ">=", 0)).asserting(Assertion(at, "<", dim))
    return known


@dataclass(frozen=True, slots=True)
class PerElement:
    """The value of each element, exactly: numerator / divisor, rounded once to the wire's dtype.

    A divisor that is a power of 2 divides without rounding. Another one stands for a single rounded
    division: such a value is floored, negated, chosen and compared, never computed with.

    Domain: on a wire of f32, i32, f64 or i64, the symbols and the coordinates of symbolic axes are
    below 2^22, 2^30, 2^40 or 2^48; longer streams are outside of what is claimed. There every whole
    number that the numerator takes (and, where rounded quotients are compared or floored, their
    common numerators) is proved to stay within 2^23, 2^31, 2^52 or 2^63, else there is no
    annotation. u32 and u64 are as their signed types, and proved not negative. f16 and integers of
    8 and 16 bits suppose nothing of symbols: their values are proved to fit. Dims hold any number.

    Attributes:
        numerator: a dimension over coordinates and model symbols.
        divisor: a positive integer; above 1 only on floats, whose quotients are not floored.
    """

    numerator: Dim
    divisor: int = 1

    @property
    def whole(self) -> Dim | None:
        """The value when it is a whole number, else None."""
        return self.numerator if self.divisor == 1 else None

    @property
    def is_exact(self) -> bool:
        """No float rounds it: the divisor is a power of 2."""
        return not self.divisor & (self.divisor - 1)

    @property
    def axes(self) -> frozenset[int]:
        """Axes that the value varies along."""
        return coordinate_axes(self.numerator)

    def remap(self, places: Mapping[int, Dim]) -> PerElement:
        """Replace coordinates, all at once."""
        return PerElement(remap(self.numerator, places), self.divisor)

    def substitute(self, mapping: Mapping[str, Dim]) -> PerElement:
        """Replace symbols."""
        return PerElement(substitute_dim(self.numerator, mapping), self.divisor)

    def __str__(self) -> str:
        if self.divisor == 1:
            return str(self.numerator)
        return f"({self.numerator}) / {self.divisor}.0"


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a value lives: what its dtype holds, how far its coordinates run.

    Nothing is known about the symbols of the model here, so that what is proved holds for all.

    Attributes:
        dtype: element type.
        shape: one dim per axis.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[Dim, ...]

    def proves_ge(self, left: Dim, right: Dim) -> bool:
        """Say whether left >= right at every position."""
        return within(self.shape, Scope()).proves_ge(left, right) is True

    def takes(self, value: PerElement) -> bool:
        """Say whether the dtype holds a value, in the domain that PerElement describes."""
        largest = _DIVISORS.get(self.dtype.char, 1)
        return value.divisor <= largest and self.holds(value.numerator)

    def holds(self, dim: Dim) -> bool:
        """Say whether the dtype holds these whole numbers exactly."""
        if self.dtype.kind in "Ob":
            return True
        if self.dtype.kind == "f":
            high = _LARGEST[self.dtype.char]
            low = -high
        else:
            limits = np.iinfo(cast("np.dtype[np.integer]", self.dtype))
            low, high = int(limits.min), int(limits.max)
        if not isinstance(dim, TDim):
            return low <= dim <= high
        limit = _LENGTHS.get(self.dtype.name)
        if limit is None:
            known = within(self.shape, Scope())
        else:
            names = frozenset(symbols(dim)).union(*(symbols(size) for size in self.shape))
            known = _below(self.shape, names, limit)
        bottom, top = known.bounds(dim)
        return bottom is not None and top is not None and low <= bottom and top <= high


@lru_cache(maxsize=4096)
def _below(shape: tuple[Dim, ...], names: frozenset[str], limit: int) -> Scope:
    """Return what `within` knows, and that symbols and symbolic axes are below a limit."""
    known = within(shape, Scope())
    fixed = {f"{PREFIX}{axis}" for axis, dim in enumerate(shape) if isinstance(dim, int)}
    for name in sorted(names - fixed):
        known = known.asserting(Assertion(sym(name), "<", limit))
        known = known.asserting(Assertion(sym(name), ">", -limit))
    return known


def of_number(value: object) -> PerElement | None:
    """Return the value of a constant: a bool, an integer, a float or a dim; None if not finite."""
    if isinstance(value, TDim):
        return PerElement(value)
    if not isinstance(value, bool | int | float):
        return None
    if isinstance(value, float) and not isfinite(value):
        return None
    exactly = Fraction(value)
    return PerElement(exactly.numerator, exactly.denominator)


def quotient(numerator: Dim, divisor: int) -> PerElement:
    """Return a quotient in lowest terms; the divisor is positive."""
    return PerElement(*maybe_div(numerator, divisor))


def _over_one_divisor(a: PerElement, b: PerElement) -> tuple[Dim, Dim, int]:
    common = lcm(a.divisor, b.divisor)
    return a.numerator * (common // a.divisor), b.numerator * (common // b.divisor), common


def add(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The sum a + b, where nothing was rounded before."""
    if not (a.is_exact and b.is_exact):
        return None
    left, right, divisor = _over_one_divisor(a, b)
    return quotient(left + right, divisor)


def subtract(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The difference a - b, where nothing was rounded before."""
    return add(a, PerElement(-b.numerator, b.divisor), domain)


def multiply(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The product a * b, where nothing was rounded before.

    A float constant is the number that it is: x * fl(1/3) is no quotient by 3.
    """
    if not (a.is_exact and b.is_exact):
        return None
    return quotient(a.numerator * b.numerator, a.divisor * b.divisor)


def divide(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The quotient by a constant: floats round once, integers truncate, dims floor."""
    number = b.numerator
    if isinstance(number, TDim) or not number:
        return None
    if domain.dtype.kind == "f":
        if not (a.is_exact and b.is_exact):
            return None
        sign = 1 if number > 0 else -1
        return quotient(a.numerator * (sign * b.divisor), a.divisor * abs(number))
    above, below = maybe_div(a.numerator, number)
    if domain.dtype.kind == "O":
        return PerElement(above // below)
    return truncate(PerElement(above, below), domain)


def remainder(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The rest of a whole number by a constant, of the sign of a, where that is proved."""
    number, whole = b.whole, a.whole
    if whole is None or not isinstance(number, int) or not number:
        return None
    cut = truncate(quotient(whole, abs(number)), domain)
    return None if cut is None else PerElement(whole - abs(number) * cut.numerator)


def modulo(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """The rest of a whole number by a positive constant, never negative."""
    number, whole = b.whole, a.whole
    if whole is None or not isinstance(number, int) or number <= 0:
        return None
    return PerElement(whole - number * (whole // number))


def power(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """A square of integers, and the powers 0 and 1."""
    exponent = b.whole
    if domain.dtype.kind not in "iu" or not isinstance(exponent, int) or not 0 <= exponent <= 2:
        return None
    return PerElement(product((a.numerator,) * exponent))


def smaller(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """min(a, b): rounding keeps the order."""
    left, right, divisor = _over_one_divisor(a, b)
    return quotient(dim_min(left, right), divisor)


def larger(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """max(a, b): rounding keeps the order."""
    left, right, divisor = _over_one_divisor(a, b)
    return quotient(dim_max(left, right), divisor)


def _comparable(a: PerElement, b: PerElement, domain: Domain) -> tuple[Dim, Dim] | None:
    """Return numerators that compare as the values do; rounded quotients must stay apart."""
    left, right, _ = _over_one_divisor(a, b)
    exact = a.is_exact and b.is_exact
    return (left, right) if exact or (domain.holds(left) and domain.holds(right)) else None


def less(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a < b: b >= a + 1 on numerators, which are whole."""
    pair = _comparable(a, b, domain)
    return None if pair is None else PerElement(ge(pair[1], pair[0] + 1))


def greater(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a > b: a >= b + 1 on numerators."""
    return less(b, a, domain)


def at_most(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a <= b."""
    return at_least(b, a, domain)


def at_least(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a >= b."""
    pair = _comparable(a, b, domain)
    return None if pair is None else PerElement(ge(*pair))


def equal(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a == b."""
    pair = _comparable(a, b, domain)
    return None if pair is None else PerElement(eq(*pair))


def differs(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Where a != b."""
    pair = _comparable(a, b, domain)
    return None if pair is None else PerElement(1 - eq(*pair))


def both(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Logical and: the product."""
    return PerElement(a.numerator * b.numerator)


def either(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Logical or: a + b - a*b."""
    return PerElement(a.numerator + b.numerator - a.numerator * b.numerator)


def one_only(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Logical exclusive or: a + b - 2*a*b."""
    return PerElement(a.numerator + b.numerator - 2 * (a.numerator * b.numerator))


def opposite(a: PerElement, domain: Domain) -> PerElement | None:
    """Logical not: 1 - a, on bool only."""
    return PerElement(1 - a.numerator) if domain.dtype.kind == "b" else None


def negate(a: PerElement, domain: Domain) -> PerElement | None:
    """The opposite number."""
    return PerElement(-a.numerator, a.divisor)


def magnitude(a: PerElement, domain: Domain) -> PerElement | None:
    """The magnitude |a|."""
    return PerElement(dim_max(a.numerator, -a.numerator), a.divisor)


def sign(a: PerElement, domain: Domain) -> PerElement | None:
    """The sign: -1, 0 or 1."""
    return PerElement(ge(a.numerator, 1) - ge(-a.numerator, 1))


def square(a: PerElement, domain: Domain) -> PerElement | None:
    """The square a * a."""
    return multiply(a, a, domain)


def floor(a: PerElement, domain: Domain) -> PerElement | None:
    """Largest whole number not above a; a rounded quotient is never rounded up to one."""
    if not (a.is_exact or domain.holds(a.numerator)):
        return None
    return PerElement(a.numerator // a.divisor)


def ceil(a: PerElement, domain: Domain) -> PerElement | None:
    """Smallest whole number not below a."""
    if not (a.is_exact or domain.holds(a.numerator)):
        return None
    return PerElement(-(-a.numerator // a.divisor))


def truncate(a: PerElement, domain: Domain) -> PerElement | None:
    """Toward zero: floor where a is proved not negative, ceiling where not positive."""
    if a.divisor == 1:
        return a
    if domain.proves_ge(a.numerator, 0):
        return floor(a, domain)
    return ceil(a, domain) if domain.proves_ge(0, a.numerator) else None


def nearest(a: PerElement, domain: Domain) -> PerElement | None:
    """Nearest whole number, halves away from zero; of what was never rounded."""
    if a.divisor == 1:
        return a
    if not a.is_exact:
        return None
    half = PerElement(2 * a.numerator + a.divisor, 2 * a.divisor)
    if domain.proves_ge(a.numerator, 0):
        return floor(half, domain)
    half = PerElement(2 * a.numerator - a.divisor, 2 * a.divisor)
    return ceil(half, domain) if domain.proves_ge(0, a.numerator) else None


def unrounded(a: PerElement, domain: Domain) -> PerElement | None:
    """A whole number, which no rounding changes."""
    return a if a.divisor == 1 else None


def converted(a: PerElement, to: np.dtype[np.generic], domain: Domain) -> PerElement | None:
    """The value in another dtype: floats truncate into integers, what is not 0 is true."""
    if to == domain.dtype:
        return a
    if to.kind == "b":
        return PerElement(1 - eq(a.numerator, 0))
    if to.kind == "f":
        return a if a.is_exact else None
    return truncate(a, domain)


def choose(
    condition: PerElement, a: PerElement, b: PerElement, domain: Domain
) -> PerElement | None:
    """Return a where the condition holds, else b."""
    if domain.proves_ge(condition.numerator, 1):
        return a
    if domain.proves_ge(0, condition.numerator):
        return b
    left, right, divisor = _over_one_divisor(a, b)
    return quotient(condition.numerator * (left - right) + right, divisor)
