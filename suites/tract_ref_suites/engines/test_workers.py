"""Tests of the supervised processes, with a worker that misbehaves on request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tract_ref_suites.engines import workers
from tract_ref_suites.engines.protocol import Array, Crashed, TimedOut
from tract_ref_suites.engines.workers import Worker, WorkerError

PROGRAM = """
import os, sys, time
from tract_ref_suites.engines import workers

def handle(meta, arrays):
    match meta["do"]:
        case "echo":
            return {"pid": os.getpid()}, arrays
        case "env":
            return dict(os.environ), []
        case "print":
            print("noise", flush=True)
            os.write(1, b"more noise")
            return {}, arrays
        case "complain":
            print("harmless words", file=sys.stderr, flush=True)
            return {}, []
        case "raise":
            raise KeyError("no such thing")
        case "exit":
            print("leaving now", file=sys.stderr, flush=True)
            os._exit(meta["code"])
        case "abort":
            os.abort()
        case "sleep":
            time.sleep(600)
    raise AssertionError(meta)

workers.serve(handle)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        # A zombie still answers the signal 0; where there is /proc, its state tells.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists()


def wait_gone(pid: int, seconds: float = 20.0) -> bool:
    """Wait until no process `pid` runs; False when it outlives the limit."""
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def worker(program: Path) -> Iterator[Worker]:
    worker = Worker((sys.executable, str(program)))
    yield worker
    worker.close()


def echo(worker: Worker, *arrays: Array) -> tuple[int, list[Array]]:
    answer = worker.ask({"do": "echo"}, arrays, timeout=30)
    assert isinstance(answer, tuple), answer
    return answer[0]["pid"], answer[1]


def test_arrays_come_back_unchanged_from_one_process(worker: Worker) -> None:
    arrays = [
        np.array(3.5, np.float32),
        np.zeros((2, 0, 3), np.int64),
        np.array([True, False]),
        np.arange(12, dtype=np.float16).reshape(3, 4).T,
        # Larger than any pipe buffer.
        np.random.default_rng(0).standard_normal(1_000_000),
    ]
    pid, back = echo(worker, *arrays)
    for sent, got in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(got, sent, strict=True)
    assert echo(worker)[0] == pid == worker.pid
    assert pid != os.getpid()


@pytest.mark.parametrize(
    ("order", "death"),
    [
        ({"do": "exit", "code": 3}, Crashed(3, "leaving now")),
        ({"do": "abort"}, Crashed(-signal.SIGABRT, "")),
    ],
    ids=["exit", "abort"],
)
def test_a_death_is_told_and_the_next_case_works(
    worker: Worker, order: dict[str, object], death: Crashed
) -> None:
    pid, _ = echo(worker)
    # What an earlier case said must not show in the tail.
    assert worker.ask({"do": "complain"}, timeout=30) == ({}, [])
    assert worker.ask(order, timeout=30) == death
    assert wait_gone(pid)
    assert echo(worker)[0] != pid


def test_an_overrun_is_killed_and_the_next_case_works(worker: Worker) -> None:
    pid, _ = echo(worker)
    assert worker.ask({"do": "sleep"}, timeout=0.2) == TimedOut(0.2)
    assert wait_gone(pid)
    assert echo(worker)[0] != pid


def test_a_request_that_is_not_read_times_out(worker: Worker) -> None:
    pid, _ = echo(worker)
    os.kill(pid, signal.SIGSTOP)
    outcome = worker.ask({"do": "echo"}, [np.zeros(1_000_000)], timeout=0.3)
    assert outcome == TimedOut(0.3)
    assert wait_gone(pid)
    assert echo(worker)[0] != pid


def test_a_death_between_cases_is_not_blamed_on_the_next_one(worker: Worker) -> None:
    pid, _ = echo(worker)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while worker.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert echo(worker)[0] != pid


def test_close_ends_the_process_and_the_next_case_starts_one(worker: Worker) -> None:
    pid, _ = echo(worker)
    worker.close()
    assert worker.pid is None
    assert wait_gone(pid)
    assert echo(worker)[0] != pid


def test_prints_stay_out_of_the_messages(worker: Worker) -> None:
    sent = np.arange(3)
    answer = worker.ask({"do": "print"}, [sent], timeout=30)
    assert isinstance(answer, tuple), answer
    np.testing.assert_array_equal(answer[1][0], sent, strict=True)


def test_an_exception_of_the_handler_is_a_fault_and_not_an_outcome(worker: Worker) -> None:
    pid, _ = echo(worker)
    with pytest.raises(WorkerError, match="no such thing"):
        worker.ask({"do": "raise"}, timeout=30)
    assert echo(worker)[0] == pid


def test_objects_are_never_pickled(worker: Worker) -> None:
    with pytest.raises(ValueError, match="pickle"):
        echo(worker, np.array([{}], dtype=object))
    echo(worker)


def test_numeric_libraries_get_one_thread(worker: Worker) -> None:
    answer = worker.ask({"do": "env"}, timeout=30)
    assert isinstance(answer, tuple), answer
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        assert answer[0][name] == "1"


def test_a_program_that_cannot_start_is_a_fault_with_its_last_words() -> None:
    broken = Worker((sys.executable, "-c", "raise SystemExit('nothing here')"))
    with pytest.raises(WorkerError, match="status 1: nothing here"):
        broken.ask({}, timeout=1)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_no_process_outlives_the_tests(program: Path, how: str) -> None:
    """A worker in the middle of a case goes with its parent, however the parent goes."""
    parent = (
        "import sys, threading, time\n"
        "from tract_ref_suites.engines.workers import Worker\n"
        f"worker = Worker((sys.executable, {str(program)!r}))\n"
        "print(worker.ask({'do': 'echo'}, timeout=30)[0]['pid'], flush=True)\n"
        "threading.Thread(target=worker.ask, args=({'do': 'sleep'},),\n"
        "                 kwargs={'timeout': 600}, daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    if how == "kill":
        parent += "print('busy', flush=True)\ntime.sleep(600)\n"
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        env=workers.single_threaded(),
        text=True,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_running(pid)
        if how == "kill":
            process.stdout.readline()
            process.kill()
    assert wait_gone(pid)


def test_there_is_one_worker_per_module() -> None:
    assert workers.shared("one") is workers.shared("one")
    assert workers.shared("one") is not workers.shared("other")


def test_the_tail_leaves_out_back_traces() -> None:
    text = (
        "thread panicked at fact.rs:21:9:\nassertion failed\nstack backtrace:\n"
        "   0:     0x7fa4 - <std>::fmt\n             at ./csu/start.c:58:16\naborting.\n"
    )
    kept = "thread panicked at fact.rs:21:9:\nassertion failed\naborting."
    assert workers.tail_of(text) == kept
