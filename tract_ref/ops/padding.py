"""Padding of a tensor's borders: Pad; PulseEdge and PulseReflect, its state ops.

    Pad   constant: out[i] = data[i - before] inside, else value
          edge:     out[i] = data[clip(i - before, 0, n - 1)]
          reflect:  out[i] = data[r], r = |i - before|, or 2*(n - 1) - (i - before) beyond the end

Source: spec/nnef.md 5 (`pad`), spec/pulse.md 2.13, 8.17, 8.18, 8.20 and 9.2; ONNX Pad.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from tract_ref.dim import Dim
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.annotate import padded
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import DType, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.runtime.reach import Increment, Reach, RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import LATE_END, Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis
from tract_ref.stream.tables import (
    BATCH_ONLY,
    INPUT_ROI,
    PULSED_ONLY,
    PULSIFY_V1,
    REGION_V2,
    Front,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)
from tract_ref.stream.window import data_stream

Pads = tuple[tuple[int, int], ...]
MODES = ("constant", "edge", "reflect")


def _along(axis: int, start: int, end: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, end))


@dataclass(frozen=True)
class Pad(Op):
    """Add positions before and after each axis.

    Attributes:
        pads: (before, after) per axis, none negative.
        mode: `constant`, `edge` (the nearest position) or `reflect` (mirrored, without the border).
        value: the constant.
    """

    pads: Pads
    mode: str
    value: float | int | bool

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Add both pads to each axis."""
        (data,) = inputs
        if self.mode not in MODES:
            raise InvalidModel(f"mode={self.mode!r}; modes are {', '.join(MODES)}")
        if len(self.pads) != data.rank:
            raise InvalidModel(f"{len(self.pads)} pairs of pads for data {data}; one pair per axis")
        if any(b < 0 or a < 0 for b, a in self.pads):
            raise InvalidModel(
                f"pads={self.pads}; a pad is 0 or more positions", remedy="crop with a slice"
            )
        for axis, (n, pair) in enumerate(zip(data.shape, self.pads, strict=True)):
            if isinstance(n, int):
                seen = self._too_short(axis, n, pair)
                if seen:
                    raise InvalidModel(seen)
        shape = tuple(n + b + a for n, (b, a) in zip(data.shape, self.pads, strict=True))
        fill = np.asarray(self.value, data.dtype)
        return (padded(data.with_shape(shape), data, self.pads, self.mode, fill),)

    def _too_short(self, axis: int, n: int, pair: tuple[int, int]) -> str:
        """Say why an axis of n positions cannot be padded, empty when it can."""
        needed = {"constant": 0, "edge": 1 if max(pair) else 0, "reflect": max(pair) + 1}[self.mode]
        if n >= needed or not max(pair):
            return ""
        return (
            f"{self.mode} padding of {pair[0]} and {pair[1]} positions on axis {axis} needs "
            f"{needed} or more positions, got {n}"
        )

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Pad one axis after the other.

        Raises:
            EvalError: edge or reflect padding of an axis that is too short.
        """
        (out,) = inputs
        for axis, pair in enumerate(self.pads):
            if max(pair):
                seen = self._too_short(axis, out.shape[axis], pair)
                if seen:
                    raise EvalError(seen)
                out = self._pad_axis(out, axis, *pair)
        return (out,)

    def _pad_axis(self, data: Tensor, axis: int, before: int, after: int) -> Tensor:
        n = data.shape[axis]
        if self.mode == "constant":
            shape = (*data.shape[:axis], n + before + after, *data.shape[axis + 1 :])
            out = np.full(shape, self.value, data.dtype)
            out[_along(axis, before, before + n)] = data
            return out
        positions: Tensor = np.arange(-before, n + after, dtype=np.int64)
        if self.mode == "edge":
            positions = np.clip(positions, 0, n - 1)
        else:
            positions = np.abs(positions)
            positions = np.where(positions >= n, 2 * (n - 1) - positions, positions)
        return np.take(data, positions, axis)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes without pads."""
        padded = (axis for axis, pair in enumerate(self.pads) if max(pair))
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=padded)


