"""A constant Pad that feeds one windowed op becomes padding of that op.

Streaming the two apart would cost delay: a Pad emits its frames over time, while a convolution of
kernel 3 with padding (2, 0) has delay 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tract_ref.ir.fact import DType
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite, RuleTable
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.stream.window import Explicit, Padding, Valid, WindowSpec, explicit, lowest

FoldRule = Callable[[Node, Model], "ModelPatch | None"]
BEFORE_PULSIFY: RuleTable[type[Op], FoldRule] = RuleTable("BEFORE_PULSIFY", many=True)


@BEFORE_PULSIFY.rule(Pad)
def fold_padding(node: Node, model: Model) -> ModelPatch | None:
    """Return the patch that folds a Pad into the only op that reads it, None when values change.

    Args:
        node: a Pad.
        model: its model.
    """
    pad = node.op
    outlet = Outlet(node.id)
    if not isinstance(pad, Pad) or pad.mode != "constant" or model.uses(outlet) != 1:
        return None
    consumers = model.consumers(node.id)
    if len(consumers) != 1 or consumers[0].inputs[0] != outlet:
        return None
    consumer = consumers[0]
    folded = _folded(pad, consumer.op, node.outputs[0].dtype)
    if folded is None:
        return None
    inputs = (node.inputs[0], *consumer.inputs[1:])
    return ModelPatch.replace(model, consumer, folded, inputs)


@DECLUTTER.rule(Pad)
def declutter_padding(op: Pad, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Fold a Pad into the windowed op that follows."""
    return fold_padding(node, ctx.model)


def _folded(pad: Pad, op: Op, dtype: DType) -> Op | None:
    if not isinstance(op, Conv | MaxPool | SumPool):
        return None
    window = _wider(op.window, pad)
    fill = lowest(dtype) if isinstance(op, MaxPool) else 0
    if window is None or pad.value != fill:
        return None
    if not isinstance(op, SumPool):
        return replace(op, window=window)
    if op.normalize and not op.count_include_pad:
        # What the Pad added counts as data, what the op added does not.
        if any(not isinstance(padding, Valid) for padding in op.window.padding):
            return None
        return replace(op, window=window, count_include_pad=True)
    return replace(op, window=window)


def _wider(window: WindowSpec, pad: Pad) -> WindowSpec | None:
    """Return the windows with the pads added, None where padding is not of a fixed size."""
    if any(max(pair) for pair in pad.pads[: window.FIRST]):
        return None
    padding: list[Padding] = []
    for given, (before, after) in zip(window.padding, pad.pads[window.FIRST :], strict=True):
        match given:
            case Valid():
                padding.append(explicit(before, after))
            case Explicit(b, a, False):
                padding.append(explicit(b + before, a + after))
            case _:
                if before or after:
                    return None
                padding.append(given)
    return replace(window, padding=tuple(padding))
