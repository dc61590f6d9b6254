"""How large a dimension may get: its numbers can be written, its products take bounded work."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, SupportsIndex, cast

from tract_ref.errors import InvalidModel

if TYPE_CHECKING:
    from tract_ref.dim.tdim import Dim

# Python converts numbers of at most 4300 digits to text; 2^10000 has 3011.
BITS = 10_000
# Factors of all terms of a product, before equal terms are collected.
FACTORS = 30_000


def is_writable(number: int) -> bool:
    """Tell whether a number is small enough to be written."""
    return number.bit_length() <= BITS


def too_long() -> InvalidModel:
    """Return the error of a number that cannot be written."""
    return InvalidModel(
        f"a number of this dimension has more than {BITS} bits",
        remedy="use smaller numbers or symbols",
    )


def limited(dim: Dim) -> Dim:
    """Return the dimension, all its own numbers being writable.

    Raises:
        InvalidModel: one is not.
    """
    numbers = (dim,) if isinstance(dim, int) else (dim.constant, *(c for _, c in dim.terms))
    if not all(map(is_writable, numbers)):
        raise too_long()
    return dim


def is_short_product(left: int, right: int, degree: int) -> bool:
    """Tell whether a product of sums of so many terms is bounded work."""
    return left * right * degree <= FACTORS


def require_product(left: int, right: int, degree: int) -> None:
    """Check the work of a product.

    Args:
        left: number of terms of one factor.
        right: number of terms of the other.
        degree: number of factors of the longest term of the product.

    Raises:
        InvalidModel: it is too much.
    """
    if not is_short_product(left, right, degree):
        raise InvalidModel(
            f"a product of {left} and {right} terms, of up to {degree} factors each; "
            f"terms times factors is at most {FACTORS}",
            remedy="name a part of it by a symbol",
        )


def whole(value: object, what: str) -> int:
    """Return an integer that a caller gave, numpy integers included.

    Args:
        value: what was given.
        what: how the message calls it.

    Raises:
        InvalidModel: it is none.
    """
    try:
        return operator.index(cast("SupportsIndex", value))
    except TypeError:
        raise InvalidModel(f"{what} is {value!r}; it must be an integer") from None
