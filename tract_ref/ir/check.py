"""The model's invariants, run around every pass.

Every input of a node exists; names are unique; facts are what `output_facts` gives for the input
facts (or cannot be told apart from it); inputs are sources; the graph has no cycle; sub-models hold
too.
"""

from __future__ import annotations

from tract_ref.errors import InternalError, InvalidModel, TractRefError
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Node, Source, infer


def check_model(model: Model, *, stage: str = "", facts: bool = True) -> None:
    """Check a model.

    Args:
        model: the model.
        stage: the pass after which it is checked, for the message.
        facts: recompute every fact (the costly part).

    Raises:
        InvalidModel: an invariant is broken; names the node.
    """
    try:
        names: set[str] = set()
        for node in model.order():
            if node.name in names:
                raise InvalidModel("the name is taken by another node", node=node.name)
            names.add(node.name)
            _check_node(model, node, facts)
        for outlet in model.inputs:
            if not isinstance(model.nodes[outlet.node].op, Source):
                raise InvalidModel("an input is not a Source", node=model.nodes[outlet.node].name)
        if len(model.outputs) != len(model.output_names):
            raise InvalidModel(f"{len(model.outputs)} outputs, {len(model.output_names)} names")
    except TractRefError as error:
        raise error.at(stage=stage) from None


def _check_node(model: Model, node: Node, facts: bool) -> None:
    for outlet in node.inputs:
        producer = model.nodes.get(outlet.node)
        if producer is None or outlet.slot >= len(producer.outputs):
            raise InternalError(f"reads the missing outlet {outlet}", node=node.name)
        if node.id not in model.successors[outlet.node]:
            raise InternalError(f"is missing among the readers of {outlet}", node=node.name)
    if facts:
        computed = infer(node.name, node.op, tuple(model.fact(o) for o in node.inputs))
        if len(computed) != len(node.outputs):
            raise InvalidModel("number of outputs differs from the op's", node=node.name)
        for declared, fresh in zip(node.outputs, computed, strict=True):
            if not same_fact(model, declared, fresh):
                raise InvalidModel(
                    f"fact {declared} is not the op's fact {fresh}", node=node.name, op=node.op.name
                )
    for body in node.op.bodies():
        check_model(body, facts=facts)


def same_fact(model: Model, a: Fact, b: Fact) -> bool:
    """Say whether two facts may describe one tensor: dtype, rank and, as far as known, dims."""
    return (
        a.dtype == b.dtype
        and a.rank == b.rank
        and all(
            model.scope.decide_equal(x, y) is not False
            for x, y in zip(a.shape, b.shape, strict=True)
        )
    )
