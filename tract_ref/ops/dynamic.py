"""Ops whose sizes, or whose bounds, are known only at run time.

    DynSlice   out[i] = x[start + i],  i < len          start and end are inputs
    DynTile    out[i] = x[i mod n] on every axis        the multipliers are an input
    DynRange   out[i] = start + i*step                  the three numbers are inputs
    NonZero    out[a, j] = coordinate a of the j-th element that is not 0, in row-major order

Each declares its sizes as dims. Those that no input tells are symbols of the model that get their
value when the op has run; a turn in which an op finds another size than the declared one fails.

Source: spec/ir.md 6 and 8, spec/nnef.md 5.1, 6.1 and 6.3; ONNX NonZero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.dim import Dim, product, sym
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.late import fresh_symbol
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.roi import Region
from tract_ref.stream.roi_moves import cropped
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubbled,
    region_along_tracked_axis,
    sees_everything,
)
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)

I64 = np.dtype(np.int64)


def _require_integers(fact: Fact, what: str, count: Dim) -> None:
    if fact.dtype.kind not in "iuO" or fact.volume != count:
        raise InvalidModel(f"{what} {fact}; it holds {count} integers", remedy="cast it to i64")


def _integers(turn: Turn, tensor: Tensor) -> list[int]:
    if tensor.dtype == TDIM:
        return [turn.resolve(dim) for dim in tensor.ravel()]
    return [int(number) for number in tensor.ravel()]


def _agree(turn: Turn, what: str, declared: Dim, found: int) -> None:
    known = turn.known(declared)
    if known is not None and known != found:
        shown = declared if isinstance(declared, int) else f"{declared} is {known}"
        raise EvalError(f"{what} is {found}, declared {shown}", remedy="correct the declaration")


@dataclass(frozen=True)
class DynSlice(Op):
    """Keep positions [start, end) of one axis, of which only the length is known before running.

    Inputs: data, start, end; the last two of one element each.

    Attributes:
        axis: the axis.
        len: positions kept.
    """

    axis: int
    len: Dim
    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return `len` positions on the axis."""
        data, start, end = inputs
        if not 0 <= self.axis < data.rank or (isinstance(self.len, int) and self.len < 0):
            raise InvalidModel(f"axis={self.axis}, len={self.len} for an input {data}")
        _require_integers(start, "start", 1)
        _require_integers(end, "end", 1)
        return (data.with_dim(self.axis, self.len),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view of the kept positions."""
        data = inputs[0]
        (start,), (end,) = (_integers(turn, tensor) for tensor in inputs[1:])
        size = data.shape[self.axis]
        if not 0 <= start <= end <= size:
            raise EvalError(
                f"start={start}, end={end} on axis {self.axis}, which has {size} positions",
                remedy="keep 0 <= start <= end <= the dim",
            )
        _agree(turn, f"the length of [{start}:{end}]", self.len, end - start)
        return (data[(*(slice(None),) * self.axis, slice(start, end))],)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis of the data but the sliced one."""
        kept = (axis for axis in range(inputs[0].rank) if axis != self.axis)
        return AxesMapping(tuple(Track((axis, None, None), (axis,)) for axis in kept))


@dataclass(frozen=True)
class DynTile(Op):
    """Repeat the whole tensor along each axis, as often as the second input says.

    Inputs: data of rank r; r multipliers.

    Attributes:
        multipliers: how many times per axis, as far as that is known before running.
    """

    multipliers: tuple[Dim, ...]
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Multiply the dims."""
        data, repeats = inputs
        negative = any(isinstance(m, int) and m < 0 for m in self.multipliers)
        if len(self.multipliers) != data.rank or negative:
            shown = ", ".join(str(m) for m in self.multipliers)
            raise InvalidModel(f"multipliers [{shown}] for an input {data}; one per axis, none < 0")
        _require_integers(repeats, "multipliers", data.rank)
        pairs = zip(data.shape, self.multipliers, strict=True)
        return (data.with_shape(tuple(product((d, m)) for d, m in pairs)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Repeat."""
        data, repeats = inputs
        found = _integers(turn, repeats)
        if any(number < 0 for number in found):
            raise EvalError(f"multipliers {found}; none is negative")
        for axis, (declared, number) in enumerate(zip(self.multipliers, found, strict=True)):
            _agree(turn, f"the multiplier of axis {axis}", declared, number)
        return (np.tile(data, found),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes that are not repeated are kept."""
        kept = (axis for axis, m in enumerate(self.multipliers) if m == 1)
        return AxesMapping(tuple(Track((axis, None), (axis,)) for axis in kept))


@dataclass(frozen=True)
class DynRange(Op):
    """Count from start towards end, end excluded, in steps; all three are inputs of one element.

    Position i holds start + i*step, in the dtype of the inputs; dims give i64.

    Attributes:
        len: how many numbers there are.
    """

    len: Dim
    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return `len` numbers of the dtype of the inputs."""
        shown = ", ".join(str(fact) for fact in inputs)
        dtype = inputs[0].dtype
        if any(fact.dtype != dtype for fact in inputs) or dtype.kind not in "iufO":
            raise InvalidModel(f"a range of {shown}; they are numbers of one type", remedy="cast")
        if any(fact.volume != 1 for fact in inputs):
            raise InvalidModel(f"a range of {shown}; each has one element")
        return (Fact(I64 if dtype == TDIM else dtype, (self.len,)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Count."""
        if inputs[0].dtype == TDIM:
            inputs = tuple(np.asarray(_integers(turn, tensor), I64) for tensor in inputs)
        start, end, step = (tensor.reshape(()) for tensor in inputs)
        finite = bool(np.isfinite([start, end, step]).all())
        if not step or not finite:
            raise EvalError(f"a range from {start} to {end} in steps of {step}")
        size = _count(start.item(), end.item(), step.item())
        _agree(turn, f"the length of a range from {start} to {end}", self.len, size)
        with np.errstate(all="ignore"):
            numbers = start + step * np.arange(size).astype(start.dtype)
        return (numbers.astype(start.dtype, copy=False),)


def _count(start: float, end: float, step: float) -> int:
    """Return ceil((end - start) / step), at least 0; exact on integers."""
    if isinstance(step, int):
        return max(0, -int((start - end) // step))
    return max(0, int(np.ceil((end - start) / step)))


@dataclass(frozen=True)
class NonZero(Op):
    """Coordinates of the elements that are not 0, in row-major order.

    Attributes:
        count: how many there are: a symbol that the op binds when it runs.

    Shapes:
        data  any
        out   [rank, count]   i64
    """

    count: Dim

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return a coordinate per axis and element, i64."""
        (data,) = inputs
        if data.dtype == TDIM:
            raise InvalidModel(f"data {data}; dims have no zeros", remedy="cast it to i64")
        return (Fact(I64, (data.rank, self.count)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Visit every element."""
        (data,) = inputs
        found = [index for index in np.ndindex(*data.shape) if data[index] != 0]
        _agree(turn, "the number of elements that are not 0", self.count, len(found))
        return (np.asarray(found, I64).reshape(len(found), data.ndim).T,)


@INPUT_ROI.rule(DynSlice, DynTile)
def roi_data(op: DynSlice | DynTile, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Other axes keep what is observed; a number that does not fit stops the run.

    A known start makes a DynSlice move positions as a Slice does.
    """
    start = ctx.inputs[1].per_element
    if isinstance(op, DynSlice) and start is not None and start.whole is not None:
        return (cropped(ctx.regions[0], op.axis, start.whole, start.whole + op.len), None, None)
    return bubbled(op, 0, ctx), *(None for _ in ctx.inputs[1:])


INPUT_ROI.use(sees_everything, DynRange, NonZero)


@PULSIFY_V1.rule(DynSlice, DynTile)
def pulsify_bounds(op: DynSlice | DynTile, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream the data along an axis that is neither sliced nor repeated.

    Errors:
        Refused: the bounds or multipliers stream; the axis at work streams, or what it makes is as
            long as the stream.
    """
    _require_known_bounds(ctx)
    return along_tracked_axis(op, node, ctx)


@REGION_V2.rule(DynSlice, DynTile)
def region_bounds(op: DynSlice | DynTile, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each frame is sliced or repeated alone."""
    _require_known_bounds(ctx)
    return region_along_tracked_axis(op, node, ctx)


def _require_known_bounds(ctx: NodeContext) -> None:
    if any(ctx.stream(wire) is not None for wire in ctx.inputs[1:]):
        ctx.refuse(
            "its bounds arrive frame by frame, and the axis has one size for the whole stream",
            "compute them from shapes and constants",
        )


refuse_streaming(
    DynRange,
    NonZero,
    reason="makes as many positions as the data of the whole stream says",
    remedy="compute it outside the streamed model",
)


@NNEF.load("tract_core_dyn_slice", "input", "start", "end", "len", "axis")
def load_dyn_slice(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_dyn_slice(input, start, end, len, axis): x[start:end] of a declared length."""
    op = DynSlice(call.integer("axis"), call.dim("len"))
    return call.wire(op, *(call.tensor(name) for name in ("input", "start", "end")))


@NNEF.dump(DynSlice)
def dump_dyn_slice(op: DynSlice, node: Node, out: Dump) -> None:
    """Write tract_core_dyn_slice."""
    out.call("tract_core_dyn_slice", len=op.len, axis=op.axis)


@NNEF.dump(DynTile)
def dump_dyn_tile(op: DynTile, node: Node, out: Dump) -> None:
    """Write tile, whose multipliers are a wire; the reader makes symbols of them again."""
    if any(isinstance(multiplier, int) for multiplier in op.multipliers):
        shown = ", ".join(str(multiplier) for multiplier in op.multipliers)
        out.refuse(
            f"multipliers [{shown}] of a wire: tile has no place for what is known of them",
            remedy="declare every multiplier as a symbol, or make the wire constant",
        )
    data, repeats = node.inputs
    out.call("tile", inputs=(data,), repeats=repeats)


@NNEF.dump(DynRange)
def dump_dyn_range(op: DynRange, node: Node, out: Dump) -> None:
    """Write tract_core_range, whose bounds are wires; the reader makes a symbol of the length."""
    if isinstance(op.len, int):
        out.refuse(
            f"a length of {op.len} of a range between wires: tract_core_range has no place for it",
            remedy="declare the length as a symbol, or make the bounds constant",
        )
    out.call("tract_core_range")


@NNEF.load("tract_onnx_non_zero", "input", "count_symbol")
def load_non_zero(call: Invocation) -> tuple[Outlet, ...]:
    """tract_onnx_non_zero(input, count_symbol)."""
    return call.wire(NonZero(sym(call.string("count_symbol"))), call.tensor("input"))


@NNEF.dump(NonZero)
def dump_non_zero(op: NonZero, node: Node, out: Dump) -> None:
    """Write tract_onnx_non_zero."""
    if isinstance(op.count, int):
        out.refuse(f"a count of {op.count}, which is no symbol", remedy="leave the symbol unset")
    out.call("tract_onnx_non_zero", count_symbol=str(op.count))


@ONNX.rule("NonZero")
def import_non_zero(call: OnnxCall) -> tuple[Outlet, ...]:
    """NonZero; the number of elements found is a symbol called after the node."""
    return call.wire(NonZero(fresh_symbol(call.model, call.name)), call.input(0))
