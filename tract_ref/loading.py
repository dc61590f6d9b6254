"""Load and save a model by its path: NNEF folder or archive, or ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tract_ref.dim import Dim
from tract_ref.errors import InvalidModel, MalformedFile
from tract_ref.ir.check import check_model
from tract_ref.ir.model import Model
from tract_ref.nnef.reader import read_nnef
from tract_ref.nnef.writer import write_nnef
from tract_ref.passes.set_symbols import set_symbols, symbols_of


def load(path: str | Path, *, set: Mapping[str, Dim] | None = None) -> Model:
    """Load a model.

    Args:
        path: an NNEF folder, a `.tar` or gzip tar of one, or an `.onnx` file.
        set: symbols to replace, by name.

    Returns:
        The model as written, checked, not decluttered.

    Raises:
        MalformedFile: it cannot be read.
        InvalidModel: it breaks a rule of the IR or of an op, a symbol to replace is not in it, or
            its value breaks an assertion.
        Refused: it is legal, but uses what tract_ref declines.
    """
    where = Path(path)
    if not where.exists():
        raise MalformedFile("no such file or folder", file=str(where))
    if where.suffix == ".onnx":
        # The onnx package takes as long to load as everything else together: only when needed.
        from tract_ref.onnx_io.importer import read_onnx

        model = read_onnx(where)
    else:
        model = read_nnef(where)
    if set:
        _require_known(model, set)
        model = set_symbols(model, set)
    check_model(model, stage="read", facts=False)
    return model


def _require_known(model: Model, values: Mapping[str, Dim]) -> None:
    known = sorted(symbols_of(model))
    for name in values:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InvalidModel(f"no dimension has the symbol {name!r} (symbols: {listed})")


def save(model: Model, path: str | Path) -> None:
    """Write a model as an NNEF folder, or as a `.tar` or `.tgz` by the path's suffix.

    Raises:
        Refused: a node has no NNEF form, or the folder exists and is not empty.
    """
    write_nnef(model, path)
