"""What the contexts of both pulsifiers tell of the node that a rule is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NoReturn

from tract_ref.dim import Scope
from tract_ref.errors import InternalError, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Node
from tract_ref.stream.fact import Linear


def follows_length(node: Node, symbol: str) -> bool:
    """Say whether a node's op or one of its outputs mentions the stream symbol."""
    return node.op.mentions(symbol) or any(fact.mentions(symbol) for fact in node.outputs)


class BatchNodeContext:
    """One node of a batch model after the other.

    Args:
        batch: the batch model, decluttered.
        symbol: the stream symbol.
        stage: the pass, for messages.
    """

    def __init__(self, batch: Model, symbol: str, stage: str) -> None:
        self.batch = batch
        self.symbol = symbol
        self.stage = stage
        self._node: Node | None = None

    @cached_property
    def _lengths(self) -> Scope:
        """What is known of lengths: no stream is shorter than nothing."""
        return self.batch.scope.asserting(f"{self.symbol}>=0")

    @property
    def node(self) -> Node:
        """The batch node."""
        if self._node is None:
            raise InternalError("the context is asked outside a node")
        return self._node

    def batch_input(self, slot: int) -> Fact:
        """Return the batch fact of an input."""
        return self.batch.fact(self.node.inputs[slot])

    def batch_output(self, slot: int = 0) -> Fact:
        """Return the batch fact of an output."""
        return self.node.outputs[slot]

    def alike(self, streams: Sequence[Linear]) -> Linear:
        """Return the first of one or more streams, all of one rate and length.

        Raises:
            Refused: two of them have different rates, or lengths that are not proved equal.
        """
        first = streams[0]
        for other in streams[1:]:
            if other.rate != first.rate:
                self.refuse(
                    f"streams of different rates meet ({first.rate} and {other.rate} frames per "
                    "source frame)",
                    "bring both branches to one rate",
                )
            if self._lengths.decide_equal(first.length, other.length) is not True:
                self.refuse(
                    f"streams of lengths {first.length} and {other.length} frames meet, which are "
                    "not proved equal",
                    "crop the branches to one length, or assert a bound on the symbol",
                )
        return first

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        """Decline the node."""
        node = self.node
        raise Refused(reason, stage=self.stage, node=node.name, op=node.op.name, remedy=remedy)
