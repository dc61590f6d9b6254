"""Ops that run a graph of their own: Submodel, IfThenElse.

    Submodel      outputs = body(inputs)
    IfThenElse    outputs = then_body(..) where the condition holds, else else_body(..)

Declutter puts the nodes of a body in the place of the op as soon as it is known which body runs,
so that what streams is the body itself.

Source: spec/ir.md 6, spec/nnef.md 6.1 and 7; ONNX If.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from tract_ref.dim import Scope
from tract_ref.errors import InvalidModel
from tract_ref.ir.bodies import bound_symbols, rebound, splice
from tract_ref.ir.fact import DType, Fact, Tensor
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.plan import Plan
from tract_ref.stream.shared import sees_everything
from tract_ref.stream.tables import INPUT_ROI, refuse_streaming

BOOL: DType = np.dtype(np.bool_)


def _require_stateless(body: Model) -> None:
    for node in body.order():
        if node.op.state() is not None:
            raise InvalidModel(
                f"its sub-model keeps a state, in {node.name!r} ({node.op.name}); a sub-model is "
                "run from scratch every time",
                remedy="put the nodes in the main graph",
            )


def _facts_of(body: Model, inputs: Sequence[Fact]) -> tuple[Fact, ...]:
    """Return the facts of the outputs of a body whose inputs have these facts."""
    _require_stateless(body)
    mapping = bound_symbols(body, inputs)
    facts = (body.fact(outlet).substitute(mapping) for outlet in body.outputs)
    return tuple(fact.without_const() for fact in facts)


def _run(plan: Plan, turn: Turn, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Run a body; symbols that its inputs do not tell are those of the model around it."""
    told = {str(dim) for fact in plan.input_facts.values() for dim in fact.shape}
    free = {n: v for n, v in turn.symbols.items() if n in plan.symbols and n not in told}
    fed = dict(zip(plan.input_facts, inputs, strict=True))
    values = plan.run(fed, symbols=free)
    return tuple(values[name] for name in plan.model.output_names)


@dataclass(frozen=True)
class Submodel(Op):
    """Run a graph of its own over the inputs.

    Attributes:
        label: name of the graph, in an NNEF archive that of its folder.
        body: the graph; its inputs are those of the op, in order.
    """

    label: str
    body: Model
    arity: ClassVar[tuple[int, int | None]] = (0, None)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return those of the body's outputs."""
        return _facts_of(self.body, inputs)

    @cached_property
    def plan(self) -> Plan:
        """The compiled body."""
        return Plan(self.body, fast=False)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run the body."""
        return _run(self.plan, turn, inputs)

    def bodies(self) -> tuple[Model, ...]:
        """Return the body."""
        return (self.body,)

    def with_bodies(self, bodies: tuple[Model, ...]) -> Submodel:
        """Return the op with another body."""
        (body,) = bodies
        return Submodel(self.label, body)

    def describe(self) -> str:
        """Return the label."""
        return f"label={self.label}"


@dataclass(frozen=True)
class IfThenElse(Op):
    """Run one of two graphs; the other one does not run at all.

    Inputs: the condition, a bool of one element; then every wire that a body reads.

    Attributes:
        then_body: runs when the condition is true.
        else_body: runs when it is false; its outputs have the facts of the other's.
        then_inputs: per input of `then_body`, which wire after the condition it reads.
        else_inputs: the same of `else_body`.
    """

    then_body: Model
    else_body: Model
    then_inputs: tuple[int, ...]
    else_inputs: tuple[int, ...]
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return those of the outputs, which both bodies share."""
        condition, *wires = inputs
        if condition.dtype != BOOL or condition.volume != 1:
            raise InvalidModel(f"condition {condition}; it is a bool of one element")
        places = (*self.then_inputs, *self.else_inputs)
        if not all(0 <= place < len(wires) for place in places):
            raise InvalidModel(f"the sub-models read wires {list(places)} of {len(wires)}")
        yes = _facts_of(self.then_body, [wires[i] for i in self.then_inputs])
        no = _facts_of(self.else_body, [wires[i] for i in self.else_inputs])
        if len(yes) != len(no) or not all(map(_same, yes, no)):
            shown = " and ".join("; ".join(str(fact) for fact in facts) for facts in (yes, no))
            raise InvalidModel(
                f"the sub-models give {shown}; they must give the same",
                remedy="give both results one dtype and shape",
            )
        return yes

    @cached_property
    def plans(self) -> tuple[Plan, Plan]:
        """The compiled bodies: else, then."""
        return Plan(self.else_body, fast=False), Plan(self.then_body, fast=False)

    def branch(self, condition: Tensor) -> tuple[Model, tuple[int, ...]]:
        """Return the body that runs, and the wires that it reads."""
        if bool(condition.reshape(())):
            return self.then_body, self.then_inputs
        return self.else_body, self.else_inputs

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run the body that the condition chooses, and only that one."""
        condition, *wires = inputs
        plan = self.plans[int(bool(condition.reshape(())))]
        return _run(plan, turn, [wires[i] for i in self.branch(condition)[1]])

    def bodies(self) -> tuple[Model, ...]:
        """Return both bodies."""
        return self.then_body, self.else_body

    def with_bodies(self, bodies: tuple[Model, ...]) -> IfThenElse:
        """Return the op with other bodies."""
        then_body, else_body = bodies
        return replace(self, then_body=then_body, else_body=else_body)

    def describe(self) -> str:
        """Return which wires each body reads."""
        return f"then={list(self.then_inputs)}, else={list(self.else_inputs)}"


def _same(a: Fact, b: Fact) -> bool:
    scope = Scope()
    return (
        a.dtype == b.dtype
        and a.rank == b.rank
        and all(scope.decide_equal(x, y) for x, y in zip(a.shape, b.shape, strict=True))
    )


def _spliced(node: Node, body: Model, inputs: Sequence[Outlet], ctx: Rewrite) -> ModelPatch:
    """Return the patch that puts the nodes of a body in the place of a node."""
    patch = ctx.patch()
    mapping = bound_symbols(body, [ctx.model.fact(outlet) for outlet in inputs])

    def wire(name: str, op: Op, wires: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
        return patch.wire(f"{node.name}.{name}", op, wires)

    for slot, outlet in enumerate(splice(body, inputs, wire, mapping)):
        patch.shunt(Outlet(node.id, slot), outlet)
    return patch


@DECLUTTER.rule(Submodel)
def declutter_submodel(op: Submodel, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Submodel is the nodes of its body."""
    return _spliced(node, op.body, node.inputs, ctx)


