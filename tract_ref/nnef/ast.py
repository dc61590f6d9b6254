"""Syntax tree of an NNEF document: frozen nodes, and the text they came from.

Every node carries `span`, the offset of its first character in the text, so that any later stage
can point at it; spans do not take part in comparisons. Grammar: see `parser`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tract_ref.errors import MalformedFile, Refused

# A line longer than this is not repeated in a message: the caret would be lost anyway.
_LONGEST_SHOWN_LINE = 300


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a document and the file it came from.

    Args:
        file: path shown in messages.
        text: the whole text.
    """

    file: str
    text: str

    def place(self, offset: int) -> tuple[int, int, str]:
        """Return the 1-based line, the 1-based column and the line's text of an offset."""
        offset = min(max(offset, 0), len(self.text))
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", start)
        line = self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")
        return self.text.count("\n", 0, start) + 1, offset - start + 1, line

    def error(self, seen: str, offset: int, remedy: str = "") -> MalformedFile:
        """Return the error that points at `offset`.

        Args:
            seen: what was found and what was expected.
            offset: offset into the text, usually the `span` of a node.
            remedy: what the user can do about it.
        """
        line, column, text = self.place(offset)
        # A tab is one column, so it is shown as one blank: the caret stays under its character.
        shown = text.replace("\t", " ") if len(text) <= _LONGEST_SHOWN_LINE else ""
        return MalformedFile(
            seen, file=self.file, line=line, column=column, text=shown, remedy=remedy
        )

    def refused(self, seen: str, offset: int, remedy: str = "") -> Refused:
        """Return the refusal of something legal at `offset`, with its place in the message."""
        line, column, _ = self.place(offset)
        place = f"{self.file}:{line}:{column}: {seen}"
        return Refused(place, stage="read", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric literal: an int is a dimension (TDim), a float is an f32 scalar."""

    value: int | float
    span: int = field(default=0, compare=False, kw_only=True)

    @property
    def is_float(self) -> bool:
        """Whether the text had `.`, an exponent or `inf`."""
        return isinstance(self.value, float)


@dataclass(frozen=True, slots=True)
class String:
    """A string literal, escapes resolved."""

    value: str
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Logical:
    """`true` or `false`."""

    value: bool
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name, escaped or not."""

    name: str
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ArrayExpr:
    """`[a, b]`, possibly empty."""

    items: tuple[Expr, ...]
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class TupleExpr:
    """`(a, b)`, two items or more."""

    items: tuple[Expr, ...]
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Unary:
    """`+x`, `-x` or `!x`."""

    op: str
    operand: Expr
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`; the span is that of the operator."""

    op: str
    left: Expr
    right: Expr
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class IfElse:
    """`then if condition else otherwise`; the span is that of `if`."""

    then: Expr
    condition: Expr
    otherwise: Expr
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Subscript:
    """`base[begin]`, or `base[begin:end]` with either bound absent."""

    base: Expr
    begin: Expr | None
    end: Expr | None = None
    is_range: bool = False
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a call; `name` is None when positional."""

    name: str | None
    value: Expr
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Call:
    """`name<generic>(args)`."""

    name: str
    generic: TypeName | None
    args: tuple[Arg, ...]
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`[for variable in source yield result]`."""

    variable: str
    source: Expr
    result: Expr
    span: int = field(default=0, compare=False, kw_only=True)


Expr = (
    Number
    | String
    | Logical
    | Identifier
    | ArrayExpr
    | TupleExpr
    | Unary
    | Binary
    | IfElse
    | Subscript
    | Call
    | Comprehension
)


@dataclass(frozen=True, slots=True)
class TypeName:
    """`integer`, `scalar`, `logical`, `string` or `?`."""

    name: str


@dataclass(frozen=True, slots=True)
class TensorType:
    """`tensor<item>`."""

    item: TypeName


@dataclass(frozen=True, slots=True)
class ArrayType:
    """`item[]`."""

    item: Type


@dataclass(frozen=True, slots=True)
class TupleType:
    """`(T, U)`."""

    items: tuple[Type, ...]


Type = TypeName | TensorType | ArrayType | TupleType


@dataclass(frozen=True, slots=True)
class LTuple:
    """`(a, b) =` or `a, b =`: takes the items of a tuple apart."""

    items: tuple[LValue, ...]
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class LArray:
    """`[a, b] =`: takes the items of an array apart."""

    items: tuple[LValue, ...]
    span: int = field(default=0, compare=False, kw_only=True)


LValue = Identifier | LTuple | LArray


@dataclass(frozen=True, slots=True)
class Assignment:
    """`left = right;`."""

    left: LValue
    right: Expr
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Extension:
    """`extension name text;`, the text stripped of outer blanks."""

    name: str
    text: str
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a fragment; a default is a literal, or an array or tuple of literals."""

    name: str
    type: Type
    default: Expr | None = None
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Result:
    """A result of a fragment."""

    name: str
    type: Type
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment; without a body it only declares an operator."""

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    body: tuple[Assignment, ...] | None
    is_generic: bool = False
    generic_default: TypeName | None = None
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph; input and output names in order."""

    name: str
    inputs: tuple[Identifier, ...]
    outputs: tuple[Identifier, ...]
    body: tuple[Assignment, ...]
    span: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document; `version` is the text of the number."""

    version: str
    extensions: tuple[Extension, ...]
    fragments: tuple[Fragment, ...]
    graph: Graph


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct sub-expressions, in textual order."""
    match expr:
        case Number() | String() | Logical() | Identifier():
            return ()
        case ArrayExpr(items) | TupleExpr(items):
            return items
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case IfElse(then, condition, otherwise):
            return (then, condition, otherwise)
        case Subscript(base, begin, end):
            return (base, *(bound for bound in (begin, end) if bound is not None))
        case Call(_, _, args):
            return tuple(arg.value for arg in args)
        case Comprehension(_, source, result):
            return (source, result)


def post_order(expr: Expr) -> Iterator[Expr]:
    """Return every node after its children, without recursion.

    An expression may be deeper than Python's call stack allows a recursive visitor to go.
    """
    # Each node before its children, the last child first, is that order backwards.
    found: list[Expr] = []
    stack = [expr]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(children(node))
    return reversed(found)


def assigned_names(left: LValue) -> tuple[str, ...]:
    """Return the names that an assignment defines, in textual order."""
    if isinstance(left, Identifier):
        return (left.name,)
    return tuple(name for item in left.items for name in assigned_names(item))
