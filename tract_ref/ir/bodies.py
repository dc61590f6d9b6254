"""Sub-models of ops: binding their symbols, and putting their nodes into another model.

The symbols of a body are its own. A dim of a body input that is a symbol alone stands for the dim
of the wire that feeds it; the other symbols of a body are those of the model around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tract_ref.dim import Dim, Scope, TDim, substitute
from tract_ref.errors import InvalidModel
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet, Source
from tract_ref.ir.op import Op

Wire = Callable[[str, Op, tuple[Outlet, ...]], tuple[Outlet, ...]]


def bound_symbols(body: Model, facts: Sequence[Fact]) -> dict[str, Dim]:
    """Return what the symbols of a body stand for when its inputs have these facts.

    Raises:
        InvalidModel: there are more or fewer inputs, or one has another dtype, rank or dim.
    """
    if len(facts) != len(body.inputs):
        raise InvalidModel(f"{len(facts)} wires for the {len(body.inputs)} inputs of a sub-model")
    declared = [body.fact(outlet) for outlet in body.inputs]
    mapping: dict[str, Dim] = {}
    for inner, outer in zip(declared, facts, strict=True):
        if inner.dtype == outer.dtype and inner.rank == outer.rank:
            for dim, given in zip(inner.shape, outer.shape, strict=True):
                name = _symbol_alone(dim)
                if name:
                    mapping.setdefault(name, given)
    scope = Scope()
    for name, inner, outer in zip(body.input_names, declared, facts, strict=True):
        fits = inner.dtype == outer.dtype and inner.rank == outer.rank
        if not fits or not all(
            scope.decide_equal(substitute(dim, mapping), given)
            for dim, given in zip(inner.shape, outer.shape, strict=True)
        ):
            raise InvalidModel(
                f"the input {name!r} of a sub-model is {inner}, the wire that feeds it {outer}",
                remedy="declare the input with the dims of the wire, or with symbols of its own",
            )
    return mapping


def _symbol_alone(dim: Dim) -> str:
    if isinstance(dim, TDim) and len(dim.symbols) == 1 and str(dim) in dim.symbols:
        return str(dim)
    return ""


def rebound(body: Model, facts: Sequence[Fact], scope: Scope) -> Model:
    """Return the body over the symbols of the model around it.

    Args:
        body: the body.
        facts: of the wires that feed it.
        scope: of the model around it.

    Raises:
        InvalidModel: the facts do not fit, or an op rejects them.
    """
    mapping = bound_symbols(body, facts)
    result = Model(scope)
    names = zip(body.input_names, facts, strict=True)
    inputs = [result.add_source(name, Fact(fact.dtype, fact.shape)) for name, fact in names]
    outlets = splice(body, inputs, result.wire, mapping)
    result.set_outputs(outlets, body.output_names)
    return result


def splice(
    body: Model, inputs: Sequence[Outlet], wire: Wire, mapping: Mapping[str, Dim]
) -> tuple[Outlet, ...]:
    """Add the nodes of a body elsewhere and return the wires of its outputs.

    Args:
        body: the body; it is not changed.
        inputs: wires that take the place of its inputs.
        wire: adds a node of a name, op and inputs.
        mapping: what its symbols stand for.
    """
    moved = dict(zip(body.inputs, inputs, strict=True))
    for node in body.order():
        if isinstance(node.op, Source):
            continue
        op = substituted(node.op, mapping)
        outlets = wire(node.name, op, tuple(moved[outlet] for outlet in node.inputs))
        moved |= {Outlet(node.id, slot): outlet for slot, outlet in enumerate(outlets)}
    return tuple(moved[outlet] for outlet in body.outputs)


def substituted(op: Op, mapping: Mapping[str, Dim]) -> Op:
    """Return an op with symbols replaced in its attributes and in its sub-models."""
    op = op.substitute(mapping)
    bodies = op.bodies()
    if not mapping or not bodies:
        return op
    fresh: list[Model] = []
    for body in bodies:
        facts = [body.fact(outlet).substitute(mapping) for outlet in body.inputs]
        result = Model(body.scope)
        names = zip(body.input_names, facts, strict=True)
        inputs = [result.add_source(name, fact) for name, fact in names]
        result.set_outputs(splice(body, inputs, result.wire, mapping), body.output_names)
        fresh.append(result)
    return op.with_bodies(tuple(fresh))