@DECLUTTER.rule(IfThenElse)
def declutter_if(op: IfThenElse, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A choice by a constant is the body that it chooses."""
    fact = ctx.model.fact(node.inputs[0])
    value = fact.const if fact.const is not None else fact.uniform
    if value is None:
        return None
    body, places = op.branch(value)
    return _spliced(node, body, [node.inputs[1 + place] for place in places], ctx)


INPUT_ROI.use(sees_everything, Submodel, IfThenElse)


refuse_streaming(
    Submodel,
    IfThenElse,
    reason="runs a sub-model that is chosen anew at every turn: the one that is not taken would "
    "miss the frames of that turn",
    remedy="compute both results and choose between them with select, or make the condition "
    "constant",
)


@NNEF.load("tract_core_submodel", "input", "label")
def load_submodel(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_submodel(input, label): the graph `label` of the archive over an array of wires.

    One that keeps a state becomes nodes of the main graph at once.
    """
    label, wires = call.string("label"), call.tensors("input")
    facts = [call.fact(wire) for wire in wires]
    body = rebound(call.submodel(label), facts, call.model.scope)
    if all(node.op.state() is None for node in body.order()):
        return call.wire(Submodel(label, body), *wires)

    def wire(name: str, op: Op, inputs: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
        return call.wire(op, *inputs, suffix=name)

    return splice(body, wires, wire, {})


@NNEF.dump(Submodel)
def dump_submodel(op: Submodel, node: Node, out: Dump) -> None:
    """Write tract_core_submodel, and its graph into the archive."""
    label = out.add_submodel(op.label, op.body)
    out.call("tract_core_submodel", inputs=(tuple(node.inputs),), label=label)


NNEF.refuse_dump(
    IfThenElse,
    reason="has no NNEF operator: the dialect evaluates both branches",
    remedy="compute both results and choose between them with select",
)


@ONNX.rule("If")
def import_if(call: OnnxCall) -> tuple[Outlet, ...]:
    """If: both graphs as sub-models, or the nodes of one where the condition is constant."""
    condition, value = call.input(0), call.const(0)
    if value is not None and value.dtype == BOOL and value.size == 1:
        taken, other = "then_branch", "else_branch"
        if not value.reshape(()):
            taken, other = other, taken
        call.has(other)
        body, wires = call.graph(taken)

        def wire(name: str, op: Op, inputs: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
            return call.wire(op, *inputs, suffix=name)

        return splice(body, wires, wire, {})
    yes, yes_wires = call.graph("then_branch")
    no, no_wires = call.graph("else_branch")
    wires = tuple(dict.fromkeys((*yes_wires, *no_wires)))
    places = tuple(tuple(wires.index(w) for w in read) for read in (yes_wires, no_wires))
    return call.wire(IfThenElse(yes, no, *places), condition, *wires)
