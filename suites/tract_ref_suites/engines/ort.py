"""The engine `onnxruntime`: batch runs of ONNX models, inside the test process."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from tract_ref_suites.engines.protocol import (
    NUMERIC,
    Abilities,
    Array,
    Case,
    Chunking,
    Outcome,
    Refused,
    Values,
)

_SILENT = 4


class OrtEngine:
    """Runs ONNX models with onnxruntime on one thread.

    Args:
        optimize: let onnxruntime rewrite the graph. Off by default: a case runs once, so the
            rewriting costs more than it saves, and fused kernels round differently.
    """

    name = "onnxruntime"

    def __init__(self, *, optimize: bool = False) -> None:
        self.version: str = onnxruntime.__version__
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = 1
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = _SILENT
        levels = onnxruntime.GraphOptimizationLevel
        self._options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )

    def can(self) -> Abilities:
        return Abilities(frozenset({"onnx"}), NUMERIC, batch=True, stream=False)

    def run(self, case: Case) -> Outcome:
        if case.format != "onnx":
            return Refused("read", f"{case.model_file}: onnxruntime reads ONNX models only")
        # The engine's border: onnxruntime has no common base class for its exceptions.
        try:
            session = onnxruntime.InferenceSession(
                str(case.path), self._options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            return Refused("read", _first_line(error))
        try:
            names = [entry.name for entry in session.get_inputs()]
            outputs = session.run(None, _by_name(names, case.inputs))
        except Exception as error:
            return Refused("run", _first_line(error))
        return Values(tuple(np.asarray(output) for output in outputs))

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        return Refused("pulsify", "onnxruntime runs whole inputs only")


def _by_name(names: list[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
    if set(names) == set(inputs):
        return dict(inputs)
    if len(names) != len(inputs):
        raise ValueError(f"the model has inputs {names}, the case gives {list(inputs)}")
    return dict(zip(names, inputs.values(), strict=True))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
