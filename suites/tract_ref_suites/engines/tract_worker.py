"""Worker process of the engine `tract`: the only module that loads its native library.

How the end of the stream is told. The package has no call to set a symbol, so the model gets one
more input that nothing reads, of shape `[2*S, 2*S, 0]`. Two dims that name S keep it from being a
stream; the zero keeps it free of memory. At run time a tensor of shape `[2*n, 2*n, 0]` binds S to
n for that turn; the odd shape `[1, 1, 0]` has no solution for S, which then stays unbound for that
turn, and the package accepts it.
"""

from __future__ import annotations

import importlib
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tract_ref_suites.engines import workers
from tract_ref_suites.engines.protocol import Array, Chunking, filler

# Loaded by name: the package is an optional extra, and this file must type-check without it.
tract: Any = importlib.import_module("tract")

END = "tract_ref_end_of_stream"
_CHUNK = "tract_ref_pulses"
_UNBOUND = (1, 1, 0)
_GRAPH_FILE = "graph.nnef"
_ARCHIVES = (".tar", ".tgz", ".tar.gz")
_GRAPH = re.compile(r"^(\s*graph\s+[^(\s]+\s*\()([^)]*)(\)\s*->\s*\([^)]*\)\s*\{)", re.MULTILINE)
_VERSION = re.compile(r"^\s*version\s+[\d.]+\s*;", re.MULTILINE)
_CORE = re.compile(r"^\s*extension\s+tract_registry\s+tract_core\s*;", re.MULTILINE)


class _DeclinedError(Exception):
    """The engine declines the case at a stage."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)
        self.stage = stage
        self.reason = reason


@contextmanager
def _stage(name: str) -> Iterator[None]:
    # The engine's border: the package raises TractError, and TypeError or ctypes errors for what
    # its Python layer does not know.
    try:
        yield
    except _DeclinedError:
        raise
    except Exception as error:
        reason = one_line(str(error)) or type(error).__name__
        # Loading runs the declutter passes too.
        during_declutter = name == "read" and "declutter" in reason.lower()
        raise _DeclinedError("declutter" if during_declutter else name, reason) from error


def one_line(text: str) -> str:
    """Join an error and its chain of causes on one line, without the back-trace."""
    text = text.split("Stack backtrace:")[0]
    lines = [re.sub(r"^\s*(\d+:\s)?\s*", "", line).rstrip() for line in text.splitlines()]
    return ": ".join(line for line in lines if line and line != "Caused by:")


def handle(request: workers.Meta, arrays: list[Array]) -> tuple[workers.Meta, list[Array]]:
    """Answer one request: `call` is `run`, `stream` or `dims`."""
    try:
        if request["call"] == "dims":
            return _dims(request), []
        inputs = dict(zip(request["names"], arrays, strict=True))
        if request["call"] == "run":
            return {}, _run(Path(request["path"]), inputs)
        with workers.scratch() as folder:
            return _stream(request, inputs, Path(folder))
    except _DeclinedError as declined:
        return {"refused": [declined.stage, declined.reason]}, []


_DIMS_GRAPH = """version 1.0;
extension tract_registry tract_core;
extension tract_symbol {place};
{symbols}

