"""Options that give a value to a name."""

from __future__ import annotations

import click


def pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=VALUE`, where the first = ends the name: a value may hold a comparison.

    Args:
        option: which the message names.
        texts: as given.

    Raises:
        click.BadParameter: a text is no pair, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name or not value.strip():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param_hint=option)
        found[name] = value.strip()
    return found
