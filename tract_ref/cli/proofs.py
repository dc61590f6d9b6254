"""What the proof loops of `check` have in common: settings, attempts, usage errors as documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import Progress as Bar

from tract_ref.cli import EXIT_INTERNAL, status_of
from tract_ref.cli.reports import STATUS, error_report, message_of
from tract_ref.cli.target import Target
from tract_ref.errors import EvalError, Inconclusive, Refused, TractRefError
from tract_ref.ir.fact import Tensor
from tract_ref.passes.pulsify_v1 import RefusedNode
from tract_ref.prove import Progress
from tract_ref.verdict import Kind


class ReportingCommand(click.Command):
    """With --json a usage error is a document too, like every other outcome."""

    def usage_report(self, error: click.UsageError, words: Sequence[str]) -> Mapping[str, Any]:
        """Return the document for a usage error in the words of a command line."""
        raise NotImplementedError

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **named: Any) -> Any:
        """Parse the options."""
        words = tuple(args)
        try:
            return super().make_context(info_name, args, *rest, **named)
        except click.UsageError as error:
            if "--json" in words:
                click.echo(json.dumps(self.usage_report(error, words), indent=1))
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.params["as_json"]:
                words = ("--v2",) if ctx.params.get("v2") else ()
                click.echo(json.dumps(self.usage_report(error, words), indent=1))
            raise


@dataclass(frozen=True)
class Options:
    """What both proof loops are asked for.

    Attributes:
        length: source frames of drawn inputs, None for the default.
        seed: of drawn inputs, None for 0.
        exact: run plain definitions, demand equal bits.
        explain: say how every wire streams.
        quiet: show no progress.
    """

    length: int | None
    seed: int | None
    exact: bool
    explain: bool
    quiet: bool

    def inputs(self, target: Target) -> dict[str, Tensor] | None:
        """Return whole inputs, None to draw them."""
        drawn = self.length is not None or self.seed is not None
        return None if drawn else target.inputs

    def drawn_length(self, target: Target) -> int | None:
        """Return the length of drawn inputs, None for the default."""
        return self.length if self.length is not None else target.length

    def approx(self, target: Target) -> str:
        """Return the named tolerance.

        Bits are promised of the plain definitions only; fast kernels may add in another order.
        """
        if self.exact:
            return "exact"
        return "close" if target.approx == "exact" else target.approx


class HasVerdict(Protocol):
    """A run of a proof loop."""

    @property
    def verdict(self) -> Kind:
        """The worst verdict of the outputs."""
        ...

    @property
    def refusal(self) -> Refused | Inconclusive | None:
        """Why the model cannot stream."""
        ...


R = TypeVar("R", bound=HasVerdict)


@dataclass(frozen=True)
class Attempt(Generic[R]):
    """One pulse, or one way to cut the stream: a run, or the error that stopped it.

    Attributes:
        label: the pulse or the chunks.
        run: what the proof loop found.
        error: what stopped it.
        refused: every node that is refused by itself, where that was asked for.
    """

    label: object
    run: R | None
    error: TractRefError | None
    refused: tuple[RefusedNode, ...] = ()

    @property
    def status(self) -> int:
        """The exit status that this alone would give."""
        if self.run is None:
            return status_of(self.error) if self.error is not None else EXIT_INTERNAL
        return STATUS[self.run.verdict]

    @property
    def refusal(self) -> TractRefError | None:
        """Why there are no verdicts."""
        return self.error if self.run is None else self.run.refusal


@contextmanager
def progress_bar(name: str, *, quiet: bool) -> Generator[Progress]:
    """Show a bar on a terminal while a proof loop runs."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def attempt(
    name: str,
    label: object,
    prove: Callable[[], R],
    refusals: Callable[[], tuple[RefusedNode, ...]],
) -> Attempt[R]:
    """Run a proof loop; errors are part of the result.

    Args:
        name: what the label is.
        label: the pulse or the chunks.
        prove: the proof loop.
        refusals: called where the model is refused.
    """
    try:
        run = prove()
        return Attempt(label, run, None, refusals() if run.refusal is not None else ())
    except TractRefError as error:
        return Attempt(label, None, error)
    except MemoryError as error:
        remedy = f"use a smaller --{name}, a shorter --length or a smaller --input"
        asked = f": {error}" if str(error) else ""
        seen = f"{name}={label} frames: out of memory{asked}"
        return Attempt(label, None, EvalError(seen, stage="run", remedy=remedy))


def print_errors(attempts: Sequence[Attempt[Any]]) -> None:
    """Print each error once: most are about the model or its inputs and come in every attempt."""
    errors = (attempt.error for attempt in attempts)
    for message in dict.fromkeys(message_of(error) for error in errors if error is not None):
        click.echo(message, err=True)


def worst_error(attempts: Sequence[Attempt[Any]], status: int) -> dict[str, str] | None:
    """Return for machines the first error of the attempts that made the status."""
    errors = (a.error for a in attempts if a.status == status)
    first = next((error for error in errors if error is not None), None)
    return None if first is None else error_report(first)
