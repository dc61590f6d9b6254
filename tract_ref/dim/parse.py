"""Text to dimensions and assertions. The way back is `str`, and `parse_dim(str(d)) is d`.

expr  := add ("#" add)*            # broadcast
add   := sub ("+" sub)*
sub   := mul ("-" mul)*
mul   := div ("*" div)*
div   := atom ("/" digits)*        # binds tighter than "*": 3*S/2 is 3*(S/2)
atom  := digits | name | "-" atom | "(" expr [(">=" | "==") expr] ")"
       | ("min" | "max" | "broadcast" | "floor") "(" expr ("," expr)* ")"
assertion := expr ("==" | "<=" | ">=" | "<" | ">") expr
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from tract_ref.dim.algebra import DIMS, Algebra
from tract_ref.dim.build import name_at, symbols
from tract_ref.dim.query import evaluate, substitute
from tract_ref.dim.tdim import Dim
from tract_ref.errors import InvalidModel, MalformedFile

Relation: TypeAlias = Literal["==", "<=", ">=", "<", ">"]
_RELATIONS: tuple[Relation, ...] = ("==", "<=", ">=", "<", ">")
_BLANK = re.compile(r"[ \t\r\n]*")
_DIGITS = re.compile(r"[0-9]+")
# Reading recurses; this stays clear of the interpreter's limit.
_NESTING = 80
# Numbers of this many digits are below 2^10000.
_LONGEST = 3000
# Of a longer text an error shows the beginning and no caret.
_SHOWN = 300
_FUNCTIONS = ("min", "max", "broadcast", "floor")

T = TypeVar("T")


@dataclass(frozen=True)
class Assertion:
    """A relation between two dimensions that the model promises.

    Args:
        left: the dimension on the left.
        relation: one of == <= >= < >.
        right: the dimension on the right.
    """

    left: Dim
    relation: Relation
    right: Dim

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols of both sides."""
        return symbols(self.left) | symbols(self.right)

    @property
    def nonnegative(self) -> tuple[Dim, ...]:
        """Dimensions that are >= 0 exactly when the assertion holds."""
        difference = self.left - self.right
        if self.relation == ">=":
            return (difference,)
        if self.relation == ">":
            return (difference - 1,)
        if self.relation == "<=":
            return (-difference,)
        if self.relation == "<":
            return (-difference - 1,)
        return (difference, -difference)

    def holds(self, bindings: Mapping[str, int]) -> bool | None:
        """Tell whether the assertion is true; None when a symbol has no value."""
        if not self.symbols <= bindings.keys():
            return None
        return all(evaluate(d, bindings) >= 0 for d in self.nonnegative)

    def substitute(self, mapping: Mapping[str, Dim]) -> Assertion:
        """Replace symbols on both sides."""
        return Assertion(
            substitute(self.left, mapping), self.relation, substitute(self.right, mapping)
        )


def parse_dim(text: str) -> Dim:
    """Read a dimension.

    Errors:
        MalformedFile: with the column of the first character that does not fit.
    """
    return read_dim(text, DIMS)


def read_dim(text: str, algebra: Algebra[T]) -> T:
    """Read a dimension as the value that an algebra gives to it.

    Errors:
        MalformedFile: with the column of the first character that does not fit.
        InvalidModel: what should be read is no text.
    """
    reader = _Reader(_text(text), algebra)
    value = reader.expression()
    reader.end()
    return value


def parse_assertion(text: str) -> Assertion:
    """Read an assertion such as `S >= 2`.

    Errors:
        MalformedFile: with the column of the first character that does not fit.
        InvalidModel: what should be read is no text.
    """
    reader = _Reader(_text(text), DIMS)
    left = reader.expression()
    for relation in _RELATIONS:
        if reader.accept(relation):
            right = reader.expression()
            reader.end()
            return Assertion(left, relation, right)
    raise reader.error("expected one of == <= >= < >")


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise InvalidModel(f"{given!r} is no text; a dimension is read from a string")
    return given


