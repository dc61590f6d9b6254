"""Pads of every mode and crops, on the stream axis and beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.crop import Crop
from tract_ref.ops.padding import Pad, PulseEdge, PulseReflect
from tract_ref.runtime.plan import Plan
from tract_ref_suites.problems.base import (
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
from tract_ref_suites.strategies.tensors import exact_values, values

Pairs = tuple[tuple[int, int], ...]
MODES = ("constant", "edge", "reflect")


def bounced(index: int, size: int) -> int:
    """Walk from position 0 to `index`, turning round at both borders."""
    at, step = 0, 1
    for _ in range(abs(index)):
        if at + step not in range(size):
            step = -step
        at += step
    return at


def pad_axis(data: Array, axis: int, pair: tuple[int, int], mode: str, value: float) -> Array:
    """Pad one axis position by position."""
    size = data.shape[axis]
    out = np.full(placed(data.shape, axis, size + sum(pair)), value, data.dtype)
    for target in range(size + sum(pair)):
        source = target - pair[0]
        if mode == "edge":
            source = min(max(source, 0), size - 1)
        elif mode == "reflect":
            # The padded line is symmetric around position 0.
            source = bounced(source, size)
        if 0 <= source < size:
            np.moveaxis(out, axis, 0)[target] = np.moveaxis(data, axis, 0)[source]
    return out


@dataclass(frozen=True, kw_only=True)
class PadProblem(Streamed):
    """One pad.

    Attributes:
        pads: positions before and after, per axis.
        mode: constant, edge or reflect.
        value: the constant.
    """

    family = "padding"
    op = "Pad"
    pads: Pairs
    mode: str = "constant"
    value: float = -1

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("pad", Pad(self.pads, self.mode, self.value), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        for axis, pair in enumerate(self.pads):
            data = pad_axis(data, axis, pair, self.mode, self.value)
        return data

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def shortest(self) -> int:
        pair = self.pads[self.axis]
        needed = {"constant": 0, "edge": 1, "reflect": max(pair) + 1}[self.mode]
        return needed + sum(self.crop) if any(pair) and needed else 0

    @property
    def rounds(self) -> str:
        if self.mode == "constant":
            return ""
        return "a smaller delay depends on the pulse (spec/pulse.md 8.17, 8.18)"

    def least_delay(self, pulse: int) -> int | None:
        before, after = self.pads[self.axis]
        delay = self.delay_for(end_sensitive=bool(after))
        if self.mode == "constant":
            return max(delay, before) - before
        return delay + before if self.mode == "reflect" else delay


@st.composite
def pad_problems(draw: st.DrawFn, *, mode: str = "constant") -> PadProblem:
    """Draw a pad of the stream axis and, at times, of others too."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    most = 9 if mode == "constant" else 5
    pair = (draw(st.integers(0, most)), draw(st.integers(0, most)))
    crop = draw(crops())
    needed = {"constant": 0, "edge": 1 if any(pair) else 0, "reflect": max(pair) + 1}[mode]
    if mode == "reflect" and not any(pair):
        needed = 0
    shape = draw(sizes(rank, least=1 if mode != "reflect" else 2))
    beside = st.integers(0, 1)
    pads = [
        (draw(beside), draw(beside)) if draw(st.booleans()) and k != axis else (0, 0)
        for k in range(rank)
    ]
    pads[axis] = pair
    pulse = draw(pulses())
    length = draw(lengths(pulse[0], least=needed + sum(crop) if needed else 0))
    return PadProblem(
        shape=placed(shape, axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        pads=tuple(pads),
        mode=mode,
        values=draw(values(palettes=("integers", "special"))),
        dtype=draw(st.sampled_from(["f4", "i4", "f8"])),
    )


@st.composite
def spec_pads(draw: st.DrawFn) -> PadProblem:
    """Draw spec/pulse.md 6.2: [S], pulse 1..3, length 0..10, begin and end 0..3, constant -1."""
    return PadProblem(
        shape=(draw(st.integers(0, 10)),),
        axis=0,
        sizes=(draw(st.integers(1, 3)),),
        pads=((draw(st.integers(0, 3)), draw(st.integers(0, 3))),),
    )


@dataclass(frozen=True, kw_only=True)
class CropProblem(Streamed):
    """One crop.

    Attributes:
        crops: positions to drop before and after, per axis.
    """

    family = "padding"
    op = "Crop"
    crops: Pairs

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("drop", Crop(self.crops), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        for axis, (before, after) in enumerate(self.crops):
            rows = list(np.moveaxis(data, axis, 0))
            rows = rows[before : max(before, len(rows) - after)]
            empty = np.zeros((0, *np.moveaxis(data, axis, 0).shape[1:]), data.dtype)
            data = np.moveaxis(np.stack(rows) if rows else empty, 0, axis)
        return data

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] + self.crops[self.axis][0]


@st.composite
def crop_problems(draw: st.DrawFn) -> CropProblem:
    """Draw a crop of any axes."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    dropped = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(3))
    shape = draw(sizes(3, most=6))
    return CropProblem(
        shape=placed(shape, axis, draw(lengths(pulse[0], field=sum(dropped[axis])))),
        axis=axis,
        sizes=pulse,
        crop=draw(crops()),
        crops=dropped,
        values=draw(exact_values()),
    )


@dataclass(frozen=True, kw_only=True)
class PulseTurn(Streamed):
    """The first turn of a state op: a whole stream given at once, followed by filler frames.

    Attributes:
        kind: `edge` (the stream and the same one `before` frames later) or `reflect`.
        pair: frames of padding.
        begin: filler frames ahead of the stream.
    """

    family = "padding"
    kind: str
    pair: tuple[int, int]
    begin: int

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op depends on the kind."""
        return "PulseEdge" if self.kind == "edge" else "PulseReflect"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        before, after = self.pair
        if self.kind == "edge":
            (late,) = model.wire("late", Pad(((before, 0),), "constant", 99), (wire,))
            (early,) = model.wire("early", Pad(((0, before),), "constant", 77), (wire,))
            return model.wire("op", PulseEdge(0, before, self.begin), (late, early))[0]
        frames = self.length - self.begin
        # Frames that are not there yet: the op must not use their values.
        op = PulseReflect(0, before, after, self.begin, frames)
        (more,) = model.wire("more", Pad(((0, 2 * before + after),), "constant", 77), (wire,))
        (out,) = model.wire("op", op, (more,))
        # Frames before the padding and after it are filler.
        start = self.begin + before
        return model.wire("valid", Crop(((start, 0),)), (out,))[0]

    def oracle(self, data: Array) -> Array:
        before = self.pair[0]
        if self.kind == "edge":
            head = [99.0] * before + data.tolist()
            head[self.begin : self.begin + before] = [data[self.begin]] * before
            return np.array(head, data.dtype)
        return pad_axis(data[self.begin :], 0, self.pair, "reflect", 0)


@st.composite
def pulse_turns(draw: st.DrawFn, *, kind: str) -> PulseTurn:
    """Draw one turn of a state op of padding."""
    before = draw(st.integers(1 if kind == "edge" else 0, 4))
    after = draw(st.integers(0, 4)) if kind == "reflect" else 0
    begin = draw(st.integers(0, 3))
    return PulseTurn(
        shape=(begin + max(before, after) + 1 + draw(st.integers(0, 4)),),
        axis=0,
        sizes=(),
        kind=kind,
        pair=(before, after),
        begin=begin,
        values=draw(values()),
    )


STRATEGIES = {
    "Pad-spec": spec_pads,
    **{f"Pad-{mode}": lambda mode=mode: pad_problems(mode=mode) for mode in MODES},
    "Crop-any": crop_problems,
    "PulseEdge-turn": lambda: pulse_turns(kind="edge"),
    "PulseReflect-turn": lambda: pulse_turns(kind="reflect"),
}


def _line(
    length: int,
    pulses: tuple[int, ...],
    pair: tuple[int, int],
    mode: str = "constant",
    crop: tuple[int, int] = (0, 0),
) -> PadProblem:
    return PadProblem(shape=(length,), axis=0, sizes=pulses, pads=(pair,), mode=mode, crop=crop)


HAND: dict[str, Problem] = {
    "Pad-whole-axis": _line(8, (8,), (1, 1)),
    "Pad-one-frame": _line(1, (1, 4), (1, 1)),
    "Pad-left-of-one-frame": _line(1, (1,), (1, 0)),
    "Pad-left-of-two-frames": _line(2, (2,), (1, 0)),
    "Pad-empty-stream": _line(0, (1, 4), (2, 3)),
    "Pad-more-than-the-pulse": _line(6, (4,), (9, 9)),
    "Pad-pulse-longer-than-stream": _line(5, (32,), (2, 3)),
    "Pad-whole-pulses": _line(8, (4,), (1, 2)),
    "Pad-rest": _line(9, (4,), (1, 2)),
    "Pad-after-end-crop": _line(12, (4, 3, 5), (0, 3), crop=(0, 4)),
    "Pad-after-crops": _line(12, (4, 2), (2, 3), crop=(3, 2)),
    "Pad-everything-cropped": _line(5, (2,), (1, 2), crop=(3, 4)),
    "Pad-edge-more-than-the-pulse": _line(6, (2, 1), (5, 5), "edge"),
    "Pad-edge-one-frame": _line(1, (1, 4), (2, 2), "edge"),
    "Pad-edge-after-crops": _line(12, (4, 3), (2, 3), "edge", (3, 2)),
    "Pad-edge-left-only": _line(7, (3,), (4, 0), "edge", (1, 0)),
    "Pad-edge-right-only": _line(7, (3, 7), (0, 4), "edge"),
    "Pad-reflect": _line(7, (1, 2, 3, 8), (2, 3), "reflect"),
    "Pad-reflect-whole": _line(4, (2,), (3, 3), "reflect"),
    "Pad-reflect-after-crops": _line(13, (4, 3), (2, 3), "reflect", (2, 3)),
    "Pad-other-axis": PadProblem(shape=(2, 5), axis=1, sizes=(2,), pads=((1, 2), (0, 0))),
    "Pad-edge-both-axes": PadProblem(
        shape=(2, 5), axis=1, sizes=(2,), pads=((1, 2), (2, 1)), mode="edge"
    ),
    "Crop-to-nothing": CropProblem(shape=(3,), axis=0, sizes=(2,), crops=((2, 2),)),
    "Crop-empty-stream": CropProblem(shape=(0,), axis=0, sizes=(2,), crops=((1, 1),)),
}


def _pad(pair: tuple[int, int], mode: str = "constant") -> Pad:
    return Pad((pair,), mode, 0.0)


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _short(mode: str, length: int) -> ErrorCase:
    def attempt() -> object:
        return Plan(single(_pad((2, 2), mode), *facts("S,f32"))).run(
            {"x0": Values().array((length,))}
        )

    return ErrorCase(attempt, EvalError, f'run: node "op" (Pad): {mode} padding of 2 and 2 positio')


def _state(op: Op, *texts: str) -> ErrorCase:
    return ErrorCase(
        pulsing(lambda: single(op, *facts(*texts))),
        Refused,
        f'pulsify v1: node "op" ({op.name}): is a state op of a pulsed model',
        refusal=f"PULSIFY_V1:{op.name}",
    )


ERRORS: dict[str, ErrorCase] = {
    "PulseEdge-state": _state(PulseEdge(0, 1, 0), "S,f32", "S,f32"),
    "PulseReflect-state": _state(PulseReflect(0, 1, 1, 0, 4), "S,f32"),
    "Pad-mode": _invalid(_pad((1, 1), "wrap"), "mode='wrap'", "S,f32"),
    "Pad-rank": _invalid(_pad((1, 1)), "1 pairs of pads for data 1,S,f32", "1,S,f32"),
    "Pad-negative": _invalid(_pad((-1, 0)), "pads=((-1, 0),)", "S,f32"),
    "Pad-edge-of-nothing": _invalid(_pad((1, 0), "edge"), "edge padding of 1 and 0", "0,f32"),
    "Pad-reflect-too-far": _invalid(_pad((3, 0), "reflect"), "reflect padding of 3", "3,f32"),
    "Pad-edge-empty-stream": _short("edge", 0),
    "Pad-reflect-short-stream": _short("reflect", 2),
    "Crop-rank": _invalid(Crop(((1, 1),)), "crops=((1, 1),) for data 1,S,f32", "1,S,f32"),
    "Crop-negative": _invalid(Crop(((-1, 1),)), "crops=((-1, 1),)", "S,f32"),
    "PulseEdge-shapes": _invalid(PulseEdge(0, 1, 0), "streams 4,f32 and 5,f32", "4,f32", "5,f32"),
    "PulseReflect-axis": _invalid(PulseReflect(1, 1, 1, 0, 4), "axis=1 of S,f32", "S,f32"),
}
