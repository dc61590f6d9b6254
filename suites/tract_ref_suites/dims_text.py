"""Values of dimensions as texts, by a reading of their own: shares no code with `tract_ref.dim`.

The tree of a text keeps every node as written; nothing is rewritten before it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add, mul, sub

_TOKEN = re.compile(
    r"\s*(>=|<=|==|[0-9]+|[^\W\d](?:[\w.]|[\U0001f000-\U0001ffff]|/[A-Za-z]+)*"
    r"|[\U0001f000-\U0001ffff][\w.\U0001f000-\U0001ffff]*|[-+*/#(),<>])"
)
RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


class NoValueError(Exception):
    """A broadcast of two sizes that differ."""


@dataclass(frozen=True)
class Node:
    """A node of a text: `kind` is a number, a name, an operator or a function."""

    kind: str
    parts: tuple[Node, ...] = ()


def tree_of(text: str) -> Node:
    """Read a dimension, or a comparison of two.

    Raises:
        ValueError: the text is not one.
    """
    words: list[str] = []
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"{text!r}: no word at {place}")
        words.append(found.group(1))
        place = found.end()
    words.append("")
    node = _relation(words)
    if words != [""]:
        raise ValueError(f"{text!r}: left over {words}")
    return node


def _relation(words: list[str]) -> Node:
    left = _operators(words, "#+-*")
    if words[0] in RELATIONS:
        kind = words.pop(0)
        return Node(kind, (left, _operators(words, "#+-*")))
    return left


def _operators(words: list[str], loosest_first: str) -> Node:
    """Each operator has a level of its own, so that `a-b+c` is `(a-b)+c` and `a+b-c` `a+(b-c)`."""
    if not loosest_first:
        return _quotient(words)
    kind, tighter = loosest_first[0], loosest_first[1:]
    node = _operators(words, tighter)
    while words[0] == kind:
        words.pop(0)
        node = Node(kind, (node, _operators(words, tighter)))
    return node


def _quotient(words: list[str]) -> Node:
    node = _atom(words)
    while words[0] == "/":
        words.pop(0)
        node = Node("/", (node, Node(str(int(words.pop(0))))))
    return node


def _atom(words: list[str]) -> Node:
    word = words.pop(0)
    if word == "-":
        return Node("neg", (_atom(words),))
    if word == "(":
        node = _relation(words)
        _close(words)
        return node
    if word in ("min", "max", "broadcast", "floor") and words[0] == "(":
        words.pop(0)
        parts = [_operators(words, "#+-*")]
        while words[0] == ",":
            words.pop(0)
            parts.append(_operators(words, "#+-*"))
        _close(words)
        return Node(word, tuple(parts))
    if not word or not (word[0].isalnum() or word[0] == "_" or ord(word[0]) > 0x7F):
        raise ValueError(f"no atom at {word!r}")
    return Node(word)


def _close(words: list[str]) -> None:
    if words.pop(0) != ")":
        raise ValueError("a parenthesis is open")


def value_of(text: str, bindings: Mapping[str, int]) -> int:
    """Return the value of a dimension as written, with floor quotients.

    Raises:
        NoValueError: a broadcast is not defined.
    """
    return _value(tree_of(text), bindings)


def _value(node: Node, bindings: Mapping[str, int]) -> int:
    if not node.parts:
        return int(node.kind) if node.kind.isdecimal() else bindings[node.kind]
    values = [_value(part, bindings) for part in node.parts]
    if node.kind in RELATIONS:
        return int(RELATIONS[node.kind](*values))
    if node.kind in ("#", "broadcast"):
        longer = {v for v in values if v != 1}
        if len(longer) > 1:
            raise NoValueError(f"broadcast of {sorted(longer)}")
        return longer.pop() if longer else 1
    if node.kind in ("+", "-", "*"):
        return reduce({"+": add, "-": sub, "*": mul}[node.kind], values)
    if node.kind == "/":
        return values[0] // values[1]
    if node.kind in ("min", "max"):
        return min(values) if node.kind == "min" else max(values)
    return -values[0] if node.kind == "neg" else values[0]


def numerators(text: str, bindings: Mapping[str, int]) -> list[int]:
    """Return the value of every numerator as written."""
    found: list[int] = []

    def walk(node: Node) -> None:
        if node.kind == "/":
            found.append(_value(node.parts[0], bindings))
        for part in node.parts:
            walk(part)

    walk(tree_of(text))
    return found


def holds(assertion: str, bindings: Mapping[str, int]) -> bool:
    """Say whether a relation between two dimensions is true."""
    node = tree_of(assertion)
    if node.kind not in RELATIONS:
        raise ValueError(f"{assertion!r} is no relation")
    return bool(_value(node, bindings))


def names_of(text: str) -> tuple[str, ...]:
    """Return the symbols of a text, sorted."""
    found: set[str] = set()

    def walk(node: Node) -> None:
        if not node.parts and not node.kind.isdecimal():
            found.add(node.kind)
        for part in node.parts:
            walk(part)

    walk(tree_of(text))
    return tuple(sorted(found))
