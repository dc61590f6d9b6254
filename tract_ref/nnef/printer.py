"""Canonical text of an NNEF document: `parse_document(print_document(doc)) == doc`.

The order is that of the grammar, one assignment a line, parentheses only where precedence asks for
them. Floats are printed with Python's shortest repr, which reads back to the same f64, hence f32.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from tract_ref.errors import InvalidModel
from tract_ref.nnef import ast
from tract_ref.nnef.ast import Expr, LValue, Type, post_order
from tract_ref.nnef.lexer import CONTEXTUAL, IDENT, LITERAL_WORDS
from tract_ref.nnef.parser import LEVELS

_PLAIN_NAME = re.compile(IDENT)
_RESERVED = CONTEXTUAL | LITERAL_WORDS
_IF_LEVEL, _POSTFIX_LEVEL, _ATOM_LEVEL = 1, 8, 9


def print_document(document: ast.Document) -> str:
    """Return the text of a document.

    Errors:
        InvalidModel: a NaN, which has no literal; an extension that holds `;`.
    """
    lines = [f"version {document.version};", ""]
    lines += [_extension(extension) for extension in document.extensions]
    if document.extensions:
        lines.append("")
    for fragment in document.fragments:
        lines += [*_fragment(fragment), ""]
    graph = document.graph
    inputs, outputs = _names(graph.inputs), _names(graph.outputs)
    lines.append(f"graph {name_text(graph.name)}{inputs} -> {outputs}")
    lines += _body(graph.body)
    return "\n".join(lines) + "\n"


def print_expression(expr: Expr) -> str:
    """Return the text of one expression.

    Errors:
        InvalidModel: a NaN, which has no literal.
    """
    # Bottom up with a stack of (text, level): an expression may be deeper than Python's call stack.
    done: list[tuple[str, int]] = []
    for node in post_order(expr):
        count = len(ast.children(node))
        below = done[len(done) - count :]
        del done[len(done) - count :]
        done.append(_node(node, below))
    return done[0][0]


def name_text(name: str) -> str:
    """Return a name as an identifier, escaped when it has to be."""
    # The real engine reads the first letters of `info` as the number inf, so those are escaped too.
    if _PLAIN_NAME.fullmatch(name) and name not in _RESERVED and not name.startswith("inf"):
        return name
    return f"i{string_text(name)}"


def string_text(value: str) -> str:
    """Return a string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
    return f'"{escaped}"'


def number_text(value: int | float) -> str:
    """Return a numeric literal: a float always has `.`, `e` or `inf`.

    Errors:
        InvalidModel: a NaN.
    """
    if isinstance(value, float) and math.isnan(value):
        remedy = "store it as a .dat tensor"
        raise InvalidModel("NaN has no literal in NNEF", stage="write", remedy=remedy)
    return repr(value)


def _extension(extension: ast.Extension) -> str:
    if ";" in extension.text:
        seen = f"extension {extension.name} holds `;`, which ends it"
        raise InvalidModel(seen, stage="write", remedy="leave the `;` out")
    return f"extension {f'{extension.name} {extension.text}'.strip()};"


def _fragment(fragment: ast.Fragment) -> list[str]:
    default = f" = {fragment.generic_default.name}" if fragment.generic_default else ""
    generic = f"<?{default}>" if fragment.is_generic else ""
    head = f"fragment {name_text(fragment.name)}{generic}"
    params = [_parameter(param) for param in fragment.params]
    results = [f"{name_text(result.name)}: {_type(result.type)}" for result in fragment.results]
    end = ";" if fragment.body is None else ""
    lines = [f"{head}({', '.join(params)}) -> ({', '.join(results)}){end}"]
    return lines if fragment.body is None else lines + _body(fragment.body)


def _parameter(param: ast.Param) -> str:
    text = f"{name_text(param.name)}: {_type(param.type)}"
    return text if param.default is None else f"{text} = {print_expression(param.default)}"


