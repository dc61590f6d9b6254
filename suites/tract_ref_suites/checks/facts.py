"""P7: what is announced about a wire is what arrives on it."""

from __future__ import annotations

from collections.abc import Mapping

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.dim import Dim, TDim, evaluate
from tract_ref.ir.fact import TDIM
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref_suites.checks.annotations import require_annotations
from tract_ref_suites.checks.failure import require, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.checks.turns import announce, feed, turns_needed
from tract_ref_suites.problems.base import SYMBOL, Problem


def wires_match_their_facts(problem: Problem) -> None:
    """P7: every wire is as its fact says, at lengths 0, 1 and n and in every turn.

    That is: its shape, its dtype, and what is known of its single elements.
    """
    subject = Subject(problem)
    wires = inner_wires(subject.model)
    with stage("plan"):
        plan = Plan(subject.model, keep=wires, fast=False)
    for length in sorted({subject.admitted(0), subject.admitted(1), problem.length}):
        inputs = subject.at_length(length) if length != problem.length else subject.inputs
        with stage("run"):
            values = plan.run(inputs, symbols={SYMBOL: length})
        require_facts(subject.model, wires, values, {SYMBOL: length}, f"batch at S={length}")
    for pulse in problem.pulses:
        _check_turns(subject, pulse)


def _check_turns(subject: Subject, pulse: int) -> None:
    model = subject.pulsed(pulse).model
    wires = inner_wires(model)
    length = subject.problem.length
    with stage("plan"):
        plan = Plan(model, keep=wires, fast=False)
    session = plan.session()
    for turn in range(turns_needed(plan, length)):
        announce(session, length, turn, "late")
        with stage("run"):
            values = session.turn(feed(plan, subject.inputs, turn, fill="nan"))
        require_facts(model, wires, values, session.symbols, f"pulse {pulse}, turn {turn}")


def inner_wires(model: Model) -> list[Outlet]:
    """Return every wire that is computed or fed."""
    return [
        Outlet(node.id, slot)
        for node in model.order()
        if not isinstance(node.op, Const)
        for slot in range(len(node.outputs))
    ]


def require_facts(
    model: Model,
    wires: list[Outlet],
    values: Mapping[str, Array],
    symbols: Mapping[str, int],
    where: str,
) -> None:
    """Require that values are as the facts of their wires say, as far as symbols are bound.

    That includes what is known of single elements.
    """
    for outlet in wires:
        fact, name = model.fact(outlet), model.wire_name(outlet)
        value = values[name]
        shape = tuple(
            got if _is_free(dim, symbols) else evaluate(dim, symbols)
            for dim, got in zip(fact.shape, value.shape, strict=False)
        )
        seen = f"{where}: wire {name!r} of fact {fact} is {list(value.shape)} {value.dtype}"
        is_same = len(fact.shape) == value.ndim and shape == value.shape
        require(is_same, "run", "wrong_shape", seen)
        require(fact.dtype in (value.dtype, TDIM), "run", "wrong_dtype", seen)
        require_annotations(fact, value, symbols, wire=name, where=where)


def _is_free(dim: Dim, symbols: Mapping[str, int]) -> bool:
    return isinstance(dim, TDim) and not dim.symbols <= set(symbols)
