"""Slices, samples of every n-th position, and tables read along the stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.binary import Add
from tract_ref.ops.padding import Pad
from tract_ref.ops.slicing import Downsample, PositionalSlice, Slice
from tract_ref.runtime.plan import Plan
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    Values,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


def kept(data: Array, axis: int, positions: list[int]) -> Array:
    """Return the positions of an axis, one by one."""
    out = np.zeros(placed(data.shape, axis, len(positions)), data.dtype)
    for target, source in enumerate(positions):
        np.moveaxis(out, axis, 0)[target] = np.moveaxis(data, axis, 0)[source]
    return out


@dataclass(frozen=True, kw_only=True)
class SliceProblem(Streamed):
    """One slice of [start, end) positions.

    Attributes:
        on: the axis that is sliced.
        start: first kept position.
        end: one past the last; when negative or 0, counted from the end of the axis.
    """

    family = "slicing"
    op = "Slice"
    on: int
    start: int
    end: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        dim = model.fact(wire).shape[self.on]
        end = self.end if self.end > 0 else dim + self.end
        return model.wire("slice", Slice(self.on, self.start, end), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        size = data.shape[self.on]
        end = self.end if self.end > 0 else size + self.end
        return kept(data, self.on, [i for i in range(size) if self.start <= i < end])

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def rounds(self) -> str:
        fixed = self.on == self.axis and self.end > 0
        return "frames up to a fixed end may all come in one turn" if fixed else ""

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] + (self.start if self.on == self.axis else 0)


@st.composite
def slice_problems(draw: st.DrawFn, *, off_axis: bool = False) -> SliceProblem:
    """Draw a slice of the stream axis or of another one."""
    axis = draw(st.integers(0, 2))
    on = (axis + draw(st.integers(1, 2))) % 3 if off_axis else axis
    pulse = draw(pulses())
    shape = draw(sizes(3))
    start, end = draw(st.integers(0, 3)), draw(st.integers(-3, 6))
    if off_axis:
        start = min(start, shape[on])
    crop = draw(crops())
    return SliceProblem(
        shape=placed(shape, axis, draw(lengths(pulse[0], field=sum(crop) + start))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        on=on,
        start=start,
        end=end,
        values=draw(values(palettes=("integers", "special"))),
    )


@st.composite
def crop_problems(draw: st.DrawFn) -> SliceProblem:
    """Draw spec/pulse.md 6.1: [S], pulse 1..3, length 0..10, begin and end 0..3."""
    begin, end = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return SliceProblem(
        shape=(draw(st.integers(0, 10)) + begin + end,),
        axis=0,
        sizes=(draw(st.integers(1, 3)),),
        on=0,
        start=begin,
        end=-end,
    )


@dataclass(frozen=True, kw_only=True)
class DownsampleProblem(Streamed):
    """Keep one position out of `stride`.

    Attributes:
        on: the axis.
        stride: negative reads backwards.
        modulo: first kept position.
    """

    family = "slicing"
    op = "Downsample"
    on: int
    stride: int
    modulo: int = 0

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        op = Downsample(self.on, self.stride, self.modulo)
        return model.wire("sample", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        size = data.shape[self.on]
        if self.stride > 0:
            places = [i for i in range(size) if i >= self.modulo]
            return kept(data, self.on, [i for i in places if not (i - self.modulo) % self.stride])
        last_first = [i for i in reversed(range(size)) if not (size - 1 - i) % -self.stride]
        return kept(data, self.on, last_first)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        if self.on != self.axis:
            return self.crop[0]
        return (self.crop[0] + self.modulo) // self.stride


@st.composite
def downsample_problems(draw: st.DrawFn, *, how: str = "stream") -> DownsampleProblem:
    """Draw a sampling of the stream axis, of another axis (`other`), or backwards (`backwards`)."""
    axis = draw(st.integers(0, 2))
    on = axis if how == "stream" else (axis + draw(st.integers(1, 2))) % 3
    stride = draw(st.integers(1, 4))
    pulse = draw(pulses(stride))
    crop = draw(crops())
    shape = draw(sizes(3, most=5))
    modulo = draw(st.integers(0, stride))
    backwards = how == "backwards"
    return DownsampleProblem(
        shape=placed(shape, axis, draw(lengths(stride, field=sum(crop) + stride))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        on=on,
        stride=-stride if backwards else stride,
        modulo=0 if backwards else modulo,
        values=draw(values(palettes=("integers", "special"))),
    )


@st.composite
def delay_plus_downsample(draw: st.DrawFn) -> DownsampleProblem:
    """Draw spec/pulse.md 6.7: slice(delay..S), then Downsample(stride, modulo)."""
    stride = draw(st.integers(1, 4))
    delay = draw(st.integers(0, 100))
    return DownsampleProblem(
        shape=(1, draw(st.integers(1, 100)) + stride + delay, 1),
        axis=1,
        sizes=(draw(st.integers(1, 4)) * stride,),
        crop=(delay, 0),
        on=1,
        stride=stride,
        modulo=draw(st.integers(0, stride)),
    )


@dataclass(frozen=True, kw_only=True)
class TableProblem(Streamed):
    """A static table is cut to the stream's length and added to the stream.

    Attributes:
        start: position of the table that meets frame 0.
        spare: positions of the table that the stream does not reach.
    """

    family = "slicing"
    op = "Slice"
    start: int = 0
    spare: int = 0

    @property
    def longest(self) -> int | None:
        return max(self.length, sum(self.crop)) + self.spare

    def table(self) -> Array:
        frames = max(0, self.length - sum(self.crop))
        shape = placed((1,) * len(self.shape), self.axis, self.start + frames + self.spare)
        return self.values.array(shape, salt=1)

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        table = model.add_const("table", self.table())
        length = model.fact(wire).shape[self.axis]
        op = Slice(self.axis, self.start, length + self.start, exact=True)
        (cut,) = model.wire("cut", op, (table,))
        return model.wire("add", Add(), (wire, cut))[0]

    def oracle(self, data: Array) -> Array:
        table = self.table().ravel().tolist()
        out = np.moveaxis(data, self.axis, 0).copy()
        for frame in range(len(out)):
            out[frame] += np.float32(table[self.start + frame])
        return np.moveaxis(out, 0, self.axis)

    @property
    def oracle_approx(self) -> str:
        return "exact"


@st.composite
def table_problems(draw: st.DrawFn) -> TableProblem:
    """Draw a table and a stream."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    front = draw(st.integers(0, 3))
    return TableProblem(
        shape=placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=front))),
        axis=axis,
        sizes=pulse,
        crop=(front, 0),
        start=draw(st.integers(0, 3)),
        spare=draw(st.integers(0, 3)),
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class PositionProblem(Streamed):
    """The state op that reads a table, in its first turn; positions past the table are 0."""

    family = "slicing"
    op = "PositionalSlice"
    start: int
    frames: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        # The fixed length says that no position past the end is ever read.
        op = PositionalSlice(self.axis, self.start, self.frames, 0)
        return model.wire("table", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        size = data.shape[self.axis]
        out = np.zeros(placed(data.shape, self.axis, self.frames), data.dtype)
        for frame in range(self.frames):
            if self.start + frame < size:
                source = np.moveaxis(data, self.axis, 0)[self.start + frame]
                np.moveaxis(out, self.axis, 0)[frame] = source
        return out


@st.composite
def position_problems(draw: st.DrawFn) -> PositionProblem:
    """Draw one turn of a table."""
    return PositionProblem(
        shape=(2, draw(st.integers(0, 8))),
        axis=1,
        sizes=(),
        start=draw(st.integers(0, 4)),
        frames=draw(st.integers(1, 4)),
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class BoundedPad(Streamed):
    """Frames [start, end) of a stream, then a pad: the end is certain before the stream's end."""

    family = "slicing"
    op = "Slice"
    start: int
    end: int
    after: int

    @property
    def rounds(self) -> str:
        return "the pad waits for an end that only short streams move"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        (cut,) = model.wire("cut", Slice(self.axis, self.start, self.end), (wire,))
        pads = tuple((0, self.after) if a == self.axis else (0, 0) for a in range(len(self.shape)))
        return model.wire("pad", Pad(pads, "constant", -1.0), (cut,))[0]

    def oracle(self, data: Array) -> Array:
        size = data.shape[self.axis]
        cut = kept(data, self.axis, [i for i in range(size) if self.start <= i < self.end])
        tail = np.full(placed(cut.shape, self.axis, self.after), -1.0, data.dtype)
        return np.concatenate([cut, tail], self.axis)


@st.composite
def bounded_pads(draw: st.DrawFn) -> BoundedPad:
    """Draw a slice to a fixed end and a pad after it."""
    pulse = draw(pulses())
    crop = draw(crops())
    return BoundedPad(
        shape=(1, draw(lengths(pulse[0], field=6)), 2),
        axis=1,
        sizes=pulse,
        crop=crop,
        start=draw(st.integers(0, 3)),
        end=draw(st.integers(1, 9)),
        after=draw(st.integers(1, 4)),
    )


STRATEGIES = {
    "Slice-crop": crop_problems,
    "Slice-stream": slice_problems,
    "Slice-off-axis": lambda: slice_problems(off_axis=True),
    "Slice-table": table_problems,
    "Slice-bounded-pad": bounded_pads,
    "Downsample-stream": downsample_problems,
    "Downsample-off-axis": lambda: downsample_problems(how="other"),
    "Downsample-backwards": lambda: downsample_problems(how="backwards"),
    "Downsample-after-delay": delay_plus_downsample,
    "PositionalSlice-turn": position_problems,
}


def _slice(length: int, pulses: tuple[int, ...], start: int, end: int) -> SliceProblem:
    return SliceProblem(shape=(1, length), axis=1, sizes=pulses, on=1, start=start, end=end)


def _sample(length: int, pulse: int, delay: int, stride: int, modulo: int) -> DownsampleProblem:
    return DownsampleProblem(
        shape=(1, length, 1),
        axis=1,
        sizes=(pulse,),
        crop=(delay, 0),
        on=1,
        stride=stride,
        modulo=modulo,
    )


HAND: dict[str, Problem] = {
    "Slice-whole-axis": _slice(8, (8, 3), 0, 0),
    "Slice-one-frame": _slice(1, (1, 4), 0, 1),
    "Slice-empty-stream": _slice(0, (1, 4), 1, -1),
    "Slice-nothing-left": _slice(3, (2,), 2, -2),
    "Slice-pulse-longer-than-stream": _slice(5, (16,), 1, -1),
    "Slice-first-frames": _slice(9, (2, 4), 0, 3),
    "Slice-to-a-fixed-end-of-a-short-stream": _slice(2, (1, 4), 1, 5),
    "Slice-whole-pulses": _slice(8, (4,), 2, 0),
    "Slice-rest": _slice(9, (4,), 2, -3),
    "Slice-uniform-table": TableProblem(shape=(8, 1), axis=0, sizes=(4,)),
    "Slice-table-empty-stream": TableProblem(shape=(0, 1), axis=0, sizes=(4,), spare=2),
    "Downsample-1": _sample(3, 2, 0, 2, 1),
    "Downsample-2": _sample(3, 2, 1, 2, 0),
    "Downsample-3": _sample(5, 2, 1, 2, 0),
    "Downsample-4": _sample(9, 2, 1, 2, 0),
    "Downsample-5": _sample(6, 1, 4, 1, 0),
    "Downsample-6": _sample(4, 2, 1, 2, 0),
    "Downsample-phase": _sample(14, 4, 3, 2, 1),
    "Downsample-empty-stream": _sample(0, 2, 0, 2, 0),
    "Downsample-shorter-than-modulo": _sample(1, 3, 0, 3, 2),
    "Downsample-time-reversal": DownsampleProblem(shape=(7,), axis=0, sizes=(), on=0, stride=-1),
    "PositionalSlice-first-turn": PositionProblem(
        shape=(1, 6), axis=1, sizes=(), start=1, frames=3
    ),
}


def _refused(op: Op, starts: str, text: str = "1,S,6,f32", *, pulse: int = 4) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(text)), pulse=pulse)
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, text: str = "1,S,6,f32") -> ErrorCase:
    return ErrorCase(wiring(op, *facts(text)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _table(length: object, start: object = 0, *, pulse: int = 4) -> ErrorCase:
    def model() -> Model:
        built = Model()
        wire = built.add_source("x", facts("S,f32")[0])
        table = built.add_const("table", Values().array((64,)))
        op = Slice(0, start, length, exact=True)  # pyright: ignore[reportArgumentType]
        (cut,) = built.wire("cut", op, (table,))
        built.set_outputs([wire, cut], ["x", "y"])
        return built

    return ErrorCase(pulsing(model, pulse=pulse), Refused, 'pulsify v1: node "cut" (Slice): ')


def _short_table() -> object:
    model = Model()
    wire = model.add_source("x", facts("S,f32")[0])
    table = model.add_const("table", Values().array((3,)))
    (cut,) = model.wire("cut", Slice(0, 0, S, exact=True), (table,))
    model.set_outputs(model.wire("add", Add(), (wire, cut)), ["y"])
    return Plan(model).run({"x": Values().array((5,))})


ERRORS: dict[str, ErrorCase] = {
    "Slice-start-of-the-end": _refused(Slice(1, S - 4, S), "start="),
    "Slice-other-axis-to-the-stream": _refused(Slice(2, 0, S), "cuts axis 2 to", "1,S,6,f32"),
    "Slice-table-of-uneven-length": _table(S * S),
    "Slice-table-of-half-frames": _table(S // 2, pulse=3),
    "Slice-table-too-short": ErrorCase(_short_table, EvalError, 'run: node "cut" (Slice): end=S'),
    "Downsample-backwards": _refused(Downsample(1, -1), "stride=-1 reads the stream backwards"),
    "Downsample-pulse": _refused(Downsample(1, 3), "pulse=4 brings 4 frames on axis 1, not a mult"),
    "PositionalSlice-state": ErrorCase(
        pulsing(lambda: single(PositionalSlice(1, 0, 2, 2), *facts("1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (PositionalSlice): is a state op of a pulsed model',
        refusal="PULSIFY_V1:PositionalSlice",
    ),
    "Slice-axis": _invalid(Slice(3, 0, 1), "axis=3 for an input 1,S,6,f32"),
    "Slice-negative-start": _invalid(Slice(1, -1, 1), "start=-1 on axis 1"),
    "Slice-exact-end": _invalid(Slice(2, 0, 7, exact=True), "end=7 on axis 2"),
    "Downsample-axis": _invalid(Downsample(3, 2), "axis=3"),
    "Downsample-stride-zero": _invalid(Downsample(1, 0), "axis=1, stride=0, modulo=0"),
    "Downsample-negative-modulo": _invalid(Downsample(1, 2, -1), "axis=1, stride=2, modulo=-1"),
    "PositionalSlice-axis": _invalid(PositionalSlice(3, 0, 2, 2), "axis=3, start=0, frames=2"),
}
