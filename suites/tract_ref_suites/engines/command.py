"""The engine `command:PROGRAM`: any program that reads a case folder and writes an `.npz`.

Called as `PROGRAM CASE_DIR OUT.npz`. CASE_DIR holds a copy of the model, `io.npz` with the inputs
by name and `case.toml` with one assertion, `batch` or `stream`. OUT.npz has the keys `output_0`,
`output_1`, ... and, for a stream, `delay` (one number or one per output) and optionally `axes`.
Exit 0 means values, 2 means refused with the reason on the first line of standard error, anything
else is a crash.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tract_ref_suites.engines.protocol import (
    NUMERIC,
    Abilities,
    Array,
    Case,
    Chunking,
    Crashed,
    Outcome,
    Refused,
    TimedOut,
    Values,
)
from tract_ref_suites.engines.workers import single_threaded, tail_of

_STAGES = ("read", "declutter", "pulsify", "plan", "run")
_REFUSED = 2
_NOT_THE_MODEL = frozenset({"case.toml", "io.npz"})


class CommandEngine:
    """Runs each case with a program of the user.

    Args:
        command: the program, possibly with arguments, split as a shell would.
        timeout: limit per case, in seconds.

    Raises:
        FileNotFoundError: there is no such program.
    """

    version = "unknown"

    def __init__(self, command: str, *, timeout: float = 30.0) -> None:
        self.name = f"command:{command}"
        self._argv = shlex.split(command)
        self._timeout = timeout
        if not self._argv or shutil.which(self._argv[0]) is None:
            raise FileNotFoundError(
                f'engine "{self.name}": no such program; name one on PATH or give its path'
            )

    def can(self) -> Abilities:
        return Abilities(frozenset({"nnef", "onnx"}), NUMERIC, batch=True, stream=True)

    def run(self, case: Case) -> Outcome:
        return self._call(case, None)

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        return self._call(case, chunks)

    def _call(self, case: Case, chunks: Chunking | None) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
            folder, out = Path(scratch) / "case", Path(scratch) / "out.npz"
            stage_case(case, chunks, folder)
            answer = self._execute([*self._argv, str(folder), str(out)])
            return answer if answer is not None else _read(out, is_stream=chunks is not None)

    def _execute(self, argv: list[str]) -> Outcome | None:
        """Run the program; None when it says that there are values."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=single_threaded(),
            start_new_session=True,
        )
        try:
            _, stderr = process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            return TimedOut(self._timeout)
        finally:
            if process.poll() is None:
                # The program may be a script: its own children must go with it.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        text = stderr.decode(errors="replace")
        if process.returncode == _REFUSED:
            return _refusal(text)
        return Crashed(process.returncode, tail_of(text)) if process.returncode else None


def stage_case(case: Case, chunks: Chunking | None, folder: Path) -> None:
    """Write the folder that the program gets: the model, `io.npz` and `case.toml`."""
    folder.mkdir()
    files = [case.path] if case.format == "onnx" else sorted(case.folder.rglob("*"))
    # Weights of a large ONNX model lie beside it under any name.
    files += [path for path in case.folder.iterdir() if case.format == "onnx"]
    for file in files:
        target = folder / file.relative_to(case.folder)
        if file.is_file() and file.name not in _NOT_THE_MODEL and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    write_npz(folder / "io.npz", case.inputs)
    (folder / "case.toml").write_text(_case_toml(case, chunks), encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays under any name; `numpy.savez` takes some names for its own arguments."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _case_toml(case: Case, chunks: Chunking | None) -> str:
    lines = ["version = 1", 'about = "one call of a command engine"']
    if chunks is not None:
        axes = ", ".join(f"{_quoted(name)} = {axis}" for name, axis in case.axes.items())
        cut = (
            f"pulses = [{chunks.pulse}]" if chunks.is_regular else f"chunks = {list(chunks.sizes)}"
        )
        lines += [
            "[stream]",
            f"symbol = {_quoted(case.symbol or 'S')}",
            f"length = {sum(chunks.sizes) if case.length is None else case.length}",
            cut,
            f"axes = {{ {axes} }}",
            f"end = {_quoted(chunks.end)}",
        ]
    lines += ["[[assert]]", f'{"batch" if chunks is None else "stream"} = "io.npz"']
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refusal(stderr: str) -> Refused:
    first = (stderr.strip().splitlines() or ["no reason given"])[0]
    stage, colon, reason = first.partition(":")
    words = stage.split()
    if colon and words and words[0] in _STAGES:
        return Refused(words[0], reason.strip())
    return Refused("run", first)


def _read(out: Path, *, is_stream: bool) -> Outcome:
    """Read what the program wrote; a file that breaks the contract counts as a crash."""
    try:
        with np.load(out, allow_pickle=False) as archive:
            outputs: list[Array] = []
            while (key := f"output_{len(outputs)}") in archive:
                outputs.append(archive[key])
            delay, axes = (
                _per_output(archive[key], len(outputs)) if key in archive else None
                for key in ("delay", "axes")
            )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return Crashed(0, f"exit 0, but OUT.npz cannot be read: {error}")
    if not outputs:
        return Crashed(0, "exit 0, but OUT.npz has no output_0")
    if is_stream and delay is None:
        return Crashed(0, "exit 0, but OUT.npz has no delay")
    return Values(tuple(outputs), delay, axes) if is_stream else Values(tuple(outputs))


def _per_output(array: Array, count: int) -> tuple[int, ...]:
    return tuple(int(value) for value in np.broadcast_to(array, (count,)))