def _names(names: Iterable[ast.Identifier]) -> str:
    return f"({', '.join(name_text(name.name) for name in names)})"


def _body(body: tuple[ast.Assignment, ...]) -> list[str]:
    lines = [f"    {_lvalue(line.left)} = {print_expression(line.right)};" for line in body]
    return ["{", *lines, "}"]


def _lvalue(left: LValue) -> str:
    match left:
        case ast.Identifier(name):
            return name_text(name)
        case ast.LTuple(items):
            return f"({', '.join(_lvalue(item) for item in items)})"
        case ast.LArray(items):
            return f"[{', '.join(_lvalue(item) for item in items)}]"


def _type(kind: Type) -> str:
    match kind:
        case ast.TypeName(name):
            return name
        case ast.TensorType(item):
            return f"tensor<{item.name}>"
        case ast.ArrayType(item):
            return f"{_type(item)}[]"
        case ast.TupleType(items):
            return f"({', '.join(_type(item) for item in items)})"


def _node(node: Expr, below: list[tuple[str, int]]) -> tuple[str, int]:
    """Return the text of a node and its level, given those of its children."""
    match node:
        case ast.Number(value):
            return number_text(value), _ATOM_LEVEL
        case ast.String(value):
            return string_text(value), _ATOM_LEVEL
        case ast.Logical(value):
            return ("true" if value else "false"), _ATOM_LEVEL
        case ast.Identifier(name):
            return name_text(name), _ATOM_LEVEL
        case ast.ArrayExpr():
            return f"[{', '.join(text for text, _ in below)}]", _ATOM_LEVEL
        case ast.TupleExpr():
            return f"({', '.join(text for text, _ in below)})", _ATOM_LEVEL
        case ast.Call(name, generic, args):
            return _call(name, generic, args, below), _ATOM_LEVEL
        case ast.Comprehension(variable):
            over, result = below[0][0], below[1][0]
            return f"[for {name_text(variable)} in {over} yield {result}]", _ATOM_LEVEL
        case _:
            return _operator(node, below)


def _call(
    name: str,
    generic: ast.TypeName | None,
    args: tuple[ast.Arg, ...],
    below: list[tuple[str, int]],
) -> str:
    heads = [f"{name_text(arg.name)} = " if arg.name is not None else "" for arg in args]
    inner = ", ".join(head + text for head, (text, _) in zip(heads, below, strict=True))
    return f"{name_text(name)}{f'<{generic.name}>' if generic else ''}({inner})"


def _operator(
    node: ast.Unary | ast.Binary | ast.IfElse | ast.Subscript, below: list[tuple[str, int]]
) -> tuple[str, int]:
    match node:
        case ast.Unary(op, operand):
            text = _at_least(_ATOM_LEVEL, below[0])
            # `-2` is a literal and `- 2` an operator on one, so the blank carries meaning.
            blank = " " if op == "-" and isinstance(operand, ast.Number) else ""
            return f"{op}{blank}{text}", _ATOM_LEVEL
        case ast.Binary(op):
            level = LEVELS[op]
            left, right = _at_least(level, below[0]), _at_least(level + 1, below[1])
            return f"{left} {op} {right}", level
        case ast.IfElse():
            then, condition = (_at_least(_IF_LEVEL + 1, part) for part in below[:2])
            return f"{then} if {condition} else {below[2][0]}", _IF_LEVEL
        case ast.Subscript():
            return _subscript(node, below), _POSTFIX_LEVEL


def _subscript(node: ast.Subscript, below: list[tuple[str, int]]) -> str:
    bounds = iter(text for text, _ in below[1:])
    begin = next(bounds) if node.begin is not None else ""
    end = next(bounds) if node.end is not None else ""
    inner = f"{begin}:{end}" if node.is_range else begin
    return f"{_at_least(_ATOM_LEVEL, below[0])}[{inner}]"


def _at_least(level: int, part: tuple[str, int]) -> str:
    return part[0] if part[1] >= level else f"({part[0]})"
