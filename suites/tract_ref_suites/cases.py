"""Case folders: where they are, what `case.toml` may say, and how one is saved."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tract_ref.approx import Array, is_tolerance
from tract_ref.errors import Refused
from tract_ref.ir.model import Model
from tract_ref.nnef.writer import model_files

SCHEMA = 1
_ROOTS = ("nnef-test-cases", "sdpa-pulse")
PASSES = ("load", "declutter", "pulse")
KINDS = (
    "batch",
    "stream",
    "delay",
    "op_count",
    "fact",
    "golden",
    "refuses",
    "invalid",
    "round_trip",
)
# Kinds that speak of values, so that any engine can be asked.
OF_EVERY_ENGINE = frozenset({"batch", "stream", "delay", "golden"})


class CaseError(Exception):
    """A case folder that does not follow the schema; names the file and the key."""


@dataclass(frozen=True)
class Stream:
    """How the case streams: symbol, length in source frames, pulses or chunks, axes, end."""

    symbol: str
    length: int
    pulses: tuple[int, ...] = ()
    chunks: tuple[int, ...] = ()
    axes: Mapping[str, int] = field(default_factory=dict)
    end: Literal["known", "late"] = "late"


@dataclass(frozen=True)
class Origin:
    """Where a found case comes from: check, engine, versions."""

    check: str
    engine: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Assertion:
    """One thing that must hold.

    Attributes:
        kind: one of KINDS.
        value: what the key says.
        stage: the pass after which it holds (`pass` in the file): load, declutter or pulse.
        number: position in the file, from 0.
    """

    kind: str
    value: Any
    stage: str
    number: int

    @property
    def id(self) -> str:
        """Name in test ids."""
        return f"{self.number}_{self.kind}"


@dataclass(frozen=True)
class CaseFolder:
    """One case."""

    folder: Path
    about: str
    approx: str
    asserts: tuple[Assertion, ...]
    stream: Stream | None = None
    origin: Origin | None = None

    @property
    def slug(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def arrays(self, file: str = "io.npz") -> dict[str, Array]:
        """Return the inputs and outputs by name."""
        with np.load(self.folder / file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def case_roots() -> list[Path]:
    """Return the folders of case folders, in the tree or inside the installed package.

    Raises:
        CaseError: there is none.
    """
    here = Path(__file__).resolve().parent
    places = (here.parents[1], here / "_cases")
    found = [place / name for place in places for name in _ROOTS if (place / name).is_dir()]
    if not found:
        raise CaseError(f"no case folders at {[str(place) for place in places]}")
    return found


def case_folders() -> list[Path]:
    """Return every case folder, in sorted order.

    Raises:
        CaseError: there is none, or two have one name.
    """
    found = sorted(
        (path.parent for root in case_roots() for path in root.glob("*/case.toml")),
        key=lambda folder: folder.name,
    )
    names = [folder.name for folder in found]
    if not found or len(set(names)) < len(names):
        raise CaseError(f"{len(found)} case folders, {len(set(names))} names, in {case_roots()}")
    return found


def load_case(folder: Path) -> CaseFolder:
    """Read and validate `case.toml`.

    Raises:
        CaseError: it is absent or does not follow schema version 1.
    """
    path = folder / "case.toml"
    try:
        data = tomllib.loads(path.read_text())
    except (FileNotFoundError, tomllib.TOMLDecodeError) as error:
        raise CaseError(f"{path}: {error}") from error
    _only(data, {"version", "about", "approx", "stream", "origin", "assert"}, path)
    if data.get("version") != SCHEMA:
        raise CaseError(f"{path}: version {data.get('version')!r}; this suite reads {SCHEMA}")
    about, approx = str(data.get("about", "")), str(data.get("approx", "close"))
    if not about.strip() or not is_tolerance(approx):
        raise CaseError(f"{path}: about {about!r}, approx {approx!r}; both must say something")
    entries = data.get("assert", [])
    if not entries:
        raise CaseError(f"{path}: no [[assert]]: it states nothing")
    asserts = tuple(_assertion(entry, number, path) for number, entry in enumerate(entries))
    stream = _stream(data["stream"], path) if "stream" in data else None
    if stream is None and any(a.kind in ("stream", "delay") for a in asserts):
        raise CaseError(f"{path}: an assertion about the stream, and no [stream]")
    origin = None
    if "origin" in data:
        _only(data["origin"], {"check", "engine", "versions"}, path)
        origin = Origin(**data["origin"])
    return CaseFolder(folder, about, approx, asserts, stream, origin)


def _only(table: Mapping[str, Any], keys: set[str], path: Path) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise CaseError(f"{path}: unknown keys {unknown}; known are {sorted(keys)}")


def _assertion(entry: Mapping[str, Any], number: int, path: Path) -> Assertion:
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise CaseError(f"{path}: assertion {number} has {kinds}; it needs exactly one of {KINDS}")
    _only(entry, {kinds[0], "pass"}, path)
    value = entry[kinds[0]]
    inner = value.get("pass") if isinstance(value, dict) else None
    stage = str(entry.get("pass") or inner or "load")
    if stage not in PASSES:
        raise CaseError(f"{path}: assertion {number}: pass {stage!r}; passes are {PASSES}")
    shapes: dict[str, tuple[type, set[str]]] = {
        "batch": (str, set()),
        "stream": (str, set()),
        "delay": (list, set()),
        "op_count": (dict, set()),
        "fact": (dict, {"wire", "is"}),
        "golden": (dict, {"output", "index", "value", "decimals"}),
        "refuses": (dict, {"class", "starts"}),
        "invalid": (dict, {"class", "starts"}),
        "round_trip": (bool, set()),
    }
    kind, needed = shapes[kinds[0]]
    if not isinstance(value, kind) or (needed and not needed <= set(value)):
        raise CaseError(f"{path}: assertion {number}: {kinds[0]} needs {kind.__name__} {needed}")
    return Assertion(kinds[0], value, stage, number)


def _stream(table: Mapping[str, Any], path: Path) -> Stream:
    _only(table, {"symbol", "length", "pulses", "chunks", "axes", "end"}, path)
    try:
        stream = Stream(
            str(table["symbol"]),
            int(table["length"]),
            tuple(int(pulse) for pulse in table.get("pulses", ())),
            tuple(int(chunk) for chunk in table.get("chunks", ())),
            {str(name): int(axis) for name, axis in table.get("axes", {}).items()},
            table.get("end", "late"),
        )
    except (KeyError, ValueError) as error:
        raise CaseError(f"{path}: [stream]: {error}") from error
    if stream.end not in ("known", "late") or not stream.pulses:
        raise CaseError(f"{path}: [stream] needs pulses, and end known or late")
    if stream.chunks and sum(stream.chunks) != stream.length:
        raise CaseError(f"{path}: chunks add up to {sum(stream.chunks)}, length {stream.length}")
    return stream


def save_case(
    folder: Path,
    model: Model,
    values: Mapping[str, Array],
    *,
    about: str,
    approx: str,
    stream: Stream | None = None,
    origin: Origin | None = None,
) -> str:
    """Write a case folder: model, io.npz and case.toml.

    Args:
        folder: written into; made when absent.
        model: batch model.
        values: inputs and expected outputs, by name.
        about: one sentence.
        approx: named tolerance.
        stream: how it streams, when it does.
        origin: of a found case.

    Returns:
        Empty, or why the model has no file form: the folder then has no graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    without = ""
    try:
        for name, content in model_files(model).items():
            (folder / name).write_bytes(content)
    except Refused as refusal:
        without = str(refusal)
    np.savez(folder / "io.npz", **values)  # pyright: ignore[reportArgumentType]
    lines = [f"version = {SCHEMA}", f"about = {_quoted(about)}", f"approx = {_quoted(approx)}"]
    if stream is not None:
        lines += ["", "[stream]", f"symbol = {_quoted(stream.symbol)}", f"length = {stream.length}"]
        lines += [f"pulses = {list(stream.pulses)}", f"end = {_quoted(stream.end)}"]
        if stream.axes:
            axes = ", ".join(f"{_quoted(k)} = {v}" for k, v in stream.axes.items())
            lines.append(f"axes = {{ {axes} }}")
    if origin is not None:
        versions = ", ".join(f"{_quoted(k)} = {_quoted(v)}" for k, v in origin.versions.items())
        lines += ["", "[origin]", f"check = {_quoted(origin.check)}"]
        lines += [f"engine = {_quoted(origin.engine)}", f"versions = {{ {versions} }}"]
    for kind in ("batch", "stream") if stream is not None else ("batch",):
        lines += ["", "[[assert]]", f'{kind} = "io.npz"']
    (folder / "case.toml").write_text("\n".join([*lines, ""]))
    return without


def _quoted(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{inner}"'
