"""The engine `reference`: tract_ref itself, through the door that the other engines use."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import tract_ref
from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.errors import InternalError, TractRefError
from tract_ref.ir.model import Model
from tract_ref_suites.checks.turns import layout_of, run_pushes, run_turns
from tract_ref_suites.engines.protocol import (
    NUMERIC,
    Abilities,
    Case,
    Chunking,
    Crashed,
    Outcome,
    Refused,
    Stage,
    Values,
)

_INTERNAL = 4


class _AnswerError(Exception):
    """Carries an outcome that is not values."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


@contextmanager
def _stage(name: Stage) -> Generator[None]:
    try:
        yield
    except InternalError as error:
        raise _AnswerError(Crashed(_INTERNAL, str(error))) from error
    except TractRefError as error:
        raise _AnswerError(Refused(name, f"{type(error).__name__}: {error}")) from error


class ReferenceEngine:
    """Runs NNEF and ONNX models with tract_ref.

    Args:
        fast: use the fast kernels; False runs every op's `eval`.
    """

    name = "reference"
    version: str = tract_ref.__version__

    def __init__(self, *, fast: bool = False) -> None:
        self._fast = fast

    def can(self) -> Abilities:
        return Abilities(frozenset({"nnef", "onnx"}), NUMERIC, batch=True, stream=True)

    def run(self, case: Case) -> Outcome:
        try:
            return self._run(case)
        except _AnswerError as answer:
            return answer.outcome

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        """Run the case in pulses.

        Regular chunks are raw turns. Uneven ones go through `push`, which cuts the delay: as many
        frames of zeros stand for what it dropped.
        """
        try:
            return self._stream(case, chunks)
        except _AnswerError as answer:
            return answer.outcome

    def _run(self, case: Case) -> Values:
        model = self._read(case)
        with _stage("plan"):
            plan = Plan(model, fast=self._fast)
        known = {case.symbol: case.length} if case.symbol and case.length is not None else {}
        with _stage("run"):
            values = plan.run(_by_name(model, case), symbols=known)
        return Values(tuple(values[name] for name in model.output_names))

    def _stream(self, case: Case, chunks: Chunking) -> Values:
        model = self._read(case)
        with _stage("pulsify"):
            pulsed = tract_ref.pulsify(model, chunks.pulse, symbol=case.symbol)
        with _stage("plan"):
            plan = Plan(pulsed.model, fast=self._fast)
        layout = layout_of(plan)
        length = sum(chunks.sizes) if case.length is None else case.length
        inputs = _by_name(model, case)
        for name, axis in zip(model.input_names, layout.input_axes, strict=True):
            wanted = case.axes.get(name, axis)
            if wanted != axis:
                seen = f"input {name!r}: the case streams axis {wanted}, the model axis {axis}"
                return _refuse("pulsify", seen)
        with _stage("run"):
            if chunks.is_regular:
                return _raw(plan, inputs, length, chunks)
            return _pushed(plan, inputs, length, chunks)

    def _read(self, case: Case) -> Model:
        with _stage("read"):
            return tract_ref.load(case.path if case.format == "onnx" else _nnef_path(case))


def _nnef_path(case: Case) -> Path:
    return case.folder if case.model_file == "graph.nnef" else case.path


def _refuse(stage: Stage, reason: str) -> Values:
    raise _AnswerError(Refused(stage, reason))


def _by_name(model: Model, case: Case) -> dict[str, Array]:
    names = model.input_names
    if set(names) <= set(case.inputs):
        return {name: case.inputs[name] for name in names}
    if len(names) != len(case.inputs):
        _refuse("run", f"the model has inputs {names}, the case gives {list(case.inputs)}")
    return dict(zip(names, case.inputs.values(), strict=True))


def _raw(plan: Plan, inputs: dict[str, Array], length: int, chunks: Chunking) -> Values:
    found = run_turns(plan, inputs, length, end=chunks.end)
    layout = layout_of(plan)
    return Values(
        tuple(output.raw for output in found.values()),
        delay=layout.delays,
        axes=layout.output_axes,
        increments=tuple(
            tuple(part.shape[output.axis] if output.axis >= 0 else 0 for part in output.parts)
            for output in found.values()
        ),
    )


def _pushed(plan: Plan, inputs: dict[str, Array], length: int, chunks: Chunking) -> Values:
    layout = layout_of(plan)
    session = plan.session({layout.symbol: length} if chunks.end == "known" else {})
    joined, increments = run_pushes(plan, inputs, chunks.sizes, session=session)
    outputs: list[Array] = []
    for value, axis, delay in zip(joined.values(), layout.output_axes, layout.delays, strict=True):
        if axis < 0:
            outputs.append(value)
            continue
        dropped = np.zeros((*value.shape[:axis], delay, *value.shape[axis + 1 :]), value.dtype)
        outputs.append(np.concatenate([dropped, value], axis))
    return Values(
        tuple(outputs),
        delay=layout.delays,
        axes=layout.output_axes,
        increments=tuple(increments.values()),
    )
