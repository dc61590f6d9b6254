"""Arrays and symbol values that come from outside: read with an error that says what is wrong."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tract_ref.dim import Scope
from tract_ref.errors import EvalError, MalformedFile
from tract_ref.ir.fact import Tensor


def read_npz(path: Path) -> dict[str, Tensor]:
    """Return the arrays of an `.npz` file.

    Raises:
        MalformedFile: it is missing, damaged, or holds pickled objects.
    """
    if Path(path).is_file() and not zipfile.is_zipfile(path):
        raise MalformedFile("not an .npz: no zip of named arrays", file=str(path))
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise MalformedFile("no such file", file=str(path)) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise MalformedFile(f"not a readable .npz: {error}", file=str(path)) from None


def require_array(name: str, value: object) -> None:
    """Check that an input is a NumPy array: lists and scalars have no dtype to compare.

    Raises:
        EvalError: it is something else.
    """
    if not isinstance(value, np.ndarray):
        kind = type(value).__name__
        raise EvalError(f"input {name!r} is a {kind}, not an array", remedy="use numpy.asarray")


def broken_assertion(scope: Scope, bindings: Mapping[str, int]) -> EvalError:
    """Return the error for symbol values that an assertion of the model excludes."""
    values = ", ".join(f"{name}={value}" for name, value in sorted(bindings.items()))
    rules = ", ".join(str(a) for a in scope.assertions if a.holds(bindings) is False)
    return EvalError(f"{values} breaks the assertion {rules} of the model")
