"""P5: what regions make of a model in fixed pulses is what the rules of v1 make of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from math import gcd

import numpy as np

from tract_ref import Plan, Pulsed, pulsify
from tract_ref.dim import Dim, sym
from tract_ref.errors import Refused
from tract_ref.ir.dump import dump, fact_text
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.stream.fact import Linear
from tract_ref_suites.checks.failure import CheckFailure, require, require_equal, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.symbolic import CHUNK, symbolic
from tract_ref_suites.checks.turns import ENDS, run_turns
from tract_ref_suites.problems.base import SYMBOL, Problem


def v2_equals_v1(problem: Problem) -> None:
    """P5: both pulsifiers give the same delays, lengths, values and ops, or both refuse.

    No place is left where the ops may differ: strides, pads and symbolic pulses are held to it too.

    Raises:
        CheckFailure: they part.
    """
    subject = Subject(problem)
    for pulse in problem.refused_at:
        _require_both_refuse(subject, pulse)
    for pulse in problem.pulses:
        old, new = subject.pulsed(pulse), _from_regions(subject, pulse)
        _require_same_streams(old, new, f"pulse {pulse}")
        _require_same_values(subject, old, new, pulse)
        _require_same_ops(old.model, new.model, f"pulse {pulse}")
    if problem.pulses:
        unit = gcd(*problem.pulses)
        old, new = symbolic(subject), _from_regions(subject, sym(CHUNK) * unit)
        _require_same_streams(old, new, f"pulse {unit}*{CHUNK}")
        _require_same_ops(old.model, new.model, f"pulse {unit}*{CHUNK}")


def _from_regions(subject: Subject, pulse: Dim) -> Pulsed:
    with stage("pulsify"):
        return pulsify(subject.model, pulse, symbol=SYMBOL, version=2)


def _require_both_refuse(subject: Subject, pulse: int) -> None:
    nodes: list[str] = []
    before = dump(subject.model)
    for version in (1, 2):
        try:
            pulsify(subject.model, pulse, symbol=SYMBOL, version=version)
        except Refused as refusal:
            text = f"pulse {pulse}, version {version}: refused as {refusal.stage!r}"
            require(refusal.stage == f"pulsify v{version}", "pulsify", "wrong_value", text)
            nodes.append(refusal.node)
            continue
        text = f"pulse {pulse}: streamed by version {version}, where a refusal is stated"
        raise CheckFailure("pulsify", "wrong_value", text)
    text = f"pulse {pulse}: v1 refuses the node {nodes[0]!r}, v2 {nodes[1]!r}"
    require(nodes[0] == nodes[1], "pulsify", "wrong_value", text)
    text = f"pulse {pulse}: a refusal changes the model"
    require(dump(subject.model) == before, "pulsify", "wrong_value", text)


def _require_same_streams(old: Pulsed, new: Pulsed, what: str) -> None:
    """Require the same delays and lengths of the outputs, the same stream on every wire."""
    text = f"{what}: v1 announces delays {old.delays}, v2 {new.delays}"
    require(old.delays == new.delays, "pulsify", "wrong_delay", text)
    for name, value in old.model.properties.items():
        found = new.model.properties[name]
        text = f"{what}: {name} is {value} in v1, {found} in v2"
        require(np.array_equal(found, value), "pulsify", "wrong_shape", text)
    text = f"{what}: v1 reads {old.receptive_field} source frames, v2 {new.receptive_field}"
    require(old.receptive_field == new.receptive_field, "pulsify", "wrong_value", text)
    left, right = _streams(old), _streams(new)
    for name in sorted({*left, *right}):
        text = f"{what}: wire {name!r} is {left.get(name)} in v1, {right.get(name)} in v2"
        require(left.get(name) == right.get(name), "pulsify", "wrong_delay", text)


def _streams(pulsed: Pulsed) -> Mapping[str, Linear | None]:
    return {name: wire.stream for name, wire in pulsed.infos.items()}


def _require_same_values(subject: Subject, old: Pulsed, new: Pulsed, pulse: int) -> None:
    with stage("plan"):
        plans = [Plan(pulsed.model, fast=False) for pulsed in (old, new)]
    length = subject.problem.length
    for end in ENDS:
        with stage("run"):
            left, right = (run_turns(plan, subject.inputs, length, end=end) for plan in plans)
        for name, output in right.items():
            what = f"pulse {pulse}, end {end}: v2 against v1"
            expected = left[name].kept
            require_equal(output.kept, expected, wire=name, what=what, stream=output.place)


def _require_same_ops(old: Model, new: Model, what: str) -> None:
    """Require the same ops with the same attributes, wired in the same way."""
    pairs = itertools.zip_longest(wiring(old), wiring(new), fillvalue="nothing")
    for left, right in pairs:
        require(left == right, "pulsify", "wrong_value", f"{what}: {left} in v1, {right} in v2")


def wiring(model: Model) -> list[str]:
    """Return one line per node in evaluation order: op, attributes, which lines it reads, facts.

    Unlike a dump it does not depend on the names of nodes, which say what made them.
    """
    lines: list[str] = []
    places: dict[Outlet, str] = {}
    for number, node in enumerate(model.order()):
        reads = ", ".join(places[outlet] for outlet in node.inputs)
        facts = "; ".join(fact_text(fact) for fact in node.outputs)
        held = f" = {node.op.tensor.tobytes().hex()}" if isinstance(node.op, Const) else ""
        bodies = "".join(f"\n{dump(body)}" for body in node.op.bodies())
        lines.append(f"{node.op.name} {{{node.op.describe()}}} ({reads}) -> {facts}{held}{bodies}")
        for slot in range(len(node.outputs)):
            places[Outlet(node.id, slot)] = f"{number}.{slot}"
    lines.append(f"outputs {', '.join(places[outlet] for outlet in model.outputs)}")
    return lines
