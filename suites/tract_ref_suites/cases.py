"""Case folders: where they are, what `case.toml` may say, and how one is saved."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from tract_ref import errors
from tract_ref.approx import Array, is_tolerance
from tract_ref.cli.target import MOST_FRAMES
from tract_ref.errors import Refused, TractRefError
from tract_ref.ir.model import Model
from tract_ref.nnef.writer import model_files
from tract_ref.runtime.inputs import read_npz

T = TypeVar("T")
SCHEMA = 1
NNEF_FILE = "graph.nnef"
ONNX_FILE = "model.onnx"
FORMATS = {NNEF_FILE: "nnef", ONNX_FILE: "onnx"}
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
        may_refuse: of a `stream`: an engine that refuses is not wrong.
    """

    kind: str
    value: Any
    stage: str
    number: int
    may_refuse: bool = False

    @property
    def id(self) -> str:
        """Name in test ids."""
        return f"{self.number}_{self.kind}"


class _Arrays(dict[str, Array]):
    """Arrays by name; an absent one is an error of the file."""

    def __init__(self, path: Path, arrays: Mapping[str, Array]) -> None:
        super().__init__(arrays)
        self._path = path

    def __missing__(self, name: str) -> Array:
        raise CaseError(f"{self._path}: no array {name!r}; it has {sorted(self)}")


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

    @property
    def model_file(self) -> str:
        """File of the model: NNEF, or ONNX where the model has no NNEF form."""
        is_onnx = not (self.folder / NNEF_FILE).exists() and (self.folder / ONNX_FILE).exists()
        return ONNX_FILE if is_onnx else NNEF_FILE

    @property
    def model_path(self) -> Path:
        """What is loaded: the folder of an NNEF model, or the ONNX file."""
        return self.folder if self.model_file == NNEF_FILE else self.folder / ONNX_FILE

    def arrays(self, file: str = "io.npz") -> dict[str, Array]:
        """Return the inputs and outputs by name.

        Raises:
            CaseError: the file lies outside of the folder; or, later, an array is asked for that
                the file does not have.
            MalformedFile: it cannot be read.
        """
        path = self.folder / file
        if not _is_inside(file):
            raise CaseError(f"{path}: not a file of the case folder")
        return _Arrays(path, read_npz(path))


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
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise CaseError(f"{path}: {error}") from error
    _only(data, {"version", "about", "approx", "stream", "origin", "assert"}, path)
    if not _is_integer(data.get("version")) or data["version"] != SCHEMA:
        raise CaseError(f"{path}: version {data.get('version')!r}; this suite reads {SCHEMA}")
    about = _typed(data.get("about", ""), str, "about", path)
    approx = _typed(data.get("approx", "close"), str, "approx", path)
    # `bound` is a tolerance of problems, which know what they bound; a case has no bound.
    if not about.strip() or not is_tolerance(approx) or approx == "bound":
        raise CaseError(f"{path}: about {about!r}, approx {approx!r}; both must say something")
    entries = _typed(data.get("assert", []), list, "assert", path)
    if not entries:
        raise CaseError(f"{path}: no [[assert]]: it states nothing")
    asserts = tuple(_assertion(entry, number, path) for number, entry in enumerate(entries))
    table = _typed(data.get("stream", {}), dict, "stream", path)
    stream = _stream(table, path) if "stream" in data else None
    if stream is None and any(a.kind in ("stream", "delay") for a in asserts):
        raise CaseError(f"{path}: an assertion about the stream, and no [stream]")
    origin = None
    if "origin" in data:
        origin = _origin(_typed(data["origin"], dict, "origin", path), path)
    return CaseFolder(folder, about, approx, asserts, stream, origin)


def _only(table: Mapping[str, Any], keys: set[str], path: Path) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise CaseError(f"{path}: unknown keys {unknown}; known are {sorted(keys)}")


