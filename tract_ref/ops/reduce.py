"""Reduce: fold some axes of a tensor to size 1.

out[.., 0, ..] = fold over i of data[.., i, ..]

Source: spec/ir.md 6, spec/nnef.md 5 and 6.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tract_ref.dim import dim_max, dim_min
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor, dtype_name
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

ARG_KINDS = ("argmax", "argmin", "argmax_last", "argmin_last")
LOGICAL_KINDS = ("all", "any")
MEAN_KINDS = ("mean", "mean_of_squares")
KINDS = ("sum", "prod", "max", "min", *MEAN_KINDS, *ARG_KINDS, *LOGICAL_KINDS)


@dataclass(frozen=True)
class Reduce(Op):
    """Fold axes to size 1, position after position in row-major order.

    sum, prod, mean, mean_of_squares of f16 are accumulated in f32 and rounded once; integers wrap.
    The mean of integers is truncated toward zero. A NaN is the result of max and min, and the place
    that the arg kinds find, the first one (`_last`: the last one). Over several axes the arg kinds
    give the row-major position. Over no position: sum 0, prod 1, max the lowest value, min the
    highest, mean NaN, all true, any false.

    Attributes:
        axes_folded: the axes to fold, ascending.
        kind: one of KINDS; argmax and argmin take the first of equals, argmax_last and argmin_last
            the last one.
    """

    axes_folded: tuple[int, ...]
    kind: str

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Folded axes have size 1; arg kinds are i64."""
        (data,) = inputs
        if self.kind not in KINDS:
            raise InvalidModel(f"kind={self.kind!r}", remedy="use one of " + ", ".join(KINDS))
        axes = self.axes_folded
        if list(axes) != sorted(set(axes)) or not all(0 <= axis < data.rank for axis in axes):
            raise InvalidModel(
                f"axes={list(axes)} of a tensor of {data.rank} axes ({data}); they are ascending, "
                f"each in 0 to {data.rank - 1}",
                remedy="count axes from 0, each once",
            )
        _check_dtype(self.kind, data)
        shape = tuple(1 if axis in axes else dim for axis, dim in enumerate(data.shape))
        dtype = np.dtype(np.int64) if self.kind in ARG_KINDS else data.dtype
        return (Fact(dtype, shape),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fold one position after the other."""
        (data,) = inputs
        with np.errstate(all="ignore"):
            if self.kind in ARG_KINDS:
                return (_eval_arg(data, self.axes_folded, self.kind),)
            return (_eval_fold(data, self.axes_folded, self.kind),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis that is not folded is itself."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=self.axes_folded)


def _check_dtype(kind: str, data: Fact) -> None:
    is_bool = data.dtype.kind == "b"
    if kind in LOGICAL_KINDS:
        legal = is_bool
    elif kind in MEAN_KINDS:
        legal = data.dtype.kind in "fiu"
    elif kind in ARG_KINDS:
        legal = data.dtype != TDIM
    else:
        legal = not is_bool or kind in ("max", "min")
    if not legal:
        raise InvalidModel(
            f"{kind} of a tensor of {dtype_name(data.dtype)}",
            remedy="cast it to bool" if kind in LOGICAL_KINDS else "cast it to a number",
        )


def positions(data: Tensor, axes: tuple[int, ...]) -> Iterator[Tensor]:
    """Yield the slices of one position of the folded axes, of size 1 there, in row-major order."""
    for index in np.ndindex(*(data.shape[axis] for axis in axes)):
        at = [slice(None)] * data.ndim
        for axis, i in zip(axes, index, strict=True):
            at[axis] = slice(i, i + 1)
        yield data[tuple(at)]


def folded_shape(data: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with folded axes of size 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(data.shape))


def _eval_fold(data: Tensor, axes: tuple[int, ...], kind: str) -> Tensor:
    wide = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
    total = np.full(folded_shape(data, axes), _neutral(kind, wide), wide)
    fold = _FOLDS.get(kind, np.add) if data.dtype != TDIM else _DIM_FOLDS[kind]
    count = 0
    for piece in positions(data, axes):
        value = piece.astype(wide, copy=False)
        total = fold(total, value * value if kind == "mean_of_squares" else value)
        count += 1
    if kind in MEAN_KINDS:
        total = _divided(total, count)
    return total.astype(data.dtype, copy=False)


def _divided(total: Tensor, count: int) -> Tensor:
    if total.dtype.kind == "f":
        return total / total.dtype.type(count)
    if not count and total.size:
        raise EvalError("mean of no integers", remedy="give the folded axes a position")
    quotient = np.abs(total) // max(count, 1)
    return np.where(total < 0, -quotient, quotient).astype(total.dtype)


def _neutral(kind: str, dtype: DType) -> object:
    """Return the value of a fold over no position."""
    if kind in ("prod", "all"):
        return 1
    if kind not in ("max", "min"):
        return 0
    if dtype.kind == "f":
        return -np.inf if kind == "max" else np.inf
    if dtype.kind == "b":
        return kind == "min"
    limits = np.iinfo(np.dtype(np.int64) if dtype == TDIM else dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return int(limits.min) if kind == "max" else int(limits.max)


_FOLDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "all": np.logical_and,
    "any": np.logical_or,
}


def _fold_dims(fold: Callable[..., object], a: Tensor, b: Tensor) -> Tensor:
    out = np.empty(a.shape, object)
    for index in np.ndindex(*a.shape):
        out[index] = fold(a[index], b[index])
    return out


_DIM_FOLDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": partial(_fold_dims, dim_max),
    "min": partial(_fold_dims, dim_min),
}


def _eval_arg(data: Tensor, axes: tuple[int, ...], kind: str) -> Tensor:
    found = np.zeros(folded_shape(data, axes), np.int64)
    best: Tensor | None = None
    for position, value in enumerate(positions(data, axes)):
        if best is None:
            best = value
            continue
        wins = value > best if kind.startswith("argmax") else value < best
        if data.dtype.kind == "f":
            wins = (wins & ~np.isnan(best)) | (np.isnan(value) & ~np.isnan(best))
        if kind.endswith("last"):
            wins = wins | (value == best)
            if data.dtype.kind == "f":
                wins = wins | np.isnan(value)
        best = np.where(wins, value, best)
        found = np.where(wins, position, found)
    if best is None and found.size:
        raise EvalError(f"{kind} over no position", remedy="give the folded axes a position")
    return found


INPUT_ROI.use(bubble_through_axes, Reduce)


PULSIFY_V1.use(along_tracked_axis, Reduce)
REGION_V2.use(region_along_tracked_axis, Reduce)

_NNEF_NAMES = {
    "sum": "sum_reduce",
    "max": "max_reduce",
    "min": "min_reduce",
    "mean": "mean_reduce",
    "argmax": "argmax_reduce",
    "argmin": "argmin_reduce",
    "all": "all_reduce",
    "any": "any_reduce",
    "argmax_last": "tract_core_argmax_reduce_last",
    "argmin_last": "tract_core_argmin_reduce_last",
    "prod": "tract_core_product_reduce",
}


def _axes_of(call: Invocation) -> tuple[int, ...]:
    axes = call.integers("axes")
    if any(axis < 0 for axis in axes):
        call.malformed(f"axes={list(axes)}; axes count from 0", remedy="write the axis from 0")
    return tuple(sorted(set(axes)))


@NNEF.load("sum_reduce", "input", "axes", normalize=False)
def load_sum_reduce(call: Invocation) -> tuple[Outlet, ...]:
    """sum_reduce(input, axes, normalize): the mean when normalized."""
    kind = "mean" if call.logical("normalize") else "sum"
    return call.wire(Reduce(_axes_of(call), kind), call.tensor("input"))


def _load_kind(kind: str, call: Invocation) -> tuple[Outlet, ...]:
    return call.wire(Reduce(_axes_of(call), kind), call.tensor("input"))


for _kind, _name in _NNEF_NAMES.items():
    if _kind != "sum":
        NNEF.load(_name, "input", "axes")(partial(_load_kind, _kind))


@NNEF.dump(Reduce)
def dump_reduce(op: Reduce, node: Node, out: Dump) -> None:
    """Write the reduction of this kind; a mean of squares as mean_reduce of a square."""
    axes = op.axes_folded
    if op.kind == "mean_of_squares":
        squares = out.step("sqr", inputs=(node.inputs[0],))
        out.call("mean_reduce", inputs=(squares,), axes=axes)
        return
    out.call(_NNEF_NAMES[op.kind], axes=axes)


@ONNX.rule("GlobalAveragePool", "GlobalMaxPool")
def import_global_pool(call: OnnxCall) -> tuple[Outlet, ...]:
    """GlobalAveragePool, GlobalMaxPool: over every spatial axis, kept with size 1."""
    data = call.input(0)
    axes = tuple(range(2, call.fact(data).rank))
    kind = "mean" if call.operator == "GlobalAveragePool" else "max"
    return call.wire(Reduce(axes, kind), data)
