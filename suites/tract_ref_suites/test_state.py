"""State is a value: every op that keeps some, at every turn; and a long stream leaves nothing."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest

from tract_ref import Plan, Session, increments, pulsify
from tract_ref.approx import Array, compare
from tract_ref.dim import Scope, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref.ir.op import Op
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.norm import ExpMeanNorm, ExpUnitNorm
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.slicing import Slice
from tract_ref_suites.checks.sessions import saved_at_every_turn, sessions_are_values
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem, small_integers
from tract_ref_suites.strategies.windows import Along, window_spec

PULSE = 2
FEW, MANY = 10_000, 1_000_000
"""Pulses of the long stream: in the gate, and at night."""


def stateful() -> list[type[Op]]:
    """Return the op classes that say what they keep between turns."""
    found: list[type[Op]] = []
    left = [Op]
    while left:
        op = left.pop()
        left += op.__subclasses__()
        if not op.__subclasses__() and not inspect.isabstract(op) and op.state is not Op.state:
            found.append(op)
    return sorted(found, key=lambda op: op.__name__)


STATEFUL = stateful()


@cache
def witnesses() -> dict[str, tuple[str, Problem]]:
    """Return, per name of an op that keeps state, the hand problem that streams longest over it."""
    found: dict[str, tuple[str, Problem]] = {}
    for family in families().values():
        for slug, problem in family.hand.items():
            if not problem.pulses or not problem.model().inputs:
                continue
            pulsed = pulsify(problem.model(), problem.pulses[0], symbol=SYMBOL)
            for node in pulsed.model.nodes.values():
                name = type(node.op).__name__
                if node.op.state() is None:
                    continue
                turns = problem.length // problem.pulses[0]
                known = found.get(name)
                if known is None or turns > known[1].length // known[1].pulses[0]:
                    found[name] = f"{family.name}/{slug}", problem
    return found


@cache
def makers_of_increments() -> frozenset[str]:
    """Return the names of the ops that make increments of hand problems, held to copies by P12."""
    streaming = (
        problem
        for family in families().values()
        for problem in family.hand.values()
        if problem.pulses and problem.model().inputs
    )
    plans = (
        plan
        for problem in streaming
        for plan in increments(problem.model(), symbol=SYMBOL).plans.values()
    )
    return frozenset(op.name for plan in plans for op in plan.ops())


def turn_of(op: type[Op]) -> Problem | None:
    """Return the hand problem of an op that is given one turn, where there is one."""
    found = [
        problem
        for family in families().values()
        for problem in family.hand.values()
        if problem.op == op.__name__ and not problem.pulses
    ]
    return max(found, key=lambda problem: problem.length, default=None)


def test_there_are_ops_that_keep_state() -> None:
    assert {"Delay", "PulsePad", "StreamConcat", "RunningSum"} <= {op.__name__ for op in STATEFUL}


@pytest.mark.parametrize("op", STATEFUL, ids=lambda op: op.__name__)
def test_every_op_with_state_streams_in_a_hand_problem_or_is_given_turns(op: type[Op]) -> None:
    if op.__name__ not in witnesses():
        known = turn_of(op) is not None or op.__name__ in makers_of_increments()
        assert known, "no hand problem is about it"
        return
    _, problem = witnesses()[op.__name__]
    assert problem.length // problem.pulses[0] >= 2


@pytest.mark.parametrize("name", sorted(witnesses()))
def test_a_stream_saved_and_loaded_at_every_turn_goes_on_bit_for_bit(name: str) -> None:
    saved_at_every_turn(witnesses()[name][1])


@pytest.mark.parametrize("fast", [False, True], ids=["eval", "fast"])
@pytest.mark.parametrize("op", STATEFUL, ids=lambda op: op.__name__)
def test_turns_of_one_op_go_on_bit_for_bit_after_a_copy(
    op: type[Op], fast: bool, tmp_path: Path
) -> None:
    problem = turn_of(op)
    if problem is None:
        assert op.__name__ in witnesses() or op.__name__ in makers_of_increments()
        return
    plan, inputs = Plan(problem.model(), fast=fast), problem.inputs()
    known = {SYMBOL: problem.length}
    unbroken = plan.session(known)
    whole = [unbroken.turn(inputs) for _ in range(4)]
    cloned, loaded = plan.session(known), plan.session(known)
    for turn, values in enumerate(whole):
        cloned = cloned.clone()
        path = tmp_path / f"{turn}.npz"
        loaded.save(path)
        loaded = plan.session(known)
        loaded.load(path)
        for copy in (cloned, loaded):
            got = copy.turn(inputs)
            assert list(got) == list(values)
            assert all(compare(got[k], v, approx="exact").within for k, v in values.items())


@pytest.mark.parametrize("name", sorted(witnesses()))
def test_sessions_over_an_op_with_state_are_values(name: str) -> None:
    sessions_are_values(witnesses()[name][1])


def everything(frames: int) -> Model:
    """Return a model that keeps every state that v1 makes; its table lasts for `frames` frames."""
    model = Model(Scope().asserting("S>=3"))
    length = sym(SYMBOL)
    x = model.add_source("x", Fact(np.dtype(np.float32), (1, 2, length)))
    pads = ((0, 0), (0, 0), (2, 1))
    kernel = model.add_const("kernel", small_integers(1, (2, 2, 3)))
    frame = model.add_const("frame", small_integers(2, (1, 2, 1)))
    start = model.add_const("start", np.ones((1, 2), np.float32))
    table = model.add_const("table", np.broadcast_to(np.float32(1), (1, 1, frames)).copy())
    window = window_spec((Along(3, 1, 1, (1, 1)),))
    (later,) = model.wire("later", Slice(2, 2, 3), (x,))
    named = {
        "reflect": model.wire("reflect", Pad(pads, "reflect", 0.0), (x,)),
        "edge": model.wire("edge", Pad(pads, "edge", 0.0), (x,)),
        "conv": model.wire("conv", Conv(window, 1), (x, kernel)),
        "concat": model.wire("concat", Concat(2), (frame, x, frame)),
        "splice": model.wire("splice", Concat(2), (later, x)),
        "sum": model.wire("sum", CumSum(2), (x,)),
        "unit": model.wire("unit", ExpUnitNorm(2, 0.9), (x, start)),
        "mean": model.wire("mean", ExpMeanNorm(2, 0.9), (x, start)),
        "table": model.wire("cut", Slice(2, 0, length, exact=True), (table,)),
        "range": model.wire("range", Range(0, length, 1), ()),
    }
    model.set_outputs([wire for (wire,) in named.values()], list(named))
    return model


@dataclass(frozen=True)
class Held:
    """What is alive at one moment.

    Attributes:
        arrays: arrays that the session reaches.
        nbytes: their bytes.
        blocks: memory blocks of the interpreter, whoever holds them.
        state: bytes of the session's state arrays.
    """

    arrays: int
    nbytes: int
    blocks: int
    state: int


def held_by(session: Session) -> Held:
    """Count what a session keeps alive."""
    gc.collect()
    blocks = sys.getallocatedblocks()
    arrays = {id(array): array for array in reached(session)}
    state = sum(array.nbytes for array in session.state_arrays().values())
    return Held(len(arrays), sum(array.nbytes for array in arrays.values()), blocks, state)


def reached(session: Session) -> Iterator[Array]:
    """Yield the arrays that a session reaches, without going through its plan."""
    seen = {id(session.plan)}
    left: list[object] = [vars(session)]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, type | ModuleType | Model):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            yield item
            left.append(item.base)
        elif isinstance(item, FunctionType):
            left += [cell.cell_contents for cell in item.__closure__ or ()]
        else:
            left += gc.get_referents(item)


def streamed(session: Session, pulses: int) -> None:
    """Push pulses of one array."""
    pulse = small_integers(3, (1, 2, PULSE))
    for _ in range(pulses):
        session.push({"x": pulse})


def grown(plan: Plan, pulses: int, *, leak: list[object] | None = None) -> Held:
    """Return what more is alive after all pulses than after a tenth of them."""
    session = plan.session()
    early = pulses // 10
    streamed(session, early)
    first = held_by(session)
    if leak is not None:
        for _ in range(early):
            streamed(session, 1)
            leak.append(np.zeros(1))
    streamed(session, pulses - early)
    last = held_by(session)
    names = ("arrays", "nbytes", "blocks", "state")
    return Held(*(getattr(last, name) - getattr(first, name) for name in names))


def test_the_long_stream_keeps_every_kind_of_state() -> None:
    pulsed = pulsify(everything(8), PULSE, symbol=SYMBOL)
    nodes = pulsed.model.nodes.values()
    kept = {type(node.op).__name__ for node in nodes if node.op.state() is not None}
    assert set(witnesses()) == kept


@pytest.mark.slow
@pytest.mark.parametrize("fast", [False, True], ids=["eval", "fast"])
def test_a_long_stream_keeps_nothing_of_its_past(fast: bool, pytestconfig: pytest.Config) -> None:
    is_night = pytestconfig.getoption("--hypothesis-profile", None) == "nightly"
    pulses = MANY if is_night and fast else FEW
    plan = Plan(pulsify(everything(PULSE * pulses), PULSE, symbol=SYMBOL).model, fast=fast)
    more = grown(plan, pulses)
    assert (more.arrays, more.nbytes, more.state) == (0, 0, 0)
    # One object per pulse would be thousands.
    assert more.blocks < pulses // 100


def test_what_is_kept_of_every_pulse_is_seen() -> None:
    plan = Plan(pulsify(everything(4000), PULSE, symbol=SYMBOL).model)
    leak: list[object] = []
    assert grown(plan, 1000, leak=leak).blocks >= 100
    session = plan.session()
    before = held_by(session)
    session._ready["sum"].append(np.zeros((1, 2, 3), np.float32))
    after = held_by(session)
    assert after.arrays == before.arrays + 1
    assert after.nbytes == before.nbytes + 24