class _Reader(Generic[T]):
    def __init__(self, text: str, algebra: Algebra[T]) -> None:
        self.text = text
        self.algebra = algebra
        self.place = 0
        self.depth = 0

    def error(self, expected: str) -> MalformedFile:
        self.skip()
        found = repr(self.text[self.place]) if self.place < len(self.text) else "the end"
        column = self.place + 1
        short = len(self.text) <= _SHOWN
        shown = self.text if short else f"{self.text[:_SHOWN]}…"
        return MalformedFile(
            f"dimension {shown!r}, column {column}: {expected}, found {found}",
            column=column,
            text=self.text if short else "",
        )

    def skip(self) -> None:
        blank = _BLANK.match(self.text, self.place)
        self.place = blank.end() if blank else self.place

    def accept(self, token: str) -> bool:
        self.skip()
        if not self.text.startswith(token, self.place):
            return False
        self.place += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"expected {token!r}")

    def end(self) -> None:
        self.skip()
        if self.place < len(self.text):
            raise self.error("expected the end")

    def expression(self) -> T:
        self.depth += 1
        if self.depth > _NESTING:
            raise self.error(f"expected at most {_NESTING} nested parentheses")
        size = self.broadcast()
        self.depth -= 1
        return size

    def broadcast(self) -> T:
        sizes = [self.add()]
        start = self.place
        while self.accept("#"):
            sizes.append(self.add())
        return sizes[0] if len(sizes) == 1 else self.stretch(sizes, start)

    def stretch(self, sizes: list[T], start: int) -> T:
        try:
            return self.algebra.broadcast(sizes)
        except InvalidModel as error:
            self.place = start
            raise self.error(error.seen) from error

    def add(self) -> T:
        # A run of one sign is one sum, or reading n terms would sort n times.
        values = [self.subtract()]
        while self.accept("+"):
            values.append(self.subtract())
        return values[0] if len(values) == 1 else self.algebra.add(values)

    def subtract(self) -> T:
        values = [self.multiply()]
        while self.accept("-"):
            values.append(self.multiply())
        return values[0] if len(values) == 1 else self.algebra.subtract(values)

    def multiply(self) -> T:
        total = self.divide()
        while self.accept("*"):
            total = self.algebra.multiply(total, self.divide())
        return total

    def divide(self) -> T:
        total = self.atom()
        while self.accept("/"):
            start = self.place
            divisor = self.digits()
            if not divisor:
                self.place = start
                raise self.error("expected a positive integer divisor")
            total = self.algebra.floor(total, divisor)
        return total

    def digits(self) -> int | None:
        self.skip()
        number = _DIGITS.match(self.text, self.place)
        if number is None:
            return None
        if len(number.group()) > _LONGEST:
            raise self.error(f"expected at most {_LONGEST} digits")
        self.place = number.end()
        return int(number.group())

    def atom(self) -> T:
        number = self.digits()
        if number is not None:
            return self.algebra.number(number)
        if self.accept("-"):
            return self.minus()
        if self.accept("("):
            return self.parenthesis()
        name = name_at(self.text, self.place)
        if not name:
            raise self.error("expected a number, a symbol or a parenthesis")
        self.place += len(name)
        if name in _FUNCTIONS and self.accept("("):
            return self.call(name)
        return self.algebra.symbol(name)

    def minus(self) -> T:
        signs = 1
        while self.accept("-"):
            signs += 1
        value = self.atom()
        for _ in range(signs):
            value = self.algebra.negate(value)
        return value

    def parenthesis(self) -> T:
        inner = self.expression()
        if self.accept(">="):
            inner = self.algebra.compare(">=", inner, self.expression())
        elif self.accept("=="):
            inner = self.algebra.compare("==", inner, self.expression())
        self.expect(")")
        return inner

    def call(self, name: str) -> T:
        start = self.place
        sizes = [self.expression()]
        while self.accept(","):
            sizes.append(self.expression())
        self.expect(")")
        if name == "min":
            return self.algebra.smallest(sizes)
        if name == "max":
            return self.algebra.largest(sizes)
        if name == "floor":
            if len(sizes) > 1:
                self.place = start
                raise self.error(f"expected one argument of floor, not {len(sizes)}")
            return sizes[0]
        return self.stretch(sizes, start)
