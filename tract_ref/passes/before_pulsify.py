"""Rewrites that only make sense when a model is about to be pulsified."""

from __future__ import annotations

from tract_ref.ir.check import checked
from tract_ref.ir.model import Model, Node
from tract_ref.ir.patch import ModelPatch
from tract_ref.passes.rewrites.fold_padding import BEFORE_PULSIFY


@checked("before pulsify")
def before_pulsify(model: Model) -> Model:
    """Return the model with BEFORE_PULSIFY applied once to every node, in order.

    A model that no rule applies to is returned as it is.

    Splitting padding from the windowed op that follows would cost real delay: a Pad emits its
    frames over time, a padded window does not.
    """
    if not any(_patch(node, model) for node in model.nodes.values()):
        return model
    result = model.copy()
    for node in result.order():
        if node.id not in result.nodes:
            continue
        patch = _patch(node, result)
        if patch is not None:
            patch.apply()
    return result


def _patch(node: Node, model: Model) -> ModelPatch | None:
    """Return what the first rule that applies to a node does to the model."""
    for rule in BEFORE_PULSIFY.rules(type(node.op)):
        patch = rule(node, model)
        if patch is not None:
            return patch
    return None
