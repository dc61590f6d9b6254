"""The engine `tract`, through its Python package, in a supervised process."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from tract_ref_suites.engines import workers
from tract_ref_suites.engines.protocol import (
    NUMERIC,
    Abilities,
    Case,
    Chunking,
    Outcome,
    Refused,
    Values,
)

WORKER = "tract_ref_suites.engines.tract_worker"


class TractEngine:
    """Runs NNEF and ONNX models with the installed `tract` package.

    Streams in pulses of one size, or in turns of several with a symbolic pulse; `workers` keeps its
    aborts away from the tests.

    Args:
        timeout: limit per case, in seconds.

    Raises:
        importlib.metadata.PackageNotFoundError: `tract` is not installed.
    """

    name = "tract"

    def __init__(self, *, timeout: float = 30.0) -> None:
        # From the metadata: the test process itself never loads the native library.
        self.version = version("tract")
        self._timeout = timeout

    def can(self) -> Abilities:
        return Abilities(frozenset({"nnef", "onnx"}), NUMERIC, batch=True, stream=True, turns=True)

    def run(self, case: Case) -> Outcome:
        return self._ask(case, {"call": "run"})

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        """Run the case in pulses.

        The end is bound as `chunks.end` says, with one exception: an input that does not stream but
        names the stream symbol in its shape gives the end away, so `late` is refused for it.
        """
        length = sum(chunks.sizes) if case.length is None else case.length
        request = {
            "call": "stream",
            "symbol": case.symbol or "S",
            "length": length,
            "axes": dict(case.axes),
            "expected": list(case.expected),
            "pulse": chunks.pulse,
            "sizes": list(chunks.sizes),
            "end": chunks.end,
        }
        return self._ask(case, request)

    def _ask(self, case: Case, request: dict[str, Any]) -> Outcome:
        request |= {"path": str(case.path.absolute()), "names": list(case.inputs)}
        answer = workers.shared(WORKER).ask(
            request, list(case.inputs.values()), timeout=self._timeout
        )
        if not isinstance(answer, tuple):
            return answer
        meta, outputs = answer
        if "refused" in meta:
            return Refused(*meta["refused"])
        if request["call"] == "run":
            return Values(tuple(outputs))
        return Values(
            tuple(outputs),
            delay=tuple(meta["delay"]),
            axes=tuple(meta["axes"]),
            increments=tuple(tuple(turns) for turns in meta["increments"]),
        )
