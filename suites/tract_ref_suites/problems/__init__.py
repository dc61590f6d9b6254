"""The problem families: every module of this folder that is not a helper, found by its file.

A family is called after the file in `ops/` that it asks about. Some are about no single file:
`chains`, `graphs` and `unets`, whole networks; `masks`, what models compute from positions;
`spec_pulse`, the written strategies and units of spec/pulse.md 6; `onnx_models` and `onnx_more`,
imported ones, which engines that read only ONNX judge.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from tract_ref_suites.problems.base import ErrorCase, Problem

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_NOT_A_FAMILY = frozenset({"base", "onnx_base", "onnx_oracles"})


class FamilyError(Exception):
    """A family file does not export what the suite needs."""


@dataclass(frozen=True)
class Family:
    """The three tables of one file.

    Attributes:
        name: stem of the file.
        strategies: per slug, what draws problems.
        hand: per slug, one written problem.
        errors: per slug, something that must be refused or rejected.
        formats: file formats that its problems can be written in.
    """

    name: str
    strategies: Mapping[str, Callable[[], SearchStrategy[Problem]]]
    hand: Mapping[str, Problem]
    errors: Mapping[str, ErrorCase]
    formats: frozenset[str] = frozenset({"nnef"})


@cache
def families() -> dict[str, Family]:
    """Load every family, in sorted order of their files.

    Raises:
        FamilyError: a table is missing or empty, or there is no family at all.
    """
    names = sorted(
        info.name
        for info in pkgutil.iter_modules(__path__)
        if info.name not in _NOT_A_FAMILY and not info.name.startswith("_")
    )
    if not names:
        raise FamilyError(f"no family file in {list(__path__)}")
    return {name: family_of(importlib.import_module(f"{__name__}.{name}")) for name in names}


def family_of(module: ModuleType) -> Family:
    """Return the tables of one module.

    Raises:
        FamilyError: a table is missing or empty.
    """
    name = module.__name__.rpartition(".")[2]
    tables: list[Mapping[str, object]] = []
    for table in ("STRATEGIES", "HAND", "ERRORS"):
        found = getattr(module, table, None)
        if not isinstance(found, Mapping) or not found:
            state = "is missing" if found is None else "is empty or not a mapping"
            raise FamilyError(f"problems/{name}.py: {table} {state}; a family has all three tables")
        tables.append(found)
    formats = getattr(module, "FORMATS", Family.formats)
    return Family(name, *tables, formats=formats)  # pyright: ignore[reportArgumentType]
