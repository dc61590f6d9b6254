"""PULSIFY_V1, REGION_V2 and INPUT_ROI, and the contexts that their rules are given.

A rule never imports a driver and never places a Delay by itself: it says what it needs through the
verbs of its context. Registering neither a rule nor a refusal for an op is an error: there is no
silent generic fallback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from tract_ref.dim import Dim, Scope
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.pulse import Pulse
from tract_ref.ir.rules import RuleTable
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region

FILL_ZERO = "zero"
FILL_LOWEST = "lowest"

NOTHING_STREAMS = (
    "the output depends on the stream length, no input streams",
    "compute it outside the streamed model",
)
"""Reason and remedy of a refusal."""
LENGTH_IN_VALUE = (
    "its value depends on the whole length of the stream",
    "compute what depends on the length outside the streamed model",
)
"""Reason and remedy of a refusal."""


class NodeContext(Protocol):
    """What a rule of either pulsifier may ask about the node it is given."""

    @property
    def node(self) -> Node:
        """The batch node."""
        ...

    @property
    def batch(self) -> Model:
        """The batch model, read only."""
        ...

    @property
    def symbol(self) -> str:
        """The stream symbol."""
        ...

    @property
    def inputs(self) -> tuple[Outlet, ...]:
        """The wires that stand for the node's inputs: pulsed in v1, those of the batch in v2."""
        ...

    def batch_input(self, slot: int) -> Fact:
        """Return the batch fact of an input: shapes in the stream symbol."""
        ...

    def batch_output(self, slot: int = 0) -> Fact:
        """Return the batch fact of an output."""
        ...

    def stream(self, wire: Outlet) -> Linear | None:
        """Return how a wire streams, None when it does not; the delay is always 0 in v2."""
        ...

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        """Decline the node.

        Raises:
            Refused: always.
        """
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """The first frames of a stream come from another input than the rest.

    Attributes:
        frames: how many.
        slot: the input.
        copies: all of them are frame 0 of that input; otherwise its frames in order.
    """

    frames: int
    slot: int
    copies: bool = False


