"""Model: nodes, wires and facts; the structural ops Source and Const; evaluation order.

A model is built with `add_source`, `add_const` and `wire`; once built it is edited only by a
`ModelPatch`. Every wire of the source document keeps its name as a *label*: passes move labels with
the value, so that a message about a transformed model can name the wire that the user wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from tract_ref.dim import Scope
from tract_ref.errors import InternalError, InvalidModel, TractRefError
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.per_element import require_no_coordinates

# More than these say nothing that a reader can use.
MOST_ORIGINS = 8
MORE = "…"


class Outlet(NamedTuple):
    """One output of one node."""

    node: int
    slot: int = 0


@dataclass(slots=True)
class Node:
    """An op applied to wires.

    Attributes:
        id: key in `Model.nodes`.
        name: unique in the model.
        op: what is applied.
        inputs: the wires it reads, in the op's order.
        outputs: one fact per output.
        origin: names of the nodes of the source document that it comes from, at most
            `MOST_ORIGINS`, then `…`; its own name for a node that no pass has made.
    """

    id: int
    name: str
    op: Op
    inputs: tuple[Outlet, ...]
    outputs: tuple[Fact, ...]
    origin: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source(Op):
    """A model input."""

    fact: Fact
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the declared fact."""
        return (self.fact,)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A source is fed, never evaluated."""
        raise InternalError("a Source is fed by the session")

    def describe(self) -> str:
        """Return the fact."""
        return str(self.fact)


@dataclass(frozen=True, eq=False)
class Const(Op):
    """A constant of the model."""

    tensor: Tensor
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the fact of the tensor."""
        return (Fact.of(self.tensor),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the tensor; a tensor of dims is evaluated to i64 by whoever reads it."""
        return (self.tensor,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """A constant has no input axis."""
        return AxesMapping.disconnected()


class Model:
    """A graph of nodes.

    Attributes:
        nodes: by id.
        inputs: outlets of the sources, in the order that callers feed them.
        outputs: outlets that callers read.
        output_names: one name per output.
        scope: what is known about the symbols.
        labels: names of source-document wires, by the outlet that carries the value now.
        properties: named tensors (`pulse.delay`, …).
        has_regions: facts carry regions of interest, which any edit makes stale.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self.nodes: dict[int, Node] = {}
        self.inputs: list[Outlet] = []
        self.outputs: list[Outlet] = []
        self.output_names: list[str] = []
        self.scope: Scope = scope if scope is not None else Scope()
        self.labels: dict[Outlet, tuple[str, ...]] = {}
        self.properties: dict[str, Tensor] = {}
        self.has_regions = False
        self.successors: dict[int, dict[int, int]] = {}
        self.next_id = 0
        self._by_name: dict[str, int] = {}

    # Building

    def unique_name(self, name: str) -> str:
        """Return `name`, or `name#1`, `name#2`, … when it is taken."""
        if name not in self._by_name:
            return name
        number = 1
        while f"{name}#{number}" in self._by_name:
            number += 1
        return f"{name}#{number}"

    def add_source(self, name: str, fact: Fact) -> Outlet:
        """Add a model input."""
        (outlet,) = self.wire(name, Source(fact), ())
        self.inputs.append(outlet)
        return outlet

    def add_const(self, name: str, tensor: Tensor, *, origin: tuple[str, ...] = ()) -> Outlet:
        """Add a constant."""
        return self.wire(name, Const(tensor), (), origin=origin)[0]

    def wire(
        self, name: str, op: Op, inputs: Sequence[Outlet], *, origin: tuple[str, ...] = ()
    ) -> tuple[Outlet, ...]:
        """Add a node.

        Args:
            name: unique name of the node.
            op: what to apply.
            inputs: existing outlets, in the op's order.
            origin: the nodes that it comes from, empty for a new node.

        Returns:
            One outlet per output of the op.

        Raises:
            InvalidModel: the name is taken, the arity is wrong, or the op rejects the input facts;
                the error names the node.
        """
        if name in self._by_name:
            raise InvalidModel("the name is already taken by another node", node=name, op=op.name)
        self.forget_regions()
        facts = infer(name, op, tuple([self.fact(outlet) for outlet in inputs]))
        node = Node(self.next_id, name, op, tuple(inputs), facts, origin or (name,))
        self.next_id += 1
        self.insert(node)
        return tuple([Outlet(node.id, slot) for slot in range(len(facts))])

    def set_outputs(self, outlets: Iterable[Outlet], names: Iterable[str]) -> None:
        """Choose the outputs and their names."""
        self.forget_regions()
        self.outputs = list(outlets)
        self.output_names = list(names)

    def label(self, outlet: Outlet, name: str) -> None:
        """Remember that `outlet` carries the wire that the source document calls `name`."""
        known = self.labels.get(outlet, ())
        if name not in known:
            self.labels[outlet] = (*known, name)

    # Reading

    def fact(self, outlet: Outlet) -> Fact:
        """Return the fact of a wire."""
        return self.nodes[outlet[0]].outputs[outlet[1]]

    def node_named(self, name: str) -> Node:
        """Return the node called `name`.

        Raises:
            InvalidModel: no such node.
        """
        found = self._by_name.get(name)
        if found is None:
            raise InvalidModel(f"no node is called {name!r}")
        return self.nodes[found]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in feeding order."""
        return [self.nodes[outlet.node].name for outlet in self.inputs]

    def const_of(self, outlet: Outlet) -> Tensor | None:
        """Return the constant carried by a wire, None when it is not constant."""
        return self.fact(outlet).const

    def consumers(self, node: int) -> list[Node]:
        """Return the nodes that read any output of `node`, in order of id."""
        return [self.nodes[i] for i in sorted(self.successors.get(node, ()))]

    def uses(self, outlet: Outlet) -> int:
        """Count the input slots and model outputs that read a wire."""
        count = sum(out == outlet for out in self.outputs)
        for successor in self.successors.get(outlet.node, ()):
            count += sum(wire == outlet for wire in self.nodes[successor].inputs)
        return count

    def wire_name(self, outlet: Outlet) -> str:
        """Return the name of a wire for messages: its label, else its node's name."""
        known = self.labels.get(outlet)
        if known:
            return known[0]
        node = self.nodes[outlet.node]
        return node.name if len(node.outputs) == 1 else f"{node.name}.{outlet.slot}"

    def order(self) -> list[Node]:
        """Return the nodes that the inputs and outputs need, each after what it reads.

        Raises:
            InvalidModel: the graph has a cycle.
        """
        nodes = self.nodes
        done: set[int] = set()
        order: list[Node] = []
        for root, _ in (*self.inputs, *self.outputs):
            if root in done:
                continue
            # The path from the root down, each node with the inputs that are still to be looked at.
            path = {root: iter(nodes[root].inputs)}
            names = [root]
            while names:
                current = names[-1]
                for below, _ in path[current]:
                    if below in done:
                        continue
                    node = nodes[below]
                    if below in path:
                        raise InvalidModel(
                            f"the graph has a cycle through {node.name!r}",
                            node=nodes[current].name,
                            op=nodes[current].op.name,
                        )
                    if node.inputs:
                        path[below] = iter(node.inputs)
                        names.append(below)
                        break
                    done.add(below)
                    order.append(node)
                else:
                    del path[names.pop()]
                    done.add(current)
                    order.append(nodes[current])
        return order

    def op_counts(self) -> dict[str, int]:
        """Count the live nodes by op name, sources and constants left out."""
        counts: dict[str, int] = {}
        for node in self.order():
            if not isinstance(node.op, Source | Const):
                counts[node.op.name] = counts.get(node.op.name, 0) + 1
        return dict(sorted(counts.items()))

    # Structure, for patches

    def insert(self, node: Node) -> None:
        """Insert a finished node; only `wire` and patches call this."""
        index, successors = node.id, self.successors
        self.nodes[index] = node
        self._by_name[node.name] = index
        successors.setdefault(index, {})
        for producer, _ in node.inputs:
            below = successors[producer]
            below[index] = below.get(index, 0) + 1
        if index >= self.next_id:
            self.next_id = index + 1

    def remove(self, node: Node) -> None:
        """Remove a node that nothing reads; only patches call this."""
        del self.nodes[node.id]
        del self._by_name[node.name]
        del self.successors[node.id]
        for outlet in node.inputs:
            self._unlink(outlet.node, node.id)
        for slot in range(len(node.outputs)):
            self.labels.pop(Outlet(node.id, slot), None)

    def annotate(self, node: Node, op: Op, outputs: tuple[Fact, ...]) -> None:
        """Put regions of interest into the facts of a node, and into its sub-models."""
        node.op, node.outputs = op, outputs
        self.has_regions = True

    def forget_regions(self) -> None:
        """Drop every region of interest; at no cost when there is none."""
        if self.has_regions:
            for node in self.nodes.values():
                node.outputs = tuple(replace(fact, region=None) for fact in node.outputs)
            self.has_regions = False

    def rename(self, node: Node, name: str) -> None:
        """Give a node another free name; only patches call this."""
        if self._by_name.get(name, node.id) != node.id:
            raise InternalError(f"rename to the taken name {name!r}")
        del self._by_name[node.name]
        node.name = name
        self._by_name[name] = node.id

    def relink(self, node: Node, inputs: tuple[Outlet, ...]) -> None:
        """Change what a node reads; only patches call this."""
        for outlet in node.inputs:
            self._unlink(outlet.node, node.id)
        node.inputs = inputs
        for outlet in inputs:
            below = self.successors[outlet.node]
            below[node.id] = below.get(node.id, 0) + 1

    def _unlink(self, producer: int, consumer: int) -> None:
        below = self.successors.get(producer)
        if below is None:
            return
        below[consumer] -= 1
        if not below[consumer]:
            del below[consumer]

    def copy(self) -> Model:
        """Return an independent model that shares facts, ops and tensors."""
        other = Model(self.scope)
        other.nodes = {
            i: Node(n.id, n.name, n.op, n.inputs, n.outputs, n.origin)
            for i, n in self.nodes.items()
        }
        other.inputs = list(self.inputs)
        other.outputs = list(self.outputs)
        other.output_names = list(self.output_names)
        other.labels = dict(self.labels)
        other.properties = dict(self.properties)
        other.has_regions = self.has_regions
        other.successors = {i: dict(below) for i, below in self.successors.items()}
        other.next_id = self.next_id
        other._by_name = dict(self._by_name)
        return other


def joined(origins: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the union of origins, in order; names beyond `MOST_ORIGINS` become one `…`."""
    names = dict.fromkeys(name for origin in origins for name in origin)
    more = names.pop(MORE, "") is None or len(names) > MOST_ORIGINS
    return (*list(names)[:MOST_ORIGINS], *([MORE] if more else []))


def infer(name: str, op: Op, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Return the output facts of an op, with errors that name the node.

    Raises:
        InvalidModel: wrong arity, the op rejects the facts, or a dim has a symbol named like the
            coordinate of an axis.
    """
    least, most = op.arity
    if len(facts) < least or (most is not None and len(facts) > most):
        wanted = (
            str(least) if most == least else f"{least} to {most if most is not None else 'any'}"
        )
        raise InvalidModel(f"{len(facts)} inputs where {wanted} are needed", node=name, op=op.name)
    try:
        found = op.output_facts(facts)
        for fact in found:
            require_no_coordinates(fact.shape)
        if not facts and isinstance(op, Const) and op.tensor.dtype == TDIM:
            require_no_coordinates(op.tensor.ravel())
        return found
    except TractRefError as error:
        raise error.at(node=name, op=op.name) from None


def constant(value: object, dtype: str = "f32") -> Tensor:
    """Return a tensor for `add_const`."""
    from_name = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "bool": np.bool_}
    return np.asarray(value, dtype=from_name[dtype])
