"""What commands have in common: options that name a model, its symbol and its inputs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from tract_ref.approx import is_tolerance
from tract_ref.cli.pairs import pairs
from tract_ref.dim import Dim, parse_dim, symbols
from tract_ref.errors import EvalError, MalformedFile, TractRefError
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Model
from tract_ref.ir.pulse import Pulse
from tract_ref.loading import load
from tract_ref.passes.set_symbols import stream_axis, symbols_of
from tract_ref.runtime.inputs import read_npz

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_KINDS: dict[type, str] = {dict: "a table", list: "a list", str: "a string", int: "an integer"}
DEFAULT_PULSE = 8
# More frames than this are a mistake: one channel of f32 alone would take 8 GiB.
MOST_FRAMES = 2**31 - 1
LENGTH = click.IntRange(0, MOST_FRAMES)


class _PulseType(click.ParamType[Dim]):
    """A number of frames, or a factor times a symbol for turns of any size: `8`, `P`, `2*P`."""

    name = "pulse"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Dim:
        """Read the text."""
        try:
            pulse = Pulse.read(parse_dim(str(value)))
        except TractRefError as error:
            self.fail(str(error), param, ctx)
        if pulse.unit > MOST_FRAMES:
            self.fail(f"{value} is more than {MOST_FRAMES} frames", param, ctx)
        return pulse.frames


PULSE = _PulseType()


class _ChunksType(click.ParamType[tuple[int, ...]]):
    """Frames per push, over and over: `160,320,7`; none for `random`."""

    name = "chunks"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the text; an ellipsis at the end says what holds anyway."""
        texts = [text.strip() for text in str(value).split(",")]
        if texts == ["random"]:
            return ()
        texts = texts[:-1] if texts[-1] in ("...", "…") else texts
        if not texts or not all(text.isdecimal() and text.isascii() for text in texts):
            self.fail(
                f"{value!r} is neither numbers of frames, as 160,320,7, nor random", param, ctx
            )
        sizes = tuple(int(text) for text in texts)
        if max(sizes) > MOST_FRAMES:
            self.fail(f"{max(sizes)} is more than {MOST_FRAMES} frames", param, ctx)
        if not any(sizes):
            self.fail("only empty pushes: the stream would never end", param, ctx)
        return sizes


CHUNKS = _ChunksType()
# The schema of case.toml, of which only settings are read here.
_SCHEMA = 1
_KEYS = {"version", "about", "approx", "stream", "origin", "assert"}
_STREAM_KEYS = {"symbol", "length", "pulses", "chunks", "axes", "end"}


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
            "--set",
            "sets",
            multiple=True,
            metavar="N=DIM",
            help="Replace a symbol by a number or a dim (T=S/2); may be repeated.",
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
    values = {name: _dim(name, text) for name, text in pairs("--set", sets).items()}
    if any(symbols(value) for value in values.values()):
        _require_known(values, symbols_of(load(path)), {symbol} if symbol else set())
    model = load(path, set=values)
    if axes:
        numbers: dict[str, int] = {}
        for name, text in pairs("--axis", axes).items():
            if not text.isdecimal():
                raise click.BadParameter(f"{text!r} is not an axis number", param_hint="--axis")
            numbers[name] = int(text)
        symbol = symbol or free_symbol(model, "S")
        model = stream_axis(model, symbol, numbers)
    # Inputs of a case folder belong to the model as written; a new axis or value makes them void.
    bundle = inputs or (path / "io.npz" if path.is_dir() and not axes and not sets else None)
    wanted = bundle is not None and (inputs is not None or bundle.exists())
    known = symbol or (settings.symbol if settings.symbol not in values else None)
    return Target(
        model,
        known,
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


def _require_known(values: Mapping[str, Dim], own: Set[str], named: Set[str]) -> None:
    """Refuse a new symbol in a value, which may be a typo.

    It is none where --symbol names it, or where no other symbol of the model is left (S=2*s).
    """
    spoken = frozenset[str]().union(*(symbols(value) for value in values.values()))
    if own and not (own - values.keys()) | (own & spoken):
        return
    for name, value in values.items():
        for unknown in sorted(symbols(value) - own - named):
            listed = ", ".join(sorted(own)) or "none"
            seen = (
                f"{name}={value}: the model has no symbol {unknown!r} (symbols: {listed}); "
                f"for a new one add --symbol {unknown}"
            )
            raise click.BadParameter(seen, param_hint="--set")


def free_symbol(model: Model, name: str) -> str:
    """Return a name, S, or S1, S2, .. when the model has that symbol already."""
    taken = symbols_of(model)
    names = (f"{name}{number or ''}" for number in range(len(taken) + 1))
    return next(free for free in names if free not in taken)


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise MalformedFile(str(error), file=str(file)) from None

    def refuse(seen: str) -> MalformedFile:
        return MalformedFile(seen, file=str(file))

    def only(table: Mapping[str, Any], keys: set[str]) -> None:
        for key in sorted(set(table) - keys):
            raise refuse(f"unknown key {key!r}; known are {', '.join(sorted(keys))}")

    def require_count(key: str, value: object, least: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise refuse(f"{key}: {value!r} where an integer is expected")
        if not least <= value <= MOST_FRAMES:
            raise refuse(f"{key}: {value} frames; it is {least} to {MOST_FRAMES}")

    def entry(table: Mapping[str, Any], key: str, kind: type[T], default: T | None) -> T | None:
        value = table.get(key, default)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            wanted = _KINDS[kind]
            raise refuse(f"{key} = {value!r} where {wanted} is expected")
        return value

    only(found, _KEYS)
    version = entry(found, "version", int, _SCHEMA)
    if version != _SCHEMA:
        raise refuse(f"version = {version}; this program reads version {_SCHEMA}")
    approx = cast("str", entry(found, "approx", str, "close"))
    if not is_tolerance(approx) or approx == "bound":
        raise refuse(f"approx = {approx!r}; use exact, close or ulp:N")
    stream = cast("dict[str, Any]", entry(found, "stream", dict, None) or {})
    pulses = cast("list[object]", entry(stream, "pulses", list, None) or [])
    for pulse in pulses:
        require_count("pulses", pulse, 1)
    only(stream, _STREAM_KEYS)
    length = entry(stream, "length", int, None)
    if length is not None:
        require_count("length", length, 0)
    return _Settings(
        entry(stream, "symbol", str, None),
        length,
        tuple(cast("list[int]", pulses)),
        approx,
    )


def _read_inputs(path: Path, model: Model) -> dict[str, Tensor]:
    """Return the model's inputs from an `.npz` file; other arrays in it are expected outputs."""
    arrays = read_npz(path)
    missing = [name for name in model.input_names if name not in arrays]
    if missing:
        raise EvalError(f"{path} has no array for the input {missing[0]!r}")
    return {name: arrays[name] for name in model.input_names}
