"""The random masks exercise what they are there for: wires whose single elements are known."""

from __future__ import annotations

import pytest

from tract_ref_suites.checks.facts import inner_wires
from tract_ref_suites.meta.test_strategies import drawn

LEAST_TOLD = 0.8
LEAST_VARYING = 0.4


@pytest.mark.parametrize("name", ["masks/Mask-stream", "masks/Mask-square"])
def test_most_wires_of_a_random_mask_are_annotated(name: str) -> None:
    facts = [
        model.fact(wire)
        for problem in drawn(name)[0]
        for model in [problem.model()]
        for wire in inner_wires(model)
        if model.nodes[wire.node].name not in ("x", "select")
    ]
    told = [fact.per_element for fact in facts if fact.per_element is not None]
    assert len(told) > LEAST_TOLD * len(facts)
    assert sum(bool(value.axes) for value in told) > LEAST_VARYING * len(facts)


@pytest.mark.parametrize("name", ["masks/Mask-stream", "masks/Mask-square"])
def test_random_masks_compare_quotients_and_two_axes(name: str) -> None:
    told = [
        value
        for problem in drawn(name)[0]
        for node in problem.model().nodes.values()
        if (value := node.outputs[0].per_element) is not None
    ]
    assert any(not value.is_exact for value in told)
    assert any(value.is_exact and value.divisor > 1 for value in told)
    assert any(len(value.axes) > 1 for value in told)
