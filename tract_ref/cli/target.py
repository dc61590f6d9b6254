"""What commands have in common: options that name a model, its symbol and its inputs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import numpy as np

from tract_ref.dim import parse_dim
from tract_ref.errors import EvalError, MalformedFile
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model
from tract_ref.loading import load
from tract_ref.passes.set_symbols import stream_axis

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """A model and what its case folder, if it has one, says about it.

    Attributes:
        model: the model, symbols set and axes made symbolic.
        symbol: the stream symbol, None to take the only one.
        length: source frames of drawn inputs, None for the default.
        pulses: pulses that the case folder names.
        inputs: whole inputs, None to draw them.
        approx: named tolerance.
    """

    model: Model
    symbol: str | None
    length: int | None
    pulses: tuple[int, ...]
    inputs: dict[str, Tensor] | None
    approx: str


def model_options(command: F) -> F:
    """Add MODEL, --symbol, --axis and --set to a command."""
    for option in (
        click.option(
            "--set", "sets", multiple=True, metavar="N=1", help="Set a symbol; may be repeated."
        ),
        click.option(
            "--axis",
            "axes",
            multiple=True,
            metavar="NAME=AXIS",
            help="Make this fixed axis of an input the stream; may be repeated.",
        ),
        click.option("--symbol", metavar="S", help="The stream symbol."),
        click.argument("model", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.rpartition("=")
        if not separator or not name or not value:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found[name] = value
    return found


def open_target(
    path: Path,
    *,
    symbol: str | None,
    axes: tuple[str, ...],
    sets: tuple[str, ...],
    inputs: Path | None = None,
) -> Target:
    """Load a model and its case folder's settings, overridden by the options.

    Raises:
        MalformedFile: the model, `case.toml` or the inputs cannot be read.
    """
    settings = _case_settings(path)
    model = load(path, set={n: parse_dim(v) for n, v in _pairs("--set", sets).items()})
    if axes:
        numbers: dict[str, int] = {}
        for name, text in _pairs("--axis", axes).items():
            if not text.isdigit():
                raise click.BadParameter(f"{text!r} is not an axis number", param_hint="--axis")
            numbers[name] = int(text)
        symbol = symbol or "S"
        model = stream_axis(model, symbol, numbers)
    stream = cast("dict[str, Any]", settings.get("stream", {}))
    # Inputs of a case folder belong to the model as written; a new axis or value makes them void.
    bundle = inputs or (path / "io.npz" if path.is_dir() and not axes and not sets else None)
    arrays = _read_inputs(bundle, model) if bundle is not None and bundle.exists() else None
    if inputs is not None and not inputs.exists():
        raise MalformedFile("no such file", file=str(inputs))
    return Target(
        model,
        symbol or stream.get("symbol"),
        stream.get("length"),
        tuple(stream.get("pulses", ())),
        arrays,
        str(settings.get("approx", "close")),
    )


def _case_settings(path: Path) -> dict[str, Any]:
    file = path / "case.toml"
    if not path.is_dir() or not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise MalformedFile(str(error), file=str(file)) from None


def _read_inputs(path: Path, model: Model) -> dict[str, Tensor]:
    """Return the model's inputs from an `.npz` file; other arrays in it are expected outputs."""
    try:
        with np.load(path, allow_pickle=False) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
    except (OSError, ValueError) as error:
        raise MalformedFile(f"not a readable .npz: {error}", file=str(path)) from None
    missing = [name for name in model.input_names if name not in arrays]
    if missing:
        raise EvalError(f"{path} has no array for the input {missing[0]!r}")
    return {name: arrays[name] for name in model.input_names}
