"""Resize: sample axes at other distances, by the nearest position or linearly between two.

Output position i of an axis of n positions, m of them after the resize, reads position x of the
input, held inside [0, n - 1]:

    half_pixel          x = (i + 0.5) / scale - 0.5
    pytorch_half_pixel  the same, but x = 0 where m = 1
    asymmetric          x = i / scale
    align_corners       x = i * (n - 1) / (m - 1), 0 where m = 1

    m = floor(n * scale) where scales are given, scale = m / n where sizes are

Positions are computed in f32, as other engines do: it decides ties of the nearest position.

Source: spec/ir.md 6, spec/nnef.md 6.1; ONNX Resize.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from tract_ref.dim import Dim, TDim
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.reach import FixedTurn, Increment, RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
)

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
INTERPOLATORS = ("nearest", "linear")
NEAREST = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
# Products of a length and such a fraction are exact in f32, so a symbolic length tells the truth.
_LARGEST = 1 << 10


@dataclass(frozen=True)
class Resize(Op):
    """Resample axes; those of scale 1, or whose size stays, are left alone.

    Axes are resampled one after the other. Linear f16 is computed in f32 and rounded once.

    Attributes:
        scales: per axis, output positions per input position; None when sizes are given.
        sizes: per axis, output positions; None when scales are given.
        coordinates: one of COORDINATES.
        interpolator: nearest or linear.
        nearest_mode: how a position between two is rounded, one of NEAREST.
    """

    scales: tuple[float, ...] | None = None
    sizes: tuple[Dim, ...] | None = None
    coordinates: str = "half_pixel"
    interpolator: str = "nearest"
    nearest_mode: str = "floor"

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Lengths are floor(n * scale), or the sizes."""
        (data,) = inputs
        self._check(data)
        if self.sizes is not None:
            return (data.with_shape(self.sizes),)
        scales = self.scales or ()
        return (data.with_shape(tuple(map(_scaled, data.shape, scales))),)

    def _check(self, data: Fact) -> None:
        for name, value, known in (
            ("coordinates", self.coordinates, COORDINATES),
            ("interpolator", self.interpolator, INTERPOLATORS),
            ("nearest_mode", self.nearest_mode, NEAREST),
        ):
            if value not in known:
                raise InvalidModel(f"{name}={value!r}", remedy="use one of " + ", ".join(known))
        given = [v for v in (self.scales, self.sizes) if v is not None]
        if len(given) != 1 or len(given[0]) != data.rank:
            raise InvalidModel(
                f"scales={self.scales}, sizes={self.sizes} for data {data}; one of them is given, "
                "with one entry per axis"
            )
        if not all(isinstance(v, TDim) or (v >= 0 and np.isfinite(v)) for v in given[0]) or (
            self.scales is not None and min(self.scales, default=1) == 0
        ):
            raise InvalidModel(f"scales={self.scales}, sizes={self.sizes}; every scale is above 0")
        if data.dtype == TDIM or (self.interpolator == "linear" and data.dtype.kind != "f"):
            raise InvalidModel(
                f"{self.interpolator} resize of data {data}; linear needs floats, nearest numbers"
            )

    def resampled(self, data: Fact) -> tuple[int, ...]:
        """Return the axes that are not left alone."""
        if self.scales is not None:
            return tuple(axis for axis, scale in enumerate(self.scales) if scale != 1)
        sizes = self.sizes or ()
        return tuple(axis for axis, size in enumerate(sizes) if size != data.shape[axis])

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Resample axis by axis."""
        (data,) = inputs
        wide = data.dtype == np.float16 and self.interpolator == "linear"
        out = data.astype(np.float32) if wide else data
        for axis, n in enumerate(data.shape):
            if self.scales is not None:
                scale, m = np.float32(self.scales[axis]), _length(n, self.scales[axis])
                is_kept = self.scales[axis] == 1
            else:
                m = turn.resolve((self.sizes or ())[axis])
                scale, is_kept = np.float32(m) / np.float32(max(n, 1)), m == n
            if is_kept:
                continue
            if not n and m:
                raise EvalError(f"{m} positions of axis {axis}, which has none")
            out = self._sample(out, axis, self._positions(n, m, scale))
        return (out.astype(data.dtype, copy=False),)

    def _positions(self, n: int, m: int, scale: np.float32) -> Tensor:
        """Return what each output position reads, between input positions."""
        i, half = np.arange(m, dtype=np.float32), np.float32(0.5)
        match self.coordinates:
            case "asymmetric":
                return i / scale
            case "align_corners":
                return i * np.float32(n - 1) / np.float32(max(m - 1, 1))
            case "pytorch_half_pixel" if m == 1:
                return np.zeros(m, np.float32)
            case _:
                return (i + half) / scale - half

    def _sample(self, data: Tensor, axis: int, x: Tensor) -> Tensor:
        last = max(data.shape[axis] - 1, 0)
        if self.interpolator == "nearest":
            return np.take(data, np.clip(self._nearest(x), 0, last).astype(np.int64), axis)
        x = np.clip(x, 0, last)
        left = np.floor(x).astype(np.int64)
        weight = (x - left).astype(data.dtype)
        weight = weight.reshape((len(x),) + (1,) * (data.ndim - 1 - axis))
        before = np.take(data, left, axis)
        after = np.take(data, np.minimum(left + 1, last), axis)
        one = data.dtype.type(1)
        with np.errstate(all="ignore"):
            # A position hit exactly is taken as it is, whatever its neighbour holds.
            mixed = before * (one - weight) + after * weight
        return np.where(weight == 0, before, mixed)

    def _nearest(self, x: Tensor) -> Tensor:
        match self.nearest_mode:
            case "floor":
                return np.floor(x)
            case "ceil":
                return np.ceil(x)
            case "round_prefer_floor":
                return np.ceil(x - np.float32(0.5))
            case _:
                return np.floor(x + np.float32(0.5))

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes left alone."""
        data = inputs[0]
        return AxesMapping.natural(1, 1, data.rank, skip=self.resampled(data))


