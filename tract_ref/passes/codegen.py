"""Codegen: fusions that make a model quicker to run and round differently; never run unasked.

Declutter keeps every bit, so that a stream equals its batch; what is recognised here does not. Run
it on both sides of a comparison, or on neither.
"""

from __future__ import annotations

from collections.abc import Collection

from tract_ref.errors import InvalidModel, TractRefError
from tract_ref.ir.check import checked
from tract_ref.ir.model import Model
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DeclutterRule
from tract_ref.passes.rewrites.fuse import FUSE

STAGE = "codegen"


class _Context:
    def __init__(self, model: Model) -> None:
        self.model = model

    def patch(self) -> ModelPatch:
        """Return an empty patch over the model."""
        return ModelPatch(self.model)


def fusions() -> dict[str, DeclutterRule]:
    """Return every fusion by its name: `rms_norm`, `gelu`."""
    rules = [rule for key in FUSE.keys() for rule in FUSE.rules(key)]  # noqa: SIM118
    return {getattr(rule, "__name__", "").removeprefix("fuse_"): rule for rule in rules}


@checked(STAGE)
def codegen(model: Model, *, without: Collection[str] = ()) -> Model:
    """Return the model with fusions applied, once to every node, in order.

    Args:
        model: a decluttered model; it is not changed.
        without: names of fusions that are switched off.

    Raises:
        InvalidModel: no fusion has that name.
    """
    known = fusions()
    for name in without:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise InvalidModel(f"no fusion is called {name!r}", stage=STAGE, remedy=f"use {listed}")
    model = model.copy()
    off = [known[name] for name in without]
    context = _Context(model)
    for node in model.order():
        if node.id not in model.nodes:
            continue
        for rule in FUSE.rules(type(node.op)):
            try:
                patch = None if rule in off else rule(node.op, node, context)
            except TractRefError as error:
                raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
            if patch is not None:
                patch.apply()
                break
    return model
