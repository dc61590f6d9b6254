"""P10, and P1 on an engine: another program computes what the problem says."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from math import gcd
from pathlib import Path

from tract_ref.approx import Array
from tract_ref.dim import slope
from tract_ref.errors import Inconclusive, Refused
from tract_ref.ir.model import Model
from tract_ref.nnef.archive import write_folder
from tract_ref.nnef.writer import model_files
from tract_ref_suites.cases import NNEF_FILE, ONNX_FILE
from tract_ref_suites.checks.bounds import bound_for
from tract_ref_suites.checks.failure import CheckFailure, NotOffered, require, require_equal
from tract_ref_suites.checks.subject import Subject, stream_axes
from tract_ref_suites.checks.turns import ENDS
from tract_ref_suites.engines import protocol
from tract_ref_suites.engines.protocol import Case, Chunking, Engine, Values
from tract_ref_suites.engines.workers import scratch
from tract_ref_suites.problems.base import SYMBOL, Problem


def engine_equals_batch(problem: Problem, engine: Engine) -> None:
    """P10: the engine's batch values are the expected ones, within the problem's tolerance."""
    with written(problem, engine) as case:
        values = answered(engine.run(case))
    _require_values(problem, values.outputs, "batch")


def engine_streams_batch(problem: Problem, engine: Engine) -> None:
    """P1 on an engine: its raw stream, cut by its own delay, is the expected batch value.

    It is asked also where the reference refuses: there it may refuse as well.
    """
    model = problem.model()
    with written(problem, engine) as case:
        for pulse in (*problem.pulses, *problem.refused_at):
            for end in ("late", "known"):
                chunks = Chunking.regular(problem.length, pulse, end)
                outcome = engine.stream(case, chunks)
                if pulse in problem.refused_at and isinstance(outcome, protocol.Refused):
                    continue
                values = answered(outcome)
                expected = tuple(problem.expected().values())
                kept = cut_stream(values, expected)
                _require_values(problem, kept, f"pulse {pulse}, end {end}")
                require_rates(model, SYMBOL, values, pulse)


def engine_takes_any_turns(problem: Problem, engine: Engine) -> None:
    """P13 on an engine: pulsified once, its turns of several sizes are the expected batch value."""
    unit = gcd(*problem.pulses)
    with written(problem, engine) as case:
        for units, end in itertools.product(((2, 1, 3), (1, 4)), ENDS):
            sizes = uneven(problem.length, unit, units)
            chunks = Chunking(unit, sizes, end)
            values = answered(engine.stream(case, chunks))
            kept = cut_stream(values, tuple(problem.expected().values()))
            _require_values(problem, kept, f"turns of {list(sizes)} frames, end {end}")


def uneven(length: int, unit: int, units: tuple[int, ...]) -> tuple[int, ...]:
    """Cut a stream into turns of so many units, over and over; the last one may be shorter."""
    sizes: list[int] = []
    cycle = itertools.cycle(units)
    while sum(sizes) < length:
        sizes.append(min(next(cycle) * unit, length - sum(sizes)))
    return tuple(sizes)


@contextmanager
def written(problem: Problem, engine: Engine) -> Generator[Case]:
    """Write the problem's model for the time of a question, as ONNX if the engine reads no NNEF.

    Raises:
        NotOffered: the engine does not take its dtypes, or the model has no file form.
    """
    subject = Subject(problem)
    foreign = {v.dtype.name for v in subject.inputs.values()} - engine.can().dtypes
    if foreign:
        raise NotOffered(f"{engine.name} takes no inputs of {sorted(foreign)}")
    model_file, files = _form(problem, subject, engine)
    with scratch() as place:
        folder = Path(place) / "case"
        write_folder(folder, files)
        axes = stream_axes(subject.model)
        symbol, length = (SYMBOL, problem.length) if axes else (None, None)
        yield Case(folder, model_file, subject.inputs, symbol, length, axes)


def _form(problem: Problem, subject: Subject, engine: Engine) -> tuple[str, dict[str, bytes]]:
    """Return the name of the model file and all files, in a form that the engine reads."""
    formats, reason = engine.can().formats, "the problem has no ONNX form"
    if "nnef" in formats:
        try:
            return NNEF_FILE, model_files(subject.model)
        except Refused as refusal:
            reason = str(refusal)
    content = problem.onnx() if "onnx" in formats else None
    if content is None:
        raise NotOffered(reason)
    return ONNX_FILE, {ONNX_FILE: content}


def answered(outcome: protocol.Outcome) -> Values:
    """Return the values of an outcome.

    Raises:
        CheckFailure: the engine refused, crashed or ran out of time.
    """
    match outcome:
        case Values():
            return outcome
        case protocol.Refused(stage, reason):
            raise CheckFailure(stage, "refused", reason)
        case protocol.Crashed(code, tail):
            raise CheckFailure("run", "crash", f"exit status {code}: {tail}")
        case protocol.TimedOut(seconds):
            raise CheckFailure("run", "timeout", f"no answer in {seconds} s")


def cut_stream(values: Values, expected: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the outputs of a stream with the delay dropped, as long as the expected values."""
    count = (len(values.outputs), len(expected))
    require(count[0] == count[1], "run", "wrong_shape", f"{count[0]} outputs instead of {count[1]}")
    require(
        values.delay is not None and values.axes is not None,
        "run",
        "wrong_delay",
        "the engine does not tell delay and axis of its outputs",
    )
    kept: list[Array] = []
    rows = zip(values.outputs, values.delay or (), values.axes or (), expected, strict=True)
    for raw, delay, axis, wanted in rows:
        if axis < 0:
            kept.append(raw)
            continue
        same_rank = axis < raw.ndim == wanted.ndim
        shapes = f"output {list(raw.shape)} on axis {axis} for {list(wanted.shape)}"
        require(same_rank, "run", "wrong_shape", shapes)
        window = slice(delay, delay + wanted.shape[axis])
        kept.append(raw[(*(slice(None),) * axis, window)])
    return tuple(kept)


def require_rates(model: Model, symbol: str, values: Values, pulse: int) -> None:
    """Require that outputs which gain as many frames at every turn gain those of a pulse."""
    for outlet, gained, axis in zip(
        model.outputs, values.increments or (), values.axes or (), strict=False
    ):
        shape = model.fact(outlet).shape
        if not 0 <= axis < len(shape) or len(gained) < 2 or len(set(gained)) > 1:
            continue
        dim = shape[axis]
        try:
            wanted = slope(dim, symbol) * pulse
        except Inconclusive:
            # A product of the symbol with itself grows faster than any pulse.
            wanted = None
        if wanted != gained[0] and wanted != 0:
            right = f"{wanted} are right" if wanted is not None else "no number is right"
            of = f"of an output of {dim} frames"
            text = f"pulse {pulse}: {gained[0]} frames at every turn {of}, where {right}"
            raise CheckFailure("pulsify", "wrong_shape", text)


def _require_values(problem: Problem, values: tuple[Array, ...], what: str) -> None:
    expected: Mapping[str, Array] = problem.expected()
    count = (len(values), len(expected))
    require(count[0] == count[1], "run", "wrong_shape", f"{count[0]} outputs instead of {count[1]}")
    approx = problem.oracle_approx
    for value, (name, wanted) in zip(values, expected.items(), strict=True):
        bound = bound_for(problem, name, approx)
        require_equal(value, wanted, wire=name, what=f"{what}: engine", approx=approx, bound=bound)
