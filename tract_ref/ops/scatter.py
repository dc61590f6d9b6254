"""Scatter: a copy of a tensor with updates written, or folded in, at positions given by index.

    ScatterElements  out[.., indices[j], ..] = fold(out[..], updates[j])      j over the indices
    ScatterNd        out[indices[j]] = fold(out[indices[j]], updates[j])      a slice per index
    OneHot           out[.., d, ..] = on where d = indices[..], else off

Updates apply in row-major order, so of equal indices without reduction the last one wins. A
negative index counts from the end.

Source: spec/ir.md 6, spec/nnef.md 6.1; ONNX ScatterElements, ScatterND, OneHot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Shape, Tensor, dtype_name, dtype_named
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.shapes import contradicts, shape_text
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream import roi_moves
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2, RoiContext

Number = int | float | bool
_FOLDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda old, new: new,
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


@dataclass(frozen=True)
class ScatterElements(Op):
    """Write single elements along one axis; other coordinates are those of the index.

    1. data      any dtype
    2. indices   integers, the rank of data, no axis longer than that of data but the scattered one
    3. updates   the dtype of data, the shape of indices

    Attributes:
        axis: the axis that the indices count on.
        reduction: none, add, mul, min or max.
    """

    axis: int
    reduction: str = "none"
    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact of the data."""
        data, indices, updates = inputs
        _check_scatter(self.reduction, data, indices, updates)
        if not 0 <= self.axis < data.rank:
            raise InvalidModel(f"axis={self.axis} of data {data}, which has {data.rank} axes")
        ranks = {data.rank, indices.rank, updates.rank}
        if len(ranks) > 1 or contradicts(indices.shape, updates.shape):
            raise InvalidModel(
                f"indices {indices} and updates {updates} for data {data}; all have one rank, "
                "indices and updates one shape"
            )
        sizes = zip(indices.shape, data.shape, strict=True)
        for axis, (few, many) in enumerate(sizes):
            longer = isinstance(few, int) and isinstance(many, int) and few > many
            if axis != self.axis and longer:
                raise InvalidModel(f"indices {indices} reach beyond axis {axis} of data {data}")
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Apply one position of the scattered axis of the updates after the other."""
        data, indices, updates = inputs
        rows, outside = _rows(turn, indices, data.shape[self.axis], self.axis)
        out = data.copy()
        fold = _FOLDS[self.reduction]
        with np.errstate(all="ignore"):
            for k in range(indices.shape[self.axis]):
                at = (*(slice(None),) * self.axis, k)
                row, new, lost = rows[at], updates[at], outside[at]
                # Other coordinates differ, so no two updates of one k meet.
                rest = np.nonzero(~lost)
                where = (*rest[: self.axis], row[~lost], *rest[self.axis :])
                out[where] = fold(out[where], new[~lost])
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Other axes than the scattered one, where the indices reach the end of the data."""
        data, indices, updates = inputs
        tracks = (
            Track((axis, axis, axis), (axis,))
            for axis, size in enumerate(data.shape)
            if axis != self.axis and indices.shape[axis] == size and updates.shape[axis] == size
        )
        return AxesMapping(tuple(tracks))


