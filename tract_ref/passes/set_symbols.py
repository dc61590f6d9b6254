"""set_symbols: replace symbols by integers or expressions, in facts, attributes, sub-models."""

from __future__ import annotations

from collections.abc import Mapping

from tract_ref.dim import Dim, Scope, TDim, sym
from tract_ref.errors import InvalidModel
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet, Source

STAGE = "set_symbols"


def set_symbols(model: Model, values: Mapping[str, Dim]) -> Model:
    """Return the model with symbols replaced.

    Args:
        model: the model; it is not changed.
        values: new value per symbol.

    Returns:
        A model with the same nodes and names, facts computed again.

    Raises:
        InvalidModel: an op rejects the new facts, the values break an assertion, or a value is
            neither a dimension nor an integer of 0 or more.
    """
    for name, value in values.items():
        _require_dim(name, value)
    return _rebuild(model, values, model.scope.substitute(values), {})


def _require_dim(name: str, value: object) -> None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_size and not isinstance(value, TDim):
        raise InvalidModel(
            f"{name}={value!r} is not a size",
            stage=STAGE,
            remedy="use an integer of 0 or more, or a dimension",
        )


def stream_axis(model: Model, symbol: str, axes: Mapping[str, int]) -> Model:
    """Make fixed dimensions of inputs the stream symbol, and compute every fact again.

    Args:
        model: a model whose inputs have fixed dimensions; it is not changed.
        symbol: the stream symbol.
        axes: per input name, the axis whose dim becomes the symbol.

    Returns:
        A model with the same nodes and names, facts computed again.

    Raises:
        InvalidModel: no such input or axis, or an op rejects the symbolic dimension.
    """
    facts: dict[str, Fact] = {}
    for name, axis in axes.items():
        if name not in model.input_names:
            known = ", ".join(model.input_names)
            raise InvalidModel(f"no input is called {name!r}", remedy=f"inputs are: {known}")
        fact = model.fact(Outlet(model.node_named(name).id))
        if not 0 <= axis < fact.rank:
            raise InvalidModel(f"input {name!r} of fact {fact} has no axis {axis}")
        facts[name] = fact.with_dim(axis, sym(symbol))
    return _rebuild(model, {}, model.scope, facts)


def _rebuild(
    model: Model, values: Mapping[str, Dim], scope: Scope, sources: Mapping[str, Fact]
) -> Model:
    result = Model(scope)
    moved: dict[Outlet, Outlet] = {}
    for node in model.order():
        op = Source(sources[node.name]) if node.name in sources else node.op.substitute(values)
        if op.bodies():
            op = op.with_bodies(tuple(_rebuild(b, values, scope, {}) for b in op.bodies()))
        outlets = result.wire(node.name, op, tuple(moved[outlet] for outlet in node.inputs))
        for slot, outlet in enumerate(outlets):
            moved[Outlet(node.id, slot)] = outlet
            for name in model.labels.get(Outlet(node.id, slot), ()):
                result.label(outlet, name)
    result.inputs = [moved[outlet] for outlet in model.inputs]
    result.set_outputs((moved[outlet] for outlet in model.outputs), model.output_names)
    result.properties = dict(model.properties)
    return result