def _length(n: int, scale: float) -> int:
    return int(np.floor(np.float32(n) * np.float32(scale)))


def _scaled(dim: Dim, scale: float) -> Dim:
    if isinstance(dim, int):
        return _length(dim, scale)
    exact = Fraction(scale)
    if max(exact.numerator, exact.denominator) > _LARGEST:
        raise InvalidModel(
            f"scale={scale} of an axis of {dim} positions",
            remedy="use a scale whose fraction is a power of two, or give sizes",
        )
    return dim * exact.numerator // exact.denominator


INPUT_ROI.use(bubble_through_axes, Resize)


@PULSIFY_V1.rule(Resize)
def pulsify_resize(op: Resize, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Resample each frame alone.

    Errors:
        Refused: the stream axis is resampled: where a frame falls depends on the stream's length,
            or lies between frames of two turns.
    """
    stream = _left_alone(op, ctx)
    if stream is not None and op.sizes is not None:
        sizes = (*op.sizes[: stream.axis], ctx.frames(ctx.inputs[0]), *op.sizes[stream.axis + 1 :])
        # The size of the stream axis is a length in batch, the frames of a turn here.
        return ctx.wire(replace(op, sizes=sizes), ctx.inputs, stream)
    return along_tracked_axis(op, node, ctx)


@REGION_V2.rule(Resize)
def region_resize(op: Resize, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each frame is resampled alone."""
    stream = _left_alone(op, ctx)
    plan = region_along_tracked_axis(op, node, ctx)
    if stream is None or op.sizes is None:
        return plan
    before, after = op.sizes[: stream.axis], op.sizes[stream.axis + 1 :]

    # The size of the stream axis is a length in batch, what is there here.
    def main(made: Increment) -> tuple[Op, ...]:
        return (replace(op, sizes=(*before, made.frames, *after)),)

    def of_turn(turn: FixedTurn) -> Op:
        return replace(op, sizes=(*before, turn.frames, *after))

    return replace(plan, main=main, turn=of_turn)


def _left_alone(op: Resize, ctx: NodeContext) -> Linear | None:
    """Return the stream whose frames are resampled, None when nothing streams.

    Raises:
        Refused: its axis is resampled.
    """
    stream = ctx.stream(ctx.inputs[0])
    if stream is not None and stream.axis in op.resampled(ctx.batch_input(0)):
        ctx.refuse(
            f"resamples the stream axis {stream.axis}",
            "repeat frames by nearest_upsample, drop them by a slice with a stride",
        )
    return stream


@NNEF.load(
    "tract_core_resize",
    "input",
    scales=False,
    sizes=False,
    coord_transformer="half_pixel",
    interpolator="nearest",
    nearest_mode="floor",
)
def load_resize(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_resize(input, scales, sizes, coord_transformer, interpolator, nearest_mode)."""
    scales: tuple[float, ...] | None = None
    if not call.is_absent("scales"):
        value = call.fact(call.tensor("scales")).const
        if value is None or value.dtype == TDIM or value.ndim != 1:
            call.refuse("scales are not a list of constant numbers", remedy="give sizes")
        scales = tuple(float(v) for v in value)
    sizes = None if call.is_absent("sizes") else call.dims("sizes")
    op = Resize(
        None if sizes is not None else scales,
        sizes,
        call.string("coord_transformer"),
        call.string("interpolator"),
        call.string("nearest_mode"),
    )
    return call.wire(op, call.tensor("input"))


NNEF.refuse_load(
    "tract_core_grid_sample",
    reason="samples at positions given by a tensor, which no op of the set does",
    remedy="resample on a regular grid by tract_core_resize",
)


@NNEF.dump(Resize)
def dump_resize(op: Resize, node: Node, out: Dump) -> None:
    """Write tract_core_resize."""
    out.call(
        "tract_core_resize",
        scales=False if op.scales is None else op.scales,
        sizes=False if op.sizes is None else op.sizes,
        coord_transformer=op.coordinates,
        interpolator=op.interpolator,
        nearest_mode=op.nearest_mode,
    )


def _import(call: OnnxCall, coordinates: str, nearest_mode: str) -> tuple[Outlet, ...]:
    """Read mode, scales and sizes; they stand after the region of interest since opset 11."""
    data = call.input(0)
    shape = call.fact(data).shape
    mode = call.string("mode", "nearest")
    if mode not in INTERPOLATORS:
        call.refuse(f"mode={mode!r}", remedy="use nearest or linear")
    axes = call.integers("axes", tuple(range(len(shape))))
    if not all(-len(shape) <= axis < len(shape) for axis in axes):
        call.malformed(f"axes={list(axes)} of a tensor of {len(shape)} axes")
    axes = tuple(axis % len(shape) for axis in axes)
    slot = 1 if call.opset < 11 else 2
    sizes = call.optional(3)
    if sizes is not None:
        wanted = dict(zip(axes, call.dims(3), strict=False))
        full = tuple(wanted.get(axis, dim) for axis, dim in enumerate(shape))
        return call.wire(Resize(None, full, coordinates, mode, nearest_mode), data)
    scales = call.const(slot)
    if scales is None or scales.dtype == TDIM:
        call.refuse("scales are known only at run time", remedy="make them, or sizes, constant")
    if scales.shape != (len(axes),):
        call.malformed(f"{scales.size} scales for {len(axes)} axes")
    given = dict(zip(axes, scales.tolist(), strict=True))
    factors = tuple(given.get(axis, 1.0) for axis in range(len(shape)))
    return call.wire(Resize(factors, None, coordinates, mode, nearest_mode), data)


@ONNX.rule("Resize")
def import_resize(call: OnnxCall) -> tuple[Outlet, ...]:
    """Resize by nearest or linear; before opset 11 asymmetric, rounded down."""
    if call.opset < 11:
        return _import(call, "asymmetric", "floor")
    coordinates = call.string("coordinate_transformation_mode", "half_pixel")
    if coordinates not in COORDINATES:
        call.refuse(
            f"coordinate_transformation_mode={coordinates!r}",
            remedy="use one of " + ", ".join(COORDINATES),
        )
    policy = call.string("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        call.refuse(f"keep_aspect_ratio_policy={policy!r}", remedy="use stretch")
    if call.integer("antialias", 0):
        call.refuse("antialias=1", remedy="smooth by an average pool before the resize")
    # Only cubic and tf_crop_and_resize, both refused, look at these.
    call.integer("exclude_outside", 0)
    call.scalar("extrapolation_value", 0.0)
    call.scalar("cubic_coeff_a", -0.75)
    return _import(call, coordinates, call.string("nearest_mode", "round_prefer_floor"))


@ONNX.rule("Upsample")
def import_upsample(call: OnnxCall) -> tuple[Outlet, ...]:
    """Upsample (until opset 9): asymmetric, rounded down."""
    return _import(call, "asymmetric", "floor")


ONNX.refuse(
    "GridSample",
    reason="samples at positions given by a tensor, which no op of the set does",
    remedy="resample on a regular grid by Resize",
)
