"""propagate_roi: say, for every wire, which of its positions an output of the model can show.

One walk from the outputs to the inputs: outputs are observed everywhere, a wire where one of its
readers observes it, and what a node observes of its inputs is the INPUT_ROI rule of its op. On a
graph without cycles that is the fixpoint. The cost is linear in the number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tract_ref.dim import Scope
from tract_ref.errors import TractRefError
from tract_ref.ir.check import checked
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.rules import Refusal
from tract_ref.stream.roi import Region, settle, union
from tract_ref.stream.tables import INPUT_ROI

STAGE = "propagate_roi"


@dataclass(frozen=True)
class _Observed:
    """What a rule may ask about one node."""

    inputs: tuple[Fact, ...]
    outputs: tuple[Fact, ...]
    regions: tuple[Region, ...]
    scope: Scope

    def union(self, slot: int, *regions: Region) -> Region:
        """Return where one of several regions of an input holds."""
        whole: Region = 0
        for region in regions:
            whole = union(whole, region, self.inputs[slot].shape, self.scope)
        return whole


@checked(STAGE)
def propagate_roi(model: Model) -> Model:
    """Return the model with the region of interest of every wire in its fact.

    Sub-models are annotated too, as if all of their outputs were observed.

    Args:
        model: a batch model; it is not changed.

    Returns:
        A copy that differs in `Fact.region` only. A patch of it forgets all regions.

    Raises:
        Refused: the model holds a state op of a pulsed model; names the node.
        InvalidModel: the graph has a cycle.
    """
    model = model.copy()
    found: dict[Outlet, Region] = dict.fromkeys(model.outputs)
    for node in reversed(model.order()):
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        regions = tuple(found.get(outlet, 0) for outlet in outlets)
        for outlet, region in zip(node.inputs, _seen_by(model, node, regions), strict=True):
            shape = model.fact(outlet).shape
            settled = settle(region, shape, model.scope)
            found[outlet] = union(found.get(outlet, 0), settled, shape, model.scope)
        bodies = tuple(propagate_roi(body) for body in node.op.bodies())
        op = node.op.with_bodies(bodies) if bodies else node.op
        facts = zip(node.outputs, regions, strict=True)
        model.annotate(node, op, tuple(replace(fact, region=region) for fact, region in facts))
    return model


def _seen_by(model: Model, node: Node, regions: tuple[Region, ...]) -> tuple[Region, ...]:
    rule = INPUT_ROI.lookup(type(node.op))
    if isinstance(rule, Refusal):
        rule.raise_for(STAGE, node)
        raise AssertionError("a refusal raises")
    inputs = tuple(model.fact(outlet) for outlet in node.inputs)
    context = _Observed(inputs, node.outputs, regions, model.scope)
    try:
        return rule(node.op, node, context)
    except TractRefError as error:
        raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