class PulsifyContext(NodeContext, Protocol):
    """What a v1 rule may ask and say about the node it translates."""

    @property
    def pulse(self) -> Pulse:
        """Source frames per turn: a number, or any multiple of one."""
        ...

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a pulsed wire: the shape of one turn."""
        ...

    def frames(self, wire: Outlet) -> Dim:
        """Return the frames that one turn brings on the wire's stream axis."""
        ...

    def wire(
        self,
        op: Op,
        inputs: tuple[Outlet, ...],
        *streams: Linear | None,
        suffix: str = "",
        reach: tuple[float, int] = (0, 0),
        front: Front | None = None,
        why: str = "",
    ) -> tuple[Outlet, ...]:
        """Add a node to the pulsed model, with one streaming fact per output.

        Args:
            op: what to apply to one turn.
            inputs: pulsed wires.
            streams: how each output streams.
            suffix: appended to the batch node's name; empty gives the name itself.
            reach: first and last input frame of a turn that its first output frame reads; the first
                is `-math.inf` when it reads the whole past.
            front: where the first frames of the output come from, if not from where all others do.
            why: what makes an output come later, or earlier, than the input that comes last; for
                an op on what `window` or `accumulate` returned, it is known.
        """
        ...

    def const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant that does not stream."""
        ...

    def steady(self, frame: Tensor, stream: Linear, suffix: str) -> Outlet:
        """Return a stream whose every frame is the one given, filler included.

        Args:
            frame: one position on the stream axis.
            stream: how the result streams.
            suffix: appended to the node's name.
        """
        ...

    def restream(self, wire: Outlet, stream: Linear, *, why: str = "") -> Outlet:
        """Return the same samples under another streaming fact: what a crop of the front is."""
        ...

    def delay(self, wire: Outlet, delay: int, *, overlap: int = 0, why: str = "waits") -> Outlet:
        """Return the wire `delay` frames later, each turn led by `overlap` frames seen before.

        Equal requests on one wire share one Delay; nothing is added for 0 and 0. `why` says what is
        waited for.
        """
        ...

    def sync(self, wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
        """Return the wires delayed to the largest delay among them, and what they share.

        Wires that do not stream pass through. The stream is None when none of them streams.

        Raises:
            Refused: two of them stream on axes of different rank positions, at different rates, or
                with lengths known to differ.
        """
        ...

    def window(
        self,
        wire: Outlet,
        *,
        field: int,
        stride: int,
        before: int = 0,
        after: int = 0,
        fill: str | Tensor = FILL_ZERO,
        length: Dim | None = None,
    ) -> tuple[Outlet, Linear]:
        """Return the wire with exactly the frames that the windows of this turn read.

        Window j of the op reads frames [j*stride, j*stride + field] of what is returned, unpadded.

        Args:
            wire: a streaming wire.
            field: (K - 1) * dilation, in frames of `wire`.
            stride: frames of `wire` between two windows.
            before: padding before the first frame.
            after: padding after the last frame; not 0 makes the op end-sensitive.
            fill: what padding holds: FILL_ZERO, FILL_LOWEST, or a rank-0 tensor.
            length: batch length of the output on the stream axis, a Dim; by default the one of
                the batch node's first output.

        Returns:
            The wire and the streaming fact of the op's output.

        Raises:
            Refused: the frames per turn are not a multiple of the stride.
        """
        ...

    def accumulate(
        self,
        wire: Outlet,
        *,
        field: int,
        stride: int,
        dilation: int = 1,
        before: int = 0,
        after: int = 0,
    ) -> tuple[Outlet, Linear, int]:
        """Return the wire with the earlier frames that reach into the output of this turn.

        Frame i of `wire` is added to every `dilation`-th of the positions [i*stride, i*stride +
        field] of the uncropped output. What is returned holds zeros outside the stream, wherever an
        output reads there.

        Args:
            wire: a streaming wire.
            field: (K - 1) * dilation, in output frames.
            stride: output frames per frame of `wire`.
            dilation: output frames between two that a frame is added to.
            before: output frames dropped before the first one.
            after: output frames dropped after the last one; negative = added there. Less than
                field - stride makes the op end-sensitive.

        Returns:
            The wire, each turn led by the frames of the last result; the streaming fact of the op's
            output; how many earlier frames lead each turn.
        """
        ...

    def late_end(self, wire: Outlet) -> int:
        """Return how many frames later `wire` must come for its end to be known in time.

        An op that does something at the end of its input must not see frame `length` before the
        length is known (spec/pulse.md 8.20).
        """
        ...

    def pad(
        self,
        wire: Outlet,
        *,
        before: int,
        after: int,
        mode: str,
        value: Tensor | None,
        delay: int,
        overlap: int = 0,
    ) -> Outlet:
        """Overwrite the frames around the stream of `wire` with padding, in place.

        Args:
            wire: frames [0, overlap) of each turn were already seen by the previous one.
            before: frames of padding before the first frame.
            after: frames of padding after the last one.
            mode: `constant` or `edge`.
            value: the constant.
            delay: where frame 0 stands in the raw frames of `wire`.
            overlap: frames seen before, at the front of each turn.
        """
        ...


PulsifyRule = Callable[..., tuple[Outlet, ...]]
PULSIFY_V1: RuleTable[type[Op], PulsifyRule] = RuleTable("PULSIFY_V1")


class RegionContext(NodeContext, Protocol):
    """What a v2 rule may ask about the node whose regions it tells."""

    def meet(self, slots: Iterable[int] | None = None) -> Linear:
        """Return what the inputs that stream share; the axis is that of the first one.

        Args:
            slots: the inputs to compare; by default all.

        Raises:
            Refused: none streams, or two of them at different rates, or with lengths that are not
                proved equal.
        """
        ...


RegionRule = Callable[..., RegionPlan | None]
REGION_V2: RuleTable[type[Op], RegionRule] = RuleTable("REGION_V2")
"""A rule of op, node and context returns what the node needs, None when it does not stream.

It says so for any stretch of the output; where buffers go, and how much each wire keeps, follows
from it in one place, for exact increments and for fixed pulses.
"""


PULSED_ONLY: Mapping[str, str] = {
    "reason": "is a state op of a pulsed model, which cannot be pulsified again",
    "remedy": "pulsify the batch model",
}


def refuse_streaming(*ops: type[Op], reason: str, remedy: str) -> None:
    """Write down that neither pulsifier streams some ops."""
    PULSIFY_V1.refuse(*ops, reason=reason, remedy=remedy)
    REGION_V2.refuse(*ops, reason=reason, remedy=remedy)


class RoiContext(Protocol):
    """What a region rule may ask about the node whose inputs it judges."""

    @property
    def inputs(self) -> tuple[Fact, ...]:
        """Facts of the inputs."""
        ...

    @property
    def outputs(self) -> tuple[Fact, ...]:
        """Facts of the outputs."""
        ...

    @property
    def regions(self) -> tuple[Region, ...]:
        """What is observed of each output, over its coordinates."""
        ...

    @property
    def scope(self) -> Scope:
        """What is known about the model's symbols."""
        ...

    def union(self, slot: int, *regions: Region) -> Region:
        """Return where one of several regions of an input holds."""
        ...


RoiRule = Callable[..., tuple[Region, ...]]
INPUT_ROI: RuleTable[type[Op], RoiRule] = RuleTable("INPUT_ROI")
"""A rule of op, node and context returns, per input, what of it the observed outputs depend on.

All inputs are judged together: when each keeps its values where its region holds, and may change
them all elsewhere, the outputs keep theirs where they are observed.
"""

BATCH_ONLY: Mapping[str, str] = {
    "reason": "is a state op of a pulsed model; regions of interest are of the batch graph",
    "remedy": "propagate regions before pulsify",
}
