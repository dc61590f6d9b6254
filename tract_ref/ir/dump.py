"""Deterministic text of a model, for errors, tests and `tract-ref dump`."""

from __future__ import annotations

from tract_ref.ir.model import Const, Model, Outlet


def dump(model: Model, *, notes: dict[Outlet, str] | None = None) -> str:
    """Return one line per node: outputs, op with attributes, inputs, facts.

    Args:
        model: the model.
        notes: extra text per wire (streaming facts).
    """
    lines = [f"assert {assertion}" for assertion in model.scope.assertions]
    for node in model.order():
        if isinstance(node.op, Const) and node.op.tensor.size > 4:
            attributes = ""
        else:
            attributes = node.op.describe()
        inputs = ", ".join(model.wire_name(outlet) for outlet in node.inputs)
        facts = "; ".join(str(fact) for fact in node.outputs)
        line = f"{node.name} = {node.op.name}({inputs})"
        if attributes:
            line += f" {{{attributes}}}"
        line += f" -> {facts}"
        for slot in range(len(node.outputs)):
            note = (notes or {}).get(Outlet(node.id, slot))
            line += f"  [{note}]" if note else ""
        lines.append(line)
    outputs = zip(model.output_names, model.outputs, strict=True)
    lines += [f"output {name} = {model.wire_name(outlet)}" for name, outlet in outputs]
    return "\n".join(lines) + "\n"
