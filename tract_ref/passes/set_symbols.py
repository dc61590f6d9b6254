"""set_symbols: replace symbols by integers or expressions, wherever a model speaks of them.

Facts, attributes at any depth, sub-models, assertions, scenarios and properties are all reached;
facts are computed again, names stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from tract_ref.dim import Dim, Scope, TDim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.attributes import dims_of, substituted_in
from tract_ref.ir.check import checked
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model, Outlet, Source
from tract_ref.ir.per_element import is_coordinate, require_no_coordinates

STAGE = "set_symbols"
_STREAM = "pulse.streaming_symbol"


@checked(STAGE)
def set_symbols(model: Model, values: Mapping[str, Dim]) -> Model:
    """Return the model with symbols replaced.

    Args:
        model: the model; it is not changed.
        values: new value per symbol, all replaced at once; names that are not in it are ignored.

    Returns:
        A model with the same nodes and names, facts computed again.

    Raises:
        InvalidModel: an op rejects the new facts, the values break an assertion or every scenario,
            a value is neither a dimension nor an integer of 0 or more, or a symbol is named like
            the coordinate of an axis.
        Refused: the stream symbol of a pulsified model is replaced.
    """
    for name, value in values.items():
        _require_dim(name, value)
    named = (sym(name) for name in values if is_coordinate(name))
    require_no_coordinates((*named, *values.values()))
    stream = str(model.properties.get(_STREAM, ""))
    if stream in values:
        raise Refused(
            f"{stream} is the stream symbol of a pulsified model",
            stage=STAGE,
            remedy="set it before pulsify, or announce the length: Plan.session({symbol: length})",
        )
    scope = model.scope.substitute(values)
    _require_kept(model.scope, scope, values)
    return _rebuild(model, values, scope, {})


def _require_dim(name: str, value: object) -> None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_size and not isinstance(value, TDim):
        raise InvalidModel(
            f"{name}={value!r} is not a size",
            stage=STAGE,
            remedy="use an integer of 0 or more, or a dimension",
        )


def _require_kept(before: Scope, after: Scope, values: Mapping[str, Dim]) -> None:
    """Check that what was promised is not false now, for any values of the symbols left."""
    given = ", ".join(f"{name}={value}" for name, value in sorted(values.items()))
    if after.holds({}) is not False:
        never = "; ".join(after.contradiction)
        if never:
            raise InvalidModel(
                f"{given} breaks what the model promises: nothing admits {never}",
                stage=STAGE,
                remedy="use other values",
            )
        return
    replaced = ((a, a.substitute(values)) for a in before.assertions)
    broken = ", ".join(str(old) for old, new in replaced if new.holds({}) is False)
    rule = f"the assertion {broken}" if broken else "every scenario"
    listed = "" if broken else f" ({'; '.join(str(s) for s in before.scenarios)})"
    raise InvalidModel(
        f"{given} breaks {rule} of the model{listed}", stage=STAGE, remedy="use other values"
    )


def symbols_of(model: Model) -> frozenset[str]:
    """Return the symbols that a model speaks of, anywhere; coordinates of elements are none."""
    found = model.scope.symbols.union(*(dim.symbols for dim in _dims(model)))
    return frozenset(name for name in found if not is_coordinate(name))


def _dims(model: Model) -> Iterator[TDim]:
    for node in model.order():
        yield from dims_of(node.outputs)
        yield from dims_of(node.op)
        for body in node.op.bodies():
            yield from _dims(body)
    yield from dims_of(model.properties)


@checked("stream axis")
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
        inputs = tuple(moved[outlet] for outlet in node.inputs)
        outlets = result.wire(node.name, op, inputs, origin=node.origin)
        for slot, outlet in enumerate(outlets):
            moved[Outlet(node.id, slot)] = outlet
            for name in model.labels.get(Outlet(node.id, slot), ()):
                result.label(outlet, name)
    result.inputs = [moved[outlet] for outlet in model.inputs]
    result.set_outputs((moved[outlet] for outlet in model.outputs), model.output_names)
    result.properties = cast("dict[str, Tensor]", substituted_in(dict(model.properties), values))
    return result
