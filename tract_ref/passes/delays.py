"""Where a delay comes from: what each verb of a v1 rule adds, and the path on which it adds up.

A delay in source frames is delay / rate. From the source to an output, along the input that comes
last at every node, the parts that the verbs told add up to it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tract_ref.errors import InvalidModel
from tract_ref.ir.model import Model, Outlet
from tract_ref.passes.reads import Reads
from tract_ref.stream.fact import Linear


@dataclass(frozen=True, slots=True)
class Part:
    """One reason of a delay.

    Attributes:
        cause: what is waited for.
        frames: how long, in frames of a wire of `rate`; negative where it makes the delay smaller.
        rate: frames per source frame.
    """

    cause: str
    frames: Fraction | int
    rate: Fraction

    @property
    def source_frames(self) -> Fraction:
        """The same time in source frames."""
        return self.frames / self.rate


@dataclass(frozen=True)
class DelayStep:
    """What one node of the batch model adds to the delay.

    Attributes:
        node: its name.
        op: name of its op.
        wire: the wire that it makes.
        source: the wire that it reads; of several that which comes last. Empty at the start.
        parts: the reasons; they add up to `source_frames`.
        waits: other wires that wait here for `source`, and for how many of their frames.
        stream: how `wire` streams; its delay is the running sum.
    """

    node: str
    op: str
    wire: str
    source: str
    parts: tuple[Part, ...]
    waits: tuple[tuple[str, int], ...]
    stream: Linear

    @property
    def source_frames(self) -> Fraction:
        """What the node adds, in source frames."""
        return sum((part.source_frames for part in self.parts), Fraction(0))

    @property
    def frames(self) -> Fraction:
        """What the node adds, in frames of the wire that it makes."""
        return self.source_frames * self.stream.rate


@dataclass
class DelayRecord:
    """What the verbs told while a model was pulsified.

    Attributes:
        batch: the batch model.
        model: the pulsed model as the rules made it, before declutter.
        moved: per batch wire, the pulsed one that stands for it.
        streams: how the wires of `model` stream.
        reads: of those that depend on a source, which frames of it.
        told: by batch node and pulsed wire: the wire that it was made of, and why it comes later.
        why: by batch node and pulsed wire: the only reason why it comes later, or earlier, than
            the latest wire that it was made of.
        waits: by batch node: wires that were delayed for a slower one, as they were and as they
            became, with the number of frames.
    """

    batch: Model
    model: Model
    moved: dict[Outlet, Outlet]
    streams: dict[Outlet, Linear]
    reads: Mapping[Outlet, Reads]
    told: dict[tuple[int, Outlet], tuple[Outlet, tuple[Part, ...]]] = field(
        default_factory=dict[tuple[int, Outlet], tuple[Outlet, tuple[Part, ...]]]
    )
    why: dict[tuple[int, Outlet], str] = field(default_factory=dict[tuple[int, Outlet], str])
    waits: dict[int, list[tuple[Outlet, Outlet, int]]] = field(
        default_factory=dict[int, list[tuple[Outlet, Outlet, int]]]
    )

    def path(self, outlet: Outlet) -> tuple[DelayStep, ...]:
        """Return the steps from the source to a batch wire, empty when it does not stream."""
        steps: list[DelayStep] = []
        at: Outlet | None = outlet
        while at is not None and self.moved[at] in self.streams:
            step, at = self._step(at)
            steps.append(step)
        return tuple(reversed(steps))

    def upstream(self, node: int) -> tuple[DelayStep, ...]:
        """Return the path to the input of a batch node that comes last, whether it was met."""
        inputs = [wire for wire in self.batch.nodes[node].inputs if wire in self.moved]
        streaming = [wire for wire in inputs if self.moved[wire] in self.streams]
        if not streaming:
            return ()
        return self.path(max(streaming, key=lambda wire: self._late(self.moved[wire])))

    def _step(self, outlet: Outlet) -> tuple[DelayStep, Outlet | None]:
        """Return the step of a batch wire, and the batch wire that it is made of."""
        node = self.batch.nodes[outlet.node]
        # Of two inputs that became one wire, the first stands for both.
        given = {self.moved[wire]: wire for wire in reversed(node.inputs)}
        parts: list[Part] = []
        at: Outlet | None = self.moved[outlet]
        stream = self.streams[self.moved[outlet]]
        while at is not None and at not in given:
            at, reasons = self._before(node.id, at)
            parts += reasons
        source = given.get(at) if at is not None else None
        waits = tuple(
            (self.batch.wire_name(given[old]), frames)
            for old, _, frames in self.waits.get(node.id, ())
            if old in given
        )
        name = self.batch.wire_name
        step = DelayStep(
            node.name,
            node.op.name,
            name(outlet),
            "" if source is None else name(source),
            tuple(reversed(parts)),
            waits,
            stream,
        )
        return step, source

    def _before(self, node: int, wire: Outlet) -> tuple[Outlet | None, Sequence[Part]]:
        """Return the pulsed wire that one is made of, and why it is later, last reason first."""
        known = self.told.get((node, wire))
        if known is not None:
            return known[0], known[1][::-1]
        made = self.model.nodes[wire.node]
        before = self._latest(node, made.inputs)
        late = self._late(wire) - (self._late(before) if before is not None else 0)
        if not late:
            return before, ()
        rate = self.streams[wire].rate
        return before, (Part(self.why.get((node, wire), made.op.name), late * rate, rate),)

    def _latest(self, node: int, wires: tuple[Outlet, ...]) -> Outlet | None:
        """Return the pulsed wire that comes last.

        Of equal ones it is one that depends on the source, then one that did not wait for another,
        then the newest.
        """
        streaming = [wire for wire in wires if wire in self.streams]
        waited = {new for _, new, _ in self.waits.get(node, ())}

        def rank(wire: Outlet) -> tuple[Fraction, bool, bool, Outlet]:
            return self._late(wire), wire in self.reads, wire not in waited, wire

        return max(streaming, key=rank, default=None)

    def _late(self, wire: Outlet) -> Fraction:
        stream = self.streams[wire]
        return stream.delay / stream.rate


def wire_called(batch: Model, name: str) -> Outlet:
    """Return the outlet of an output or wire.

    Raises:
        InvalidModel: there is none of that name.
    """
    for known, outlet in zip(batch.output_names, batch.outputs, strict=True):
        if known == name:
            return outlet
    for node in batch.order():
        for slot in range(len(node.outputs)):
            if batch.wire_name(Outlet(node.id, slot)) == name:
                return Outlet(node.id, slot)
    raise InvalidModel(
        f"no wire is called {name!r}", remedy="outputs: " + ", ".join(batch.output_names)
    )
