"""Joins: constants around a stream, branches beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Scope, parse_assertion, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.concat import Concat, StreamConcat, StreamSplice
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.unary import Neg
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    cropped,
    facts,
    pulsing,
    single,
    sliced,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


def joined(parts: list[Array], axis: int) -> Array:
    """Join arrays position by position."""
    rows = [row for part in parts for row in np.moveaxis(part, axis, 0)]
    if not rows:
        return parts[0]
    return np.moveaxis(np.stack(rows), 0, axis)


@dataclass(frozen=True, kw_only=True)
class AroundProblem(Streamed):
    """Constants before and after a stream, on the stream axis.

    Attributes:
        before: frames of each constant in front.
        after: frames of each constant behind.
    """

    family = "concat"
    op = "Concat"
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def constants(self) -> tuple[list[Array], list[Array]]:
        """Return the constants in front and behind."""
        drawn = [
            self.values.array(placed(self.shape, self.axis, frames), self.dtype, salt=slot + 1)
            for slot, frames in enumerate((*self.before, *self.after))
        ]
        return drawn[: len(self.before)], drawn[len(self.before) :]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        front, back = self.constants()
        wires = [model.add_const(f"front{slot}", part) for slot, part in enumerate(front)]
        wires.append(wire)
        wires += [model.add_const(f"back{slot}", part) for slot, part in enumerate(back)]
        return model.wire("concat", Concat(self.axis), wires)[0]

    def oracle(self, data: Array) -> Array:
        front, back = self.constants()
        return joined([*front, data, *back], self.axis)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        before = sum(self.before)
        return max(self.delay_for(end_sensitive=sum(self.after) > 0), before) - before


@st.composite
def around_problems(draw: st.DrawFn) -> AroundProblem:
    """Draw up to two constants on each side, some of no frames."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    crop = draw(crops())
    parts = st.lists(st.integers(0, 5), max_size=2).map(tuple)
    return AroundProblem(
        shape=placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=sum(crop)))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        before=draw(parts),
        after=draw(parts),
        values=draw(values(palettes=("integers", "special"))),
        dtype=draw(st.sampled_from(["f4", "i4", "b1"])),
    )


@dataclass(frozen=True, kw_only=True)
class BesideProblem(Streamed):
    """Branches of one length, from several offsets of a stream, joined on another axis.

    Attributes:
        on: the joined axis.
        offsets: first frame of each branch.
    """

    family = "concat"
    op = "Concat"
    on: int
    offsets: tuple[int, ...]

    def crops(self) -> list[tuple[int, int]]:
        """Return what each branch drops of the stream."""
        return [(offset, max(self.offsets) - offset) for offset in self.offsets]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        wires = [
            sliced(model, f"branch{number}", wire, self.axis, crop)
            for number, crop in enumerate(self.crops())
        ]
        return model.wire("concat", Concat(self.on), wires)[0]

    def oracle(self, data: Array) -> Array:
        return joined([cropped(data, self.axis, crop) for crop in self.crops()], self.on)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] + max(self.offsets)


@st.composite
def beside_problems(draw: st.DrawFn) -> BesideProblem:
    """Draw 1 to 4 branches."""
    axis = draw(st.integers(0, 2))
    pulse = draw(pulses())
    front = draw(st.integers(0, 2))
    offsets = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
    return BesideProblem(
        shape=placed(draw(sizes(3)), axis, draw(lengths(pulse[0], field=max(offsets) + front))),
        axis=axis,
        sizes=pulse,
        crop=(front, 0),
        on=(axis + draw(st.integers(1, 2))) % 3,
        offsets=offsets,
        values=draw(values(palettes=("integers", "special"))),
    )


