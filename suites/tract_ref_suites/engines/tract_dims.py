"""Dims asked of the engine `tract`: `python -m tract_ref_suites.engines.tract_dims "EXPR" S=1`.

Prints how the engine writes the dim, what it gives at the integers, and what is right.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tract_ref_suites.dims_text import RELATIONS, NoValueError, names_of, tree_of, value_of
from tract_ref_suites.engines import workers
from tract_ref_suites.engines.protocol import Crashed, Refused, TimedOut

WORKER = "tract_ref_suites.engines.tract_worker"
_SECONDS = 20.0


@dataclass(frozen=True)
class DimAnswer:
    """What the engine says about a dim.

    Attributes:
        printed: its text, after simplification.
        values: what it evaluates to at each point; None where that is no integer.
        again: the same for what it reads of `printed`.
        unread: why it does not read `printed`; empty when it does.
    """

    printed: str
    values: tuple[int | None, ...]
    again: tuple[int | None, ...] = ()
    unread: str = ""


def ask_dim(
    text: str,
    points: Sequence[Mapping[str, int]],
    *,
    known: Sequence[str] = (),
) -> DimAnswer | Refused | Crashed | TimedOut:
    """Ask how the engine reads, prints and evaluates a dim.

    Args:
        text: the dim as written.
        points: integers for its symbols.
        known: assertions of the model.
    """
    symbols = sorted({name for part in (text, *known) for name in _names(part)})
    request = {
        "call": "dims",
        "text": text,
        "symbols": symbols,
        "known": list(known),
        "points": [dict(point) for point in points],
    }
    answer = workers.shared(WORKER).ask(request, timeout=_SECONDS)
    if not isinstance(answer, tuple):
        return answer
    meta, _ = answer
    if "refused" in meta:
        return Refused(*meta["refused"])
    return DimAnswer(
        meta["printed"],
        tuple(meta["values"]),
        tuple(meta.get("again", ())),
        meta.get("unread", ""),
    )


def _names(text: str) -> tuple[str, ...]:
    # What is no dimension for us may still be one for the engine.
    try:
        return names_of(text)
    except ValueError:
        return ()


def main(arguments: Sequence[str]) -> int:
    """Ask about one dim; `NAME=NUMBER` binds a symbol, any other relation is an assertion.

    Returns:
        0 when the engine is right, 1 when it is not, 2 when it has no answer, 3 when the arguments
        do not say what to ask.
    """
    if not arguments:
        return _misused("no dim is given")
    text, *rest = arguments
    point = {n: int(v) for n, _, v in (r.partition("=") for r in rest if _is_binding(r))}
    known = [r for r in rest if not _is_binding(r)]
    unbound = sorted(set(_names(text)) - point.keys())
    if unbound:
        return _misused(f"{text} has no value: {', '.join(unbound)} not set")
    for relation in known:
        try:
            is_relation = tree_of(relation).kind in RELATIONS
        except ValueError:
            is_relation = False
        if not is_relation:
            return _misused(f"{relation!r} is neither NAME=NUMBER nor a relation")
    answer = ask_dim(text, [point], known=known)
    if not isinstance(answer, DimAnswer):
        print(f"{text}: {answer}")  # noqa: T201
        return 2
    try:
        right: int | None = value_of(text, point)
    except NoValueError:
        right = None
    lines = {
        "written": text,
        "printed": answer.printed,
        "expected": right,
        "seen": answer.values[0],
        "read back": answer.again[0] if answer.again else answer.unread,
    }
    for name, value in lines.items():
        print(f"{name:<10}{value}")  # noqa: T201
    # What the engine prints is also read as anybody else reads it.
    spoken = value_of(answer.printed, point) if right is not None else None
    if spoken != right:
        print(f"as text   {spoken}")  # noqa: T201
    return int({answer.values[0], *answer.again[:1], spoken} != {right} or bool(answer.unread))


def _misused(why: str) -> int:
    print(f'{why}; usage: tract_dims "EXPR" NAME=NUMBER .. [RELATION ..]', file=sys.stderr)  # noqa: T201
    return 3


def _is_binding(text: str) -> bool:
    name, equal, value = text.partition("=")
    return bool(equal) and name.isidentifier() and value.lstrip("-").isdecimal()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