@dataclass(frozen=True)
class ScatterNd(Op):
    """Write slices of the data at positions of its first axes.

    1. data      any dtype, [d_0, .., d_r]
    2. indices   integers [j.., q]: each row holds a position on the first q axes
    3. updates   the dtype of data, [j.., d_q, ..]

    Attributes:
        reduction: none, add, mul, min or max.
    """

    reduction: str = "none"
    arity: ClassVar[tuple[int, int | None]] = (3, 3)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact of the data."""
        data, indices, updates = inputs
        _check_scatter(self.reduction, data, indices, updates)
        depth = _depth(data, indices)
        wanted: Shape = (*indices.shape[:-1], *data.shape[depth:])
        if updates.rank != len(wanted) or contradicts(updates.shape, wanted):
            raise InvalidModel(
                f"updates {updates} for data {data} at indices {indices}; they have the shape "
                f"{shape_text(wanted)}"
            )
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Apply one row of the indices after the other."""
        data, indices, updates = inputs
        out = data.copy()
        fold = _FOLDS[self.reduction]
        depth = indices.shape[-1]
        columns = [_rows(turn, indices[..., i], data.shape[i], i) for i in range(depth)]
        with np.errstate(all="ignore"):
            for j in np.ndindex(*indices.shape[:-1]):
                if any(outside[j] for _, outside in columns):
                    continue
                where = tuple(int(rows[j]) for rows, _ in columns)
                out[where] = fold(out[where], updates[j])
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes of the data that are written whole."""
        data, indices, updates = inputs
        depth = _depth(data, indices)
        shift = indices.rank - 1 - depth
        tracks = (
            Track((axis, None, axis + shift), (axis,))
            for axis in range(depth, data.rank)
            if updates.shape[axis + shift] == data.shape[axis]
        )
        return AxesMapping(tuple(tracks))


@dataclass(frozen=True)
class OneHot(Op):
    """Replace each index by a line that is `on` there and `off` elsewhere.

    An index outside [-depth, depth) gives a line of `off`.

    Attributes:
        axis: where the new axis stands in the output.
        depth: positions of the new axis.
        off: value where the index is not.
        on: value where it is.
        dtype: name of the output's dtype.
    """

    axis: int
    depth: int
    off: Number = 0.0
    on: Number = 1.0
    dtype: str = "f32"

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Insert the axis."""
        (indices,) = inputs
        if indices.dtype.kind not in "iuf":
            raise InvalidModel(f"indices {indices}; an index is a number", remedy="cast it to i64")
        if not 0 <= self.axis <= indices.rank or self.depth < 0:
            raise InvalidModel(
                f"axis={self.axis}, depth={self.depth} for indices {indices}; the axis is in 0 to "
                f"{indices.rank}, the depth 0 or more"
            )
        lead, trail = indices.shape[: self.axis], indices.shape[self.axis :]
        return (Fact(dtype_named(self.dtype), (*lead, self.depth, *trail)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compare the indices with each position."""
        (indices,) = inputs
        dtype = dtype_named(self.dtype)
        on, off = np.asarray(self.on, dtype), np.asarray(self.off, dtype)
        shape = (*indices.shape[: self.axis], self.depth, *indices.shape[self.axis :])
        out = np.empty(shape, dtype)
        unsigned = indices.dtype.kind == "u"
        for position in range(self.depth):
            hit = indices == position
            if not unsigned:
                hit = hit | (indices == position - self.depth)
            out[(*(slice(None),) * self.axis, position)] = np.where(hit, on, off)
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes before the new one keep their place, the others move by one."""
        return AxesMapping(
            tuple(
                Track((axis,), (axis if axis < self.axis else axis + 1,))
                for axis in range(inputs[0].rank)
            )
        )


def _check_scatter(reduction: str, data: Fact, indices: Fact, updates: Fact) -> None:
    if reduction not in _FOLDS:
        raise InvalidModel(f"reduction={reduction!r}", remedy="use one of " + ", ".join(_FOLDS))
    if indices.dtype.kind not in "iu":
        raise InvalidModel(f"indices {indices}; an index is an integer", remedy="cast it to i64")
    if updates.dtype != data.dtype or (data.dtype == TDIM and reduction != "none"):
        raise InvalidModel(f"updates {updates} for data {data}; both have one dtype of numbers")
    if data.dtype.kind == "b" and reduction != "none":
        raise InvalidModel(f"reduction={reduction!r} of {data}", remedy="cast it to a number")


def _depth(data: Fact, indices: Fact) -> int:
    """Return how many axes of the data an index names."""
    depth = indices.shape[-1] if indices.rank else None
    if not isinstance(depth, int) or not 1 <= depth <= data.rank:
        raise InvalidModel(
            f"indices {indices} for data {data}; the last axis of the indices holds positions on 1 "
            f"to {data.rank} axes"
        )
    return depth


def _rows(turn: Turn, indices: Tensor, size: int, axis: int) -> tuple[Tensor, Tensor]:
    """Return indices from 0, and which of them lie outside; only filler frames may."""
    rows = indices.astype(np.int64)
    rows = np.where(rows < 0, rows + size, rows)
    outside = (rows < 0) | (rows >= size)
    if outside.any() and not turn.symbol:
        bad = int(indices[outside].ravel()[0])
        raise EvalError(f"index {bad} of axis {axis}, which has {size} positions")
    return rows, outside


INPUT_ROI.use(bubble_through_axes, OneHot)


@INPUT_ROI.rule(ScatterElements)
def roi_scatter_elements(op: ScatterElements, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Data shows where it stands, updates anywhere on the axis; every index may be out of range."""
    region, shape = ctx.regions[0], ctx.outputs[0].shape
    return region, None, roi_moves.all_along(region, (op.axis,), shape)


@INPUT_ROI.rule(ScatterNd)
def roi_scatter_nd(op: ScatterNd, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Data shows where it stands, updates anywhere on the axes that the indices count on."""
    data, indices, _ = ctx.inputs
    depth = _depth(data, indices)
    axes = {axis: axis + indices.rank - 1 - depth for axis in range(depth, data.rank)}
    return ctx.regions[0], None, roi_moves.renamed(ctx.regions[0], axes, ctx.outputs[0].shape)


PULSIFY_V1.use(along_tracked_axis, ScatterElements, ScatterNd, OneHot)
REGION_V2.use(region_along_tracked_axis, ScatterElements, ScatterNd, OneHot)


@NNEF.load("tract_core_scatter_elements", "input", "indices", "updates", "axis", reduction="none")
def load_scatter_elements(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_scatter_elements(input, indices, updates, axis, reduction)."""
    data = call.tensor("input")
    op = ScatterElements(call.integer("axis"), call.string("reduction"))
    return call.wire(op, data, call.tensor("indices"), call.tensor("updates", like=data))


@NNEF.dump(ScatterElements)
def dump_scatter_elements(op: ScatterElements, node: Node, out: Dump) -> None:
    """Write tract_core_scatter_elements."""
    out.call("tract_core_scatter_elements", axis=op.axis, reduction=op.reduction)


@NNEF.load("tract_core_scatter_nd", "input", "indices", "updates", reduction="none")
def load_scatter_nd(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_scatter_nd(input, indices, updates, reduction)."""
    data = call.tensor("input")
    op = ScatterNd(call.string("reduction"))
    return call.wire(op, data, call.tensor("indices"), call.tensor("updates", like=data))


@NNEF.dump(ScatterNd)
def dump_scatter_nd(op: ScatterNd, node: Node, out: Dump) -> None:
    """Write tract_core_scatter_nd."""
    out.call("tract_core_scatter_nd", reduction=op.reduction)


@NNEF.load("tract_core_one_hot", "input", "axis", "dim", value_off=0.0, value_on=1.0)
def load_one_hot(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_one_hot(input, axis, dim, value_off, value_on); integer values give i32."""
    off, on = call.scalar("value_off"), call.scalar("value_on")
    if isinstance(off, int) != isinstance(on, int):
        call.malformed(
            f"value_off={off} and value_on={on} have different types",
            remedy="write both with a point, or none",
        )
    dtype = "i32" if isinstance(off, int) else "f32"
    op = OneHot(call.integer("axis"), call.integer("dim"), off, on, dtype)
    return call.wire(op, call.tensor("input"))


@NNEF.dump(OneHot)
def dump_one_hot(op: OneHot, node: Node, out: Dump) -> None:
    """Write tract_core_one_hot, and a cast after it where the dtype is neither f32 nor i32."""
    dtype = dtype_named(op.dtype)
    narrow = "f32" if dtype.kind == "f" else "i32"
    least = np.iinfo(np.int32)
    off, on = (float(v) if narrow == "f32" else int(v) for v in (op.off, op.on))
    for value in (off, on):
        fits = (
            float(np.float32(value)) == value
            if narrow == "f32"
            else least.min <= value <= least.max
        )
        if op.dtype != narrow and np.isfinite(value) and not fits:
            out.refuse(f"its value {value} is no {narrow} number", remedy="give it the dtype f32")
    if op.dtype == narrow:
        out.call("tract_core_one_hot", axis=op.axis, dim=op.depth, value_off=off, value_on=on)
        return
    made = out.step(
        "tract_core_one_hot",
        inputs=tuple(node.inputs),
        axis=op.axis,
        dim=op.depth,
        value_off=off,
        value_on=on,
    )
    out.call("tract_core_cast", inputs=(made,), to=op.dtype)


def _reduction(call: OnnxCall) -> str:
    return call.string("reduction", "none")


def _axis(call: OnnxCall, rank: int, default: int | None = None, *, extra: int = 0) -> int:
    """Return the attribute `axis` counted from 0; `extra` more places than axes are legal."""
    axis = call.integer("axis", default)
    places = rank + extra
    if not -places <= axis < places:
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    return axis % places


@ONNX.rule("ScatterElements", "Scatter")
def import_scatter_elements(call: OnnxCall) -> tuple[Outlet, ...]:
    """ScatterElements, and Scatter, its name before opset 11."""
    data = call.input(0)
    op = ScatterElements(_axis(call, call.fact(data).rank, 0), _reduction(call))
    return call.wire(op, *call.inputs())


@ONNX.rule("ScatterND")
def import_scatter_nd(call: OnnxCall) -> tuple[Outlet, ...]:
    """ScatterND."""
    return call.wire(ScatterNd(_reduction(call)), *call.inputs())


@ONNX.rule("OneHot")
def import_one_hot(call: OnnxCall) -> tuple[Outlet, ...]:
    """OneHot(indices, depth, values = [off, on]) with a constant depth and values."""
    indices, depth, values = call.input(0), call.const(1), call.const(2)
    if depth is None or values is None:
        call.refuse(
            "the depth or the values are known only at run time", remedy="make them constants"
        )
    if depth.size != 1 or values.shape != (2,):
        call.malformed(f"depth of {depth.size} numbers, values of {values.size}; they are 1 and 2")
    axis = _axis(call, call.fact(indices).rank, -1, extra=1)
    if values.dtype == TDIM or depth.dtype == TDIM:
        try:
            values, depth = (v if v.dtype != TDIM else v.astype(np.int64) for v in (values, depth))
        except TypeError:
            call.refuse("the depth or the values depend on a symbol", remedy="set the symbol")
    off, on = values.tolist()
    op = OneHot(axis, int(depth.ravel()[0]), off, on, dtype_name(values.dtype))
    return call.wire(op, indices)
