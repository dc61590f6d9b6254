"""Known limits of the other engines: a predicate, a witness, a reason. One TOML per engine.

A random or hand problem inside a limit's predicate is not run on that engine. The witness is a case
folder that must still fail there, in the way that the limit says; when it passes the suite is red
until the entry is deleted.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast, get_args

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from tract_ref_suites.checks.failure import Symptom
from tract_ref_suites.problems.base import Problem

EXPECTATIONS = Path(__file__).parent / "expectations"
PREDICATES = (
    "tract_ref_suites.engines.limits",
    "tract_ref_suites.engines.limits_numbers",
    "tract_ref_suites.engines.limits_more",
    "tract_ref_suites.engines.limits_turns",
    "tract_ref_suites.engines.limits_streams",
)

SYMPTOMS_OF: dict[str, frozenset[Symptom]] = {
    "refused": frozenset({"refused", "malformed"}),
    "wrong": frozenset(
        {"wrong_value", "wrong_shape", "wrong_dtype", "wrong_delay", "not_deterministic"}
    ),
    "crash": frozenset({"crash"}),
    "slow": frozenset({"timeout"}),
    "tolerance": frozenset({"wrong_value"}),
}
assert frozenset().union(*SYMPTOMS_OF.values()) == frozenset(get_args(Symptom))


class LimitError(Exception):
    """An expectation file says something that cannot be."""


@dataclass(frozen=True)
class Limit:
    """One entry.

    Attributes:
        id: unique in its file.
        kind: refused, wrong, crash, slow or tolerance.
        cells: `family/Op/law`; `*` stands for any one of the three.
        covers: name of the predicate in one of the modules PREDICATES.
        witness: slug of the case folder that must still fail.
        reason: why the engine is so.
        versions: versions of the engine, e.g. `>=0.23,<0.24`.
        seen: what the engine gives for the witness, and what is right.
    """

    id: str
    kind: str
    cells: tuple[str, ...]
    covers: str
    witness: str
    reason: str
    versions: str = ""
    seen: str = ""

    def holds_for(self, family: str, op: str, law: str) -> bool:
        """Say whether one of the cells is this one."""
        wanted = (family, op, law)
        return any(
            all(part in ("*", name) for part, name in zip(cell.split("/"), wanted, strict=True))
            for cell in self.cells
        )

    def covers_problem(self, problem: Problem, law: str) -> bool:
        """Say whether a problem is inside the limit.

        What is wrong in pulses of one size (P1) is wrong in turns of several (P13).
        """
        laws = (law, "P1") if law == "P13" else (law,)
        holds = any(self.holds_for(problem.family, problem.op, one) for one in laws)
        return holds and predicate(self.covers)(problem)


def predicate(name: str) -> Callable[[Problem], bool]:
    """Return a predicate by its name.

    Raises:
        LimitError: there is none.
    """
    for path in PREDICATES:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            raise LimitError(f"predicate {name!r}: no module {error.name}") from error
        found = getattr(module, name, None)
        # What the module imports is no predicate.
        is_own = callable(found) and getattr(found, "__module__", "") == path
        if is_own and not name.startswith("_"):
            return cast("Callable[[Problem], bool]", found)
    raise LimitError(f"none of {', '.join(PREDICATES)} has {name!r}")


def load_limits(
    engine: str, version: str, witnesses: Iterable[str], folder: Path = EXPECTATIONS
) -> tuple[Limit, ...]:
    """Return the limits of an engine that hold for its version.

    Args:
        engine: name of the engine; for a program, `command:` and its path or name.
        version: of the engine; `unknown` is in every range.
        witnesses: slugs of the case folders.
        folder: where the files are.

    Raises:
        LimitError: a key is unknown or missing; a kind, cell, predicate, witness or version range
            is not one.
    """
    program = engine.removeprefix("command:").rpartition("/")[2].split(" ")[0]
    path = folder / f"{program}.toml"
    if not path.exists():
        return ()
    known = frozenset(witnesses)
    entries = tomllib.loads(path.read_text()).get("limit", [])
    limits = tuple(_limit(entry, path.name, known) for entry in entries)
    ids = [limit.id for limit in limits]
    if len(set(ids)) < len(ids):
        raise LimitError(f"{path.name}: two limits have one id, among {ids}")
    return tuple(limit for limit in limits if _in_range(version, limit, path.name))


def _limit(entry: dict[str, object], file: str, witnesses: frozenset[str]) -> Limit:
    where = f"{file}, limit {entry.get('id', '?')!r}"
    names = {field.name for field in fields(Limit)}
    missing = names - {"versions", "seen"} - set(entry)
    if missing or set(entry) - names:
        raise LimitError(
            f"{where}: missing {sorted(missing)}, unknown {sorted(set(entry) - names)}"
        )
    cells = entry.pop("cells")
    if not isinstance(cells, list) or not cells:
        raise LimitError(f"{where}: cells is not a list of family/Op/law")
    wrong = [cell for cell in cells if not re.fullmatch(r"[^/]+/[^/]+/[^/]+", str(cell))]
    texts = {key: str(value) for key, value in entry.items()}
    limit = Limit(cells=tuple(str(cell) for cell in cells), **texts)
    if wrong or limit.kind not in SYMPTOMS_OF:
        raise LimitError(f"{where}: kind {limit.kind!r}, cells {wrong or 'right'}")
    if limit.witness not in witnesses:
        raise LimitError(f"{where}: no case folder is called {limit.witness!r}")
    if not limit.reason.strip():
        raise LimitError(f"{where}: no reason")
    predicate(limit.covers)
    return limit


def _in_range(version: str, limit: Limit, file: str) -> bool:
    try:
        return version == "unknown" or SpecifierSet(limit.versions).contains(version)
    except InvalidSpecifier as error:
        raise LimitError(f"{file}, limit {limit.id!r}: versions {limit.versions!r}") from error


def require_cells(limits: Iterable[Limit], cells: Iterable[tuple[str, str, str]]) -> None:
    """Require that every cell of every limit is one that the suite has.

    Raises:
        LimitError: a cell matches nothing.
    """
    known = list(cells)
    for limit in limits:
        for cell in limit.cells:
            one = Limit(limit.id, limit.kind, (cell,), limit.covers, limit.witness, limit.reason)
            if not any(one.holds_for(*other) for other in known):
                raise LimitError(f"limit {limit.id!r}: the cell {cell!r} matches nothing")
