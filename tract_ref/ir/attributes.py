"""Attributes of ops: the dims in them, at any depth.

An attribute is a dim, a tensor of dims, or a tuple, list, mapping or frozen dataclass of such (a
fact, the windows of a convolution). Sub-models are not attributes: whoever walks an op walks its
`bodies()` as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from tract_ref.dim import Dim, Scope, TDim, substitute
from tract_ref.ir.fact import TDIM, Tensor, substitute_dims

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def dims_of(value: object) -> Iterator[TDim]:
    """Yield every symbolic dim in an attribute."""
    if value is None or isinstance(value, int | float | str):
        return
    if isinstance(value, TDim):
        yield value
    elif isinstance(value, np.ndarray):
        tensor = cast("Tensor", value)
        for item in tensor.ravel().tolist() if tensor.dtype == TDIM else ():
            yield from dims_of(item)
    elif isinstance(value, Scope):
        for assertion in (*value.assertions, *(a for s in value.scenarios for a in s.assertions)):
            yield from dims_of(assertion)
    else:
        for _, item in _parts(value):
            yield from dims_of(item)


def mentions_symbol(value: object, symbol: str) -> bool:
    """Say whether an attribute contains `symbol`."""
    return any(symbol in dim.symbols for dim in dims_of(value))


def substituted_in(value: object, mapping: Mapping[str, Dim]) -> object:
    """Return an attribute with symbols replaced; the same object when none of them is in it."""
    if isinstance(value, TDim):
        return substitute(value, mapping)
    if isinstance(value, np.ndarray):
        tensor = cast("Tensor", value)
        known = any(not dim.symbols.isdisjoint(mapping) for dim in dims_of(tensor))
        return substitute_dims(tensor, mapping) if known else tensor
    if isinstance(value, Scope):
        return value if value.symbols.isdisjoint(mapping) else value.substitute(mapping)
    changed: dict[object, object] = {}
    for key, item in _parts(value):
        new = substituted_in(item, mapping)
        if new is not item:
            changed[key] = new
    return _with_parts(value, changed) if changed else value


def _parts(value: object) -> Iterator[tuple[object, object]]:
    """Yield what a container holds, by index, key or field name; nothing for other values."""
    if isinstance(value, tuple | list):
        yield from enumerate(cast("tuple[object, ...] | list[object]", value))
    elif isinstance(value, Mapping):
        yield from cast("Mapping[object, object]", value).items()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)


def _with_parts(value: object, changed: Mapping[object, object]) -> object:
    """Return a container of the same kind with some parts replaced."""
    if isinstance(value, tuple | list):
        kept = cast("tuple[object, ...] | list[object]", value)
        items = [changed.get(index, item) for index, item in enumerate(kept)]
        if isinstance(kept, list):
            return items
        # A named tuple is made from its parts by `_make`.
        make = cast("Callable[[list[object]], object]", getattr(type(kept), "_make", tuple))
        return make(items)
    if isinstance(value, Mapping):
        return {**cast("Mapping[object, object]", value), **changed}
    fields = {str(name): item for name, item in changed.items()}
    return dataclasses.replace(cast("DataclassInstance", value), **fields)
