"""Known limits of other engines on symbolic dims: a predicate, witnesses, a reason.

A random dim inside a predicate is not judged. A witness is a dim, integers for its symbols, what is
right there and what the engine gives instead; it must still fail, or the suite is red.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import gcd
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from tract_ref.dim import Dim, Scope, TDim, parse_dim, sym, symbols
from tract_ref.errors import InvalidModel, MalformedFile
from tract_ref_suites.dims_text import Node, names_of, tree_of

FOLDER = Path(__file__).parent / "expectations" / "dims"
KINDS = ("wrong", "unfaithful", "crash", "refused")
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class DimCase:
    """A dim as written, under the assertions of a model."""

    text: str
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class DimWitness(DimCase):
    """One dim on which the engine fails.

    Attributes:
        at: integers for its symbols.
        expected: its value, by floor quotients; None where it has none.
        seen: what the engine evaluates to, None for no value; of an unfaithful print, what the
            printed text says.
    """

    at: Mapping[str, int] = field(default_factory=dict[str, int])
    expected: int | None = None
    seen: int | None = None

    @property
    def command(self) -> str:
        """The command that shows it."""
        words = [f"{name}={value}" for name, value in self.at.items()]
        words += [f'"{assertion}"' for assertion in self.known]
        return f'python -m tract_ref_suites.engines.tract_dims "{self.text}" {" ".join(words)}'


@dataclass(frozen=True)
class DimLimit:
    """One entry.

    Attributes:
        id: unique in its file.
        kind: wrong value, unfaithful print, crash or refused.
        covers: name of the predicate in this module.
        reason: why the engine is so.
        versions: versions of the engine.
        witnesses: dims that must still fail.
    """

    id: str
    kind: str
    covers: str
    reason: str
    versions: str
    witnesses: tuple[DimWitness, ...]

    def covers_case(self, case: DimCase) -> bool:
        """Say whether a dim is inside the limit."""
        return PREDICATES[self.covers](case)


def load_dim_limits(engine: str, version: str) -> tuple[DimLimit, ...]:
    """Return the limits of an engine that hold for its version, `unknown` for all."""
    entries = tomllib.loads((FOLDER / f"{engine}.toml").read_text())["limit"]
    limits = tuple(_limit(entry) for entry in entries)
    return tuple(x for x in limits if version == "unknown" or version in SpecifierSet(x.versions))


def _limit(entry: dict[str, Any]) -> DimLimit:
    witnesses = tuple(
        DimWitness(
            found["text"],
            tuple(found.get("known", ())),
            found["at"],
            found.get("expected"),
            found.get("seen"),
        )
        for found in entry.pop("witness")
    )
    return DimLimit(**entry, witnesses=witnesses)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from _nodes(part)


def _written(node: Node) -> str:
    """Write a node again, in parentheses."""
    parts = [_written(part) for part in node.parts]
    if not parts:
        return node.kind
    if node.kind == "neg":
        return f"(-{parts[0]})"
    if node.kind.isalpha():
        return f"{node.kind}({','.join(parts)})"
    return f"({node.kind.join(parts)})"


def _dims(text: str) -> Iterator[Dim]:
    """Yield the normal form of the dim and of everything inside, as far as each is one."""
    for node in _nodes(tree_of(text)):
        try:
            found = parse_dim(_written(node))
        except MalformedFile:
            continue
        yield found
        if isinstance(found, TDim):
            yield from (piece for atom in found.atoms for piece in atom.pieces)


def negative_term_in_a_quotient(case: DimCase) -> bool:
    """Say whether a term is subtracted in a numerator, or beside a quotient."""
    for node in _nodes(tree_of(case.text)):
        if node.kind == "/":
            inside = parse_dim(_written(node.parts[0]))
            if isinstance(inside, TDim) and any(c < 0 for _, c in inside.terms):
                return True
    return any(
        _has_quotient(dim) and any(c < 0 for m, c in dim.terms if m[0].kind != "floor")
        for dim in _dims(case.text)
        if isinstance(dim, TDim)
    )


def _has_quotient(dim: TDim) -> bool:
    return any(atom.kind == "floor" for monomial, _ in dim.terms for atom in monomial)


def two_symbols_in_a_truncated_quotient(case: DimCase) -> bool:
    """Say whether a symbol that may be negative stands in a numerator."""
    inside = (parse_dim(_written(n.parts[0])) for n in _nodes(tree_of(case.text)) if n.kind == "/")
    scope = Scope(case.known)
    return any(scope.bounds(sym(name))[0] is None for dim in inside for name in symbols(dim))


def constant_below_zero(case: DimCase) -> bool:
    """Say whether the dim is below 0 whatever its symbols are."""
    try:
        highest = Scope(case.known).bounds(parse_dim(case.text))[1]
    except InvalidModel:
        return False
    return highest is not None and highest < 0


def clamp_of_numbers(case: DimCase) -> bool:
    """Say whether the dim names no symbol and has a minimum or a maximum."""
    return not names_of(case.text) and any(
        node.kind in ("min", "max") for node in _nodes(tree_of(case.text))
    )


def multiple_of_a_sum_inside(case: DimCase) -> bool:
    """Say whether a sum with a common factor is a size of a broadcast or clamp."""
    holders = [n for n in _nodes(tree_of(case.text)) if n.kind in ("#", "broadcast", "min", "max")]
    sizes = [dim for holder in holders for part in holder.parts for dim in _dims(_written(part))]
    return any(
        gcd(dim.constant, *(c for _, c in dim.terms)) > 1
        and len(dim.terms) + bool(dim.constant) > 1
        for dim in sizes
        if isinstance(dim, TDim)
    )


def more_than_64_bits(case: DimCase) -> bool:
    """Say whether a number of the normal form has more than 64 bits."""
    return any(
        max(abs(dim.constant), *(abs(c) for _, c in dim.terms)) > _LARGEST
        for dim in _dims(case.text)
        if isinstance(dim, TDim)
    )


def divisor_of_zero(case: DimCase) -> bool:
    """Say whether something is divided by 0."""
    return re.search(r"/\s*0(?![0-9])", case.text) is not None


PREDICATES: dict[str, Callable[[DimCase], bool]] = {
    predicate.__name__: predicate
    for predicate in (
        negative_term_in_a_quotient,
        two_symbols_in_a_truncated_quotient,
        constant_below_zero,
        clamp_of_numbers,
        multiple_of_a_sum_inside,
        more_than_64_bits,
        divisor_of_zero,
    )
}
