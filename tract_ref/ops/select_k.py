"""TopK and Trilu: the largest or smallest positions of an axis, a triangle of a matrix.

    TopK   values[.., i, ..] = data[.., indices[.., i, ..], ..]      best first, ties in index order
    Trilu  out[.., i, j] = data[.., i, j] where j - i >= k (upper) or j - i <= k (lower), else 0

Source: spec/ir.md 6, spec/nnef.md 6.1; ONNX TopK and Trilu.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tract_ref.dim import ge
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.per_element import coordinate
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region, intersection
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    pointwise,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import (
    INPUT_ROI,
    NOTHING_STREAMS,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
)


@dataclass(frozen=True)
class TopK(Op):
    """The k largest (or smallest) elements of an axis, best first, and their indices.

    Of equals the lower index comes first. A NaN is larger than every number.

    Attributes:
        k: elements to keep.
        axis: the axis to choose from.
        largest: choose the largest.

    Shapes:
        data      [.., n, ..]
        values    [.., k, ..]
        indices   [.., k, ..]   i64
    """

    k: int
    axis: int
    largest: bool = True

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Keep k positions of the axis."""
        (data,) = inputs
        if not 0 <= self.axis < data.rank or data.dtype.kind not in "iuf":
            raise InvalidModel(f"axis={self.axis} of data {data}; an axis of a tensor of numbers")
        size = data.shape[self.axis]
        if self.k < 0 or (isinstance(size, int) and self.k > size):
            raise InvalidModel(
                f"k={self.k} of the {size} positions on axis {self.axis} of {data}",
                remedy="use a k from 0 to the number of positions",
            )
        kept = data.with_dim(self.axis, self.k)
        return kept, Fact(np.dtype(np.int64), kept.shape)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Sort the positions stably, keep the first k."""
        (data,) = inputs
        size = data.shape[self.axis]
        if self.k > size:
            raise EvalError(f"k={self.k} of the {size} positions on axis {self.axis}")
        if self.largest:
            # Ascending from the back, read from the back: ties come out with the lower index first.
            back = np.argsort(np.flip(data, self.axis), self.axis, kind="stable")
            order = np.flip(size - 1 - back, self.axis)
        else:
            order = np.argsort(data, self.axis, kind="stable")
        best = order[(*(slice(None),) * self.axis, slice(0, self.k))].astype(np.int64)
        return np.take_along_axis(data, best, self.axis), best

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the one chosen from is itself."""
        return AxesMapping.natural(1, 2, inputs[0].rank, skip=(self.axis,))


@dataclass(frozen=True)
class Trilu(Op):
    """Keep a triangle of the matrices on the last two axes, zeros elsewhere.

    Attributes:
        k: which diagonal bounds the triangle; above the main one when positive.
        upper: keep what lies on and above it, else on and below.
    """

    k: int = 0
    upper: bool = True

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        if data.rank < 2 or data.dtype == TDIM:
            raise InvalidModel(f"data {data}; a triangle is cut from matrices of numbers or bools")
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Choose by the distance from the diagonal."""
        (data,) = inputs
        distance = np.zeros(data.shape[-2:], np.int64)
        for row, column in np.ndindex(*distance.shape):
            distance[row, column] = column - row
        kept = distance >= self.k if self.upper else distance <= self.k
        return (np.where(kept, data, np.zeros((), data.dtype)),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the last two is itself."""
        rank = inputs[0].rank
        return AxesMapping.natural(1, 1, rank, skip=(rank - 2, rank - 1))


INPUT_ROI.use(bubble_through_axes, TopK)


@INPUT_ROI.rule(Trilu)
def roi_trilu(op: Trilu, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """What lies outside of the triangle is not observed."""
    rank = ctx.inputs[0].rank
    distance = coordinate(rank - 1) - coordinate(rank - 2)
    triangle = ge(distance, op.k) if op.upper else ge(op.k, distance)
    return (intersection(ctx.regions[0], triangle),)


@PULSIFY_V1.rule(TopK)
def pulsify_top_k(op: TopK, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Choose within each frame; both outputs stream like the data.

    Errors:
        Refused: the axis chosen from streams.
    """
    stream = _chosen_within(op, ctx)
    return ctx.wire(op, ctx.inputs, stream, stream)


@REGION_V2.rule(TopK)
def region_top_k(op: TopK, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each frame is chosen from alone."""
    return pointwise(op, ctx, _chosen_within(op, ctx))


def _chosen_within(op: TopK, ctx: NodeContext) -> Linear:
    stream = ctx.stream(ctx.inputs[0])
    if stream is None:
        ctx.refuse(*NOTHING_STREAMS)
    if stream.axis == op.axis:
        ctx.refuse(
            f"chooses from the stream axis {op.axis}: it would need every frame of the stream at "
            "once",
            "choose from another axis",
        )
    return stream


PULSIFY_V1.use(along_tracked_axis, Trilu)
REGION_V2.use(region_along_tracked_axis, Trilu)


@NNEF.load("tract_core_topk", "input", "k", "axis", "largest")
def load_top_k(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_topk(input, k, axis, largest) -> (values, indices); k is known at load time."""
    op = TopK(call.integer("k"), call.integer("axis"), call.logical("largest"))
    return call.wire(op, call.tensor("input"))


@NNEF.dump(TopK)
def dump_top_k(op: TopK, node: Node, out: Dump) -> None:
    """Write tract_core_topk."""
    out.call("tract_core_topk", k=op.k, axis=op.axis, largest=op.largest)


@NNEF.load("tract_core_trilu", "input", "k", "upper")
def load_trilu(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_trilu(input, k, upper)."""
    return call.wire(Trilu(call.integer("k"), call.logical("upper")), call.tensor("input"))


@NNEF.dump(Trilu)
def dump_trilu(op: Trilu, node: Node, out: Dump) -> None:
    """Write tract_core_trilu."""
    out.call("tract_core_trilu", k=op.k, upper=op.upper)


def _constant(call: OnnxCall, slot: int, what: str) -> int:
    dims = call.dims(slot)
    if len(dims) != 1:
        call.malformed(f"{what} holds {len(dims)} numbers; it is one")
    (value,) = dims
    if not isinstance(value, int):
        call.refuse(f"{what}={value} depends on a symbol", remedy="set the symbol")
    return value


@ONNX.rule("TopK")
def import_top_k(call: OnnxCall) -> tuple[Outlet, ...]:
    """TopK; k is an attribute before opset 10. Unsorted output, in any order, comes sorted."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", -1)
    call.integer("sorted", 1)
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    k = call.integer("k") if call.opset < 10 else _constant(call, 1, "k")
    return call.wire(TopK(k, axis % rank, bool(call.integer("largest", 1))), data)


@ONNX.rule("Trilu")
def import_trilu(call: OnnxCall) -> tuple[Outlet, ...]:
    """Trilu(data, k)."""
    k = 0 if call.optional(1) is None else _constant(call, 1, "k")
    return call.wire(Trilu(k, bool(call.integer("upper", 1))), call.input(0))
