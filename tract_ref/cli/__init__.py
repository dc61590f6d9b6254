"""The command line: one file per command; others join by the entry points tract_ref.commands.

Exit status: 0 equal, 1 different, 2 refused, 3 bad input, 4 internal error.
"""

from __future__ import annotations

import importlib.metadata
import sys
import traceback

import click

from tract_ref import __version__
from tract_ref.errors import Inconclusive, InternalError, Refused, TractRefError

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_REFUSED, EXIT_BAD_INPUT, EXIT_INTERNAL = 0, 1, 2, 3, 4
# Over several outputs or pulses the first of these that occurs is the status.
PRECEDENCE = (EXIT_INTERNAL, EXIT_BAD_INPUT, EXIT_DIFFERENT, EXIT_REFUSED, EXIT_EQUAL)

_OWN = {
    "check": "tract_ref.cli.check",
    "dims": "tract_ref.cli.dims",
    "dump": "tract_ref.cli.dump",
    "stream": "tract_ref.cli.stream",
}


class _Commands(click.Group):
    """Loads a command's module when it is asked for, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, installed plug-ins included."""
        return sorted({*_OWN, *(point.name for point in _plugins())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        home = _OWN.get(cmd_name)
        if home is not None:
            return getattr(importlib.import_module(home), cmd_name)
        for point in _plugins():
            if point.name == cmd_name:
                return point.load()
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        about = {
            "check": "Prove that a model streams: whole against chunk by chunk.",
            "dims": "Explain what becomes of a symbolic dimension, law by law.",
            "dump": "Print the graph after a pass.",
            "replay": "Run a saved case folder again.",
            "stream": "Run a model chunk by chunk on your own frames.",
        }
        with formatter.section("Commands"):
            formatter.write_dl([(n, about.get(n, "")) for n in self.list_commands(ctx)])


def _plugins() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group="tract_ref.commands"))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=__version__, prog_name="tract-ref")
def cli() -> None:
    """Tell whether a model can stream, with what delay and what state, and prove it."""


def status_of(error: BaseException) -> int:
    """Return the exit status that an error stands for."""
    if isinstance(error, InternalError) or not isinstance(error, TractRefError):
        return EXIT_INTERNAL
    return EXIT_REFUSED if isinstance(error, Refused | Inconclusive) else EXIT_BAD_INPUT


def worst_status(statuses: list[int]) -> int:
    """Return the status of several outputs or pulses."""
    return next((status for status in PRECEDENCE if status in statuses), EXIT_EQUAL)


def main() -> None:
    """Run the command line; never leaves with a traceback for an error of the user's input."""
    try:
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except TractRefError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(status_of(error))
    except Exception:
        traceback.print_exc()
        click.echo("InternalError: this is a bug of tract_ref; please report it", err=True)
        sys.exit(EXIT_INTERNAL)
