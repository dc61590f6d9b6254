"""Declutter: drives the DECLUTTER table to a fixpoint with a work-list, no rescanning.

Three things happen to a node: its rules are tried in file order; when all it reads is constant it
is evaluated; when an equal node reads the same wires the two become one. Whatever a patch touches
is looked at again. The input model is left as it was.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tract_ref.errors import InternalError, TractRefError
from tract_ref.ir.check import checked
from tract_ref.ir.fact import TDIM
from tract_ref.ir.model import Const, Model, Node, Outlet, Source
from tract_ref.ir.op import Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER
from tract_ref.passes import rewrites
from tract_ref.passes.rewrites.merge_siblings import merge_siblings

STAGE = "declutter"
LOADED = (rewrites,)  # importing them registers the rules that mix families
# A folded constant may be larger than what it is computed from up to this size, as in tract.
_FOLDED_BYTES = 4 << 20
# No rule chain of a real model comes near: beyond it, two rules undo each other.
_VISITS_PER_NODE = 200


@dataclass
class Rewrites:
    """What declutter did; counts of several runs may be added up in one record.

    Attributes:
        fired: per rule, by the name of its function, how many times it changed the model.
        visits: how many times a node was looked at.
    """

    fired: Counter[str] = field(default_factory=lambda: Counter[str]())
    visits: int = 0

    @property
    def total(self) -> int:
        """Number of changes."""
        return self.fired.total()

    def count(self, rule: object, times: int = 1) -> None:
        """Count changes by a rule, a function."""
        self.fired[getattr(rule, "__name__", str(rule)).removeprefix("_")] += times

    def add(self, other: Rewrites) -> None:
        """Add the counts of another record."""
        self.fired.update(other.fired)
        self.visits += other.visits


class _Declutter:
    """One run over one model; also the context of its rules."""

    def __init__(self, model: Model, nodes: Iterable[int], record: Rewrites) -> None:
        self.model = model
        self.record = record
        self._queue: deque[int] = deque(nodes)
        self._queued: set[int] = set(self._queue)
        self._budget = _VISITS_PER_NODE * (len(model.nodes) + 10)

    def patch(self) -> ModelPatch:
        """Return an empty patch over the model."""
        return ModelPatch(self.model)

    def run(self) -> bool:
        """Empty the work-list; return whether the model has changed."""
        changed = False
        while self._queue:
            node_id = self._queue.popleft()
            self._queued.discard(node_id)
            node = self.model.nodes.get(node_id)
            if node is None or (not node.inputs and isinstance(node.op, Source | Const)):
                continue
            self.record.visits += 1
            self._budget -= 1
            if self._budget < 0:
                raise InternalError(
                    "rules undo each other", stage=STAGE, node=node.name, op=node.op.name
                )
            patch = self._simplify(node)
            if patch is not None:
                self.touch(patch.apply())
                changed = True
        return changed

    def touch(self, nodes: list[int]) -> None:
        """Look again at nodes and at those that read them."""
        for node_id in nodes:
            for candidate in (node_id, *self.model.successors.get(node_id, ())):
                if candidate not in self._queued and candidate in self.model.nodes:
                    self._queued.add(candidate)
                    self._queue.append(candidate)

    def _simplify(self, node: Node) -> ModelPatch | None:
        try:
            folded = _fold_constants(self.model, node)
            if folded is not None:
                self.record.count(_fold_constants)
                return folded
            for rule in DECLUTTER.rules(type(node.op)):
                patch = rule(node.op, node, self)
                if patch is not None:
                    self.record.count(rule)
                    return patch
        except TractRefError as error:
            raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
        return None


def _fold_constants(model: Model, node: Node) -> ModelPatch | None:
    inputs = [model.const_of(outlet) for outlet in node.inputs]
    tensors = tuple([tensor for tensor in inputs if tensor is not None])
    if not tensors or len(tensors) < len(inputs) or node.op.state() is not None:
        return None
    limit = max(_FOLDED_BYTES, sum(tensor.nbytes for tensor in tensors))
    for fact in node.outputs:
        if not fact.is_concrete:
            return None
        size = np.prod([int(str(dim)) for dim in fact.shape], dtype=object)
        if size * fact.dtype.itemsize > limit:
            return None
    if any(t.dtype == TDIM for t in tensors) and any(f.dtype != TDIM for f in node.outputs):
        symbolic = any(
            not isinstance(d, int) for t in tensors if t.dtype == TDIM for d in t.ravel()
        )
        if symbolic:
            return None
    results = node.op.eval(Turn(), tensors)
    patch = ModelPatch(model)
    for slot, result in enumerate(results):
        new = patch.const(node.name, np.asarray(result))
        patch.shunt(Outlet(node.id, slot), new)
    return patch


def _declutter_bodies(model: Model, record: Rewrites) -> None:
    if not any(node.op.bodies() for node in model.nodes.values()):
        return
    for node in model.order():
        bodies = node.op.bodies()
        if bodies:
            inner = Rewrites()
            simple = tuple(declutter(body, record=inner) for body in bodies)
            record.add(inner)
            if inner.total:
                op = node.op.with_bodies(simple)
                ModelPatch.replace(model, node, op, node.inputs).apply()


@checked(STAGE)
def declutter(model: Model, *, record: Rewrites | None = None) -> Model:
    """Return the simplified model.

    Args:
        model: any batch or pulsified model; it is not changed.
        record: counts what is done, when given.

    Returns:
        A model with the same inputs, outputs, names and values, on which a second run changes
        nothing. Labels of wires that still exist are kept.

    Raises:
        InvalidModel: the graph has a cycle, or folding a constant finds a rule broken.
        EvalError: folding a constant meets data that an op rejects.
    """
    model = model.copy()
    record = Rewrites() if record is None else record
    _declutter_bodies(model, record)
    order = model.order()
    run = _Declutter(model, [node.id for node in order], record)
    while True:
        if run.run():
            order = model.order()
        merged = merge_siblings(model, order)
        if not merged.nodes:
            return model
        order = model.order()
        record.count(merge_siblings, merged.nodes)
        run.touch(merged.touched)
