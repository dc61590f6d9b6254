"""Rewrites that only make sense when a model is about to be pulsified."""

from __future__ import annotations

from tract_ref.ir.check import checked
from tract_ref.ir.model import Model
from tract_ref.passes.rewrites.fold_padding import BEFORE_PULSIFY


@checked("before pulsify")
def before_pulsify(model: Model) -> Model:
    """Return the model with BEFORE_PULSIFY applied once to every node, in order.

    A model that no rule applies to is returned as it is.

    Splitting padding from the windowed op that follows would cost real delay: a Pad emits its
    frames over time, a padded window does not.
    """
    result, is_changed = model.copy(), False
    for node in result.order():
        if node.id not in result.nodes:
            continue
        for rule in BEFORE_PULSIFY.rules(type(node.op)):
            patch = rule(node, result)
            if patch is not None:
                patch.apply()
                is_changed = True
                break
    return result if is_changed else model