def _typed(value: object, kind: type[T], key: str, path: Path) -> T:
    """Return a value of the kind that its key wants; a bool is no integer."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise CaseError(f"{path}: {key} = {value!r} where {kind.__name__} is expected")
    return value


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: object, key: str, path: Path, *, least: int = 0) -> int:
    number = _typed(value, int, key, path)
    if not least <= number <= MOST_FRAMES:
        raise CaseError(f"{path}: {key} = {number} is not in {least}..{MOST_FRAMES}")
    return number


def _counts(value: object, key: str, path: Path, *, least: int = 0) -> tuple[int, ...]:
    return tuple(_count(n, key, path, least=least) for n in _typed(value, list, key, path))


def _is_inside(file: str) -> bool:
    return file not in ("", ".", "..") and not set(file) & set("/\\\0")


def _origin(table: Mapping[str, Any], path: Path) -> Origin:
    _only(table, {"check", "engine", "versions"}, path)
    versions = _typed(table.get("versions", {}), dict, "versions", path)
    return Origin(
        _typed(table.get("check"), str, "[origin] check", path),
        _typed(table.get("engine"), str, "[origin] engine", path),
        {name: _typed(text, str, f"versions: {name}", path) for name, text in versions.items()},
    )


def _assertion(entry: object, number: int, path: Path) -> Assertion:
    entry = _typed(entry, dict, f"assertion {number}", path)
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise CaseError(f"{path}: assertion {number} has {kinds}; it needs exactly one of {KINDS}")
    own = {"may_refuse"} if kinds[0] == "stream" else set[str]()
    _only(entry, {kinds[0], "pass", *own}, path)
    value = entry[kinds[0]]
    may_refuse = _typed(entry.get("may_refuse", False), bool, f"assertion {number}", path)
    inner = value.get("pass") if isinstance(value, dict) else None
    stage = entry.get("pass") or inner or "load"
    if not isinstance(stage, str) or stage not in PASSES:
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
    _require_values(kinds[0], value, f"assertion {number}: {kinds[0]}", path)
    if kinds[0] in ("refuses", "invalid") and stage == "pulse":
        _typed(value.get("pulse"), int, f"assertion {number}: pulse", path)
    return Assertion(kinds[0], value, stage, number, may_refuse)


def _require_values(kind: str, value: Any, where: str, path: Path) -> None:
    """Check what is inside the value of an assertion."""
    if kind in ("batch", "stream") and not _is_inside(value):
        raise CaseError(f"{path}: {where} = {value!r} is not a file of the case folder")
    if kind in ("delay", "op_count"):
        _counts(list(value.values()) if kind == "op_count" else value, where, path)
    if kind == "fact":
        for key in ("wire", "is"):
            _typed(value[key], str, f"{where}: {key}", path)
    if kind == "golden":
        _typed(value["output"], str, f"{where}: output", path)
        _counts(value["index"], f"{where}: index", path)
        _count(value["decimals"], f"{where}: decimals", path)
        if not _is_integer(value["value"]):
            _typed(value["value"], float, f"{where}: value", path)
    if kind in ("refuses", "invalid"):
        _typed(value["starts"], str, f"{where}: starts", path)
        name = _typed(value["class"], str, f"{where}: class", path)
        found = getattr(errors, name, None)
        if not (isinstance(found, type) and issubclass(found, TractRefError)):
            raise CaseError(f"{path}: {where}: class {name!r} is not one of tract_ref.errors")


def _stream(table: Mapping[str, Any], path: Path) -> Stream:
    _only(table, {"symbol", "length", "pulses", "chunks", "axes", "end"}, path)
    try:
        stream = Stream(
            _typed(table["symbol"], str, "symbol", path),
            _count(table["length"], "length", path),
            _counts(table.get("pulses", []), "pulses", path, least=1),
            _counts(table.get("chunks", []), "chunks", path),
            {
                name: _count(axis, f"axes: {name}", path)
                for name, axis in _typed(table.get("axes", {}), dict, "axes", path).items()
            },
            table.get("end", "late"),
        )
    except KeyError as error:
        raise CaseError(f"{path}: [stream] has no {error}") from error
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
    onnx: bytes | None = None,
    may_refuse: bool = False,
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
        onnx: the model as an ONNX file, written when it has no NNEF form.
        may_refuse: an engine that refuses to stream it is not wrong.

    Returns:
        Empty, or why the model has no NNEF form: without ONNX the folder then has no model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    without = ""
    try:
        for name, content in model_files(model).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    except Refused as refusal:
        without = str(refusal)
        if onnx is not None:
            (folder / ONNX_FILE).write_bytes(onnx)
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
        lines += ["may_refuse = true"] * (may_refuse and kind == "stream")
    (folder / "case.toml").write_text("\n".join([*lines, ""]))
    return without


def _quoted(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{inner}"'
