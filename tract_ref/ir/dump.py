"""Deterministic text of a model, for errors, tests and `tract-ref dump`.

    assert S >= 1                                        what is known of the symbols
    y = Conv(x, w) {groups=1, ..} -> 1,1,S+-2,f32        wires, op, attributes, facts
    output y = y

Both sides of a line name wires, by the names that the source document gave them.
"""

from __future__ import annotations

from dataclasses import replace

from tract_ref.dim import Scope
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Const, Model, Node, Outlet


def dump(
    model: Model,
    *,
    notes: dict[Outlet, str] | None = None,
    provenance: bool = False,
    simplified: bool = False,
) -> str:
    """Return one line per node: outputs, op with attributes, inputs, facts; sub-models indented.

    Args:
        model: the model.
        notes: extra text per wire (streaming facts).
        provenance: say which nodes of the source document a node comes from.
        simplified: write shapes in their shortest form under the model's assertions; otherwise as
            the facts hold them, so that two texts differ where two models do.
    """
    lines = [f"assert {line}" for line in model.scope.lines]
    for node in model.order():
        facts = [simple_fact(f, model.scope) if simplified else f for f in node.outputs]
        lines.append(_line(model, node, facts, notes or {}, provenance))
        for body in node.op.bodies():
            inner = dump(body, provenance=provenance, simplified=simplified).splitlines()
            lines += [f"    {line}" for line in inner]
    outputs = zip(model.output_names, model.outputs, strict=True)
    lines += [f"output {name} = {model.wire_name(outlet)}" for name, outlet in outputs]
    return "\n".join(lines) + "\n"


def _line(
    model: Model, node: Node, facts: list[Fact], notes: dict[Outlet, str], provenance: bool
) -> str:
    inputs = ", ".join(model.wire_name(outlet) for outlet in node.inputs)
    line = f"{', '.join(wires_of(model, node))} = {node.op.name}({inputs})"
    is_large = isinstance(node.op, Const) and node.op.tensor.size > 4
    attributes = "" if is_large else node.op.describe()
    if attributes:
        line += f" {{{attributes}}}"
    line += f" -> {'; '.join(fact_text(fact) for fact in facts)}"
    for slot in range(len(node.outputs)):
        note = notes.get(Outlet(node.id, slot))
        line += f"  [{note}]" if note else ""
    return f"{line}  from {', '.join(node.origin)}" if provenance else line


def wires_of(model: Model, node: Node) -> list[str]:
    """Return the names of the wires that a node makes."""
    return [model.wire_name(Outlet(node.id, slot)) for slot in range(len(node.outputs))]


def simple_fact(fact: Fact, scope: Scope) -> Fact:
    """Return a fact whose dims are in their shortest form under the assertions of a scope."""
    return replace(fact, shape=tuple(scope.simplify(dim) for dim in fact.shape))


def fact_text(fact: Fact) -> str:
    """Return a fact with what is known of its elements."""
    value, region = value_text(fact), fact.region
    known = f" value={value}" if value else ""
    return f"{fact}{known}" + ("" if region is None else f" region={region}")


def value_text(fact: Fact) -> str:
    """Return the value of each element over its coordinates; empty when it is not known.

    A constant is shown by its node.
    """
    if fact.const is not None:
        return ""
    if fact.per_element is not None:
        return str(fact.per_element)
    return "" if fact.uniform is None else str(fact.uniform.item())
