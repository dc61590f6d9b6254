"""What the reports of several commands have in common: statuses, errors, where two runs part."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from tract_ref.cli import (
    EXIT_BAD_INPUT,
    EXIT_DIFFERENT,
    EXIT_EQUAL,
    EXIT_INTERNAL,
    EXIT_REFUSED,
)
from tract_ref.errors import TractRefError
from tract_ref.latency import Latency
from tract_ref.stream.region_text import frames_text
from tract_ref.verdict import Divergence, Kind, OutputVerdict

STATUS: dict[Kind, int] = {
    "exact": EXIT_EQUAL,
    "within": EXIT_EQUAL,
    "wrong": EXIT_DIFFERENT,
    "refused": EXIT_REFUSED,
    "nothing compared": EXIT_EQUAL,
}
VERDICTS = {
    EXIT_EQUAL: "equal",
    EXIT_DIFFERENT: "wrong",
    EXIT_REFUSED: "refused",
    EXIT_BAD_INPUT: "bad input",
    EXIT_INTERNAL: "internal",
}
# Piped output has no width of its own; facts of a deep model need more than the default of 80.
_PIPED_WIDTH = 240


def open_console() -> Console:
    """Return a console for standard output, wide enough for tables where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def message_of(error: TractRefError) -> str:
    """Return the line that tells an error."""
    return f"{type(error).__name__}: {error}"


def kind_text(output: OutputVerdict, approx: str) -> str:
    """Return the verdict on an output that is not wrong, in words."""
    if output.verdict == "within":
        return f"within tolerance {approx!r} ({output.max_ulp} ULP at most)"
    return output.verdict


def where(first: Divergence, *, turn: str = "pulse") -> str:
    """Return where two runs part, in words; `turn` is what brought the frame."""
    if first.reason:
        return f"wire {first.wire!r}: {first.reason}"
    return (
        f"wire {first.wire!r} at {turn} {first.pulse}, index {list(first.index)}: "
        f"batch {first.batch!r}, streamed {first.streamed!r} ({first.ulps} ULP)"
        + (f"; {first.note}" if first.note else "")
    )


def error_report(error: TractRefError) -> dict[str, str]:
    """Return an error for machines."""
    return {
        "class": type(error).__name__,
        "message": str(error),
        "node": error.node,
        "op": error.op,
        "remedy": error.remedy,
    }


def usage_error_report(error: click.UsageError) -> dict[str, str]:
    """Return a usage error for machines."""
    return {
        "class": type(error).__name__,
        "message": error.format_message(),
        "node": "",
        "op": "",
        "remedy": "",
    }


def refusal_report(refusal: TractRefError | None) -> dict[str, str] | None:
    """Return for machines why a model cannot stream."""
    if refusal is None:
        return None
    return {
        "message": str(refusal),
        "node": refusal.node,
        "op": refusal.op,
        "reason": refusal.seen,
        "remedy": refusal.remedy,
    }


def first_report(first: Divergence | None, *, turn: str = "pulse") -> dict[str, Any] | None:
    """Return for machines where two runs part."""
    if first is None:
        return None
    return {
        "wire": first.wire,
        turn: first.pulse,
        "index": list(first.index),
        "batch": None if first.batch is None else str(first.batch),
        "streamed": None if first.streamed is None else str(first.streamed),
    }


def latency_text(latency: Latency) -> str:
    """Return the latency of some frames in words, in samples of the input."""
    values = (latency.least, latency.median, latency.most)
    least, median, most = (frames_text(frames) for frames in values)
    if least == most:
        return f"latency {least} samples"
    return f"latency {least} to {most} samples (median {median})"


def latency_report(latency: Latency | None) -> dict[str, float] | None:
    """Return the latency of some frames for machines, in samples of the input."""
    if latency is None:
        return None
    names = ("min", "median", "max")
    values = (latency.least, latency.median, latency.most)
    return {
        name: value.numerator if value.denominator == 1 else float(value)
        for name, value in zip(names, values, strict=True)
    }