graph dims(x) -> (y) {{
  x = tract_core_external(shape=[{place}], datum_type='f32');
  y = add(x, 1.0);
}}
"""
_PLACE = "tract_ref_dim"


def _dims(request: workers.Meta) -> workers.Meta:
    """Read a dim, print it, read what is printed, and evaluate both at integers."""
    # A symbol is lost with the model that it belongs to: both models stay until the answer.
    model, other = (_dims_model(request["symbols"], request["known"]) for _ in range(2))
    with _stage("read"):
        dim = _dim_of(model, request["text"])
    printed = dim.eval({}).dump()
    answer: workers.Meta = {"printed": printed, "values": _dim_values(dim, request["points"])}
    try:
        with _stage("read"):
            again = _dim_of(other, printed)
    except _DeclinedError as declined:
        return answer | {"unread": declined.reason}
    return answer | {"again": _dim_values(again, request["points"])}


def _dims_model(symbols: Sequence[str], known: Sequence[str]) -> Any:
    lines = [f"extension tract_symbol {name};" for name in symbols]
    lines += [f"extension tract_assert {assertion};" for assertion in known]
    with workers.scratch() as folder:
        text = _DIMS_GRAPH.format(place=_PLACE, symbols="\n".join(lines))
        (Path(folder) / "graph.nnef").write_text(text, encoding="utf-8")
        return _load(Path(folder) / "graph.nnef")


def _dim_of(model: Any, text: str) -> Any:
    # The text of a fact is split at commas; a symbol takes any text, on a model of its own.
    if "," not in text:
        return model.parse_fact(f"{text},f32").dim(0)
    model.transform(tract.SetSymbols({_PLACE: text}))
    return model.input_fact(0).dim(0)


def _dim_values(dim: Any, points: Sequence[Mapping[str, int]]) -> list[int | None]:
    """Evaluate a dim; None where what is left is no integer."""
    values: list[int | None] = []
    for point in points:
        try:
            values.append(int(dim.eval(dict(point))))
        except tract.TractError:
            values.append(None)
    return values


def _load(path: Path) -> Any:
    with _stage("read"):
        if path.suffix == ".onnx":
            return tract.onnx().load(path).into_model()
        return _nnef().load(path if path.name.endswith(_ARCHIVES) else path.parent)


@cache
def _nnef() -> Any:
    # Building the context takes ten times as long as loading a small model with it.
    return tract.nnef().with_pulse().with_tract_extra().with_tract_transformers().with_onnx()


def _run(path: Path, inputs: Mapping[str, Array]) -> list[Array]:
    model = _load(path)
    ordered = [array for _, array in _in_order(_input_names(model), inputs)]
    with _stage("plan"):
        runnable = model.into_runnable()
    with _stage("run"):
        return [_to_numpy(tensor) for tensor in runnable.run(ordered)]


def _to_numpy(tensor: Any) -> Array:
    try:
        return tensor.to_numpy()
    except tract.TractError:
        # Symbolic dims have no numpy type; a value that names no symbol converts.
        return tensor.convert_to(tract.DatumType.I64).to_numpy()


def _input_names(model: Any) -> list[str]:
    return [model.input_name(slot) for slot in range(model.input_count())]


def _in_order(names: Sequence[str], inputs: Mapping[str, Array]) -> list[tuple[str, Array]]:
    """Return the case's inputs, with the names the case gives them, in the model's order."""
    if len(names) != len(inputs):
        raise _DeclinedError("run", f"the model has inputs {names}, the case gives {list(inputs)}")
    if set(names) == set(inputs):
        return [(name, inputs[name]) for name in names]
    return list(inputs.items())


def with_end_input(path: Path, symbol: str, scratch: Path) -> Path:
    """Copy the model with the extra input; a model without the symbol stays where it is."""
    if path.suffix == ".onnx":
        return _onnx_with_end_input(path, symbol, scratch)
    is_archive = path.name.endswith(_ARCHIVES)
    folder = scratch if is_archive else path.parent
    if is_archive:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    text = add_end_input((folder / _GRAPH_FILE).read_text(encoding="utf-8"), symbol)
    if text is None:
        return path
    if not is_archive:
        _link_files(str(folder), str(scratch))
    (scratch / _GRAPH_FILE).write_text(text, encoding="utf-8")
    return scratch / _GRAPH_FILE


def _link_files(folder: str, copy: str) -> None:
    """Link all files of a model but its graph; `pathlib` would take longer than the engine."""
    for place, folders, names in os.walk(folder):
        target = copy if place == folder else os.path.join(copy, os.path.relpath(place, folder))
        for name in folders:
            os.mkdir(os.path.join(target, name))
        for name in names:
            if place != folder or name != _GRAPH_FILE:
                os.symlink(os.path.join(place, name), os.path.join(target, name))


def add_end_input(text: str, symbol: str) -> str | None:
    """Return the graph with the extra input, None when it does not declare the symbol."""
    declared = re.search(rf"^\s*extension\s+tract_symbol\s+{re.escape(symbol)}\s*;", text, re.M)
    if declared is None or _GRAPH.search(text) is None:
        return None
    external = (
        f"\n  {END} = tract_core_external(shape=[2*{symbol}, 2*{symbol}, 0], datum_type='f32');"
    )
    text = _GRAPH.sub(rf"\g<1>{END}, \g<2>\g<3>{external}", text, count=1)
    if _CORE.search(text) is None:
        text = _VERSION.sub(r"\g<0>\n\nextension tract_registry tract_core;", text, count=1)
    return text


def _onnx_with_end_input(path: Path, symbol: str, scratch: Path) -> Path:
    # Loaded here: half of the models are NNEF and do not need the package.
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load(path)
    dims = [
        dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim
    ]
    if not any(re.search(rf"\b{re.escape(symbol)}\b", dim) for dim in dims):
        return path
    shape = [f"2*{symbol}", f"2*{symbol}", 0]
    extra = onnx.helper.make_tensor_value_info(END, onnx.TensorProto.FLOAT, shape)
    model.graph.input.append(extra)
    copy = scratch / "model.onnx"
    onnx.save(model, copy)
    return copy


@dataclass(frozen=True)
class _Feed:
    """One input of the pulsed model; `axis` -1 is fed whole at every turn.

    A pulse of `unit` frames is what `Pulse` was given; a turn brings one, or several of a symbolic
    pulse.
    """

    name: str
    array: Array
    axis: int
    unit: int

    @property
    def frames(self) -> int:
        return self.array.shape[self.axis]

    def is_short(self, pulses: int) -> bool:
        return self.axis >= 0 and pulses * self.unit > self.frames

    def at(self, first: int, pulses: int) -> Array:
        if self.axis < 0:
            return self.array
        start = min(first * self.unit, self.frames)
        stop = min(start + pulses * self.unit, self.frames)
        index = (slice(None),) * self.axis + (slice(start, stop),)
        piece = self.array[index]
        missing = list(piece.shape)
        missing[self.axis] = pulses * self.unit - (stop - start)
        if missing[self.axis] == 0:
            return piece
        rest = np.full(missing, filler(self.array), dtype=self.array.dtype)
        return np.concatenate([piece, rest], axis=self.axis)


@dataclass(frozen=True)
class _Sink:
    """One output of the pulsed model; `needed` and `unit` in frames of that output."""

    axis: int
    delay: int
    unit: int
    needed: int

    @property
    def pulses(self) -> int:
        return -(-self.needed // self.unit) if self.unit > 0 else 0


def _stream(
    request: workers.Meta, inputs: Mapping[str, Array], scratch: Path
) -> tuple[workers.Meta, list[Array]]:
    symbol, length = request["symbol"], request["length"]
    with _stage("read"):
        path = with_end_input(Path(request["path"]), symbol, scratch)
    model = _load(path)
    batch_dims = [fact.dims() for fact in model.output_facts()]
    chunks = Chunking(request["pulse"], tuple(request["sizes"]), request["end"])
    turns_of = _turns_of(chunks)
    with _stage("pulsify"):
        pulse = f"{chunks.pulse}*{_CHUNK}" if turns_of else chunks.pulse
        model.transform(tract.Pulse(pulse, symbol=symbol))
        feeds = _feeds(model, inputs, request)
        sinks = _sinks(model, batch_dims, request)
    # The reader orders the inputs by their statements, so the extra one is found by name.
    names = _input_names(model)
    end_slot = names.index(END) if END in names else None
    with _stage("plan"):
        state = model.into_runnable().spawn_state()
    turns: list[list[Array]] = []
    source_pulses = max(-(-feed.frames // max(feed.unit, 1)) for feed in feeds if feed.axis >= 0)
    limit = max([1, source_pulses, *(sink.pulses for sink in sinks)])
    fed = 0
    while fed < limit:
        pulses = turns_of.pop(0) if turns_of else 1
        tensors = [feed.at(fed, pulses) for feed in feeds]
        fed += pulses
        if end_slot is not None:
            is_bound = chunks.end == "known" or any(feed.is_short(fed) for feed in feeds)
            shape = (2 * length, 2 * length, 0) if is_bound else _UNBOUND
            tensors.insert(end_slot, np.zeros(shape, np.float32))
        with _stage("run"):
            turns.append([_to_numpy(tensor) for tensor in state.run(tensors)])
    return _collect(turns, sinks)


def _turns_of(chunks: Chunking) -> list[int]:
    """Return the pulses of the turns that uneven pushes make; a symbolic pulse takes several."""
    if chunks.is_regular or chunks.pulse < 1:
        return []
    sizes = [size for size in chunks.sizes if size]
    if any(size % chunks.pulse for size in sizes[:-1]):
        seen = f"pushes of {chunks.sizes} frames"
        raise _DeclinedError("run", f"{seen}; turns are whole pulses of {chunks.pulse} frames")
    return [-(-size // chunks.pulse) for size in sizes]


def _in_one_pulse(dim: Any) -> int:
    """Return the frames that one pulse brings, from a number or a multiple of the symbol."""
    return int(dim.eval({_CHUNK: 1}))


def _feeds(model: Any, inputs: Mapping[str, Array], request: workers.Meta) -> list[_Feed]:
    """Pair the inputs with the axis and the size that the pulsed model announces for them."""
    slots = {name: slot for slot, name in enumerate(_input_names(model)) if name != END}
    ordered = _in_order(list(slots), inputs)
    axes = [int(axis) for axis in model.property("pulse.input_axes").to_numpy()]
    feeds: list[_Feed] = []
    for slot, (name, array) in zip(slots.values(), ordered, strict=True):
        axis, fact = axes[slot], model.input_fact(slot)
        wanted = request["axes"].get(name, axis)
        if wanted != axis:
            raise _DeclinedError(
                "pulsify", f'input "{name}": the case streams axis {wanted}, the engine {axis}'
            )
        if axis < 0 and request["end"] == "late" and _names(fact.dims(), request["symbol"]):
            seen = f'input "{name}" is fed whole and names {request["symbol"]}'
            raise _DeclinedError("run", f"late end: {seen}, which tells the end at once")
        feeds.append(_Feed(name, array, axis, _in_one_pulse(fact.dim(axis)) if axis >= 0 else 0))
    return feeds


def _names(dims: Sequence[Any], symbol: str) -> bool:
    return any(re.search(rf"\b{re.escape(symbol)}\b", str(dim)) for dim in dims)


def _sinks(model: Any, batch_dims: list[list[Any]], request: workers.Meta) -> list[_Sink]:
    delays = model.property("pulse.delay").to_numpy()
    axes = model.property("pulse.output_axes").to_numpy()
    symbol, length, expected = request["symbol"], request["length"], request["expected"]
    sinks: list[_Sink] = []
    for slot, (delay, axis) in enumerate(zip(delays.tolist(), axes.tolist(), strict=True)):
        if axis < 0:
            sinks.append(_Sink(axis, delay, 0, 0))
            continue
        frames = expected[slot] if expected else int(batch_dims[slot][axis].eval({symbol: length}))
        unit = _in_one_pulse(model.output_fact(slot).dim(axis))
        sinks.append(_Sink(axis, delay, unit, max(frames, 0) + delay))
    return sinks


def _collect(turns: list[list[Array]], sinks: Sequence[_Sink]) -> tuple[workers.Meta, list[Array]]:
    """Concatenate each output over the turns along its own stream axis."""
    outputs: list[Array] = []
    increments: list[list[int]] = []
    for slot, sink in enumerate(sinks):
        pieces = [turn[slot] for turn in turns]
        if sink.axis < 0:
            outputs.append(pieces[-1])
            increments.append([0] * len(pieces))
        else:
            outputs.append(np.concatenate(pieces, axis=sink.axis))
            increments.append([piece.shape[sink.axis] for piece in pieces])
    meta = {
        "delay": [sink.delay for sink in sinks],
        "axes": [sink.axis for sink in sinks],
        "increments": increments,
    }
    return meta, outputs


if __name__ == "__main__":
    workers.serve(handle)
