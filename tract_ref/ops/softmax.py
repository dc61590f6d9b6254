"""Softmax and its logarithm, over one or several axes.

softmax(x)_i = exp(x_i - m) / sum over j of exp(x_j - m)        m = max over j of x_j
logsoftmax(x)_i = (x_i - m) - log(sum over j of exp(x_j - m))

Source: spec/ir.md 6, spec/nnef.md 5 and 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2

KINDS = ("softmax", "logsoftmax")


@dataclass(frozen=True)
class Softmax(Op):
    """Normalise exponentials over axes; maximum and sum run in row-major order of the positions.

    f16 is computed in f32 and rounded once. A row of -inf only, or one that holds a NaN, is NaN.

    Attributes:
        axes_normalised: the axes over which values sum to 1, ascending.
        kind: softmax or logsoftmax.
    """

    axes_normalised: tuple[int, ...]
    kind: str = "softmax"

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        axes = self.axes_normalised
        if self.kind not in KINDS:
            raise InvalidModel(f"kind={self.kind!r}", remedy="use softmax or logsoftmax")
        if list(axes) != sorted(set(axes)) or not all(0 <= axis < data.rank for axis in axes):
            raise InvalidModel(
                f"axes={list(axes)} of a tensor of {data.rank} axes ({data}); they are ascending, "
                f"each in 0 to {data.rank - 1}",
                remedy="count axes from 0, each once",
            )
        if data.dtype.kind != "f":
            raise InvalidModel(f"{self.kind} of {data}", remedy="cast it to a float type")
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Subtract the maximum, exponentiate, divide by the sum."""
        (data,) = inputs
        if not data.size:
            return (data,)
        wide = data.astype(np.float32) if data.dtype == np.float16 else data
        with np.errstate(all="ignore"):
            largest = _fold(np.maximum, wide, self.axes_normalised)
            shifted = wide - largest
            exponentials = np.exp(shifted)
            total = _fold(np.add, exponentials, self.axes_normalised)
            plain = self.kind == "softmax"
            out = exponentials / total if plain else shifted - np.log(total)
            return (out.astype(data.dtype, copy=False),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis that is not normalised is itself."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=self.axes_normalised)


def _fold(fold: np.ufunc, data: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Fold one position after the other; axes are kept with size 1, none may be empty."""
    total: Tensor | None = None
    for index in np.ndindex(*(data.shape[axis] for axis in axes)):
        at = [slice(None)] * data.ndim
        for axis, i in zip(axes, index, strict=True):
            at[axis] = slice(i, i + 1)
        value = data[tuple(at)]
        total = value if total is None else fold(total, value)
    return data if total is None else total


INPUT_ROI.use(bubble_through_axes, Softmax)


PULSIFY_V1.use(along_tracked_axis, Softmax)
REGION_V2.use(region_along_tracked_axis, Softmax)


def _axes_of(call: Invocation) -> tuple[int, ...]:
    axes = call.integers("axes")
    if any(axis < 0 for axis in axes):
        # tract reads -1 and returns ones: nnef.md 1.5.
        call.malformed(f"axes={list(axes)}; axes count from 0", remedy="write the axis from 0")
    return tuple(sorted(set(axes)))


@NNEF.load("softmax", "x", axes=(1,))
def load_softmax(call: Invocation) -> tuple[Outlet, ...]:
    """softmax(x, axes)."""
    return call.wire(Softmax(_axes_of(call)), call.tensor("x"))


@NNEF.load("tract_core_softmax", "x", "axes", exp="libc")
def load_core_softmax(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_softmax(x, axes, exp): exp is a hint for tract's kernel, any text is legal."""
    call.string("exp")
    return call.wire(Softmax(_axes_of(call)), call.tensor("x"))


@NNEF.load("tract_core_log_softmax", "x", "axes")
def load_log_softmax(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_log_softmax(x, axes)."""
    return call.wire(Softmax(_axes_of(call), "logsoftmax"), call.tensor("x"))


@NNEF.dump(Softmax)
def dump_softmax(op: Softmax, node: Node, out: Dump) -> None:
    """Write softmax or tract_core_log_softmax."""
    name = "softmax" if op.kind == "softmax" else "tract_core_log_softmax"
    out.call(name, axes=op.axes_normalised)


@ONNX.rule("Softmax", "LogSoftmax")
def import_softmax(call: OnnxCall) -> tuple[Outlet, ...]:
    """Softmax, LogSoftmax; before opset 13 over every axis from `axis` on (default 1)."""
    data = call.input(0)
    rank = call.fact(data).rank
    flattens = call.opset < 13
    axis = call.integer("axis", 1 if flattens else -1)
    if not -rank <= axis <= rank - (0 if flattens else 1):
        call.malformed(f"axis={axis} of a tensor of {rank} axes")
    axis = axis + rank if axis < 0 else axis
    axes = tuple(range(axis, rank)) if flattens else (axis,)
    return call.wire(Softmax(axes, call.operator.lower()), data)


ONNX.refuse(
    "Hardmax",
    reason="Hardmax is not read",
    remedy="replace it by ArgMax and OneHot",
)
