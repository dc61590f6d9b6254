"""What a case folder states, asked of an engine or of the passes of tract_ref."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tract_ref import declutter, errors, load, pulsify
from tract_ref.approx import Array
from tract_ref.errors import TractRefError
from tract_ref.ir.model import Model
from tract_ref_suites.cases import Assertion, CaseFolder, Stream
from tract_ref_suites.checks.engine import answered, cut_stream, require_rates
from tract_ref_suites.checks.failure import CheckFailure, require, require_equal, stage
from tract_ref_suites.checks.passes import rewritten
from tract_ref_suites.engines.protocol import Case, Chunking, Engine, Refused, Values


def check_assertion(case: CaseFolder, assertion: Assertion, engine: Engine) -> None:
    """Check one assertion of a case; the engine matters for values only.

    Raises:
        CheckFailure: it does not hold.
    """
    of_engine: dict[str, Callable[[CaseFolder, Assertion, Engine], None]] = {
        "batch": _batch,
        "stream": _stream,
        "delay": _delay,
        "golden": _golden,
    }
    of_passes: dict[str, Callable[[CaseFolder, Assertion], None]] = {
        "op_count": _op_count,
        "fact": _fact,
        "refuses": _refuses,
        "invalid": _refuses,
        "round_trip": _round_trip,
    }
    if assertion.kind in of_engine:
        of_engine[assertion.kind](case, assertion, engine)
    else:
        of_passes[assertion.kind](case, assertion)


def question(case: CaseFolder, *, file: str = "io.npz") -> tuple[Case, dict[str, Array]]:
    """Return what an engine is asked, and the expected outputs in the model's order."""
    arrays = case.arrays(file)
    model = _load(case)
    inputs = {name: arrays[name] for name in model.input_names}
    outputs = {name: arrays[name] for name in model.output_names}
    stream = case.stream
    symbol, length = (stream.symbol, stream.length) if stream else (None, None)
    axes: dict[str, int] = dict(stream.axes) if stream else {}
    if stream is not None and not axes:
        for name, outlet in zip(model.input_names, model.inputs, strict=True):
            found = model.fact(outlet).axes_with(stream.symbol)
            axes |= {name: found[0]} if found else {}
    return Case(case.folder, case.model_file, inputs, symbol, length, axes), outputs


def _load(case: CaseFolder) -> Model:
    with stage("read"):
        return load(case.model_path)


def _batch(case: CaseFolder, assertion: Assertion, engine: Engine) -> None:
    asked, expected = question(case, file=assertion.value)
    values = answered(engine.run(asked)).outputs
    _require_values(case, values, expected, "batch")


def _require_values(
    case: CaseFolder, values: tuple[Array, ...], expected: Mapping[str, Array], what: str
) -> None:
    count = f"{len(values)} outputs instead of {len(expected)}"
    require(len(values) == len(expected), "run", "wrong_shape", count)
    for value, (name, wanted) in zip(values, expected.items(), strict=True):
        require_equal(value, wanted, wire=name, what=what, approx=case.approx)


def _streams(
    case: CaseFolder, engine: Engine, file: str = "io.npz", *, may_refuse: bool = False
) -> tuple[list[tuple[int, Values]], dict[str, Array]]:
    stream = _required_stream(case)
    asked, expected = question(case, file=file)
    found: list[tuple[int, Values]] = []
    for pulse in stream.pulses:
        chunks = Chunking.regular(stream.length, pulse, stream.end)
        if stream.chunks:
            chunks = Chunking(pulse, stream.chunks, stream.end)
        outcome = engine.stream(asked, chunks)
        if may_refuse and isinstance(outcome, Refused):
            continue
        values = answered(outcome)
        found.append((pulse, values))
    return found, expected


def _stream(case: CaseFolder, assertion: Assertion, engine: Engine) -> None:
    runs, expected = _streams(case, engine, assertion.value, may_refuse=assertion.may_refuse)
    for pulse, values in runs:
        kept = cut_stream(values, tuple(expected.values()))
        _require_values(case, kept, expected, f"pulse {pulse}")
        if not _required_stream(case).chunks:
            require_rates(_load(case), _required_stream(case).symbol, values, pulse)


