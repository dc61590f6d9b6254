"""Merge of identical siblings: two nodes with equal ops over the same wires are one node.

One pass in evaluation order with dictionaries, so that whole equal branches fold from the front.
Equal stateful ops merge as well: their states start equal and see the same frames.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Hashable, Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ir.model import Const, Model, Node, Outlet, Source
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch


class Merged(NamedTuple):
    """How many nodes became another one, and the nodes whose surroundings changed by that."""

    nodes: int
    touched: list[int]


def merge_siblings(model: Model, order: Sequence[Node]) -> Merged:
    """Merge equal nodes of a model in place.

    Outputs keep their number and names (two may come to read one wire), labels move along.

    Args:
        model: edited, through one patch.
        order: its evaluation order.

    Returns:
        How many nodes were merged into another one, and what that touched.
    """
    firsts: dict[Hashable, Node | None] = {}
    seen: dict[Hashable, list[Node]] = {}
    moved: dict[Outlet, Outlet] = {}
    patch = ModelPatch(model)
    merged = 0
    for node in order:
        inputs = tuple([moved.get(outlet, outlet) for outlet in node.inputs])
        op = node.op
        shape = op.tensor.shape if not inputs and isinstance(op, Const) else None
        outside = (type(op), inputs, shape)
        if outside not in firsts:
            # Attributes are compared only where two nodes look alike from outside: most never do.
            firsts[outside] = node
            continue
        first = firsts[outside]
        if first is not None:
            _twin(first, inputs, seen)
            firsts[outside] = None
        twin = _twin(node, inputs, seen)
        if twin is None:
            continue
        merged += 1
        for slot in range(len(node.outputs)):
            moved[Outlet(node.id, slot)] = Outlet(twin.id, slot)
        patch.merge(node, twin)
    return Merged(merged, patch.apply() if merged else [])


def _twin(node: Node, inputs: tuple[Outlet, ...], seen: dict[Hashable, list[Node]]) -> Node | None:
    """Return an equal node that was seen before; if there is none, this one is seen from now on."""
    key = _key(node, inputs)
    if key is None:
        return None
    alike = seen.setdefault(key, [])
    twin = next((other for other in alike if _same_value(other.op, node.op)), None)
    if twin is None:
        alike.append(node)
    return twin


def _key(node: Node, inputs: tuple[Outlet, ...]) -> Hashable | None:
    """Return what equal nodes have in common, None for a node that is never merged."""
    op = node.op
    if isinstance(op, Source):
        return None
    if isinstance(op, Const):
        return _const_key(op.tensor)
    fields = _fields(type(op))
    if fields is None:
        return None
    key = (type(op), inputs, tuple(_exact(getattr(op, name)) for name in fields))
    try:
        hash(key)
    except TypeError:
        return None
    return key


@cache
def _fields(kind: type[Op]) -> tuple[str, ...] | None:
    """Return the names of an op's attributes, None where equal ones do not make it equal."""
    # An op class without value equality says that its instances are not interchangeable.
    if kind.__eq__ is object.__eq__ or not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def _exact(value: object) -> object:
    """Return a value that is equal only for the same number: 0, 0.0, -0.0 and False all differ."""
    if isinstance(value, float):
        # NaN is not equal to itself, its text is.
        return (float, value.hex())
    if isinstance(value, tuple):
        return (tuple, tuple(_exact(item) for item in cast("tuple[object, ...]", value)))
    return (type(value), value)


def _const_key(tensor: Tensor) -> Hashable:
    """Return a key that finds equal tensors; `_same_value` then compares them."""
    if tensor.dtype == TDIM:
        return (Const, tensor.shape, tuple(_exact(dim) for dim in tensor.ravel().tolist()))
    return (Const, tensor.dtype, tensor.shape, zlib.crc32(_bytes(tensor).data))


def _bytes(tensor: Tensor) -> Tensor:
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)


def _same_value(a: Op, b: Op) -> bool:
    """Compare two constants of one key bit for bit; other ops of one key are equal already."""
    if not isinstance(a, Const) or not isinstance(b, Const) or a.tensor.dtype == TDIM:
        return True
    return a.tensor is b.tensor or bool(np.array_equal(_bytes(a.tensor), _bytes(b.tensor)))
