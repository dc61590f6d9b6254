"""Arrays and symbol values that come from outside: read with an error that says what is wrong."""

from __future__ import annotations

import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from tract_ref.dim import Dim, Scope, evaluate, sym
from tract_ref.errors import EvalError, InternalError, MalformedFile
from tract_ref.ir.fact import Fact, Tensor


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


def require_mapping(inputs: object) -> None:
    """Check that the inputs of a turn or a push are given by name.

    Raises:
        EvalError: they are something else.
    """
    if not isinstance(inputs, Mapping):
        kind = type(inputs).__name__
        raise EvalError(f"the inputs are a {kind}, not arrays by name", remedy="feed {name: array}")


def least_length(length: Dim, symbol: str, frames: int) -> int:
    """Return the smallest stream length that gives an input at least so many frames.

    Args:
        length: length of the input, which grows with the stream.
        symbol: the stream symbol.
        frames: frames of the input that have come.
    """
    if length is sym(symbol):
        return frames
    high = max(1, frames)
    while evaluate(length, {symbol: high}) < frames:
        high *= 2
    return bisect_left(range(high), frames, key=lambda s: evaluate(length, {symbol: s}))


def stream_length(inputs: Mapping[str, tuple[Dim, int]], symbol: str) -> int:
    """Return the stream length that inputs have ended at, the smallest one of several.

    Args:
        inputs: length and number of frames, by name; other symbols are set.
        symbol: the stream symbol.

    Raises:
        EvalError: an input has a number of frames that no length gives, or two inputs ended at
            different times.
    """
    found: dict[str, range] = {}
    for name, (length, frames) in inputs.items():
        first = least_length(length, symbol, frames)
        if evaluate(length, {symbol: first}) != frames:
            raise EvalError(
                f"input {name!r} ended after {frames} frames, which is not a length {length}"
            )
        found[name] = range(first, least_length(length, symbol, frames + 1))
    total = max(lengths.start for lengths in found.values())
    if any(total not in lengths for lengths in found.values()):
        ends = {name: lengths.start for name, lengths in found.items()}
        raise EvalError(f"streaming inputs ended at different times: {ends}")
    return total


def write_state(path: Path, signature: str, arrays: Mapping[str, Tensor]) -> None:
    """Write the arrays of a session, with a manifest of their names, shapes and dtypes."""
    model = np.asarray(signature)
    manifest = np.asarray(sorted(f"{key} = {_form(array)}" for key, array in arrays.items()))
    # Through a handle: given a path, NumPy would append `.npz` to it.
    with Path(path).open("wb") as file:
        np.savez(file, model=model, manifest=manifest, **arrays)  # pyright: ignore[reportArgumentType]


def read_state(path: Path, signature: str) -> dict[str, dict[str, Tensor]]:
    """Return the arrays that `write_state` wrote, by kind and name.

    Raises:
        MalformedFile: the file cannot be read.
        EvalError: another model wrote it, or an array is missing, added, or of another shape or
            dtype than it was.
    """
    arrays = read_npz(path)
    saved = str(arrays.pop("model", ""))
    if saved != signature:
        raise EvalError(
            f"saved state: {path} holds the state of {saved or 'no session'}; this is {signature}",
            remedy="load it into a session of the model that saved it",
        )
    wanted: dict[str, str] = {}
    for line in arrays.pop("manifest", np.empty(0, np.str_)).ravel():
        key, _, form = str(line).rpartition(" = ")
        wanted[key] = form
    for key, form in {"counters": "[4] int64", **wanted}.items():
        if key not in arrays:
            raise EvalError(f"saved state lacks {key!r}, {form}")
    kinds: dict[str, dict[str, Tensor]] = {}
    for key, array in arrays.items():
        if key not in wanted:
            raise EvalError(f"saved state has {key!r}, which the session that saved it had not")
        if _form(array) != wanted[key]:
            raise EvalError(f"saved state has {key!r} as {_form(array)}; it was {wanted[key]}")
        kind, _, name = key.partition("/")
        kinds.setdefault(kind, {})[name] = array
    return kinds


def require_same_form(key: str, array: Tensor, model: Tensor) -> None:
    """Check an array of a saved state against that of a fresh session.

    Raises:
        EvalError: the shape or the dtype is another.
    """
    if _form(array) != _form(model):
        raise EvalError(f"saved state has {key!r} as {_form(array)}; the model has {_form(model)}")


def require_form(key: str, array: Tensor, fact: Fact, axis: int, sizes: Mapping[str, int]) -> None:
    """Check an array of a saved state against a fact, with any size on `axis` unless that is -1.

    Raises:
        EvalError: the shape or the dtype is another.
    """
    wanted = list(fact.concrete_shape(sizes))
    if axis >= 0 and array.ndim == len(wanted):
        wanted[axis] = array.shape[axis]
    if list(array.shape) != wanted or array.dtype != fact.dtype:
        raise EvalError(f"saved state has {key!r} as {_form(array)}; the model has {fact}")


def _form(array: Tensor) -> str:
    return f"{list(array.shape)} {array.dtype}"


def require_possible(scope: Scope, known: Mapping[str, int], names: Collection[str]) -> None:
    """Check symbol values that a session starts with.

    Args:
        scope: what the model asserts.
        known: the values.
        names: symbols that the model speaks of.

    Raises:
        EvalError: the model has no such symbol; a length is negative; an assertion is broken.
    """
    for name, value in known.items():
        if name not in names:
            listed = ", ".join(sorted(names)) or "none"
            raise EvalError(f"no dimension has the symbol {name!r} (symbols: {listed})")
        if value < 0 and scope.smallest(name) >= 0:
            raise EvalError(f"{name}={value}; a length is 0 or more")
    if scope.holds(known) is False:
        raise broken_assertion(scope, known)


def broken_assertion(scope: Scope, bindings: Mapping[str, int]) -> EvalError:
    """Return the error for symbol values that assertions or all scenarios of a model exclude."""
    values = ", ".join(f"{name}={value}" for name, value in sorted(bindings.items()))
    rules = ", ".join(str(a) for a in scope.assertions if a.holds(bindings) is False)
    if rules:
        return EvalError(f"{values} breaks the assertion {rules} of the model")
    try:
        scope.scenario(bindings)
    except EvalError as error:
        return error
    raise InternalError(f"{values} breaks nothing that the model asserts")