@dataclass(frozen=True, kw_only=True)
class FrontProblem(Streamed):
    """Pieces of a stream and constants in front of the stream itself.

    Attributes:
        parts: what stands in front: a constant of `n` frames as (-1, n), or frames a..b of x.
        after: frames of a constant behind.
    """

    family = "concat"
    op = "Concat"
    parts: tuple[tuple[int, int], ...]
    after: int = 0

    @property
    def longest_piece(self) -> int:
        """Frames that the stream must have, so that every piece is whole."""
        return max((b for a, b in self.parts if a >= 0), default=0)

    def constant(self, slot: int, frames: int) -> Array:
        """Return the constant of a slot."""
        return self.values.array(placed(self.shape, self.axis, frames), self.dtype, salt=slot + 1)

    def model(self) -> Model:
        scope = Scope((parse_assertion(f"{SYMBOL}>={self.longest_piece}"),))
        model = Model(scope)
        x = model.add_source("x", self.fact)
        wire = sliced(model, "crop", x, self.axis, self.crop)
        wires = [
            model.add_const(f"front{slot}", self.constant(slot, b))
            if a < 0
            else model.wire(f"piece{slot}", Slice(self.axis, a, b), (x,))[0]
            for slot, (a, b) in enumerate(self.parts)
        ]
        wires.append(wire)
        if self.after:
            wires.append(model.add_const("back", self.constant(len(self.parts), self.after)))
        model.set_outputs(model.wire("concat", Concat(self.axis), wires), ["y"])
        return model

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        raise NotImplementedError

    def oracle(self, data: Array) -> Array:
        raise NotImplementedError

    def expected(self) -> dict[str, Array]:
        x = self.inputs()["x"]
        parts = [
            self.constant(slot, b) if a < 0 else np.take(x, range(a, b), self.axis)
            for slot, (a, b) in enumerate(self.parts)
        ]
        parts.append(cropped(x, self.axis, self.crop))
        parts.append(self.constant(len(self.parts), self.after))
        return {"y": joined(parts, self.axis)}

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def rounds(self) -> str:
        waits = self._waits() > max(0, self.crop[0] - self._frames())
        return "a turn may bring all of the piece in front" if waits else ""

    def _frames(self) -> int:
        """Frames in front."""
        return sum(b if a < 0 else b - a for a, b in self.parts)

    def _waits(self) -> int:
        """Frames that a piece comes later than its place."""
        place, most = 0, 0
        for a, b in self.parts:
            most = max(most, a - place if b > a >= 0 else 0)
            place += b if a < 0 else b - a
        return most

    def least_delay(self, pulse: int) -> int | None:
        late = self.crop[0] + (self._unknown(pulse) if self.after else 0)
        return max(0, late - self._frames(), self._waits())

    def _unknown(self, pulse: int) -> int:
        """Frames by which the cropped end may be known too late."""
        found = [0]
        for turns in range(20):
            length = max(turns * pulse, self.longest_piece)
            found.append(turns * pulse - max(0, length - sum(self.crop)) - self.crop[0])
        return max(found)


