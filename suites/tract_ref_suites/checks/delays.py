"""The delay that the outputs of a pulsified model announce, by the closed forms of spec/pulse.md.

The batch model is walked once. Every wire is written down as in 9.1: its stream axis, its frames
per source frame, its delay, and its length for each of some hundred stream lengths, as plain
numbers. Each op has its formula of 9.2; the delay of a wire is then the largest over its paths
(9.3). How long a wire waits for an end that is known late (8.20) is found by trying every length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tract_ref.dim import Dim, TDim, evaluate, sym
from tract_ref.ir.model import Const, Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.axes import Reshape
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.crop import Crop
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.fft import Stft
from tract_ref.ops.norm import ExpMeanNorm, ExpUnitNorm
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.stream.window import Explicit, Padding, SameLower, SameUpper
from tract_ref_suites.problems.deconv import Spread
from tract_ref_suites.strategies.windows import Along

Counts: TypeAlias = NDArray[np.int64]
"""A number of frames per stream length."""

# Stream lengths that are tried first; more where the longest wait comes late among them.
_LENGTHS = 256
_MOST_LENGTHS = 1 << 16
# A multiple of every small period; twice as much is beyond every choice, and tells a slope.
_PERIODS = 720720
_FAR = 4 * _PERIODS


class NoClosedForm(Exception):
    """An op of the model is none that has a formula here."""


@dataclass(frozen=True, eq=False)
class Lag:
    """How a wire streams.

    Attributes:
        axis: its stream axis.
        rate: its frames per source frame.
        delay: how many of its frames come before its frame 0.
        length: its length for each of the stream lengths that are tried.
    """

    axis: int
    rate: Fraction
    delay: int
    length: Counts


def expected_delays(model: Model, symbol: str, pulse: int) -> list[int | None] | None:
    """Return the delay of every output of a batch model, None for one that does not stream.

    None instead of the list when some op has no formula here.

    Args:
        model: the batch model that is translated: its ops are not rewritten any more.
        symbol: the stream symbol.
        pulse: source frames per turn.
    """
    lengths = _LENGTHS
    while True:
        walk = _Walk(model, symbol, pulse, lengths)
        try:
            lags = walk.lags()
        except NoClosedForm:
            return None
        if not walk.too_few:
            ends = [lags[outlet] for outlet in model.outputs]
            return [None if lag is None else lag.delay for lag in ends]
        lengths *= 4
        assert lengths <= _MOST_LENGTHS, "no number of stream lengths shows the longest wait"


class _Walk:
    """One walk over a model, with a number of stream lengths.

    Attributes:
        too_few: the longest wait came late among the stream lengths, so there may be a longer one.
    """

    def __init__(self, model: Model, symbol: str, pulse: int, lengths: int) -> None:
        self._model = model
        self._symbol = symbol
        self._pulse = pulse
        # The last one tells how long a wire of bounded length becomes.
        self._tried = np.append(np.arange(lengths), _FAR) + model.scope.smallest(symbol)
        self._lags: dict[Outlet, Lag | None] = {}
        self.too_few = False
        self._whole_turns = self._count_turns()

    def lags(self) -> dict[Outlet, Lag | None]:
        """Return how every wire streams."""
        for node in self._model.order():
            found = self._outputs_of(node)
            self._lags.update({Outlet(node.id, slot): lag for slot, lag in enumerate(found)})
        return self._lags

    def _counts(self, dim: Dim) -> Counts:
        if dim is sym(self._symbol):
            return self._tried
        values = [evaluate(dim, {self._symbol: int(length)}) for length in self._tried]
        return np.maximum(np.array(values, np.int64), 0)

    def _slope(self, dim: Dim) -> Fraction:
        ends = (evaluate(dim, {self._symbol: k * _PERIODS}) for k in (1, 2))
        return Fraction(-(next(ends) - next(ends)), _PERIODS)

    def _axis(self, outlet: Outlet) -> int | None:
        axes = self._model.fact(outlet).axes_with(self._symbol)
        if len(axes) > 1:
            raise NoClosedForm
        return axes[0] if axes else None

    def _count_turns(self) -> Counts:
        """Return how many turns every input fills, for each stream length: then S is known."""
        turns: list[Counts] = []
        for outlet in self._model.inputs:
            axes = self._model.fact(outlet).axes_with(self._symbol)
            if len(axes) == 1:
                dim = self._model.fact(outlet).shape[axes[0]]
                per_turn = self._per_turn(self._slope(dim))
                turns.append(self._counts(dim) // per_turn)
        return np.min(turns, axis=0)

    def _per_turn(self, rate: Fraction) -> int:
        frames = rate * self._pulse
        assert frames.denominator == 1, f"a turn brings {frames} frames"
        return int(frames)

    def _at_end(self, lag: Lag) -> Lag:
        """Return the stream so late that no frame after its end leaves before its end is known."""
        # In each turn all lengths are possible from the smallest on that fills the turns before.
        smallest = np.searchsorted(self._whole_turns, self._whole_turns)
        certain = lag.length[smallest] == lag.length[-1]
        come = self._whole_turns * self._per_turn(lag.rate)
        ahead = np.where(certain, 0, come - lag.length)[:-1]
        self.too_few |= int(np.argmax(ahead)) >= len(ahead) // 2
        return replace(lag, delay=max(lag.delay, int(ahead.max())))

    def _outputs_of(self, node: Node) -> list[Lag | None]:
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        if isinstance(node.op, Const):
            return [None]
        inputs = [self._lags[outlet] for outlet in node.inputs]
        if all(lag is None for lag in inputs):
            # A source, or a table that is as long as the stream.
            return [self._new(outlet) for outlet in outlets]
        lag = inputs[0]
        rule = _RULES.get(type(node.op))
        if rule is not None and lag is not None and len(outlets) == 1:
            found = rule(self, node, lag)
            if found is not None:
                return [found]
        if isinstance(node.op, Concat):
            found = self._joined(node.op, node, inputs)
            if found is not None:
                return [found]
        return [self._frame_by_frame(node, inputs, slot) for slot in range(len(outlets))]

    def _new(self, outlet: Outlet) -> Lag | None:
        axis = self._axis(outlet)
        if axis is None:
            return None
        dim = self._model.fact(outlet).shape[axis]
        return Lag(axis, self._slope(dim), 0, self._counts(dim))

    def _frame_by_frame(self, node: Node, inputs: list[Lag | None], slot: int) -> Lag:
        """An op that keeps the stream axis apart waits for the latest of its streams."""
        facts = tuple(self._model.fact(outlet) for outlet in node.inputs)
        mapping = node.op.axes(facts, tuple(node.outputs))
        streams = [(number, lag) for number, lag in enumerate(inputs) if lag is not None]
        axes = {mapping.output_axis(number, lag.axis, output=slot) for number, lag in streams}
        axis = axes.pop()
        if axes or axis is None:
            raise NoClosedForm
        delay = max(lag.delay for _, lag in streams)
        return replace(streams[0][1], axis=axis, delay=delay)

    # One formula of 9.2 each; None where the op leaves the stream axis alone

    def _slice(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Slice, node)
        if op.axis != lag.axis:
            return None
        start, end = (self._counts(dim) for dim in (op.start, op.end))
        if start[0] != start[-1]:
            raise NoClosedForm
        length = np.maximum(np.minimum(end, lag.length) - start, 0)
        return replace(lag, delay=lag.delay + int(start[0]), length=length)

    def _crop(self, node: Node, lag: Lag) -> Lag | None:
        before, after = _the(Crop, node).crops[lag.axis]
        length = np.maximum(lag.length - before - after, 0)
        return replace(lag, delay=lag.delay + before, length=length)

    def _downsample(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Downsample, node)
        if op.axis != lag.axis:
            return None
        length = -(-np.maximum(lag.length - op.modulo, 0) // op.stride)
        delay = (lag.delay + op.modulo) // op.stride
        return Lag(lag.axis, lag.rate / op.stride, delay, length)

    def _pad(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Pad, node)
        before, after = op.pads[lag.axis]
        delay = self._at_end(lag).delay if after else lag.delay
        if op.mode == "constant":
            delay = max(delay, before) - before
        elif op.mode == "reflect":
            delay += before
        return replace(lag, delay=delay, length=lag.length + before + after)

    def _windows(self, node: Node, lag: Lag) -> Lag | None:
        op = node.op
        assert isinstance(op, Conv | MaxPool | SumPool)
        if lag.axis < 2:
            return None
        window = op.window.axis(lag.axis - 2)
        along = Along(window.kernel, window.stride, window.dilation)
        ceil = isinstance(window.padding, Explicit) and window.padding.ceil
        along = replace(along, padding=_padding(window.padding), ceil=ceil)
        return self._windowed(along, lag)

    def _windowed(self, along: Along, lag: Lag) -> Lag:
        delay = along.least_delay(lag.delay, self._at_end(lag).delay, lag.length.tolist())
        return Lag(lag.axis, lag.rate / along.stride, delay, along.count(lag.length))

    def _stft(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Stft, node)
        return self._windowed(Along(op.frame, op.stride), lag) if op.axis == lag.axis else None

    def _deconv(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Deconv, node)
        if lag.axis < 2:
            return None
        window = op.window.axis(lag.axis - 2)
        more = op.adjustments[lag.axis - 2]
        spread = Spread(
            window.kernel, window.stride, window.dilation, _padding(window.padding), more
        )
        before, after = spread.cropped()
        delay = self._at_end(lag).delay if spread.waits else lag.delay
        grown = (lag.length - 1) * spread.stride + spread.field + 1 + more - before - after
        length = np.maximum(grown, 0) * (lag.length > 0)
        return Lag(lag.axis, lag.rate * spread.stride, spread.stride * delay + before, length)

    def _running(self, node: Node, lag: Lag) -> Lag | None:
        """A recurrence reads no frame ahead of its own."""
        op = node.op
        assert isinstance(op, CumSum | ExpMeanNorm | ExpUnitNorm)
        return lag if op.axis == lag.axis else None

    def _broadcast(self, node: Node, lag: Lag) -> Lag | None:
        rank = self._model.fact(node.inputs[0]).rank
        return replace(lag, axis=lag.axis + node.outputs[0].rank - rank)

    def _reshape(self, node: Node, lag: Lag) -> Lag | None:
        op = _the(Reshape, node)
        place = lag.axis - op.at
        if not 0 <= place < len(op.before):
            return None
        target = self._axis(Outlet(node.id, 0))
        if target is None:
            raise NoClosedForm
        inner, made = (
            math.prod(_known(dim) for dim in dims)
            for dims in (op.before[place + 1 :], op.after[target - op.at + 1 :])
        )
        # Wait until frame 0 is the first element of a frame of the output.
        begin = next(d for d in range(lag.delay, lag.delay + made) if d * inner % made == 0)
        length = lag.length * inner // made
        return Lag(target, lag.rate * Fraction(inner, made), begin * inner // made, length)

    def _joined(self, op: Concat, node: Node, inputs: list[Lag | None]) -> Lag | None:
        """Frames stand around one stream whose length is free; those before it may be streams."""
        streams = [lag for lag in inputs if lag is not None]
        if streams[-1].axis != op.axis:
            return None
        free = max(slot for slot, lag in enumerate(inputs) if lag is not None)
        sizes: list[int] = []
        for slot, (outlet, other) in enumerate(zip(node.inputs, inputs, strict=True)):
            if other is None:
                sizes.append(_known(self._model.fact(outlet).shape[op.axis]))
            elif slot == free:
                sizes.append(0)
            elif other.length[0] == other.length[-1]:
                sizes.append(int(other.length[0]))
            else:
                raise NoClosedForm
        before, after = sum(sizes[:free]), sum(sizes[free + 1 :])
        lag = streams[-1]
        begin = max(self._at_end(lag).delay if after else lag.delay, before)
        for slot, other in enumerate(inputs[:free]):
            if other is not None:
                begin = max(begin, other.delay + sum(sizes[slot:free]))
        return replace(lag, delay=begin - before, length=lag.length + before + after)


Kind = TypeVar("Kind", bound=Op)


def _the(kind: type[Kind], node: Node) -> Kind:
    assert isinstance(node.op, kind)
    return node.op


def _known(dim: Dim) -> int:
    if isinstance(dim, TDim):
        raise NoClosedForm
    return dim


def _padding(padding: Padding) -> tuple[int, int] | str:
    """Return the padding in the words of the strategies."""
    match padding:
        case Explicit(before, after):
            return before, after
        case SameUpper():
            return "upper"
        case SameLower():
            return "lower"
        case _:
            return "valid"


_RULES: dict[type[Op], Callable[[_Walk, Node, Lag], Lag | None]] = {
    Slice: _Walk._slice,
    Crop: _Walk._crop,
    Downsample: _Walk._downsample,
    Pad: _Walk._pad,
    Conv: _Walk._windows,
    MaxPool: _Walk._windows,
    SumPool: _Walk._windows,
    Stft: _Walk._stft,
    Deconv: _Walk._deconv,
    CumSum: _Walk._running,
    ExpMeanNorm: _Walk._running,
    ExpUnitNorm: _Walk._running,
    Broadcast: _Walk._broadcast,
    Reshape: _Walk._reshape,
}
