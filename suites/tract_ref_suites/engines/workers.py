"""Persistent supervised processes for engines that can abort.

One worker process per engine and test process, started at the first case. A case that kills it or
overruns its limit costs a restart; every other case costs one message each way.

A message is a JSON frame, which also tells dtype and shape of every array, followed by one frame
per array, its bytes in C order; a frame is its length (8 bytes, little endian) and its bytes.
Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from tract_ref_suites.engines.protocol import Array, Crashed, TimedOut

Meta: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Meta, list[Array]], tuple[Meta, list[Array]]]

_LENGTH = struct.Struct("<Q")
_START_SECONDS = 60.0
_TAIL_LINES = 20
_BACKTRACE = re.compile(r"^\s*(\d+:\s+(0x|<|\w)|at [./])|^stack backtrace:|^note: run with `RUST_")
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class WorkerError(RuntimeError):
    """The worker could not start, or its own code failed: a fault of the harness, not a result."""


class _DeadError(Exception):
    """The pipe to the worker is broken."""


class _LateError(Exception):
    """The deadline has passed."""


def pack(meta: Mapping[str, Any], arrays: Sequence[Array]) -> bytes:
    """Encode one message."""
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("an array of objects has no bytes to send, and nothing is pickled")
    forms = [(array.dtype.str, array.shape) for array in arrays]
    frames = [json.dumps({**meta, "arrays": forms}).encode()]
    frames += [array.tobytes() for array in arrays]
    return b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)


def unpack(read: Callable[[int], bytes]) -> tuple[Meta, list[Array]]:
    """Decode one message; `read(n)` returns exactly n bytes or raises."""

    def frame() -> bytes:
        return read(_LENGTH.unpack(read(_LENGTH.size))[0])

    meta: Meta = json.loads(frame())
    forms = meta.pop("arrays")
    # A copy of the bytes: whoever gets an array may write into it.
    arrays = [np.ndarray(shape, dtype, buffer=bytearray(frame())) for dtype, shape in forms]
    return meta, arrays


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the files of one question, in memory where the system has such folders.

    Making and removing folders on a busy disk takes longer than most answers.
    """
    memory = "/dev/shm"
    place = memory if os.path.isdir(memory) and os.access(memory, os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="tract_ref-", dir=place)


def single_threaded() -> dict[str, str]:
    """Return the environment of a child process whose numeric libraries use one thread."""
    package_root = str(Path(__file__).resolve().parents[2])
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {
        **os.environ,
        **dict.fromkeys(_ONE_THREAD, "1"),
        "RUST_BACKTRACE": "0",
        "PYTHONPATH": os.pathsep.join([*inherited, package_root]),
    }


def tail_of(text: str) -> str:
    """Keep the last lines of a standard error, without the frames of native back-traces."""
    lines = [line for line in text.splitlines() if line.strip() and not _BACKTRACE.match(line)]
    return "\n".join(lines[-_TAIL_LINES:])


def _end(process: subprocess.Popen[bytes], log: IO[bytes], owner: int) -> None:
    # A forked copy of the test process inherits the finalizer, but the child is not its own.
    if os.getpid() != owner:
        return
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    process.kill()
    process.wait()
    log.close()


class _Running:
    """One live process with its pipes and its log of standard error."""

    def __init__(self, argv: Sequence[str]) -> None:
        # Lives as long as the process; `_end` closes it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # A session of its own: Ctrl-C at the terminal reaches the tests, not the worker.
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=single_threaded(),
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin.fileno()
        self._from = self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._mark = 0
        self.owner = os.getpid()
        self.end = weakref.finalize(self, _end, self._process, self._log, self.owner)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def death(self) -> Crashed:
        """Wait for the process to be gone and say how it died."""
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._log.seek(self._mark)
        return Crashed(code, tail_of(self._log.read().decode(errors="replace")))

    def mark_log(self) -> None:
        """Start a case: a tail speaks of what was logged from here on."""
        self._mark = os.fstat(self._log.fileno()).st_size

    def write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise _DeadError from error

    def read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size:
            self._wait(self._from, select.POLLIN, deadline)
            part = os.read(self._from, min(size, 1 << 20))
            if not part:
                raise _DeadError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(fd, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _LateError


class Worker:
    """A process that answers one message at a time, and is replaced when it dies or overruns.

    Args:
        argv: command of the process; it must call `serve`.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._running: _Running | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the live worker, None when there is none."""
        running = self._running
        return running.pid if running is not None and running.is_alive() else None

    def ask(
        self, meta: Mapping[str, Any], arrays: Sequence[Array] = (), *, timeout: float
    ) -> tuple[Meta, list[Array]] | Crashed | TimedOut:
        """Send one request and wait for its answer.

        Args:
            meta: JSON part of the request.
            arrays: arrays of the request.
            timeout: limit in seconds, the start of a new process not counted.

        Returns:
            The answer, or how the process was lost.

        Raises:
            WorkerError: the process did not start, or its handler raised.
        """
        with self._lock:
            running = self._started()
            running.mark_log()
            deadline = time.monotonic() + timeout
            try:
                running.write(pack(meta, arrays), deadline)
                answer, values = unpack(lambda size: running.read(size, deadline))
            except _DeadError:
                crashed = running.death()
                self._drop()
                return crashed
            except _LateError:
                self._drop()
                return TimedOut(timeout)
            except BaseException:
                # An interrupted exchange leaves half a message in the pipes.
                self._drop()
                raise
        if "fault" in answer:
            raise WorkerError(answer["fault"])
        return answer, values

    def close(self) -> None:
        """End the process; the next `ask` starts a new one."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _started(self) -> _Running:
        running = self._running
        if running is not None and running.owner == os.getpid() and running.is_alive():
            return running
        self._drop()
        running = self._running = _Running(self._argv)
        deadline = time.monotonic() + _START_SECONDS
        try:
            hello, _ = unpack(lambda size: running.read(size, deadline))
        except (_DeadError, _LateError) as error:
            if isinstance(error, _LateError):
                seen = f"worker {self._argv} not ready after {_START_SECONDS:g} s"
            else:
                death = running.death()
                seen = f"worker {self._argv} ended with status {death.code}: {death.tail}"
            self._drop()
            raise WorkerError(seen) from error
        assert hello == {"ready": True}, hello
        return running


_shared: dict[tuple[int, str], Worker] = {}


def shared(module: str) -> Worker:
    """Return the one worker of this test process that runs `module`."""
    key = (os.getpid(), module)
    if key not in _shared:
        _shared[key] = Worker((sys.executable, "-m", module))
    return _shared[key]


def serve(handle: Handler) -> None:
    """Answer requests until the pipe closes; the main function of a worker process.

    Args:
        handle: function from a request to its answer. An exception that leaves it is sent back as a
            fault; it does not end the process.
    """
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # Native code that prints must not write into the middle of a message.
    os.dup2(2, 1)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()

    def read(size: int) -> bytes:
        data = source.read(size)
        if len(data) < size:
            raise EOFError
        return data

    sink.write(pack({"ready": True}, []))
    sink.flush()
    while True:
        try:
            meta, arrays = unpack(read)
        except EOFError:
            return
        try:
            answer, values = handle(meta, arrays)
            reply = pack(answer, values)
        except Exception:
            reply = pack({"fault": traceback.format_exc()}, [])
        sink.write(reply)
        sink.flush()


def _leave_with_parent(parent: int) -> None:
    # A worker stuck inside a native call never sees its pipe close when the tests are killed.
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
