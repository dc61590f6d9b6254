"""Commands of the suites, joined to `tract-ref` by entry points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from tract_ref.cli import (
    EXIT_BAD_INPUT,
    EXIT_DIFFERENT,
    EXIT_EQUAL,
    EXIT_INTERNAL,
    EXIT_REFUSED,
    status_of,
    worst_status,
)
from tract_ref.errors import TractRefError
from tract_ref_suites.cases import OF_EVERY_ENGINE, CaseError, load_case
from tract_ref_suites.checks import REFERENCE
from tract_ref_suites.checks.case import check_assertion
from tract_ref_suites.checks.failure import CheckFailure, NotOffered
from tract_ref_suites.checks.found import FolderProblem, law_of
from tract_ref_suites.engines import UnknownEngineError, load_engine
from tract_ref_suites.engines.protocol import Engine
from tract_ref_suites.engines.reference import ReferenceEngine

_STATUS = {"refused": EXIT_REFUSED, "malformed": EXIT_BAD_INPUT, "crash": EXIT_INTERNAL}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--engine", "name", metavar="NAME", help="Default: the engine that the case was found on."
)
def replay(folder: Path, name: str | None) -> int:
    """Run a saved case folder again and print what each of its assertions gives."""
    try:
        case = load_case(folder)
        if name is None:
            name = case.origin.engine if case.origin is not None else REFERENCE
            if name.startswith("command:"):
                # A case folder is data: it never chooses a program to run.
                raise CaseError(f"{case.slug}: found on {name}; name it with --engine to run it")
        engine = engine_named(name)
    except (CaseError, UnknownEngineError) as error:
        click.echo(str(error), err=True)
        return EXIT_BAD_INPUT
    click.echo(f"{case.slug}: {case.about}")
    questions: list[tuple[str, Callable[[], None]]] = [
        (assertion.id, partial(check_assertion, case, assertion, engine))
        for assertion in case.asserts
        if engine.name == REFERENCE or assertion.kind in OF_EVERY_ENGINE
    ]
    law = law_of(case, engine)
    if law is not None:
        questions.append((law.id, partial(law.check, FolderProblem(case), engine)))
    statuses: list[int] = []
    for label, ask in questions:
        status, verdict = judged(ask)
        statuses.append(status)
        click.echo(f"  {label} on {engine.name}: {verdict}")
    if not statuses:
        click.echo(f"nothing of {case.slug} can be asked of {engine.name}", err=True)
        return EXIT_REFUSED
    return worst_status(statuses)


def judged(ask: Callable[[], None]) -> tuple[int, str]:
    """Ask one question; return the exit status that the answer stands for, and its words."""
    try:
        ask()
    except CheckFailure as failure:
        status = _STATUS.get(failure.symptom, EXIT_DIFFERENT)
        return status, f"WRONG {failure}" if status == EXIT_DIFFERENT else str(failure)
    except NotOffered as reason:
        return EXIT_REFUSED, f"refused: {reason}"
    except CaseError as error:
        return EXIT_BAD_INPUT, f"bad case: {error}"
    except TractRefError as error:
        return status_of(error), f"{type(error).__name__}: {error}"
    except MemoryError as error:
        return EXIT_BAD_INPUT, f"out of memory: {error}; use a shorter length or smaller pulses"
    return EXIT_EQUAL, "ok"


def engine_named(name: str) -> Engine:
    """Return an engine; the reference needs no installation."""
    return ReferenceEngine() if name == REFERENCE else load_engine(name)