def _delay(case: CaseFolder, assertion: Assertion, engine: Engine) -> None:
    for pulse, values in _streams(case, engine)[0]:
        wanted = tuple(assertion.value)
        text = f"pulse {pulse}: delay {values.delay} where {wanted} is stated"
        require(values.delay == wanted, "pulsify", "wrong_delay", text)


def _golden(case: CaseFolder, assertion: Assertion, engine: Engine) -> None:
    asked, expected = question(case)
    stated = assertion.value
    outputs = dict(zip(expected, answered(engine.run(asked)).outputs, strict=False))
    value = outputs.get(stated["output"])
    index = tuple(stated["index"])
    there = value is not None and len(index) == value.ndim
    if value is None or not there or any(i >= n for i, n in zip(index, value.shape, strict=True)):
        text = f"{case.slug}: golden {stated['output']}{list(index)} is not in the outputs"
        raise CheckFailure("read", "malformed", text)
    got = float(value[index])
    # One unit of the last decimal that is stated: a rounded figure may lie on the border of two.
    is_same = abs(got - stated["value"]) <= 10.0 ** -stated["decimals"]
    text = f"{stated['output']}{stated['index']} is {got} where {stated['value']} is stated"
    require(is_same, "compare", "wrong_value", text)


def _required_stream(case: CaseFolder) -> Stream:
    if case.stream is None:
        raise CheckFailure("read", "malformed", f"{case.slug}: no [stream]")
    return case.stream


def _after(case: CaseFolder, name: str) -> list[tuple[str, Model]]:
    """Return the model after a pass; once per pulse after `pulse`."""
    model = _load(case)
    if name == "load":
        return [("load", model)]
    if name == "declutter":
        with stage("declutter"):
            return [("declutter", declutter(model))]
    stream = _required_stream(case)
    with stage("pulsify"):
        return [
            (f"pulse {pulse}", pulsify(model, pulse, symbol=stream.symbol).model)
            for pulse in stream.pulses
        ]


def _op_count(case: CaseFolder, assertion: Assertion) -> None:
    for what, model in _after(case, assertion.stage):
        counts = model.op_counts()
        for op, wanted in assertion.value.items():
            got = counts.get(op, 0)
            text = f"{what}: {got} nodes {op} where {wanted} are stated, of {counts}"
            name = "declutter" if assertion.stage == "declutter" else "pulsify"
            require(got == wanted, name, "wrong_value", text)


def _fact(case: CaseFolder, assertion: Assertion) -> None:
    for what, model in _after(case, assertion.stage):
        facts = {
            model.wire_name(outlet): str(model.fact(outlet))
            for outlet in (*model.inputs, *model.outputs)
        }
        facts |= {
            name: str(model.fact(outlet))
            for outlet, names in model.labels.items()
            for name in names
        }
        wire, wanted = assertion.value["wire"], assertion.value["is"]
        text = f"{what}: wire {wire!r} is {facts.get(wire, 'absent')} where {wanted} is stated"
        require(facts.get(wire) == wanted, "compare", "wrong_shape", text)


def _refuses(case: CaseFolder, assertion: Assertion) -> None:
    stated: Mapping[str, Any] = assertion.value
    wanted = getattr(errors, stated["class"])

    def attempt() -> None:
        model = load(case.model_path)
        if assertion.stage == "declutter":
            declutter(model)
        elif assertion.stage == "pulse":
            symbol = case.stream.symbol if case.stream else None
            pulsify(model, int(stated["pulse"]), symbol=symbol)

    try:
        attempt()
    except TractRefError as error:
        got = f"{type(error).__name__}: {error}"
        is_same = type(error) is wanted and str(error).startswith(stated["starts"])
        text = f"{got!r} where {stated['class']} starting {stated['starts']!r} is stated"
        require(is_same, "read", "malformed", text)
        return
    raise CheckFailure("compare", "wrong_value", f"accepted; {stated['class']} is stated")


def _round_trip(case: CaseFolder, assertion: Assertion) -> None:
    if assertion.value:
        rewritten(_load(case))
