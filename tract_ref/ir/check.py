"""The model's invariants, run around every pass.

Every input of a node exists; names are unique; facts are what `output_facts` gives for the input
facts (or cannot be told apart from it), and say nothing of single elements that it does not say;
inputs are sources; the graph has no cycle; sub-models hold too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from tract_ref.errors import InternalError, InvalidModel, TractRefError
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Const, Model, Node, Source, infer

P = ParamSpec("P")


class HasModel(Protocol):
    """The result of a pass that returns more than a model."""

    @property
    def model(self) -> Model:
        """The model."""
        ...


R = TypeVar("R", bound=Model | HasModel)
_every_fact: ContextVar[bool] = ContextVar("every_fact", default=False)


def checked(stage: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return the decorator of a pass: what it returns is checked, every time.

    The structure is checked; facts are computed again inside `checking_facts`. Every pass has this
    decorator, so that a broken model is caught behind the pass that broke it.

    Args:
        stage: name of the pass in messages.
    """

    def decorate(run: Callable[P, R]) -> Callable[P, R]:
        @wraps(run)
        def run_and_check(*args: P.args, **named: P.kwargs) -> R:
            result = run(*args, **named)
            if isinstance(result, Model) and args and result is args[0]:
                # Nothing was changed: this model was checked behind the pass that made it.
                return result
            require_sound(result if isinstance(result, Model) else result.model, stage=stage)
            return result

        return run_and_check

    return decorate


def require_sound(model: Model, *, stage: str) -> None:
    """Check what a pass has made, as `checked` does.

    Raises:
        InternalError: the model is broken. What a pass leaves of a valid model is valid: anything
            else is its bug.
    """
    try:
        check_model(model, stage=stage, facts=_every_fact.get())
    except InvalidModel as error:
        raise InternalError(error.seen, stage=stage, node=error.node, op=error.op) from error


@contextmanager
def checking_facts() -> Generator[None]:
    """Let every pass compute all facts again after it has run; for the suites."""
    token = _every_fact.set(True)
    try:
        yield
    finally:
        _every_fact.reset(token)


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
        _check_ends(model)
        is_ordered = _check_edges(model)
        if facts or not is_ordered:
            # There is an order only where there is no cycle.
            for node in model.order():
                if facts:
                    _check_facts(model, node)
        for node in model.nodes.values():
            for body in node.op.bodies():
                check_model(body, facts=facts)
    except TractRefError as error:
        raise error.at(stage=stage) from None


def _check_ends(model: Model) -> None:
    """Check what the model shows outside: inputs, outputs, labels."""
    nodes = model.nodes
    for outlet in (*model.inputs, *model.outputs, *model.labels):
        index, slot = outlet
        node = nodes.get(index)
        if node is None or slot >= len(node.outputs):
            raise InternalError(f"an input, output or label is at the missing outlet {outlet}")
    for outlet in model.inputs:
        if not isinstance(model.nodes[outlet.node].op, Source):
            raise InvalidModel("an input is not a Source", node=model.nodes[outlet.node].name)
    if len(model.outputs) != len(model.output_names):
        raise InvalidModel(f"{len(model.outputs)} outputs, {len(model.output_names)} names")


def _check_edges(model: Model) -> bool:
    """Check names, edges and arities; and the facts that are given with an op, not computed.

    Returns:
        Every node was added after what it reads, so that there is no cycle.
    """
    nodes, successors = model.nodes, model.successors
    if len({node.name for node in nodes.values()}) < len(nodes):
        counts = Counter(node.name for node in nodes.values())
        raise InvalidModel("the name is taken by another node", node=counts.most_common(1)[0][0])
    is_ordered = True
    for index, node in nodes.items():
        inputs = node.inputs
        if node.id != index:
            raise InvalidModel(f"has the id {node.id} and the place {index}", node=node.name)
        for outlet in inputs:
            below, slot = outlet
            producer = nodes.get(below)
            if producer is None or slot >= len(producer.outputs):
                raise InternalError(f"reads the missing outlet {outlet}", node=node.name)
            if index not in successors[below]:
                raise InternalError(f"is missing among the readers of {outlet}", node=node.name)
            if below >= index:
                is_ordered = False
        least, most = node.op.arity
        if len(inputs) < least or (most is not None and len(inputs) > most):
            raise InvalidModel(f"{len(inputs)} inputs", node=node.name, op=node.op.name)
        if not inputs:
            _check_given(node)
    return is_ordered


def _check_given(node: Node) -> None:
    """Check the fact of a source or a constant against what the op holds."""
    op, fact = node.op, node.outputs[0]
    given = op.tensor if isinstance(op, Const) else op.fact if isinstance(op, Source) else fact
    if given.dtype != fact.dtype or given.shape != fact.shape:
        seen = f"fact {fact} is not that of its op, {given.dtype} {list(given.shape)}"
        raise InvalidModel(seen, node=node.name, op=op.name)


def _check_facts(model: Model, node: Node) -> None:
    """Check every fact against the op's."""
    computed = infer(node.name, node.op, tuple(model.fact(o) for o in node.inputs))
    if len(computed) != len(node.outputs):
        raise InvalidModel("number of outputs differs from the op's", node=node.name)
    for declared, fresh in zip(node.outputs, computed, strict=True):
        if not same_fact(model, declared, fresh):
            raise InvalidModel(
                f"fact {declared} is not the op's fact {fresh}", node=node.name, op=node.op.name
            )
        if not declared.tells(fresh):
            raise InvalidModel(
                f"elements are declared to be {told(declared)}, the op says {told(fresh)}",
                node=node.name,
                op=node.op.name,
            )


def told(fact: Fact) -> str:
    """Return what a fact says of single elements."""
    parts = [str(fact.per_element)] if fact.per_element is not None else []
    parts += [f"all {fact.uniform}"] if fact.uniform is not None else []
    return " and ".join(parts) or "anything"


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
