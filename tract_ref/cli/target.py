"""What commands have in common: options that name a model, its symbol and its inputs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from tract_ref.dim import Dim, parse_dim
from tract_ref.errors import EvalError, MalformedFile, TractRefError
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model
from tract_ref.loading import load
from tract_ref.passes.set_symbols import stream_axis
from tract_ref.runtime.inputs import read_npz

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_KINDS: dict[type, str] = {dict: "a table", list: "a list", str: "a string", int: "an integer"}


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
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param_hint=option)
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
        EvalError: an input has no array.
    """
    settings = _case_settings(path)
    values = {name: _dim(name, text) for name, text in _pairs("--set", sets).items()}
    model = load(path, set=values)
    if axes:
        numbers: dict[str, int] = {}
        for name, text in _pairs("--axis", axes).items():
            if not text.isdecimal():
                raise click.BadParameter(f"{text!r} is not an axis number", param_hint="--axis")
            numbers[name] = int(text)
        symbol = symbol or "S"
        model = stream_axis(model, symbol, numbers)
    # Inputs of a case folder belong to the model as written; a new axis or value makes them void.
    bundle = inputs or (path / "io.npz" if path.is_dir() and not axes and not sets else None)
    wanted = bundle is not None and (inputs is not None or bundle.exists())
    return Target(
        model,
        symbol or settings.symbol,
        settings.length,
        settings.pulses,
        _read_inputs(bundle, model) if bundle is not None and wanted else None,
        settings.approx,
    )


def _dim(name: str, text: str) -> Dim:
    try:
        value = parse_dim(text)
    except TractRefError as error:
        raise click.BadParameter(f"{name}={text}: {error.seen}", param_hint="--set") from None
    if isinstance(value, int) and value < 0:
        raise click.BadParameter(f"{name}={text} is negative", param_hint="--set")
    return value


@dataclass(frozen=True)
class _Settings:
    symbol: str | None = None
    length: int | None = None
    pulses: tuple[int, ...] = ()
    approx: str = "close"


def _case_settings(path: Path) -> _Settings:
    file = path / "case.toml"
    if not path.is_dir() or not file.exists():
        return _Settings()
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise MalformedFile(str(error), file=str(file)) from None

    def entry(table: Mapping[str, Any], key: str, kind: type[T], default: T | None) -> T | None:
        value = table.get(key, default)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            wanted = _KINDS[kind]
            raise MalformedFile(f"{key} = {value!r} where {wanted} is expected", file=str(file))
        return value

    stream = cast("dict[str, Any]", entry(found, "stream", dict, None) or {})
    pulses = cast("list[object]", entry(stream, "pulses", list, None) or [])
    if not all(isinstance(pulse, int) for pulse in pulses):
        raise MalformedFile(f"pulses = {pulses} where integers are expected", file=str(file))
    return _Settings(
        entry(stream, "symbol", str, None),
        entry(stream, "length", int, None),
        tuple(cast("list[int]", pulses)),
        entry(found, "approx", str, "close") or "close",
    )


def _read_inputs(path: Path, model: Model) -> dict[str, Tensor]:
    """Return the model's inputs from an `.npz` file; other arrays in it are expected outputs."""
    arrays = read_npz(path)
    missing = [name for name in model.input_names if name not in arrays]
    if missing:
        raise EvalError(f"{path} has no array for the input {missing[0]!r}")
    return {name: arrays[name] for name in model.input_names}
