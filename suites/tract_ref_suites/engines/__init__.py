"""The engines that the suite can judge; the installed ones are found by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

from tract_ref_suites.engines.command import CommandEngine
from tract_ref_suites.engines.protocol import Engine

GROUP = "tract_ref.engines"
_COMMAND = "command:"


class UnknownEngineError(LookupError):
    """No engine of that name can be had on this machine."""


def load_engine(name: str) -> Engine:
    """Return the engine called `name`.

    Args:
        name: `command:PROGRAM`, or the name of an entry point of the group `tract_ref.engines`.

    Raises:
        UnknownEngineError: no such entry point, no such program, or a package it needs is
            absent.
    """
    if name.startswith(_COMMAND):
        try:
            return CommandEngine(name.removeprefix(_COMMAND))
        except FileNotFoundError as error:
            raise UnknownEngineError(str(error)) from error
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        installed = ", ".join(sorted(found)) or "none (install the project: pip install -e .)"
        raise UnknownEngineError(
            f'no engine "{name}"; installed: {installed}; any program: command:PROGRAM'
        )
    try:
        return found[name].load()()
    except ModuleNotFoundError as error:
        raise UnknownEngineError(
            f'engine "{name}" needs a package that is absent: {error.name}; '
            'install the extras: pip install "tract_ref[suite,engines]"'
        ) from error
