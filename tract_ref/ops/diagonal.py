"""DiagGather: positions of a row by their distance from a diagonal.

    out[.., i, k] = data[.., i, offset + k - i], 0 outside

Source: spec/attention.md 1.8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tract_ref.dim import Dim
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.per_element import coordinate
from tract_ref.nnef.table import NNEF
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import along_tracked_axis, region_along_tracked_axis
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
)


@dataclass(frozen=True)
class DiagGather(Op):
    """Read a score by distance as a score by position: row i moves i columns to the right.

    Attributes:
        offset: column of the data that stands on the diagonal.
        columns: columns of the output.

    Shapes:
        data   [.., rows, distances]
        out    [.., rows, columns]
    Source: spec/attention.md 1.8; what pad, reshape, slice, reshape, slice of relative positions
        amount to.
    """

    offset: Dim
    columns: Dim

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Give the last axis another length."""
        (data,) = inputs
        negative = isinstance(self.columns, int) and self.columns < 0
        if data.rank < 2 or negative:
            raise InvalidModel(
                f"columns={self.columns} for data {data}; the last two axes are rows and distances"
            )
        return (data.with_dim(data.rank - 1, self.columns),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Copy row by row what both have."""
        (data,) = inputs
        offset, columns = turn.resolve(self.offset), turn.resolve(self.columns)
        rows, distances = data.shape[-2:]
        out = np.full((*data.shape[:-1], columns), 0, data.dtype)
        for row in range(rows):
            first = max(0, row - offset)
            last = max(first, min(columns, distances + row - offset))
            out[..., row, first:last] = data[..., row, offset + first - row : offset + last - row]
        return (out,)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the last two."""
        rank = inputs[0].rank
        return AxesMapping.natural(1, 1, rank, skip=(rank - 2, rank - 1))


@INPUT_ROI.rule(DiagGather)
def roi_diag_gather(op: DiagGather, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Column c of row i is column c - offset + i of the output; columns outside do not show."""
    rank = ctx.inputs[0].rank
    first = op.offset - coordinate(rank - 2)
    return (roi_moves.cropped(ctx.regions[0], rank - 1, first, first + op.columns),)


@PULSIFY_V1.rule(DiagGather)
def pulsify_diag_gather(op: DiagGather, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Move the rows of each frame alone.

    Errors:
        Refused: rows or distances stream: where a row lands depends on its number.
    """
    _require_rows_apart(ctx)
    return along_tracked_axis(op, node, ctx)


@REGION_V2.rule(DiagGather)
def region_diag_gather(op: DiagGather, node: Node, ctx: RegionContext) -> RegionPlan:
    """The rows of each frame move alone."""
    _require_rows_apart(ctx)
    return region_along_tracked_axis(op, node, ctx)


def _require_rows_apart(ctx: NodeContext) -> None:
    stream = ctx.stream(ctx.inputs[0])
    if stream is not None and stream.axis >= ctx.batch_input(0).rank - 2:
        what = "rows" if stream.axis == ctx.batch_input(0).rank - 2 else "distances"
        ctx.refuse(
            f"its {what} stream (axis {stream.axis}): every row moves by its own number, and the "
            "rows grow with the stream",
            "bound what each row reads by a mask of a band",
        )


NNEF.refuse_dump(
    DiagGather,
    reason="has no NNEF operator: the dialect says it by pad, reshape and slice",
    remedy="dump the model before rewrites",
)