@dataclass(frozen=True)
class PadCut(Op):
    """Pad, then keep a stretch of one axis; only increments hold one.

    Attributes:
        pad: what is added.
        axis: the axis.
        start: the first padded position that is kept.
        frames: how many are.
    """

    pad: Pad
    axis: int
    start: int
    frames: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the fact of the stretch."""
        (out,) = self.pad.output_facts(inputs)
        return (out.without_const().with_dim(self.axis, self.frames),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Pad and slice."""
        (out,) = self.pad.eval(turn, inputs)
        return (out[_along(self.axis, self.start, self.start + self.frames)],)


@dataclass
class PulseEdgeState(OpState):
    """Frames emitted so far, and the first frame of the stream."""

    position: int = 0
    first: Tensor | None = None


@dataclass(frozen=True)
class PulseEdge(Op):
    """Fill the frames before a delayed stream by its first frame.

    Attributes:
        axis: the stream axis.
        before: frames between `first` and the first frame of `late`.
        first: raw index of the stream's first frame in `early`, which is also where filling begins.

    Shapes:
        late    [.., q, ..]   the stream, `before` frames later
        early   [.., q, ..]   the stream
        out     [.., q, ..]   late, with frames [first, first + before) filled
    """

    axis: int
    before: int
    first: int
    arity = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact of the late stream."""
        late, early = inputs
        if late.shape != early.shape or late.dtype != early.dtype or self.axis >= late.rank:
            raise InvalidModel(f"streams {late} and {early}; both have one shape")
        return (late.without_const(),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return PulseEdgeState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Keep the first frame when it comes, fill until the late stream begins."""
        late, early = inputs
        state = cast("PulseEdgeState", turn.state)
        frames, position = late.shape[self.axis], state.position
        state.position += frames
        if position <= self.first < position + frames:
            at = self.first - position
            state.first = early[_along(self.axis, at, at + 1)].copy()
        start = max(0, self.first - position)
        end = min(frames, self.first + self.before - position)
        if state.first is None or start >= end:
            return (late,)
        out = late.copy()
        out[_along(self.axis, start, end)] = state.first
        return (out,)


@dataclass
class PulseReflectState(OpState):
    """Frames emitted so far, and the frames that may still be mirrored."""

    position: int = 0
    history: Tensor | None = None


@dataclass(frozen=True)
class PulseReflect(Op):
    """Reflect-pad a stream; the output stream begins at raw frame `begin + before`.

    Attributes:
        axis: the stream axis.
        before: frames of padding before the first frame.
        after: frames of padding after the last one.
        begin: raw index of the stream's first frame.
        length: frames of the stream; may contain the stream symbol.
    """

    axis: int
    before: int
    after: int
    begin: int
    length: Dim

    @property
    def kept(self) -> int:
        """Frames of history."""
        return 2 * (self.before + self.after)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        if self.axis >= data.rank:
            raise InvalidModel(f"axis={self.axis} of {data}")
        return (data.without_const(),)

    def state(self) -> OpState:
        """Return the empty history; the first turn fills it with zeros of its shape."""
        return PulseReflectState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Gather every frame from where it is mirrored in the history."""
        (data,) = inputs
        state = cast("PulseReflectState", turn.state)
        frames, position = data.shape[self.axis], state.position
        state.position += frames
        if state.history is None:
            shape = (*data.shape[: self.axis], self.kept, *data.shape[self.axis + 1 :])
            state.history = np.zeros(shape, data.dtype)
        joined = np.concatenate([state.history, data], self.axis)
        state.history = joined[_along(self.axis, frames, frames + self.kept)].copy()
        # Index in the unpadded stream; negative in the padding before it.
        index: Tensor = np.arange(position, position + frames, dtype=np.int64) - (
            self.begin + 2 * self.before
        )
        length = turn.settled(self.length)
        mirrored: Tensor = np.abs(index)
        if length is not None and self.after:
            mirrored = np.where(index >= length, 2 * (length - 1) - index, mirrored)
        source: Tensor = mirrored + self.begin - (position - self.kept)
        return (np.take(joined, np.clip(source, 0, self.kept + frames - 1), self.axis),)


@DECLUTTER.rule(Pad)
def declutter_empty_pad(op: Pad, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Pad that adds nothing is its input."""
    if any(max(pair) for pair in op.pads):
        return None
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


