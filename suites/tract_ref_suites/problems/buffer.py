"""State ops of a pulsed model in their first turn: Delay, PulsePad and PulseMask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.buffer import Delay, PulseMask, PulsePad
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import placed, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


@dataclass(frozen=True, kw_only=True)
class DelayTurn(Streamed):
    """One turn of a Delay: frames [-delay - overlap, q - delay) of zeros and then x.

    Attributes:
        delay: frames of lag.
        overlap: frames seen before.
    """

    family = "buffer"
    op = "Delay"
    delay: int
    overlap: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Delay(self.axis, self.delay, self.overlap), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        frames = data.shape[self.axis]
        out = np.zeros(placed(data.shape, self.axis, frames + self.overlap), data.dtype)
        for target in range(frames + self.overlap):
            source = target - self.delay - self.overlap
            if source >= 0:
                np.moveaxis(out, self.axis, 0)[target] = np.moveaxis(data, self.axis, 0)[source]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"


@dataclass(frozen=True, kw_only=True)
class PadTurn(Streamed):
    """One turn of a PulsePad whose stream ends `rest` frames before the turn does.

    Attributes:
        pair: frames of padding; 0 leaves that side alone.
        begin: raw index of the first frame of the stream.
        rest: frames of the turn after its last one.
        mode: constant or edge.
    """

    family = "buffer"
    op = "PulsePad"
    pair: tuple[int, int]
    begin: int
    rest: int
    mode: str = "constant"

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        before, after = self.pair
        end = S - self.rest
        op = PulsePad(self.axis, before, after, self.begin, end, self.mode, -1.0, 0)
        return model.wire("op", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        rows = list(np.moveaxis(data, self.axis, 0))
        end = len(rows) - self.rest
        constant = self.mode == "constant"
        out = list(rows)
        for index, row in enumerate(rows):
            if index < self.begin and self.pair[0]:
                out[index] = np.full_like(row, -1) if constant else rows[self.begin]
            if index >= end and self.pair[1]:
                out[index] = np.full_like(row, -1) if constant else rows[end - 1]
        return np.moveaxis(np.stack(out), 0, self.axis)

    @property
    def oracle_approx(self) -> str:
        return "exact"


@dataclass(frozen=True, kw_only=True)
class MaskTurn(Streamed):
    """One turn of a PulseMask whose stream ends `rest` frames before the turn does.

    Attributes:
        begin: raw index of the first frame that is kept.
        rest: frames of the turn after the last one.
    """

    family = "buffer"
    op = "PulseMask"
    begin: int
    rest: int

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", PulseMask(self.axis, self.begin, S - self.rest, -1), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        out = data.copy()
        for index in np.ndindex(*data.shape):
            if not self.begin <= index[self.axis] < data.shape[self.axis] - self.rest:
                out[index] = -1
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"


@st.composite
def mask_turns(draw: st.DrawFn) -> MaskTurn:
    """Draw one turn of a PulseMask; it may keep nothing."""
    axis = draw(st.integers(0, 1))
    return MaskTurn(
        shape=placed(draw(sizes(2)), axis, draw(st.integers(0, 6))),
        axis=axis,
        sizes=(),
        begin=draw(st.integers(0, 4)),
        rest=draw(st.integers(0, 4)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8"])),
    )


@st.composite
def delay_turns(draw: st.DrawFn) -> DelayTurn:
    """Draw one turn of a Delay."""
    axis = draw(st.integers(0, 2))
    return DelayTurn(
        shape=placed(draw(sizes(3)), axis, draw(st.integers(0, 6))),
        axis=axis,
        sizes=(),
        delay=draw(st.integers(0, 7)),
        overlap=draw(st.integers(0, 6)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "i8", "b1"])),
    )


@st.composite
def pad_turns(draw: st.DrawFn) -> PadTurn:
    """Draw one turn of a PulsePad that holds at least one frame of the stream."""
    axis = draw(st.integers(0, 1))
    begin, rest = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return PadTurn(
        shape=placed(draw(sizes(2)), axis, begin + draw(st.integers(1, 4)) + rest),
        axis=axis,
        sizes=(),
        pair=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        begin=begin,
        rest=rest,
        mode=draw(st.sampled_from(["constant", "edge"])),
        values=draw(values()),
    )


STRATEGIES = {
    "Delay-turn": delay_turns,
    "PulsePad-turn": pad_turns,
    "PulseMask-turn": mask_turns,
}


def _delay(delay: int, overlap: int) -> DelayTurn:
    return DelayTurn(shape=(4,), axis=0, sizes=(), delay=delay, overlap=overlap)


HAND: dict[str, Problem] = {
    "Delay-1-0": _delay(1, 0),
    "Delay-5-0": _delay(5, 0),
    "Delay-0-2": _delay(0, 2),
    "Delay-0-6": _delay(0, 6),
    "Delay-empty-turn": DelayTurn(shape=(0,), axis=0, sizes=(), delay=2, overlap=1),
    "PulsePad-both-ends": PadTurn(shape=(8,), axis=0, sizes=(), pair=(2, 3), begin=2, rest=1),
    "PulsePad-edge": PadTurn(
        shape=(8,), axis=0, sizes=(), pair=(2, 3), begin=2, rest=1, mode="edge"
    ),
    "PulseMask-both-ends": MaskTurn(shape=(8,), axis=0, sizes=(), begin=2, rest=1),
}


def _pad(axis: int, mode: str) -> PulsePad:
    return PulsePad(axis, 1, 1, 0, S, mode, 0.0, 0)


def _state(op: Op) -> ErrorCase:
    return ErrorCase(
        pulsing(lambda: single(op, *facts("S,f32"))),
        Refused,
        f'pulsify v1: node "op" ({op.name}): is a state op of a pulsed model',
        refusal=f"PULSIFY_V1:{op.name}",
    )


def _invalid(op: Op, starts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts("S,f32")), InvalidModel, f'node "op" ({op.name}): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "Delay-state": _state(Delay(0, 1, 0)),
    "PulsePad-state": _state(_pad(0, "constant")),
    "PulseMask-state": _state(PulseMask(0, 0, S, 0.0)),
    "PulseMask-axis": _invalid(PulseMask(1, 0, S, 0.0), "axis=1, begin=0 for S,f32"),
    "PulseMask-begin": _invalid(PulseMask(0, -1, S, 0.0), "axis=0, begin=-1 for S,f32"),
    "Delay-axis": _invalid(Delay(1, 1, 0), "Delay: axis, delay and overlap do not fit S,f32"),
    "Delay-negative": _invalid(Delay(0, -1, 0), "Delay: axis, delay and overlap do not fit"),
    "Delay-negative-overlap": _invalid(Delay(0, 1, -1), "Delay: axis, delay and overlap do not"),
    "PulsePad-axis": _invalid(_pad(1, "edge"), "PulsePad: axis or mode does not fit S,f32"),
    "PulsePad-mode": _invalid(_pad(0, "wrap"), "PulsePad: axis or mode does not fit S,f32"),
}
