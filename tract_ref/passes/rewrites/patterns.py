"""What recognitions look at: which op makes a wire, and constants that are one number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op

T = TypeVar("T", bound=Op)


def made_by(model: Model, wire: Outlet, kind: type[T]) -> tuple[T, tuple[Outlet, ...]] | None:
    """Return the op that makes a wire and what it reads, None when it is of another kind."""
    node = model.nodes[wire.node]
    return (node.op, node.inputs) if isinstance(node.op, kind) else None


def either_way(node: Node) -> Iterator[tuple[Outlet, Outlet]]:
    """Yield the two inputs of a commutative op, and the same the other way round."""
    first, second = node.inputs
    yield first, second
    yield second, first


def number_of(model: Model, wire: Outlet) -> float | int | None:
    """Return the number that every element of a constant wire is, None when there is none."""
    value = model.const_of(wire)
    if value is None or not value.size or value.dtype.kind not in "iuf":
        return None
    first = value.ravel()[0]
    return first.item() if bool(np.all(value == first)) else None
