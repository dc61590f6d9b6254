"""What a text of a dimension can be read as: the grammar is in `parse`, the meaning is here.

DIMS                  dimensions in normal form, by their constructors
TEXTS                 the expression as read, every operation in its place
Integers(bindings)    its value, each operation done on integers and nothing rewritten
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

from tract_ref.dim import trace
from tract_ref.dim.build import broadcast, combine_all, eq, ge, sym
from tract_ref.dim.limits import is_writable, limited, too_long
from tract_ref.dim.tdim import Dim, dim_max, dim_min
from tract_ref.errors import EvalError

T = TypeVar("T")
Comparison: TypeAlias = Literal[">=", "=="]


class Algebra(Protocol[T]):
    """Gives a value to each operation of the grammar."""

    def number(self, value: int) -> T:
        """Return the value of a number."""
        ...

    def symbol(self, name: str) -> T:
        """Return the value of a symbol."""
        ...

    def negate(self, value: T) -> T:
        """Return -value."""
        ...

    def add(self, values: Sequence[T]) -> T:
        """Return the sum of two or more."""
        ...

    def subtract(self, values: Sequence[T]) -> T:
        """Return the first of two or more, less the others."""
        ...

    def multiply(self, left: T, right: T) -> T:
        """Return left * right."""
        ...

    def floor(self, value: T, divisor: int) -> T:
        """Return value / divisor, rounded down; the divisor is positive."""
        ...

    def largest(self, values: Sequence[T]) -> T:
        """Return the maximum."""
        ...

    def smallest(self, values: Sequence[T]) -> T:
        """Return the minimum."""
        ...

    def broadcast(self, values: Sequence[T]) -> T:
        """Return the size that sizes take together."""
        ...

    def compare(self, relation: Comparison, left: T, right: T) -> T:
        """Return 1 where the relation holds, else 0."""
        ...


class Dims:
    """Dimensions in normal form."""

    def number(self, value: int) -> Dim:
        """Return the number."""
        return value

    def symbol(self, name: str) -> Dim:
        """Return the symbol."""
        return sym(name)

    def negate(self, value: Dim) -> Dim:
        """Return -value."""
        return -value

    def add(self, values: Sequence[Dim]) -> Dim:
        """Return the sum."""
        return limited(combine_all(values[0], values[1:], 1))

    def subtract(self, values: Sequence[Dim]) -> Dim:
        """Return the difference."""
        return limited(combine_all(values[0], values[1:], -1))

    def multiply(self, left: Dim, right: Dim) -> Dim:
        """Return the product."""
        result = limited(left * right)
        # On integers no constructor is called.
        if trace.on and isinstance(left, int) and isinstance(right, int):
            trace.tell(trace.NUMBERS, "multiply", (left, right), result)
        return result

    def floor(self, value: Dim, divisor: int) -> Dim:
        """Return the quotient."""
        result = value // divisor
        if trace.on and isinstance(value, int):
            trace.tell(trace.NUMBERS, "floor", (value,), result, divisor=divisor)
        return result

    def largest(self, values: Sequence[Dim]) -> Dim:
        """Return the maximum."""
        return dim_max(*values)

    def smallest(self, values: Sequence[Dim]) -> Dim:
        """Return the minimum."""
        return dim_min(*values)

    def broadcast(self, values: Sequence[Dim]) -> Dim:
        """Return the broadcast."""
        return broadcast(*values)

    def compare(self, relation: Comparison, left: Dim, right: Dim) -> Dim:
        """Return the comparison."""
        return ge(left, right) if relation == ">=" else eq(left, right)


class _Texts:
    """Each operation in parentheses where the grammar needs them; equal to the text as read."""

    def number(self, value: int) -> str:
        return str(value)

    def symbol(self, name: str) -> str:
        return name

    def negate(self, value: str) -> str:
        return f"-{value}"

    def add(self, values: Sequence[str]) -> str:
        return f"({' + '.join(values)})"

    def subtract(self, values: Sequence[str]) -> str:
        return f"({' - '.join(values)})"

    def multiply(self, left: str, right: str) -> str:
        return f"({left} * {right})"

    def floor(self, value: str, divisor: int) -> str:
        # With a blank, because S/T would be a name.
        return f"({value} / {divisor})"

    def largest(self, values: Sequence[str]) -> str:
        return f"max({', '.join(values)})"

    def smallest(self, values: Sequence[str]) -> str:
        return f"min({', '.join(values)})"

    def broadcast(self, values: Sequence[str]) -> str:
        return f"({' # '.join(values)})"

    def compare(self, relation: Comparison, left: str, right: str) -> str:
        return f"({left} {relation} {right})"


def floored(value: int, divisor: int) -> int:
    """Return the quotient rounded down."""
    return value // divisor


def truncated(value: int, divisor: int) -> int:
    """Return the quotient rounded towards zero, as tract evaluates it."""
    return -(-value // divisor) if value < 0 else value // divisor


@dataclass(frozen=True)
class Integers:
    """The value of an expression, node by node as it was written.

    Args:
        bindings: the value of each symbol.
        divide: how quotients are rounded.
    """

    bindings: Mapping[str, int]
    divide: Callable[[int, int], int] = floored

    def number(self, value: int) -> int:
        """Return the number."""
        return value

    def symbol(self, name: str) -> int:
        """Return the value that is bound to the symbol."""
        return self.bindings[name]

    def negate(self, value: int) -> int:
        """Return -value."""
        return -value

    def add(self, values: Sequence[int]) -> int:
        """Return the sum."""
        return _writable(sum(values))

    def subtract(self, values: Sequence[int]) -> int:
        """Return the difference."""
        return _writable(values[0] - sum(values[1:]))

    def multiply(self, left: int, right: int) -> int:
        """Return the product.

        Errors:
            InvalidModel: it is too long to be written, as for a sum.
        """
        return _writable(left * right)

    def floor(self, value: int, divisor: int) -> int:
        """Return the quotient, rounded as asked."""
        return self.divide(value, divisor)

    def largest(self, values: Sequence[int]) -> int:
        """Return the maximum."""
        return max(values)

    def smallest(self, values: Sequence[int]) -> int:
        """Return the minimum."""
        return min(values)

    def broadcast(self, values: Sequence[int]) -> int:
        """Return the one size that is not 1.

        Errors:
            EvalError: two of them differ.
        """
        longer = sorted({value for value in values if value != 1})
        if len(longer) > 1:
            raise EvalError(f"broadcast of {longer[0]} and {longer[1]}: sizes must be equal or 1")
        return longer[0] if longer else 1

    def compare(self, relation: Comparison, left: int, right: int) -> int:
        """Return 1 where the relation holds, else 0."""
        return int(left >= right if relation == ">=" else left == right)


def _writable(value: int) -> int:
    if not is_writable(value):
        raise too_long()
    return value


DIMS: Algebra[Dim] = Dims()
TEXTS: Algebra[str] = _Texts()
