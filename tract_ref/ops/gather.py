"""Gather: rows of a tensor by index.

out[a.., i.., b..] = data[a.., indices[i..], b..]      a negative index counts from the end

Source: spec/ir.md 6; spec/nnef.md 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.shared import along_tracked_axis
from tract_ref.stream.tables import PULSIFY_V1, PulsifyContext


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
        return (data.with_shape((*lead, *indices.shape, *trail)),)

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


def _numbers(turn: Turn, indices: Tensor) -> Tensor:
    if indices.dtype != TDIM:
        return indices.astype(np.int64)
    out = np.empty(indices.shape, np.int64)
    for index, dim in np.ndenumerate(indices):
        out[index] = turn.resolve(dim)
    return out


@PULSIFY_V1.rule(Gather)
def pulsify_gather(op: Gather, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Look up each frame of a stream of indices, or take positions of another axis of a stream.

    Errors:
        Refused: the gathered axis streams: an index may name a frame that has not come yet.
    """
    data, indices = (ctx.stream(wire) for wire in ctx.inputs)
    if data is None and indices is None:
        ctx.refuse(
            "the output depends on the stream length, no input streams",
            "compute it outside the streamed model",
        )
    if data is not None and data.axis == op.axis:
        ctx.refuse(
            f"takes positions of the stream axis {op.axis} by index: an index may name a frame "
            "that has not come yet",
            "slice the stream instead",
        )
    return along_tracked_axis(op, node, ctx)


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


@ONNX.rule("Gather")
def import_gather(call: OnnxCall) -> tuple[Outlet, ...]:
    """Gather along `axis`."""
    data = call.input(0)
    rank = call.fact(data).rank
    axis = call.integer("axis", 0)
    if not -rank <= axis < rank:
        call.malformed(f"axis={axis} for data of rank {rank}")
    return call.wire(Gather(axis % rank), data, call.input(1))
