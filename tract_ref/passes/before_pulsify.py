"""Rewrites that only make sense when a model is about to be pulsified."""

from __future__ import annotations

from tract_ref.ir.model import Model
from tract_ref.passes.rewrites.fold_padding import BEFORE_PULSIFY


def before_pulsify(model: Model) -> Model:
    """Return the model with BEFORE_PULSIFY applied once to every node, in order.

    Splitting padding from the windowed op that follows would cost real delay: a Pad emits its
    frames over time, a padded window does not.
    """
    model = model.copy()
    for node in model.order():
        if node.id not in model.nodes:
            continue
        for rule in BEFORE_PULSIFY.rules(type(node.op)):
            patch = rule(node, model)
            if patch is not None:
                patch.apply()
                break
    return model
