"""The context of v1 rules: holds the accounting of spec/pulse.md §9.2 once, for all ops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np

from tract_ref.dim import Dim, slope, symbols
from tract_ref.errors import Inconclusive, InternalError
from tract_ref.ir.dump import simple_fact
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model, Node, Outlet, Source, joined
from tract_ref.ir.op import Op
from tract_ref.ir.pulse import Pulse, whole_parts
from tract_ref.ops.buffer import Delay, PulsePad
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.slicing import Slice
from tract_ref.ops.structure import Identity
from tract_ref.passes.delays import DelayRecord, Part
from tract_ref.passes.late_end import most_ahead
from tract_ref.passes.node_context import BatchNodeContext
from tract_ref.passes.reads import Reads, Window, added_at, begun, source_reads, windowed
from tract_ref.stream.fact import LATE_END, Linear
from tract_ref.stream.tables import FILL_LOWEST, FILL_ZERO, Front
from tract_ref.stream.window import lowest

STAGE = "pulsify v1"


class PulseContext(BatchNodeContext):
    """Context of the rules while one model is pulsified.

    Args:
        batch: the batch model, decluttered.
        pulse: source frames per turn.
        symbol: the stream symbol.
        stage: the pass, for messages.
    """

    def __init__(self, batch: Model, pulse: Pulse, symbol: str, stage: str = STAGE) -> None:
        super().__init__(batch, symbol, stage)
        self.pulse = pulse
        scope = batch.scope.asserting(f"{pulse.symbol}>=1") if pulse.symbol else batch.scope
        self.model = Model(scope)
        self.moved: dict[Outlet, Outlet] = {}
        self._streams: dict[Outlet, Linear] = {}
        self._delays: dict[tuple[Outlet, int, int], Outlet] = {}
        self._reads: dict[Outlet, Reads] = {}
        # Of the wires that `window` and `accumulate` made.
        self._windows: dict[Outlet, _Framed] = {}
        self.record = DelayRecord(batch, self.model, self.moved, self._streams, self._reads)
        self._inputs: tuple[Outlet, ...] = ()

    @cached_property
    def _least(self) -> int:
        """Smallest stream length that the model admits."""
        return self.batch.scope.smallest(self.symbol)

    # Driver side

    def enter(self, node: Node) -> None:
        """Start translating a node."""
        self._node = node
        self._inputs = tuple([self.moved[outlet] for outlet in node.inputs])

    def leave(self, results: tuple[Outlet, ...]) -> None:
        """Finish a node: check that each result has the shape that its streaming fact announces."""
        node = self.node
        if len(results) != len(node.outputs):
            raise InternalError(f"{len(results)} wires for {len(node.outputs)} outputs")
        for slot, outlet in enumerate(results):
            stream = self._streams.get(outlet)
            self.moved[Outlet(node.id, slot)] = outlet
            if stream is None:
                continue
            announced, brought = self.pulse.per_turn(stream.rate), self.frames(outlet)
            if announced is None or announced != brought:
                raise InternalError(
                    f"announces {announced} frames per turn, brings {brought}",
                    stage=self.stage,
                    node=node.name,
                    op=node.op.name,
                )

    @cached_property
    def _input_lengths(self) -> tuple[tuple[Dim, int], ...]:
        """Length and frames per turn of every input that streams."""
        facts = [self.batch.fact(outlet) for outlet in self.batch.inputs]
        dims = [f.shape[axes[0]] for f in facts if len(axes := f.axes_with(self.symbol)) == 1]
        return tuple((dim, int(slope(dim, self.symbol) * self.pulse.unit)) for dim in dims)

    # Rule side

    @property
    def inputs(self) -> tuple[Outlet, ...]:
        """The pulsed wires that stand for the node's inputs."""
        return self._inputs

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a pulsed wire."""
        return self.model.fact(wire)

    def stream(self, wire: Outlet) -> Linear | None:
        """Return how a pulsed wire streams."""
        return self._streams.get(wire)

    def streaming(self, wire: Outlet) -> Linear:
        """Return how a wire streams; it must."""
        stream = self._streams.get(wire)
        if stream is None:
            raise InternalError("a verb for streams is used on a static wire", stage=self.stage)
        return stream

    def frames(self, wire: Outlet) -> Dim:
        """Return the frames of one turn on the stream axis, overlaps included."""
        dim = self.fact(wire).shape[self.streaming(wire).axis]
        if isinstance(dim, int):
            return dim
        dim = self.model.scope.simplify(dim)
        if symbols(dim) - {self.pulse.symbol}:
            raise InternalError(f"a turn brings {dim} frames", stage=self.stage)
        return dim

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
        """Add a node to the pulsed model."""
        node = self.node
        unique = self.model.unique_name(f"{node.name}.{suffix}" if suffix else node.name)
        outlets = self.model.wire(unique, op, inputs, origin=node.origin)
        if len(streams) != len(outlets):
            raise InternalError(f"{len(streams)} streaming facts for {len(outlets)} outputs")
        if self.pulse.symbol:
            # Only the scope knows that a turn is not empty; what is not simplified would nest.
            made = self.model.nodes[outlets[0].node]
            made.outputs = tuple(simple_fact(fact, self.model.scope) for fact in made.outputs)
        for outlet, stream in zip(outlets, streams, strict=True):
            if stream is not None:
                self._streams[outlet] = stream
                self._tell(outlet, inputs, stream, why)
                reads = self._reads_of(inputs, stream, reach, front)
                if reads is None and isinstance(op, Source):
                    reads = source_reads(stream.rate)
                if reads is not None:
                    self._reads[outlet] = reads
        return outlets

    def _tell(self, made: Outlet, inputs: tuple[Outlet, ...], stream: Linear, why: str) -> None:
        """Record why a wire comes later than those that it is made of."""
        for wire in inputs:
            framed = self._windows.get(wire)
            if framed is not None and framed.stream == stream:
                self.record.told[self.node.id, made] = framed.source, framed.parts
                return
        if why:
            self.record.why[self.node.id, made] = why

    def _reads_of(
        self,
        inputs: tuple[Outlet, ...],
        stream: Linear,
        reach: tuple[float, int],
        front: Front | None,
    ) -> Reads | None:
        """Return the source frames that an output reads, from those that its inputs read.

        An op works turn by turn on raw frames, so a change of delay is a change of index. None when
        it reads no source frame: a table, or a constant along the stream.
        """
        if front is not None:
            early = inputs[front.slot]
            rest = (*inputs[: front.slot], *inputs[front.slot + 1 :])
            later, reads = self._reads_of(rest, stream, reach, None), self._reads.get(early)
            if later is None or reads is None:
                return later
            window = _raw_window(self._streams[early], stream, reach)
            return begun(front.frames, (reads, _first_frame if front.copies else window), later)
        parts: list[tuple[Reads, Window]] = []
        for wire in inputs:
            framed = self._windows.get(wire)
            if framed is not None and framed.stream == stream:
                if framed.reads is not None:
                    parts.append((framed.reads, framed.window))
            elif wire in self._reads:
                parts.append((self._reads[wire], _raw_window(self._streams[wire], stream, reach)))
        if not parts:
            return None
        return windowed(stream.rate, parts, endless=math.isinf(reach[0]))

    def receptive_field(self, wires: list[Outlet]) -> int | None:
        """Return how many source frames one frame of any of the wires depends on, at most.

        None when there is no bound: a recurrence remembers the whole past.
        """
        widest = max((self._reads[wire].widest for wire in wires if wire in self._reads), default=0)
        return None if math.isinf(widest) else int(widest)

    def const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant that does not stream."""
        name = self.model.unique_name(f"{self.node.name}.{suffix}")
        return self.model.add_const(name, tensor, origin=self.node.origin)

    def steady(self, frame: Tensor, stream: Linear, suffix: str) -> Outlet:
        """Return a stream whose every frame is the one given."""
        frames = self.pulse.per_turn(stream.rate)
        if frames is None:
            raise InternalError("a wire brings no whole frames")
        if isinstance(frames, int):
            return self.restream(self.const(frame.repeat(frames, stream.axis), suffix), stream)
        shape: tuple[Dim, ...] = frame.shape
        whole = (*shape[: stream.axis], frames, *shape[stream.axis + 1 :])
        return self.wire(Broadcast(whole), (self.const(frame, suffix),), stream, suffix="steady")[0]

    def restream(self, wire: Outlet, stream: Linear, *, why: str = "") -> Outlet:
        """Return the same samples under another streaming fact."""
        # A node of its own, so that both facts have a wire; declutter removes it.
        return self.wire(Identity(), (wire,), stream, suffix="view", why=why)[0]

    def delay(self, wire: Outlet, delay: int, *, overlap: int = 0, why: str = "waits") -> Outlet:
        """Return the wire `delay` frames later, led by `overlap` frames seen before."""
        if not delay and not overlap:
            return wire
        key = (wire, delay, overlap)
        found = self._delays.get(key)
        if found is None:
            stream = self.streaming(wire)
            later = stream.at(stream.delay + delay + overlap)
            op = Delay(stream.axis, delay, overlap)
            found = self.wire(op, (wire,), later, suffix="delay")[0]
            if wire in self._reads:
                self._reads[found] = self._reads[wire]
            self._delays[key] = found
        else:
            shared = self.model.nodes[found.node]
            shared.origin = joined((shared.origin, self.node.origin))
        told = Part(why, delay + overlap, self.streaming(wire).rate)
        self.record.told[self.node.id, found] = wire, (told,)
        return found

    def sync(self, wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
        """Return the wires at the largest delay among them, and what they share."""
        streams = [(w, s) for w in wires if (s := self._streams.get(w)) is not None]
        if not streams:
            return wires, None
        first = self.alike([stream for _, stream in streams])
        latest = max(s.delay for _, s in streams)
        synced = tuple(
            self._awaited(w, latest - s.delay) if (s := self._streams.get(w)) is not None else w
            for w in wires
        )
        return synced, first.at(latest)

    def _awaited(self, wire: Outlet, frames: int) -> Outlet:
        if not frames:
            return wire
        later = self.delay(wire, frames, why="waits for a slower branch")
        self.record.waits.setdefault(self.node.id, []).append((wire, later, frames))
        return later

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
        """Return the wire with exactly the frames that the windows of this turn read."""
        stream = self.streaming(wire)
        source, reads = wire, self._reads.get(wire)
        frames = self.frames(wire)
        if whole_parts(frames, stride) is None:
            self._refuse_stride(frames, stride, stream)
        late = self.late_end(wire) if after else 0
        d = stream.delay + late
        ahead = -((before + stride - 1 - field - d) // stride)
        out_delay = max(0, ahead)
        kept = stride * out_delay + before - d
        overlap = max(0, field + 1 - stride)
        # field + 1 < stride leaves gaps: nothing overlaps, and the first window of a turn may start
        # inside it (kept < 0).
        if kept < 0:
            overlap = 0
        wire = self.delay(wire, late + max(0, kept) - overlap, overlap=overlap)
        begin = d + max(0, kept)
        if before > 0 or after:
            value = self._fill(self.fact(wire), fill)
            wire = self.pad(
                wire,
                before=max(0, before),
                after=after,
                mode="constant",
                value=value,
                delay=begin,
                overlap=overlap,
            )
        if kept < 0:
            wire = self.wire(Slice(stream.axis, -kept, frames), (wire,), stream, suffix="phase")[0]
        out_length = self.batch_output().shape[stream.axis] if length is None else length
        out = Linear(stream.axis, out_length, out_delay, stream.rate / stride)
        rest = stride * out_delay - d - field + before
        whole = "a result is never early" if ahead < 0 else f"whole strides of {stride} frames"
        reasons = (
            (LATE_END, late),
            (f"the window reaches {field} frames ahead", field),
            (f"{before} frames of padding in front", -before),
            (whole, rest),
        )
        parts = tuple(Part(why, frames, stream.rate) for why, frames in reasons if frames)
        self._windows[wire] = _Framed(
            out, source, parts, reads, lambda i: (i * stride - before, i * stride - before + field)
        )
        return wire, out

    def _refuse_stride(self, frames: Dim, stride: int, stream: Linear) -> NoReturn:
        # Smallest pulse whose frames on this wire are a whole number of strides.
        step = stride / stream.rate
        valid = ", ".join(str(step.numerator * k) for k in (1, 2, 3))
        remedy = f"use a pulse of {valid}, … frames, as far as the other nodes admit it"
        self.refuse(
            f"pulse={self.pulse} brings {frames} frames on axis {stream.axis}, not a multiple of "
            f"stride={stride}",
            self.pulse.multiple(step.numerator) if self.pulse.symbol else remedy,
        )

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
        """Return the wire with the earlier frames that reach into the output of this turn."""
        source, reads = wire, self._reads.get(wire)
        # Frame length + g reaches a kept output where (g + 1)*stride <= field - after; frame -g
        # where g*stride <= field - before.
        beyond = max(0, (field - after) // stride)
        late = self.late_end(wire) if beyond else 0
        stream = self.streaming(wire).at(self.streaming(wire).delay + late)
        history = field // stride
        ahead = max(0, (field - before) // stride)
        framed = self.delay(wire, late, overlap=history)
        if ahead or beyond:
            framed = self.pad(
                framed,
                before=ahead,
                after=beyond,
                mode="constant",
                value=self._fill(self.fact(wire), FILL_ZERO),
                delay=stream.delay + history,
                overlap=history,
            )
        length = self.batch_output().shape[stream.axis]
        delay = stride * stream.delay + before
        out = Linear(stream.axis, length, delay, stream.rate * stride)
        parts = (
            Part(LATE_END, late, stream.rate),
            Part(f"{before} frames dropped in front", before, out.rate),
        )
        self._windows[framed] = _Framed(
            out,
            source,
            tuple(part for part in parts if part.frames),
            reads,
            lambda i: added_at(i + before, field=field, stride=stride, dilation=dilation),
        )
        return framed, out, history

    def late_end(self, wire: Outlet) -> int:
        """Return how many frames later `wire` must come for its end to be known in time.

        e = max over k >= 0 of (k*q - L(max(k*P, Smin)) - d), at least 0, over the k for which the
        length can still change; q = frames per turn (spec/pulse.md 8.20). Turns of any number of
        units may end after every unit, so P is the unit of a symbolic pulse.
        """
        stream = self.streaming(wire)
        length = stream.length
        if isinstance(length, int):
            # A constant length is known from the first turn on.
            return 0
        try:
            growth = slope(length, self.symbol)
        except Inconclusive:
            growth = None
        if growth is None or (growth != 0 and growth != stream.rate):
            self.refuse(
                f"the length {length} does not grow with the frames that arrive "
                f"({stream.rate} per source frame), so its end cannot be met in time",
                "crop or pad the stream by a fixed number of frames",
            )
        grows, per_turn = growth != 0, int(stream.rate * self.pulse.unit)
        ahead = most_ahead(
            length,
            self.symbol,
            self.pulse.unit,
            per_turn,
            self._least,
            grows=grows,
            inputs=self._input_lengths,
        )
        return max(0, ahead - stream.delay)

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
        """Overwrite the frames around the stream of `wire` with padding, in place."""
        stream = self.streaming(wire)
        end = stream.length + delay
        number = value.item() if value is not None else 0
        op = PulsePad(stream.axis, before, after, delay, end, mode, number, overlap)
        return self.wire(op, (wire,), stream, suffix="pulse-pad")[0]

    def _fill(self, fact: Fact, fill: str | Tensor) -> Tensor:
        if isinstance(fill, np.ndarray):
            return fill
        value = lowest(fact.dtype) if fill == FILL_LOWEST else 0
        return np.asarray(value, fact.dtype)


@dataclass(frozen=True, slots=True)
class _Framed:
    """A wire with the frames that the windows of a turn read.

    Attributes:
        stream: how the op's output will stream.
        source: the wire as the rule gave it.
        parts: why the output comes later than the source.
        reads: source frames that the given wire reads, None when it reads none.
        window: frames of the given wire that a frame of the output reads.
    """

    stream: Linear
    source: Outlet
    parts: tuple[Part, ...]
    reads: Reads | None
    window: Window


def _first_frame(frame: int) -> tuple[int, int]:
    """Return the window of a frame that copies the first one there is."""
    return 0, 0


def _raw_window(old: Linear, new: Linear, reach: tuple[float, int]) -> Window:
    """Return what of an input a frame reads, raw frame f at f times the ratio of the rates."""
    start = 0 if math.isinf(reach[0]) else int(reach[0])
    if old.rate is new.rate or old.rate == new.rate:
        shift = new.delay - old.delay
        return lambda frame: (frame + shift + start, frame + shift + reach[1])
    ratio = old.rate / new.rate

    def window(frame: int) -> tuple[int, int]:
        at = math.floor((frame + new.delay) * ratio) - old.delay
        return at + start, at + reach[1]

    return window
