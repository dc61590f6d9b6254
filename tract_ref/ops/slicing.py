"""Slicing ops: Slice, Downsample, and PositionalSlice, the state op of a table cut to the stream's length.

Slice:           out[i] = x[start + i],  i < min(end, n) - start
Downsample:      out[i] = x[modulo + i*stride];  stride < 0: out[i] = x[n - 1 + i*stride]
PositionalSlice: turn T emits table[start + T*q : start + (T+1)*q]

Source: spec/ir.md 6; spec/nnef.md 5.1; spec/pulse.md 2.11, 2.12, 8.4, 8.5, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import cast

import numpy as np

from tract_ref.dim import Dim, TDim, ceil_div, dim_max, dim_min, evaluate, slope, symbols
from tract_ref.errors import EvalError, Inconclusive, InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import along_tracked_axis
from tract_ref.stream.tables import PULSIFY_V1, PulsifyContext

# ONNX writes "to the end" as any huge number; torch uses both 2^31-1 and 2^63-1.
_TO_THE_END = (1 << 31) - 1


def _at_least_zero(dim: Dim) -> Dim:
    """Return max(0, dim), in the short form when a sum of sizes is visibly not negative."""
    if isinstance(dim, TDim) and dim.constant >= 0 and all(c > 0 for _, c in dim.terms):
        return dim
    return dim_max(0, dim)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


@dataclass(frozen=True)
class Slice(Op):
    """Keep positions [start, end) of one axis.

    What lies past the end of the axis is not there: a short stream gives an empty output. But a table
    of fixed size cut to an unknown length (`table[0:S]`) promises that length, and running out of table
    is an EvalError.

    Attributes:
        axis: the axis.
        start: first kept position, not negative.
        end: one past the last kept position.
    """

    axis: int
    start: Dim
    end: Dim

    def is_table(self, dim: Dim) -> bool:
        """Say whether a fixed number of positions is cut to a length known only at run time."""
        return isinstance(dim, int) and isinstance(self.end, TDim)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the kept positions on the axis: max(0, min(end, n) - start)."""
        (data,) = inputs
        if not 0 <= self.axis < data.rank:
            raise InvalidModel(f"axis={self.axis} for an input {data}")
        if isinstance(self.start, int) and self.start < 0:
            raise InvalidModel(
                f"start={self.start} on axis {self.axis} of {data}; positions count from 0",
                remedy="count from the end with the dim: n - k",
            )
        dim = data.shape[self.axis]
        end = self.end
        if not self.is_table(dim):
            # max(0, end) = n says that a clamped axis is kept to its end.
            whole = end == dim or dim_max(0, end) == dim
            end = dim if whole else dim_min(end, dim)
        return (data.with_dim(self.axis, _at_least_zero(end - self.start)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view of the kept positions."""
        (data,) = inputs
        start, end = turn.resolve(self.start), turn.resolve(self.end)
        size = data.shape[self.axis]
        if start < 0:
            raise EvalError(f"start {self.start} is {start} on axis {self.axis}", remedy=_LONGER)
        if isinstance(self.end, TDim) and self.table_ends(size, start, end):
            raise EvalError(
                f"positions {start} to {end} of axis {self.axis}, which has {size}",
                remedy="use a longer table, or a shorter input",
            )
        return (data[_along(self.axis, slice(start, max(start, end)))],)

    def table_ends(self, size: int, start: int, end: int) -> bool:
        """Say whether a table is too short; on other axes positions past the end are just absent."""
        return self.end_is_promised and start < end and end > size

    @property
    def end_is_promised(self) -> bool:
        """Set by `promised`: see TableSlice."""
        return False

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the sliced one."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=(self.axis,))