@INPUT_ROI.rule(Pad)
def roi_pad(op: Pad, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Shift by what stands before; where padding copies a position, that is observed too."""
    region = ctx.regions[0]
    for axis, (size, pair) in enumerate(zip(ctx.inputs[0].shape, op.pads, strict=True)):
        if max(pair):
            region = roi_moves.bordered(region, axis, pair, size, op.mode)
    return (region,)


INPUT_ROI.refuse(PulseEdge, PulseReflect, PadCut, **BATCH_ONLY)


@PULSIFY_V1.rule(Pad)
def pulsify_pad(op: Pad, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a pad along the padded stream axis; other axes are padded by a Pad after it.

    With input delay d, and d already large enough for the end of the stream to be known:

    constant  out delay max(d, before) - before     keeps max(0, before - d) frames
    edge      out delay d if before > 0             keeps `before` frames and the first one
    reflect   out delay d + before                  keeps 2*before + 2*after frames

    Units: all in frames of this wire.
    """
    if not max(op.pads[data_stream(ctx).axis]):
        return along_tracked_axis(op, node, ctx)
    return _pulsed_pad(op, ctx)


def _pulsed_pad(op: Pad, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Wire a pad of the stream axis, then that of the other axes."""
    wire, stream = ctx.inputs[0], data_stream(ctx)
    axis = stream.axis
    before, after = op.pads[axis]
    late = ctx.late_end(wire) if after else 0
    why = LATE_END
    if op.mode == "constant" and before - stream.delay > late:
        late, why = before - stream.delay, f"makes room for {before} frames in front"
    wire = ctx.delay(wire, late, why=why)
    out = _pad_stream(op, ctx, wire, replace(stream, delay=stream.delay + late))
    rest = _rest(op, axis)
    return (out,) if rest is None else ctx.wire(rest, (out,), ctx.stream(out), suffix="static")


def _rest(op: Pad, axis: int) -> Pad | None:
    """Return the pad of the other axes, None when there is nothing to pad."""
    rest = tuple((0, 0) if i == axis else pair for i, pair in enumerate(op.pads))
    return replace(op, pads=rest) if any(max(pair) for pair in rest) else None


def _pad_stream(op: Pad, ctx: PulsifyContext, wire: Outlet, stream: Linear) -> Outlet:
    """Pad the stream axis of a wire that comes late enough."""
    before, after = op.pads[stream.axis]
    d, length = stream.delay, stream.length + before + after
    front = f"{before} frames {'mirrored' if op.mode == 'reflect' else 'of padding'} in front"
    if op.mode == "reflect":
        reflect = PulseReflect(stream.axis, before, after, d, stream.length)
        late = replace(stream, length=length, delay=d + before)
        return ctx.wire(reflect, (wire,), late, suffix="reflect", why=front)[0]
    if op.mode == "constant":
        value = np.asarray(op.value, ctx.fact(wire).dtype)
        filled = ctx.pad(wire, before=before, after=after, mode="constant", value=value, delay=d)
        return ctx.restream(filled, replace(stream, length=length, delay=d - before), why=front)
    if before:
        edge = PulseEdge(stream.axis, before, d)
        inputs = (ctx.delay(wire, before, why=f"makes room for {before} frames in front"), wire)
        grown = replace(stream, length=stream.length + before)
        copies = Front(before, 1, copies=True)
        (wire,) = ctx.wire(edge, inputs, grown, suffix="edge", front=copies, why=front)
    if after:
        wire = ctx.pad(wire, before=0, after=after, mode="edge", value=None, delay=d)
    return ctx.restream(wire, replace(stream, length=length))


@REGION_V2.rule(Pad)
def region_pad(op: Pad, node: Node, ctx: RegionContext) -> RegionPlan:
    """Frame j of the output is frame j - before of the stream, or one that a border copies.

    In front, edge copies frame 0, reflect frames 1 to before; after the last one the same mirrored.
    """
    stream = data_stream(ctx)
    axis = stream.axis
    before, after = op.pads[axis]
    if not before and not after:
        return region_along_tracked_axis(op, node, ctx)
    copied = {"constant": (0, 0), "edge": (1, 1), "reflect": (before + 1, after + 1)}[op.mode]
    front, back = copied[0] if before else 0, copied[1] if after else 0
    reach = Reach(low=-before, high=-before, front=front, back=back, beyond=after)

    def main(made: Increment) -> tuple[Op, ...]:
        (first, stop), length = made.windows[0], made.lengths[0]
        start, end = made.start - before, made.start + made.frames - before
        grown = (max(0, -start), max(0, end - (stop if length is None else length)))
        pads = (*op.pads[:axis], grown, *op.pads[axis + 1 :])
        # Behind what was given in front of these frames, to be copied from.
        return (PadCut(replace(op, pads=pads), axis, start - first + grown[0], made.frames),)

    length = ctx.batch_output().shape[axis]
    if op.mode != "constant":
        lowered = partial(_pulsed_pad, op)
        return RegionPlan(axis, length, stream.rate, (reach,), main, lowered=lowered)
    value = np.asarray(op.value, ctx.batch_input(0).dtype)
    rest = _rest(op, axis)
    return RegionPlan(axis, length, stream.rate, (reach,), main, value, turn=lambda _: rest)


refuse_streaming(PulseEdge, PulseReflect, PadCut, **PULSED_ONLY)

_BORDERS = {"constant": "constant", "replicated": "edge", "reflect": "reflect"}


def of_type(value: float | int, dtype: DType) -> float | int | bool:
    """Return a literal as a value of a dtype."""
    if dtype == np.bool_:
        return bool(value)
    return float(value) if dtype.kind == "f" else int(value)


@NNEF.load("pad", "input", "padding", border="constant", value=0.0)
def load_pad(call: Invocation) -> tuple[Outlet, ...]:
    """pad(input, padding, border, value): one pair per axis."""
    data = call.tensor("input")
    border = call.string("border")
    if border not in _BORDERS:
        call.refuse(f"border {border!r}", remedy="use 'constant', 'replicated' or 'reflect'")
    pads = call.pairs("padding")
    fact = call.fact(data)
    if len(pads) != fact.rank:
        call.malformed(f"padding has {len(pads)} pairs for {fact}", remedy="one per axis")
    if any(b < 0 or a < 0 for b, a in pads):
        call.refuse(f"negative padding {pads}", remedy="crop with slice")
    value = of_type(call.scalar("value", like=data), fact.dtype)
    return call.wire(Pad(pads, _BORDERS[border], value), data)


@NNEF.dump(Pad)
def dump_pad(op: Pad, node: Node, out: Dump) -> None:
    """Write pad."""
    border = {mode: name for name, mode in _BORDERS.items()}[op.mode]
    if isinstance(op.value, float) and op.value != op.value:
        out.refuse("the padding value is NaN, which has no literal", remedy="pad with a number")
    value = float(op.value) if isinstance(op.value, bool) else op.value
    out.call("pad", inputs=(node.inputs[0], op.pads), border=border, value=value)


NNEF.refuse_dump(
    PulseEdge,
    PulseReflect,
    PadCut,
    reason="has no operator in the dialect",
    remedy="write the batch model and pulsify it after reading",
)
