"""ModelPatch: the only way to edit a model.

A patch stages new nodes over existing outlets, then redirects (shunts) the readers of old outlets
to new ones. `apply` checks that facts agree, moves labels along, removes what nothing reads any
more, and returns the nodes whose surroundings changed, so that a work-list driver need not rescan
the graph. A staged node comes from the nodes whose readers are redirected, and from those that
vanish with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from tract_ref.errors import InternalError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Const, Model, Node, Outlet, Source, infer, joined
from tract_ref.ir.op import Op


class ModelPatch:
    """Staged edits of one model.

    Args:
        model: the model to edit; it is not changed before `apply`.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._staged: dict[int, Node] = {}
        self._shunts: list[tuple[Outlet, Outlet]] = []
        self._merged: list[tuple[Node, Node]] = []
        self._next_id = model.next_id
        self._names: set[str] = set()

    def fact(self, outlet: Outlet) -> Fact:
        """Return the fact of an existing or staged wire."""
        staged = self._staged.get(outlet.node)
        return staged.outputs[outlet.slot] if staged is not None else self.model.fact(outlet)

    def wire(self, name: str, op: Op, inputs: Sequence[Outlet]) -> tuple[Outlet, ...]:
        """Stage a node; a taken name gets a number.

        Raises:
            InvalidModel: wrong arity, or the op rejects the input facts.
        """
        unique = self.model.unique_name(name)
        number = 0
        while unique in self._names:
            number += 1
            unique = self.model.unique_name(f"{name}#{number}")
        facts = infer(unique, op, tuple(self.fact(outlet) for outlet in inputs))
        node = Node(self._next_id, unique, op, tuple(inputs), facts, (unique,))
        self._next_id += 1
        self._staged[node.id] = node
        self._names.add(unique)
        return tuple(Outlet(node.id, slot) for slot in range(len(facts)))

    def const(self, name: str, tensor: Tensor) -> Outlet:
        """Stage a constant."""
        return self.wire(name, Const(tensor), ())[0]

    def shunt(self, old: Outlet, new: Outlet) -> None:
        """Make every reader of `old` read `new`.

        Raises:
            InternalError: the two facts cannot be the same tensor: a rule is wrong.
        """
        before, after = self.model.fact(old), self.fact(new)
        same = before.dtype == after.dtype and before.rank == after.rank
        if same:
            scope = self.model.scope
            same = all(
                scope.decide_equal(a, b) is not False
                for a, b in zip(before.shape, after.shape, strict=True)
                if a is not b
            )
        if not same:
            name = self.model.wire_name(old)
            raise InternalError(f"a patch replaces wire {name!r} of fact {before} by {after}")
        self._shunts.append((old, new))

    def merge(self, node: Node, twin: Node) -> None:
        """Make every reader of `node` read the same output of its equal `twin`."""
        for slot in range(len(node.outputs)):
            self.shunt(Outlet(node.id, slot), Outlet(twin.id, slot))
        self._merged.append((node, twin))

    @staticmethod
    def replace(model: Model, node: Node, op: Op, inputs: Sequence[Outlet]) -> ModelPatch:
        """Return the patch that puts another op in the place of `node`, under the same name."""
        patch = ModelPatch(model)
        for slot, outlet in enumerate(patch.wire(node.name, op, inputs)):
            patch.shunt(Outlet(node.id, slot), outlet)
        return patch

    @staticmethod
    def bypass(model: Model, node: Node, outlet: Outlet) -> ModelPatch:
        """Return the patch that makes the readers of a single-output node read `outlet`."""
        patch = ModelPatch(model)
        patch.shunt(Outlet(node.id, 0), outlet)
        return patch

    def apply(self) -> list[int]:
        """Edit the model; its regions of interest are forgotten.

        Returns:
            Ids of the nodes whose op, inputs or readers changed and that still exist.
        """
        model = self.model
        for node in self._staged.values():
            model.insert(node)
        model.forget_regions()
        touched: set[int] = set(self._staged)
        suspects: list[int] = [*self._staged]
        for old, new in self._shunts:
            touched |= self._redirect(old, new)
            suspects.append(old.node)
        for node, twin in self._merged:
            twin.origin = joined((twin.origin, node.origin))
        freed = self._free_names()
        replaced = [model.nodes[old.node] for old, _ in self._shunts] if self._staged else []
        removed = self._sweep(suspects)
        touched |= {outlet.node for node in removed for outlet in node.inputs}
        self._reclaim_names(freed)
        self._trace(replaced, removed)
        return sorted(i for i in touched if i in model.nodes)

    def _redirect(self, old: Outlet, new: Outlet) -> set[int]:
        model = self.model
        touched = {new.node}
        before, after = model.fact(old), self.fact(new)
        readers: list[int] = []
        for consumer in model.consumers(old.node):
            # The staged node may itself read what it replaces (x -> f(x) in the place of x).
            if consumer.id in self._staged or old not in consumer.inputs:
                continue
            inputs = tuple(new if wire == old else wire for wire in consumer.inputs)
            model.relink(consumer, inputs)
            touched.add(consumer.id)
            readers.append(consumer.id)
        if not before.tells(after) or not after.tells(before) or before.shape != after.shape:
            touched |= self._tell(readers)
        model.outputs = [new if outlet == old else outlet for outlet in model.outputs]
        for name in model.labels.pop(old, ()):
            model.label(new, name)
        return touched

    def _tell(self, nodes: list[int]) -> set[int]:
        """Say anew what is known of single elements, from nodes on, as far as it changes."""
        model = self.model
        changed: set[int] = set()
        queue = deque(nodes)
        while queue:
            node = model.nodes[queue.popleft()]
            known = node.outputs
            fresh = infer(node.name, node.op, tuple(model.fact(wire) for wire in node.inputs))
            pairs = list(zip(known, fresh, strict=True))
            if all(old.tells(new) and new.tells(old) for old, new in pairs):
                continue
            node.outputs = tuple(
                replace(old, uniform=new.uniform, per_element=new.per_element) for old, new in pairs
            )
            changed.add(node.id)
            queue.extend(i for i in model.successors[node.id] if i not in queue)
        return changed

    def _free_names(self) -> dict[int, str]:
        """Return the names that staged replacements want back once the old node is gone."""
        model = self.model
        return {
            new.node: model.nodes[old.node].name
            for old, new in self._shunts
            if new.node in self._staged and old.slot == 0
        }

    def _reclaim_names(self, wanted: dict[int, str]) -> None:
        model = self.model
        for node_id, name in wanted.items():
            node = model.nodes.get(node_id)
            if node is not None and model.unique_name(name) == name:
                model.rename(node, name)

    def _trace(self, replaced: list[Node], removed: list[Node]) -> None:
        """Set where the staged nodes come from; what was folded away with an op is part of it."""
        folded = (node for node in removed if not isinstance(node.op, Const))
        gone = [node for node in (*replaced, *folded) if node.id not in self._staged]
        origin = joined(node.origin for node in gone)
        for node in self._staged.values():
            node.origin = origin or node.origin

    def _sweep(self, suspects: list[int]) -> list[Node]:
        """Remove suspects that nothing reads, and what only they read; return them."""
        model = self.model
        kept = {outlet.node for outlet in model.outputs}
        removed: list[Node] = []
        while suspects:
            node = model.nodes.get(suspects.pop())
            if node is None or model.successors[node.id] or node.id in kept:
                continue
            if isinstance(node.op, Source):
                continue
            model.remove(node)
            removed.append(node)
            suspects.extend(outlet.node for outlet in node.inputs)
        return removed
