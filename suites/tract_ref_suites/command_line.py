"""Runs the command line in this process, and writes small models for it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tract_ref.cli import main

_HERE = Path(__file__).parent
_TREE = _HERE.parents[1] / "nnef-test-cases"
# In the wheel the case folders lie inside the package.
CASES = _TREE if _TREE.is_dir() else _HERE / "_cases" / "nnef-test-cases"

HEAD = """version 1.0;
extension tract_registry tract_core;
extension tract_symbol S;
graph case(x) -> (y) {
"""
X = "x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');"


@dataclass(frozen=True)
class Ran:
    """What one command did.

    Attributes:
        status: exit status.
        out: standard output.
        err: standard error.
    """

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


def run(*words: object) -> Ran:
    """Run `tract-ref WORDS..` as the installed program would."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["tract-ref", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    status = end.value.code
    assert isinstance(status, int), f"exits with {status!r}, not with a status"
    return Ran(status, out.getvalue(), err.getvalue())


def nnef(folder: Path, body: str, *, head: str = HEAD, **files: bytes) -> Path:
    """Write an NNEF folder; `files` are tensors by label."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.nnef").write_text(f"{head}{body}\n}}\n")
    for label, data in files.items():
        (folder / f"{label}.dat").write_bytes(data)
    return folder


def generator() -> ModuleType:
    """Return the module that the `gen.py` of the case folders share."""
    spec = importlib.util.spec_from_file_location("_case_generator", CASES / "_gen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while the class is made.
    with mock.patch.dict(sys.modules, {spec.name: module}):
        spec.loader.exec_module(module)
    return module
