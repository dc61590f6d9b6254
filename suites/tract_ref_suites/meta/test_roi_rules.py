"""P9 is not idle: every rule about regions of interest gives a region to a wire that is checked.

A rule that always sees everything is right about every position, and of no use; P9 has nothing to
change then and passes. So the wires with a region are counted here, op by op.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest

from tract_ref.errors import Refused
from tract_ref.ir.model import Model
from tract_ref.ir.op import Op
from tract_ref.ir.rules import Refusal
from tract_ref.passes.propagate_roi import propagate_roi
from tract_ref.stream.shared import same_positions, sees_everything
from tract_ref.stream.tables import INPUT_ROI
from tract_ref_suites.checks.roi import cut_models
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.meta.mutants_roi import MaskedProblem
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import Problem

# Ops of which no hand problem is needed, by the op that has the same rule and stands for them:
# the rule reads nothing of them but the shapes of their wires, or whether they are a product.
_ONE_INPUT = """Acos Acosh Asin Asinh Atan Atanh BitNot Ceil Cos Cosh Elu Erf Exp Gelu HardSigmoid
HardSwish IsInf IsNan LeakyRelu Ln Log2 PowConst Recip Rsqrt Selu Sigmoid Sign Silu Sin Sinh SoftAbs
Softplus Sqrt Square Tan"""
_TWO_INPUTS = "BitAnd BitOr BitXor Min Mod Ne Rem ShiftLeft ShiftRight Xor"
ALIKE = {"Neg": _ONE_INPUT, "Add": _TWO_INPUTS}
STOOD_FOR = {name: leader for leader, names in ALIKE.items() for name in names.split()}


def narrowing() -> dict[str, type[Op]]:
    """Return the ops whose rule does not see everything."""
    cells = {op: INPUT_ROI.lookup(op) for op in INPUT_ROI.keys()}  # noqa: SIM118
    told = {op for op, cell in cells.items() if not isinstance(cell, Refusal)}
    return {op.__name__: op for op in told if cells[op] is not sees_everything}


def hand_problems() -> Iterator[Problem]:
    for family in families().values():
        yield from family.hand.values()


def regions_met(model: Model) -> Counter[str]:
    """Count, per op, the inputs with a region; of an input that some reader sees whole, none."""
    try:
        annotated = propagate_roi(model)
    except Refused:
        return Counter()
    return Counter(
        type(node.op).__name__
        for node in annotated.order()
        for wire in node.inputs
        if annotated.fact(wire).region is not None
    )


@cache
def ops_met() -> Counter[str]:
    """Count the inputs with a region in all that P9 makes of the hand problems."""
    found: Counter[str] = Counter()
    for problem in hand_problems():
        for model in cut_models(Subject(problem)):
            found += regions_met(model)
    return found


def test_every_rule_gives_regions_to_hand_problems_or_is_the_rule_of_an_op_that_does() -> None:
    met = ops_met()
    assert sorted(name for name in narrowing() if not met[name]) == sorted(STOOD_FOR)


@pytest.mark.parametrize("name", list(STOOD_FOR))
def test_an_op_that_another_one_stands_for_has_the_same_rule(name: str) -> None:
    ops = narrowing()
    assert INPUT_ROI.lookup(ops[name]) is INPUT_ROI.lookup(ops[STOOD_FOR[name]])


def test_a_rule_that_sees_everything_leaves_no_region_to_count() -> None:
    models = list(cut_models(Subject(MaskedProblem(kind="product"))))
    counted = sum(regions_met(model)["Mul"] for model in models)
    with INPUT_ROI.replaced(narrowing()["Mul"], sees_everything):
        blind = sum(regions_met(model)["Mul"] for model in models)
    assert counted > blind == 0
    assert INPUT_ROI.lookup(narrowing()["Neg"]) is same_positions
