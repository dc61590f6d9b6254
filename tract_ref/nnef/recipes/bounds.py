"""NNEF operators over bounds: slice, tile, range, of numbers, dims, or wires known at run time."""

from __future__ import annotations

from tract_ref.dim import Dim
from tract_ref.ir.fact import dims_tensor
from tract_ref.ir.late import fresh_symbol
from tract_ref.ir.model import Outlet
from tract_ref.nnef.table import NNEF, Invocation
from tract_ref.ops.dynamic import DynRange, DynSlice, DynTile
from tract_ref.ops.range import load_known_range
from tract_ref.ops.repeat import Tile
from tract_ref.ops.slicing import strided


@NNEF.load("slice", "input", "axes", "begin", "end", stride=())
def load_slice(call: Invocation) -> tuple[Outlet, ...]:
    """slice(input, axes, begin, end, stride): an end of 0 or less counts from the end of the axis.

    Exception: `[0:0]` is empty. A bound that is known at run time only gives an axis of a length
    that is a new symbol.
    """
    data, axes = call.tensor("input"), call.integers("axes")
    begins, ends = call.bounds("begin"), call.bounds("end")
    strides = call.integers("stride") or (1,) * len(axes)
    rank = call.fact(data).rank
    if not len(axes) == len(begins) == len(ends) == len(strides):
        call.malformed("axes, begin, end and stride must have one entry per axis")
    known: list[tuple[int, Dim, Dim, int]] = []
    late: list[tuple[int, Dim | Outlet, Dim | Outlet, int]] = []
    for axis, begin, end, stride in zip(axes, begins, ends, strides, strict=True):
        if not 0 <= axis < rank:
            call.malformed(f"axis {axis} for an input {call.fact(data)}")
        if stride == 0:
            call.malformed(f"stride=0 on axis {axis}", remedy="use a stride other than 0")
        if isinstance(begin, Outlet) or isinstance(end, Outlet):
            late.append((axis, begin, end, stride))
        else:
            first, last = _known_bounds(call, call.fact(data).shape[axis], axis, begin, end)
            known.append((axis, first, last, stride))
    for axis, begin, end, stride in late:
        if end == 0 and not isinstance(end, Outlet):
            end = call.fact(data).shape[axis]
        data = _late_slice(
            call, data, axis, (begin, end), is_last=stride == 1 and len(late) == 1 and not known
        )
        if stride != 1:
            known.append((axis, 0, call.fact(data).shape[axis], stride))
    return strided(call, data, known) if known else (data,)


def _known_bounds(call: Invocation, dim: Dim, axis: int, begin: Dim, end: Dim) -> tuple[Dim, Dim]:
    last = end
    if isinstance(end, int) and (end < 0 or (end == 0 and begin != 0)):
        last = dim + end
    if isinstance(begin, int) and begin < 0:
        call.malformed(f"begin={begin} on axis {axis}", remedy="use a begin of 0 or more")
    backwards = isinstance(begin, int) and isinstance(last, int) and begin > last
    if backwards or (isinstance(dim, int) and isinstance(last, int) and last > dim):
        call.malformed(
            f"[{begin}:{end}] on axis {axis}, which has {dim} positions",
            remedy="keep begin <= end <= the dim",
        )
    return begin, last


def _late_slice(
    call: Invocation, data: Outlet, axis: int, ends: tuple[Dim | Outlet, ...], *, is_last: bool
) -> Outlet:
    start, end = (
        bound
        if isinstance(bound, Outlet)
        else call.const(dims_tensor((bound,)).reshape(()), f"{name}{axis}")
        for name, bound in zip(("begin", "end"), ends, strict=True)
    )
    op = DynSlice(axis, fresh_symbol(call.model, f"{call.name}_{axis}"))
    return call.wire(op, data, start, end, suffix="" if is_last else f"slice{axis}")[0]


@NNEF.load("tile", "input", "repeats")
def load_tile(call: Invocation) -> tuple[Outlet, ...]:
    """tile(input, repeats), one entry per axis; those of a wire known at run time are symbols."""
    data, repeats = call.tensor("input"), call.late("repeats")
    if repeats is None:
        return call.wire(Tile(call.dims("repeats")), data)
    axes = range(call.fact(data).rank)
    symbols = tuple(fresh_symbol(call.model, f"{call.name}_{axis}") for axis in axes)
    return call.wire(DynTile(symbols), data, repeats)


@NNEF.load("tract_core_range", "start", "end", "step")
def load_range(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_range(start, end, step): operands of one type, dims give i64.

    One of bounds known at run time only has a length that is a new symbol.
    """
    names = ("start", "end", "step")
    if not any(call.late(name) for name in names):
        return load_known_range(call)
    wires = call.align(*(call.tensor(name) for name in names))
    return call.wire(DynRange(fresh_symbol(call.model, f"{call.name}_0")), *wires)
