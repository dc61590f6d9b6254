"""Transposition: MoveAxis.

    out axis `target` is input axis `source`, the others keep their order

Source: spec/ir.md 5; spec/nnef.md 5; spec/pulse.md 2.16.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tract_ref.calls import chain
from tract_ref.ir.annotate import carried, permuted
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ir.shapes import require_axis
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.stream.shared import bubble_through_axes, carry_axis, region_carry_axis
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2


@dataclass(frozen=True)
class MoveAxis(Op):
    """Move one axis, keep the order of the others.

    Attributes:
        source: where the axis stands in the input.
        target: where it stands in the output.
    """

    source: int
    target: int

    def permutation(self, rank: int) -> list[int]:
        """Return, per output axis, the input axis."""
        order = [axis for axis in range(rank) if axis != self.source]
        order.insert(self.target, self.source)
        return order

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Permute the dims."""
        (data,) = inputs
        require_axis(self.source, data.rank, data, "source")
        require_axis(self.target, data.rank, data, "target")
        order = self.permutation(data.rank)
        out = data.with_shape(tuple(data.shape[a] for a in order))
        return (carried(out, data, permuted(order)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view with permuted axes."""
        return (np.moveaxis(inputs[0], self.source, self.target),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis is kept, somewhere."""
        order = self.permutation(inputs[0].rank)
        return AxesMapping.of_pairs([(source, target) for target, source in enumerate(order)])


def move_ops(permutation: Sequence[int]) -> list[MoveAxis]:
    """Return the fewest moves that make output axis k out of input axis permutation[k]."""
    rank = len(permutation)
    best: list[list[int]] = []
    for axis in permutation:
        tails = [chain[-1] for chain in best]
        place = bisect_left(tails, axis)
        chain = [*(best[place - 1] if place else []), axis]
        best[place : place + 1] = [chain]
    still = set(best[-1]) if best else set[int]()
    current = list(range(rank))
    moves: list[MoveAxis] = []
    for index, axis in enumerate(permutation):
        if axis in still:
            continue
        source = current.index(axis)
        current.pop(source)
        target = current.index(permutation[index - 1]) + 1 if index else 0
        current.insert(target, axis)
        # Swapping two neighbours has two spellings; one of them is canonical.
        ends = (target, source) if source == target + 1 else (source, target)
        moves.append(MoveAxis(*ends))
    return moves


@DECLUTTER.rule(MoveAxis)
def declutter_moved_back(op: MoveAxis, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A move to where the axis is, or one that undoes the move before it, is dropped with it."""
    if op.source == op.target:
        return ModelPatch.bypass(ctx.model, node, node.inputs[0])
    under = ctx.model.nodes[node.inputs[0].node]
    match under.op:
        case MoveAxis(source, target):
            back = (op.source, op.target) == (target, source)
            swapped = (op.source, op.target) == (source, target) and abs(source - target) == 1
        case _:
            return None
    return ModelPatch.bypass(ctx.model, node, under.inputs[0]) if back or swapped else None


@DECLUTTER.rule(MoveAxis)
def declutter_swap(op: MoveAxis, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """Swapping two neighbours has two spellings; the one that moves up is canonical."""
    if op.source != op.target + 1:
        return None
    return ModelPatch.replace(ctx.model, node, MoveAxis(op.target, op.source), node.inputs)


INPUT_ROI.use(bubble_through_axes, MoveAxis)
PULSIFY_V1.use(carry_axis, MoveAxis)
REGION_V2.use(region_carry_axis, MoveAxis)


@NNEF.load("transpose", "input", "axes")
def load_transpose(call: Invocation) -> tuple[Outlet, ...]:
    """transpose(input, axes); a shorter list leaves the trailing axes."""
    data, axes = call.tensor("input"), call.integers("axes")
    if sorted(axes) != list(range(len(axes))) or len(axes) > call.fact(data).rank:
        call.malformed(f"axes={list(axes)} is not a permutation of the leading axes")
    return chain(call, data, move_ops((*axes, *range(len(axes), call.fact(data).rank))))


@NNEF.dump(MoveAxis)
def dump_move_axis(op: MoveAxis, node: Node, out: Dump) -> None:
    """Write transpose."""
    rank = out.fact(node.inputs[0]).rank
    out.call("transpose", axes=tuple(op.permutation(rank)))