@st.composite
def front_problems(draw: st.DrawFn) -> FrontProblem:
    """Draw one to three pieces in front, at least one of them of the stream."""
    axis = draw(st.integers(0, 1))
    pulse = draw(pulses())
    piece = st.integers(0, 4).flatmap(lambda a: st.tuples(st.just(a), st.integers(a, a + 4)))
    constant = st.tuples(st.just(-1), st.integers(0, 3))
    parts = (draw(piece), *draw(st.lists(piece | constant, max_size=2)))
    crop = draw(crops())
    most = max(b for a, b in parts if a >= 0)
    return FrontProblem(
        shape=placed(draw(sizes(2)), axis, draw(lengths(pulse[0], field=sum(crop), least=most))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        parts=tuple(draw(st.permutations(parts))),
        after=draw(st.sampled_from([0, 0, 2])),
        values=draw(values(palettes=("integers", "special"))),
        dtype=draw(st.sampled_from(["f4", "i4"])),
    )


@dataclass(frozen=True, kw_only=True)
class StreamConcatTurn(Streamed):
    """The first turn of the state op, the whole stream at once, its end known.

    Attributes:
        before: frames of the prefix.
        after: frames of the suffix.
        begin: raw frame at which the stream begins.
        filler: frames after the end of the stream.
    """

    family = "concat"
    op = "StreamConcat"
    before: int
    after: int
    begin: int
    filler: int

    def parts(self) -> list[Array]:
        """Return the prefix and the suffix, those that have frames."""
        counts = (self.before, self.after)
        return [
            self.values.array((frames,), salt=slot + 1)
            for slot, frames in enumerate(counts)
            if frames
        ]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        consts = [model.add_const(f"c{slot}", part) for slot, part in enumerate(self.parts())]
        end = sym(SYMBOL) - self.filler
        op = StreamConcat(0, self.before, self.after, self.begin, end)
        return model.wire("op", op, (wire, *consts))[0]

    def oracle(self, data: Array) -> Array:
        out, parts = data.tolist(), self.parts()
        for index in range(self.before):
            out[self.begin - self.before + index] = parts[0][index]
        for index in range(min(self.after, self.filler)):
            out[self.length - self.filler + index] = parts[-1][index]
        return np.array(out, data.dtype)


@st.composite
def stream_concat_turns(draw: st.DrawFn) -> StreamConcatTurn:
    """Draw one turn."""
    before, after, late, filler = (draw(st.integers(0, 3)) for _ in range(4))
    begin = before + late
    return StreamConcatTurn(
        shape=(begin + draw(st.integers(1, 5)) + filler,),
        axis=0,
        sizes=(),
        before=before,
        after=after,
        begin=begin,
        filler=filler,
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class StreamSpliceTurn(Streamed):
    """The first turn of the state op: a stream, and from frame `at` on its negative.

    Attributes:
        at: raw frame at which the second stream begins.
    """

    family = "concat"
    op = "StreamSplice"
    at: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        (negative,) = model.wire("neg", Neg(), (wire,))
        return model.wire("op", StreamSplice(0, self.at), (wire, negative))[0]

    def oracle(self, data: Array) -> Array:
        signs = [1 if index < self.at else -1 for index in range(len(data))]
        return np.array([s * v for s, v in zip(signs, data.tolist(), strict=True)], data.dtype)


@st.composite
def stream_splice_turns(draw: st.DrawFn) -> StreamSpliceTurn:
    """Draw one turn; the second stream may begin after it."""
    length = draw(st.integers(0, 6))
    return StreamSpliceTurn(
        shape=(length,), axis=0, sizes=(), at=draw(st.integers(0, 8)), values=draw(values())
    )


STRATEGIES = {
    "StreamSplice-turn": stream_splice_turns,
    "Concat-around": around_problems,
    "Concat-beside": beside_problems,
    "Concat-front": front_problems,
    "StreamConcat-turn": stream_concat_turns,
}


def _line(
    length: int,
    pulses: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    crop: tuple[int, int] = (0, 0),
) -> AroundProblem:
    return AroundProblem(
        shape=(length,), axis=0, sizes=pulses, before=before, after=after, crop=crop
    )


HAND: dict[str, Problem] = {
    "Concat-whole-axis": _line(8, (8,), (1,), (1,)),
    "Concat-one-frame": _line(1, (1, 4), (1,), (1,)),
    "Concat-empty-stream": _line(0, (1, 4), (2,), (3,)),
    "Concat-more-than-the-pulse": _line(10, (4, 2), (5,), (3,)),
    "Concat-suffix-longer-than-the-pulse": _line(6, (2,), (), (7,)),
    "Concat-pulse-longer-than-stream": _line(5, (32,), (2,), (3,)),
    "Concat-alone": _line(5, (2,), (), ()),
    "Concat-nothing-to-join": _line(5, (2,), (0,), (0,)),
    "Concat-after-end-crop": _line(12, (4, 3, 5), (), (3,), (0, 4)),
    "Concat-after-crops": _line(12, (4, 3), (2,), (3,), (3, 2)),
    "Concat-everything-cropped": _line(4, (2,), (1,), (2,), (3, 3)),
    "Concat-first-frames-again": FrontProblem(
        shape=(7,), axis=0, sizes=(2, 4), parts=((0, 3),), crop=(0, 0)
    ),
    "Concat-later-frame-first": FrontProblem(
        shape=(10,), axis=0, sizes=(1, 3), parts=((2, 3),), crop=(0, 0)
    ),
    "Concat-cut-in-two": FrontProblem(
        shape=(9,), axis=0, sizes=(2, 5), parts=((0, 3),), crop=(3, 0), after=1
    ),
    "StreamSplice-in-the-middle": StreamSpliceTurn(shape=(5,), axis=0, sizes=(), at=2),
    "Concat-delays-2-0-1": BesideProblem(
        shape=(1, 9), axis=1, sizes=(4, 3), on=0, offsets=(2, 0, 1)
    ),
}


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


def _pieces(one: Op, two: Op, *, least: int = 0) -> Model:
    """Join two pieces of a stream that has at least so many frames."""
    model = Model(Scope((parse_assertion(f"{SYMBOL}>={least}"),)))
    x = model.add_source("x", facts("S,f32")[0])
    wires = [model.wire(f"piece{k}", op, (x,))[0] for k, op in enumerate((one, two))]
    model.set_outputs(model.wire("op", Concat(0), wires), ["y"])
    return model


ERRORS: dict[str, ErrorCase] = {
    "Concat-two-streams": ErrorCase(
        pulsing(lambda: single(Concat(1), *facts("1,S,f32", "1,S,f32"))),
        Refused,
        'pulsify v1: node "op" (Concat): joins 2 streams along the stream axis 1',
    ),
    "Concat-first-frames-of-a-short-stream": ErrorCase(
        pulsing(lambda: _pieces(Slice(0, 0, 3), Slice(0, 0, S))),
        Refused,
        'pulsify v1: node "op" (Concat): joins 2 streams along the stream axis 0: one would',
    ),
    "Concat-first-frames-behind": ErrorCase(
        pulsing(lambda: _pieces(Slice(0, 3, S), Slice(0, 0, 3))),
        Refused,
        'pulsify v1: node "op" (Concat): joins 2 streams along the stream axis 0: one would',
    ),
    "Concat-first-frames-kept-until-the-end": ErrorCase(
        pulsing(lambda: _pieces(Slice(0, 3, S), Slice(0, 0, 3), least=3)),
        Refused,
        'pulsify v1: node "op" (Concat): puts the first frames of a stream, input 1, after the end',
    ),
    "Concat-pieces-of-two-rates": ErrorCase(
        pulsing(lambda: _pieces(Slice(0, 0, 3), Downsample(0, 2), least=3)),
        Refused,
        'pulsify v1: node "op" (Concat): joins streams of different rates (1/2, 1 frames per',
    ),
    "StreamSplice-state": ErrorCase(
        pulsing(lambda: single(StreamSplice(0, 1), *facts("S,f32", "S,f32"))),
        Refused,
        'pulsify v1: node "op" (StreamSplice): is a state op of a pulsed model',
        refusal="PULSIFY_V1:StreamSplice",
    ),
    "StreamSplice-shapes": _invalid(
        StreamSplice(0, 1), "streams 4,f32 and 5,f32 on axis 0", "4,f32", "5,f32"
    ),
    "StreamConcat-state": ErrorCase(
        pulsing(lambda: single(StreamConcat(0, 0, 0, 0, 4), *facts("S,f32"))),
        Refused,
        'pulsify v1: node "op" (StreamConcat): is a state op of a pulsed model',
        refusal="PULSIFY_V1:StreamConcat",
    ),
    "Concat-axis": _invalid(Concat(2), "axis=2 for an input 1,S,f32", "1,S,f32"),
    "Concat-rank": _invalid(Concat(0), "input 0 is 1,S,f32, input 1 is S,f32", "1,S,f32", "S,f32"),
    "Concat-dtypes": _invalid(Concat(0), "input 0 is S,f32, input 1 is S,i64", "S,f32", "S,i64"),
    "Concat-other-axis": _invalid(Concat(0), "input 0 is 1,2,f32", "1,2,f32", "1,3,f32"),
    "StreamConcat-sizes": _invalid(
        StreamConcat(0, 2, 0, 2, 4), "2 and 0 frames around a stream", "S,f32", "3,f32"
    ),
    "StreamConcat-begin": _invalid(
        StreamConcat(0, 2, 0, 1, 4), "2 and 0 frames around a stream", "S,f32", "2,f32"
    ),
}
