"""Gather: rows, elements or slices of a tensor by index.

    Gather          out[a.., i.., b..] = data[a.., indices[i..], b..]
    GatherElements  out[a.., i, b..] = data[a.., indices[a.., i, b..], b..]
    GatherNd        out[n.., j.., ..] = data[n.., indices[n.., j..], ..]     one position per axis

A negative index counts from the end. Filler frames of a stream may hold any index: NaN is taken
for those outside, 0 for integers.

Source: spec/ir.md 6; spec/nnef.md 6.1; ONNX Gather, GatherElements, GatherND.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.dim import eq
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.annotate import gathered
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.per_element import coordinate, remap, within
from tract_ref.ir.shapes import contradicts
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.roi import Region, either, intersection
from tract_ref.stream.shared import along_tracked_axis, bubbled, region_along_tracked_axis
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
)

# Of more constant indices than these, each is not worth a term of a region.
_FEW = 6


@dataclass(frozen=True)
class Gather(Op):
    """Take positions of one axis by index; the shape of the indices replaces the axis.

    Attributes:
        axis: the axis of the data.
    """

    axis: int
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Put the shape of the indices in the place of the axis."""
        data, indices = inputs
        if not 0 <= self.axis < data.rank:
            raise InvalidModel(f"axis={self.axis} for data {data}")
        if indices.dtype.kind not in "iu" and indices.dtype != TDIM:
            raise InvalidModel(
                f"indices are {indices}; an index is an integer", remedy="cast the indices to i64"
            )
        lead, trail = data.shape[: self.axis], data.shape[self.axis + 1 :]
        out = data.with_shape((*lead, *indices.shape, *trail))
        return (gathered(out, data, indices, self.axis),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take the rows."""
        data, indices = inputs
        size = data.shape[self.axis]
        rows = _numbers(turn, indices)
        rows = np.where(rows < 0, rows + size, rows)
        outside = (rows < 0) | (rows >= size)
        if not outside.any():
            # A single element of a tensor of dims comes back bare, not as an array of rank 0.
            return (np.asarray(np.take(data, rows, self.axis), data.dtype),)
        if not turn.symbol:
            bad = int(rows[outside].ravel()[0])
            raise EvalError(
                f"index {bad if bad >= 0 else bad - size} of axis {self.axis}, which has {size} "
                "positions"
            )
        return (self._poisoned(data, np.where(outside, 0, rows), outside),)

    def _poisoned(self, data: Tensor, rows: Tensor, outside: Tensor) -> Tensor:
        """Take rows; filler frames of a stream may hold any index: NaN, 0 for integers."""
        shape = (*data.shape[: self.axis], *rows.shape, *data.shape[self.axis + 1 :])
        if data.shape[self.axis]:
            out = np.take(data, rows, self.axis)
        else:
            out = np.zeros(shape, data.dtype)
        lead = (slice(None),) * self.axis
        out[(*lead, outside)] = np.nan if data.dtype.kind == "f" else 0
        return out

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes of the data but the gathered one, and all axes of the indices."""
        data, indices = inputs
        shift = indices.rank - 1
        tracks = [
            Track((a, None), (a if a < self.axis else a + shift,))
            for a in range(data.rank)
            if a != self.axis
        ]
        tracks += [Track((None, i), (self.axis + i,)) for i in range(indices.rank)]
        return AxesMapping(tuple(tracks))


@dataclass(frozen=True)
class GatherElements(Op):
    """Take single elements along one axis; other coordinates are those of the index.

    1. data      any dtype
    2. indices   integers, the rank of data, no axis longer than that of data but the gathered one

    Attributes:
        axis: the axis that the indices count on.
    """

    axis: int
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape of the indices, the dtype of the data."""
        data, indices = inputs
        if not 0 <= self.axis < data.rank or indices.rank != data.rank:
            raise InvalidModel(
                f"axis={self.axis}, indices {indices} for data {data}; both have one rank"
            )
        _check_indices(indices)
        for axis, (few, many) in enumerate(zip(indices.shape, data.shape, strict=True)):
            longer = isinstance(few, int) and isinstance(many, int) and few > many
            if axis != self.axis and longer:
                raise InvalidModel(f"indices {indices} reach beyond axis {axis} of data {data}")
        return (data.with_shape(indices.shape),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take the elements."""
        data, indices = inputs
        size = data.shape[self.axis]
        rows, outside = _counted(turn, indices, size, self.axis)
        if not size:
            return (_filler(data, indices.shape),)
        inside = tuple(
            slice(None) if axis == self.axis else slice(0, n)
            for axis, n in enumerate(indices.shape)
        )
        out = np.take_along_axis(data[inside], rows, self.axis)
        out[outside] = _blank(data)
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Other axes than the gathered one, where the indices reach the end of the data."""
        data, indices = inputs
        tracks = [
            Track((axis, axis), (axis,))
            for axis, size in enumerate(data.shape)
            if axis != self.axis and indices.shape[axis] == size
        ]
        return AxesMapping((*tracks, Track((None, self.axis), (self.axis,))))


@dataclass(frozen=True)
class GatherNd(Op):
    """Take slices of the data at positions on several axes.

    1. data      any dtype, [n.., d_0, .., d_r]
    2. indices   integers [n.., j.., q]: each row holds a position on the q axes after n..

    Attributes:
        batch_dims: the number of axes n.. that data and indices share.
    """

    batch_dims: int = 0
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Indices without their last axis, then the axes of the data that no index names."""
        data, indices = inputs
        _check_indices(indices)
        shared = self.batch_dims
        depth = _depth_of(indices)
        if depth is None or not 0 <= shared < indices.rank or not 1 <= depth <= data.rank - shared:
            raise InvalidModel(
                f"batch_dims={shared}, indices {indices} for data {data}; the last axis of the "
                "indices holds positions on 1 or more of the axes that follow the shared ones"
            )
        if contradicts(data.shape[:shared], indices.shape[:shared]):
            raise InvalidModel(
                f"indices {indices} and data {data} do not share the first {shared} axes"
            )
        return (data.with_shape((*indices.shape[:-1], *data.shape[shared + depth :])),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take one slice per row of the indices."""
        data, indices = inputs
        shared, depth = self.batch_dims, indices.shape[-1]
        columns = [
            _counted(turn, indices[..., i], data.shape[shared + i], shared + i)
            for i in range(depth)
        ]
        out = _filler(data, (*indices.shape[:-1], *data.shape[shared + depth :]))
        for j in np.ndindex(*indices.shape[:-1]):
            if not any(outside[j] for _, outside in columns):
                out[j] = data[(*j[:shared], *(int(rows[j]) for rows, _ in columns))]
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Shared axes, axes of the indices, axes of the data that no index names."""
        data, indices = inputs
        shared, depth = self.batch_dims, _depth_of(indices) or 0
        tracks = [Track((axis, axis), (axis,)) for axis in range(shared)]
        tracks += [Track((None, axis), (axis,)) for axis in range(shared, indices.rank - 1)]
        shift = indices.rank - 1 - shared - depth
        tracks += [
            Track((axis, None), (axis + shift,)) for axis in range(shared + depth, data.rank)
        ]
        return AxesMapping(tuple(tracks))


def _check_indices(indices: Fact) -> None:
    if indices.dtype.kind not in "iu":
        raise InvalidModel(
            f"indices are {indices}; an index is an integer", remedy="cast the indices to i64"
        )


def _depth_of(indices: Fact) -> int | None:
    """Return how many axes of the data a row of the indices names."""
    depth = indices.shape[-1] if indices.rank else None
    return depth if isinstance(depth, int) else None


def _counted(turn: Turn, indices: Tensor, size: int, axis: int) -> tuple[Tensor, Tensor]:
    """Return indices from 0, and which of them lie outside; only filler frames may."""
    rows = indices.astype(np.int64)
    rows = np.where(rows < 0, rows + size, rows)
    outside = (rows < 0) | (rows >= size)
    if outside.any() and not turn.symbol:
        bad = int(indices[outside].ravel()[0])
        raise EvalError(f"index {bad} of axis {axis}, which has {size} positions")
    return np.where(outside, 0, rows), outside


def _blank(data: Tensor) -> float | int:
    return np.nan if data.dtype.kind == "f" else 0


def _filler(data: Tensor, shape: tuple[int, ...]) -> Tensor:
    return np.full(shape, _blank(data), data.dtype)


def _numbers(turn: Turn, indices: Tensor) -> Tensor:
    if indices.dtype != TDIM:
        return indices.astype(np.int64)
    out = np.empty(indices.shape, np.int64)
    for index, dim in np.ndenumerate(indices):
        out[index] = turn.resolve(dim)
    return out


@INPUT_ROI.rule(Gather)
def roi_gather(op: Gather, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Rows that no observed index names are not observed; every index may be out of range.

    Exact where the indices are known, by few constants or as 0 or more per element; otherwise
    every row is taken to be named.
    """
    data, indices = ctx.inputs
    region, out = ctx.regions[0], ctx.outputs[0]
    shift, row = indices.rank - 1, coordinate(out.rank)
    axes = {a if a < op.axis else a + shift: a for a in range(data.rank) if a != op.axis}
    value = indices.per_element.whole if indices.per_element is not None else None
    const = indices.const
    if const is not None and const.dtype != TDIM and const.size <= _FEW:
        size, named = data.shape[op.axis], list[Region]()
        for index, number in np.ndenumerate(const):
            at = {op.axis + axis: place for axis, place in enumerate(index)}
            there = None if region is None else remap(region, at)
            position = int(number) if number >= 0 else size + int(number)
            named.append(intersection(there, eq(row, position)))
        region, axes = either(*named), axes | {out.rank: op.axis}
    elif value is not None and within(indices.shape, ctx.scope).proves_ge(value, 0):
        places = {axis: coordinate(op.axis + axis) for axis in range(indices.rank)}
        region = intersection(region, eq(row, remap(value, places)))
        axes = axes | {out.rank: op.axis}
    return roi_moves.renamed(region, axes, out.shape), None


@INPUT_ROI.rule(GatherElements, GatherNd)
def roi_gather_elements(op: Op, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Axes without indices keep what is observed; every index may be out of range."""
    return bubbled(op, 0, ctx), None


@PULSIFY_V1.rule(Gather)
def pulsify_gather(op: Gather, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Look up each frame of a stream of indices, or take positions of another axis of a stream.

    Errors:
        Refused: the gathered axis streams: an index may name a frame that has not come yet.
    """
    _require_frames_apart(op, ctx)
    return along_tracked_axis(op, node, ctx)


@PULSIFY_V1.rule(GatherElements)
def pulsify_gather_elements(
    op: GatherElements, node: Node, ctx: PulsifyContext
) -> tuple[Outlet, ...]:
    """Look up each frame of indices within its own frame, or each element of a static tensor.

    Errors:
        Refused: the gathered axis of the data streams; data or indices reach along the stream
            where the other does not stream.
    """
    _require_frames_apart(op, ctx)
    return along_tracked_axis(op, node, ctx)


@REGION_V2.rule(Gather, GatherElements)
def region_gather(op: Gather | GatherElements, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each frame is looked up alone."""
    _require_frames_apart(op, ctx)
    return region_along_tracked_axis(op, node, ctx)


def _require_frames_apart(op: Gather | GatherElements, ctx: NodeContext) -> None:
    data = ctx.stream(ctx.inputs[0])
    if data is not None and data.axis == op.axis:
        what = "positions" if isinstance(op, Gather) else "elements"
        ctx.refuse(
            f"takes {what} of the stream axis {op.axis} by index: an index may name a frame "
            "that has not come yet",
            "slice the stream instead",
        )


PULSIFY_V1.use(along_tracked_axis, GatherNd)
REGION_V2.use(region_along_tracked_axis, GatherNd)


@NNEF.load("tract_core_gather", "input", "indices", "axis", datum_type="")
def load_gather(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_gather(input, indices, axis); `datum_type` is for block-quantised tables."""
    if call.string("datum_type"):
        call.refuse("datum_type is for block-quantised tables", remedy="gather, then cast")
    return call.wire(Gather(call.integer("axis")), call.tensor("input"), call.tensor("indices"))


@NNEF.dump(Gather)
def dump_gather(op: Gather, node: Node, out: Dump) -> None:
    """Write tract_core_gather."""
    out.call("tract_core_gather", axis=op.axis)


@NNEF.load("tract_core_gather_elements", "input", "indices", "axis")
def load_gather_elements(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_gather_elements(input, indices, axis)."""
    op = GatherElements(call.integer("axis"))
    return call.wire(op, call.tensor("input"), call.tensor("indices"))


@NNEF.dump(GatherElements)
def dump_gather_elements(op: GatherElements, node: Node, out: Dump) -> None:
    """Write tract_core_gather_elements."""
    out.call("tract_core_gather_elements", axis=op.axis)


@NNEF.load("tract_core_gather_nd", "input", "indices", batch_dims=0)
def load_gather_nd(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_gather_nd(input, indices, batch_dims)."""
    op = GatherNd(call.integer("batch_dims"))
    return call.wire(op, call.tensor("input"), call.tensor("indices"))


@NNEF.dump(GatherNd)
def dump_gather_nd(op: GatherNd, node: Node, out: Dump) -> None:
    """Write tract_core_gather_nd."""
    out.call("tract_core_gather_nd", batch_dims=op.batch_dims)


@ONNX.rule("Gather")
def import_gather(call: OnnxCall) -> tuple[Outlet, ...]:
    """Gather along `axis`."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", 0)
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} for data of rank {rank}")
    return call.wire(Gather(axis % rank), data, call.input(1))


@ONNX.rule("GatherElements")
def import_gather_elements(call: OnnxCall) -> tuple[Outlet, ...]:
    """GatherElements along `axis`."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", 0)
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} for data of rank {rank}")
    return call.wire(GatherElements(axis % rank), data, call.input(1))


@ONNX.rule("GatherND")
def import_gather_nd(call: OnnxCall) -> tuple[Outlet, ...]:
    """GatherND with `batch_dims`."""
    return call.wire(GatherNd(call.integer("batch_dims", 0)), call.input(0), call.input(1))
