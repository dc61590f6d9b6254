"""Ranges of integers: Range, and PositionalRange (state op of a range read along the stream).

    out[i] = start + i*step,   0 <= i < max(0, ceil((end - start) / step))

Source: spec/ir.md 6, spec/nnef.md 6.1, spec/pulse.md 2.18, 3.6, 8.12, 9.2; ONNX Range.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, cast

import numpy as np

from tract_ref.dim import Dim, TDim, ceil_div, dim_max, slope, symbols
from tract_ref.errors import Inconclusive, InvalidModel
from tract_ref.ir.annotate import ranged
from tract_ref.ir.fact import TDIM, Fact, Tensor, dtype_name
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import FixedTurn, Increment, RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import sees_everything
from tract_ref.stream.tables import (
    BATCH_ONLY,
    INPUT_ROI,
    PULSED_ONLY,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    refuse_streaming,
)

# Positions of a range of numbers that is worth a constant.
_FOLDED = 1 << 19
_NUMBERS = "fiu"
I64 = np.dtype(np.int64)


@dataclass(frozen=True)
class Range(Op):
    """Count from start towards end, end excluded, in steps.

    The output is i64, also where the bounds are dims: a following Cast makes it something else.

    Attributes:
        start: the first number; may contain symbols.
        end: the number to stay before; may contain symbols.
        step: distance of two numbers, not 0; negative = downwards.

    Shapes:
        out   [max(0, ceil((end - start) / step))]
    """

    start: Dim
    end: Dim
    step: int
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    @property
    def length(self) -> Dim:
        """How many numbers there are."""
        way = self.end - self.start if self.step > 0 else self.start - self.end
        count = ceil_div(way, abs(self.step))
        return count if _is_not_negative(count) else dim_max(0, count)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the length, i64."""
        if self.step == 0:
            raise InvalidModel(f"a range from {self.start} to {self.end} in steps of 0")
        return (ranged(Fact(I64, (self.length,)), self.start, self.step),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Count, once the symbols are known."""
        return (counted(turn.resolve(self.start), self.step, turn.resolve(self.length)),)


def _is_not_negative(dim: Dim) -> bool:
    """Say whether a dim is visibly 0 or more; lengths without a clamp stay comparable."""
    if isinstance(dim, int):
        return dim >= 0
    if dim.constant < 0 or any(factor < 0 for _, factor in dim.terms):
        return False
    for atom in dim.atoms:
        parts = [_is_not_negative(piece) for piece in atom.pieces]
        known = any(parts) if atom.kind == "max" else all(parts)
        if not known and atom.kind not in ("ge", "eq"):
            return False
    return True


def counted(start: int, step: int, size: int) -> Tensor:
    """Return `size` numbers from `start` on."""
    with np.errstate(over="ignore"):
        return np.arange(size, dtype=I64) * np.int64(step) + np.int64(start)


@dataclass
class PositionState(OpState):
    """Numbers emitted so far."""

    position: int = 0


@dataclass(frozen=True)
class PositionalRange(Op):
    """Count along the stream: each turn the next `frames` numbers.

    Attributes:
        start: the number of frame 0.
        step: distance of two numbers.
        frames: numbers per turn.
    """

    start: int
    step: int
    frames: Dim
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return `frames` numbers, i64."""
        if isinstance(self.frames, int) and self.frames < 0:
            raise InvalidModel(f"frames={self.frames}; a turn brings 0 or more")
        return (Fact(I64, (self.frames,)),)

    def state(self) -> OpState:
        """Return the counter at frame 0."""
        return PositionState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Emit the next numbers."""
        state = cast("PositionState", turn.state)
        first = self.start + self.step * state.position
        frames = turn.resolve(self.frames)
        state.position += frames
        return (counted(first, self.step, frames),)


@DECLUTTER.rule(Range)
def declutter_range(op: Range, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A short range of known numbers is a constant."""
    if not _is_known(op):
        return None
    patch = ctx.patch()
    patch.shunt(Outlet(node.id), patch.const(node.name, op.eval(Turn(), ())[0]))
    return patch


def _is_known(op: Range) -> bool:
    length = op.length
    return isinstance(op.start, int) and isinstance(length, int) and length <= _FOLDED


INPUT_ROI.use(sees_everything, Range)
INPUT_ROI.refuse(PositionalRange, **BATCH_ONLY)


@PULSIFY_V1.rule(Range)
def pulsify_range(op: Range, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Make a range as long as the stream a stream of its own: delay 0, rate = slope of its length.

    Constant parts of the length belong to the length only: a range of S + 1 numbers brings one per
    source frame.

    Errors:
        Refused: the start depends on the stream length; the length does not grow evenly with it; a
            turn does not bring a whole number.
    Source: spec/pulse.md 2.18, 9.2. Differs from tract: a length of (S+1)/2 streams (8.12).
    """
    start, rate = _counted_along(op, ctx)
    length = op.length
    frames = ctx.pulse.per_turn(rate)
    if frames is None:
        ctx.refuse(
            f"pulse={ctx.pulse} brings {ctx.pulse.share(rate)} numbers of a range of {length}",
            ctx.pulse.multiple(rate.denominator),
        )
    return ctx.wire(PositionalRange(start, op.step, frames), (), Linear(0, length, 0, rate))


@REGION_V2.rule(Range)
def region_range(op: Range, node: Node, ctx: RegionContext) -> RegionPlan:
    """Number j is there as soon as the length says that there are j + 1."""
    start, rate = _counted_along(op, ctx)

    def main(made: Increment) -> tuple[Op, ...]:
        first = start + op.step * made.start
        return (Range(first, first + op.step * made.frames, op.step),)

    def turn(turn: FixedTurn) -> PositionalRange:
        return PositionalRange(start, op.step, turn.frames)

    return RegionPlan(0, op.length, rate, (), main, turn=turn)


def _counted_along(op: Range, ctx: NodeContext) -> tuple[int, Fraction]:
    """Return the start and the numbers per source frame of a range along the stream.

    Raises:
        Refused: the start is not a number; the length does not grow evenly with the stream.
    """
    if ctx.symbol in symbols(op.start):
        ctx.refuse(
            f"start={op.start} depends on the length {ctx.symbol} of the stream: it is known only "
            "once the stream has ended",
            "count from a fixed start",
        )
    try:
        rate = slope(op.length, ctx.symbol)
    except Inconclusive:
        rate = None
    if rate is None or rate <= 0:
        ctx.refuse(
            f"a range of {op.length} numbers, which do not grow evenly with {ctx.symbol}",
            f"count a*{ctx.symbol}+b numbers from a fixed start",
        )
    if isinstance(op.start, TDim):
        ctx.refuse(
            f"start={op.start} of a range along the stream is not a number", "set its symbols"
        )
    return op.start, rate


refuse_streaming(PositionalRange, **PULSED_ONLY)


def _ranged(call: Invocation | OnnxCall, operands: tuple[Outlet, ...]) -> Range | Tensor:
    """Return the range of operands of one type: an op for dims and i64, else its numbers."""
    facts = [call.fact(wire) for wire in operands]
    values = [fact.const for fact in facts if fact.const is not None]
    if len(values) < 3:
        call.refuse(
            "the bounds are known only at run time",
            remedy="compute them from shapes and constants",
        )
    dtype = facts[0].dtype
    if any(fact.dtype != dtype for fact in facts) or dtype.kind not in _NUMBERS + "O":
        call.malformed(f"a range of {', '.join(str(fact) for fact in facts)}; they have one type")
    if any(value.size != 1 for value in values):
        call.malformed(f"a range of {', '.join(str(fact) for fact in facts)}; they are scalars")
    if dtype not in (TDIM, I64):
        return _typed(call, values)
    first, last, by = (_dim(value) for value in values)
    if isinstance(by, TDim) or by == 0:
        call.refuse(f"a range in steps of {by}", remedy="use a step that is a number other than 0")
    return Range(first, last, by)


def _dim(value: Tensor) -> Dim:
    item: object = value.ravel()[0]
    return item if isinstance(item, TDim) else int(cast("int", item))


def _typed(call: Invocation | OnnxCall, values: list[Tensor]) -> Tensor:
    """Return a range of floats or small integers: start + i*step, in their dtype."""
    dtype = values[0].dtype
    start, end, step = (value.ravel()[0].item() for value in values)
    if not step or not np.isfinite([start, end, step]).all():
        call.malformed(f"a range from {start} to {end} in steps of {step}")
    size = max(0, int(np.ceil((end - start) / step)))
    if size > _FOLDED:
        call.refuse(f"a range of {size} {dtype_name(dtype)}", remedy="count in i64, and cast")
    with np.errstate(all="ignore"):
        numbers = [values[0].ravel() + values[2].ravel() * dtype.type(i) for i in range(size)]
    return np.concatenate(numbers) if numbers else np.zeros(0, dtype)


def load_known_range(call: Invocation) -> tuple[Outlet, ...]:
    """Wire tract_core_range(start, end, step) of bounds that are numbers or dims."""
    wires = (call.tensor(name) for name in ("start", "end", "step"))
    ranged = _ranged(call, call.align(*wires))
    return call.wire(ranged) if isinstance(ranged, Range) else (call.const(ranged, "numbers"),)


@NNEF.dump(Range)
def dump_range(op: Range, node: Node, out: Dump) -> None:
    """Write tract_core_range."""
    out.call("tract_core_range", inputs=(op.start, op.end, op.step))


NNEF.refuse_dump(
    PositionalRange,
    reason="has no NNEF operator: the dialect cannot say a range read along the stream",
    remedy="dump the batch model and pulsify it after reading",
)


@ONNX.rule("Range")
def import_range(call: OnnxCall) -> tuple[Outlet, ...]:
    """Range of constant or symbolic scalars; one that is known becomes a constant."""
    ranged = _ranged(call, call.align(call.input(0), call.input(1), call.input(2)))
    if isinstance(ranged, Range):
        if not _is_known(ranged):
            return call.wire(ranged)
        ranged = ranged.eval(Turn(), ())[0]
    return (call.add_const(ranged, ""),)
