"""Norms: RmsNorm over one axis, and the running norms of speech front-ends.

    RmsNorm      out_i = x_i / sqrt(mean over j of x_j^2 + eps)
    ExpUnitNorm  out_t = x_t / sqrt(s_t)      s_t = max(|x_t|, epsilon)*(1 - alpha) + s_(t-1)*alpha
    ExpMeanNorm  out_t = (x_t - s_t) / scaling_factor         s_t = x_t*(1 - alpha) + s_(t-1)*alpha

Source: spec/ir.md 6, spec/nnef.md 6.1 and 6.3, spec/pulse.md 2.19 and 2.21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import Fact, Shape, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ir.per_element import coordinate
from tract_ref.ir.shapes import contradicts, shape_text
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.runtime.reach import FixedTurn, RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    bubbled,
    pointwise,
    region_along_tracked_axis,
)
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
class RmsNorm(Op):
    """Divide by the root of the mean square over one axis; squares are added in order.

    f16 is computed in f32 and rounded once.

    Attributes:
        axis: the axis over which squares are averaged.
        eps: added to the mean square.
    """

    axis: int
    eps: float = 1e-6

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        _check(self.axis, data)
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add squares one position after the other, then divide."""
        (data,) = inputs
        wide = data.astype(np.float32) if data.dtype == np.float16 else data
        count = data.shape[self.axis]
        with np.errstate(all="ignore"):
            total = np.zeros(
                (*data.shape[: self.axis], 1, *data.shape[self.axis + 1 :]), wide.dtype
            )
            for i in range(count):
                x = wide[_along(self.axis, slice(i, i + 1))]
                total = total + x * x
            root = np.sqrt(total / wide.dtype.type(count) + wide.dtype.type(self.eps))
            return ((wide / root).astype(data.dtype, copy=False),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the normalised one is itself."""
        return AxesMapping.natural(1, 1, inputs[0].rank, skip=(self.axis,))


@dataclass
class NormState(OpState):
    """Steps seen so far, and the running value; None before the first turn."""

    steps: int = 0
    running: Tensor | None = None


@dataclass(frozen=True)
class ExpUnitNorm(Op):
    """Divide by the root of a running average of magnitudes along one axis.

    s_t = max(|x_t|, epsilon) * (1 - alpha) + s_(t-1) * alpha,      out_t = x_t / sqrt(s_t)

    The first `skip` steps leave s as it is. Every step has the dtype of the data.

    1. data    any float shape; complex data ends with an axis of 2
    2. state   s before the first step: the data's shape without `axis` (and without the axis of a
               complex number), each size equal or 1

    Attributes:
        axis: the axis of the recurrence.
        alpha: weight of the past.
        epsilon: least magnitude.
        skip: steps before the first update.
        stateless: s restarts at each turn.
        complex: the magnitude is that of complex numbers, real and imaginary part on the last axis.
    """

    axis: int
    alpha: float
    epsilon: float = 1e-14
    skip: int = 0
    stateless: bool = False
    complex: bool = False
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape of the data."""
        data, start = inputs
        if self.complex and (data.rank < 2 or data.shape[-1] != 2 or self.axis == data.rank - 1):
            raise InvalidModel(
                f"complex data {data} with axis={self.axis}; a complex number is the last axis, of "
                "2 positions, and is not the axis of the recurrence"
            )
        return _running_facts(self, data, start, _others(self, data))

    def state(self) -> OpState | None:
        """Return the step counter at 0."""
        return None if self.stateless else NormState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Update and divide, step by step."""
        least = inputs[0].dtype.type(self.epsilon)

        def measure(frame: Tensor) -> Tensor:
            if not self.complex:
                return np.maximum(np.abs(frame), least)
            real, imaginary = frame[..., 0], frame[..., 1]
            return np.maximum(np.sqrt(real * real + imaginary * imaginary), least)

        def normal(frame: Tensor, running: Tensor) -> Tensor:
            root = np.sqrt(running)
            return frame / (root[..., None] if self.complex else root)

        return _run(self, turn, inputs, measure, normal)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes of the data but the recurrence and the complex one, at their place in the state."""
        return _running_axes(self, inputs[0])


@dataclass(frozen=True)
class ExpMeanNorm(Op):
    """Subtract a running average along one axis, divide by a number.

    s_t = x_t * (1 - alpha) + s_(t-1) * alpha,      out_t = (x_t - s_t) / scaling_factor

    The first `skip` steps leave s as it is. Every step has the dtype of the data.

    1. data    any float shape
    2. state   s before the first step: the data's shape without `axis`, each size equal or 1

    Attributes:
        axis: the axis of the recurrence.
        alpha: weight of the past.
        scaling_factor: divisor.
        skip: steps before the first update.
        stateless: s restarts at each turn.
    """

    axis: int
    alpha: float
    scaling_factor: float = 1.0
    skip: int = 0
    stateless: bool = False
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape of the data."""
        data, start = inputs
        return _running_facts(self, data, start, _others(self, data))

    def state(self) -> OpState | None:
        """Return the step counter at 0."""
        return None if self.stateless else NormState()

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Update, subtract and divide, step by step."""
        scale = inputs[0].dtype.type(self.scaling_factor)
        return _run(self, turn, inputs, lambda x: x, lambda x, s: (x - s) / scale)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes of the data but the recurrence, at their place in the state."""
        return _running_axes(self, inputs[0])


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


def _check(axis: int, data: Fact) -> None:
    if data.dtype.kind != "f":
        raise InvalidModel(f"data {data}; a norm needs floats", remedy="cast it to a float type")
    if not 0 <= axis < data.rank:
        raise InvalidModel(
            f"axis={axis} of data {data}, which has {data.rank} axes", remedy="count axes from 0"
        )


def _others(op: ExpUnitNorm | ExpMeanNorm, data: Fact) -> tuple[int, ...]:
    """Return the axes of the data that the state has."""
    last = data.rank - 1 if isinstance(op, ExpUnitNorm) and op.complex else data.rank
    return tuple(axis for axis in range(last) if axis != op.axis)


def _running_facts(
    op: ExpUnitNorm | ExpMeanNorm, data: Fact, start: Fact, others: tuple[int, ...]
) -> tuple[Fact, ...]:
    _check(op.axis, data)
    if op.skip < 0:
        raise InvalidModel(f"skip={op.skip} steps; it is 0 or more")
    wanted: Shape = tuple(data.shape[axis] for axis in others)
    fits = start.dtype == data.dtype and start.rank == len(wanted)
    if fits:
        fits = not contradicts(
            tuple(w if s == 1 else s for s, w in zip(start.shape, wanted, strict=True)), wanted
        )
    if not fits:
        raise InvalidModel(
            f"state {start} for data {data} along axis {op.axis}; it has the dtype of the data and "
            f"the shape {shape_text(wanted)}, each size equal or 1"
        )
    return (data.without_const(),)


def _run(
    op: ExpUnitNorm | ExpMeanNorm,
    turn: Turn,
    inputs: tuple[Tensor, ...],
    measure: Callable[[Tensor], Tensor],
    normal: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, ...]:
    data, start = inputs
    state = cast("NormState", turn.state) if turn.state is not None else NormState()
    out = np.empty_like(data)
    alpha = data.dtype.type(op.alpha)
    fresh = data.dtype.type(1) - alpha
    with np.errstate(all="ignore"):
        if state.running is None:
            others = _others(op, Fact.of(data))
            shape = tuple(data.shape[axis] for axis in others)
            state.running = np.broadcast_to(start, shape).copy()
        for t in range(data.shape[op.axis]):
            at = (*(slice(None),) * op.axis, t)
            frame = data[at]
            if state.steps >= op.skip:
                state.running = np.asarray(measure(frame) * fresh + state.running * alpha)
            state.steps += 1
            out[at] = normal(frame, state.running)
    return (out,)


def _running_axes(op: ExpUnitNorm | ExpMeanNorm, data: Fact) -> AxesMapping:
    others = _others(op, data)
    return AxesMapping(tuple(Track((axis, i), (axis,)) for i, axis in enumerate(others)))


INPUT_ROI.use(bubble_through_axes, RmsNorm)


@INPUT_ROI.rule(ExpUnitNorm, ExpMeanNorm)
def roi_running(op: ExpUnitNorm | ExpMeanNorm, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A position is read by itself and by all later ones; the first state by all."""
    region, shape = ctx.regions[0], ctx.outputs[0].shape
    mixed = set(range(len(shape))) - {op.axis, *_others(op, ctx.inputs[0])}
    region = roi_moves.all_along(region, mixed, shape)
    region = roi_moves.read_by(region, op.axis, shape[op.axis], coordinate(op.axis), None)
    return region, bubbled(op, 1, ctx)


PULSIFY_V1.use(along_tracked_axis, RmsNorm)
REGION_V2.use(region_along_tracked_axis, RmsNorm)


@PULSIFY_V1.rule(ExpUnitNorm, ExpMeanNorm)
def pulsify_running_norm(
    op: ExpUnitNorm | ExpMeanNorm, node: Node, ctx: PulsifyContext
) -> tuple[Outlet, ...]:
    """Stream a running norm.

    Along the recurrence s stays from turn to turn, and the frames before the stream begins are
    skipped. Differs from tract: `stateless` streams like the batch model, whose one turn is the
    whole stream. Along another axis each turn brings other positions, which all start from the
    state given.

    Errors:
        Refused: the state streams while the recurrence runs along the stream.
    """
    data = _recurrence(op, ctx)
    if data is None:
        return along_tracked_axis(replace(op, stateless=True), node, ctx)
    op = replace(op, skip=op.skip + data.delay, stateless=False)
    return ctx.wire(op, ctx.inputs, data, reach=(-math.inf, 0))


@REGION_V2.rule(ExpUnitNorm, ExpMeanNorm)
def region_running_norm(
    op: ExpUnitNorm | ExpMeanNorm, node: Node, ctx: RegionContext
) -> RegionPlan:
    """Frame j reads frame j, and the state that the frames before it left."""
    data = _recurrence(op, ctx)
    if data is None:
        return region_along_tracked_axis(replace(op, stateless=True), node, ctx)
    running = replace(op, stateless=False)
    plan = pointwise(running, ctx, data)

    def of_turn(turn: FixedTurn) -> Op:
        return replace(running, skip=op.skip + turn.delay)

    return replace(plan, turn=of_turn)


def _recurrence(op: ExpUnitNorm | ExpMeanNorm, ctx: NodeContext) -> Linear | None:
    """Return the stream along which the state is carried, None when another axis streams.

    Raises:
        Refused: the initial state streams.
    """
    data, start = (ctx.stream(wire) for wire in ctx.inputs)
    if data is None or data.axis != op.axis:
        return None
    if start is not None:
        ctx.refuse("its initial state streams", "give it a constant state")
    return data


@NNEF.load("tract_core_rms_norm", "input", "axis", eps=1e-6)
def load_rms_norm(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_rms_norm(input, axis, eps)."""
    op = RmsNorm(call.integer("axis"), float(call.scalar("eps")))
    return call.wire(op, call.tensor("input"))


@NNEF.load("tract_transformers_rms_norm", "input", "axis", eps=1e-6)
def load_old_rms_norm(call: Invocation) -> tuple[Outlet, ...]:
    """tract_transformers_rms_norm: the old name of tract_core_rms_norm."""
    return load_rms_norm(call)


@NNEF.dump(RmsNorm)
def dump_rms_norm(op: RmsNorm, node: Node, out: Dump) -> None:
    """Write tract_core_rms_norm."""
    out.call("tract_core_rms_norm", axis=op.axis, eps=op.eps)


@NNEF.load(
    "tract_extra_exp_unit_norm",
    "input",
    "state",
    "axis",
    "alpha",
    skip=0,
    stateless=False,
    complex=False,
    epsilon=1e-14,
)
def load_exp_unit_norm(call: Invocation) -> tuple[Outlet, ...]:
    """tract_extra_exp_unit_norm(input, state, axis, alpha, skip, stateless, complex, epsilon)."""
    data = call.tensor("input")
    op = ExpUnitNorm(
        call.integer("axis"),
        float(call.scalar("alpha")),
        float(call.scalar("epsilon")),
        call.integer("skip"),
        call.logical("stateless"),
        call.logical("complex"),
    )
    return call.wire(op, data, call.tensor("state", like=data))


@NNEF.dump(ExpUnitNorm)
def dump_exp_unit_norm(op: ExpUnitNorm, node: Node, out: Dump) -> None:
    """Write tract_extra_exp_unit_norm."""
    out.call(
        "tract_extra_exp_unit_norm",
        axis=op.axis,
        alpha=op.alpha,
        skip=op.skip,
        stateless=op.stateless,
        complex=op.complex,
        epsilon=op.epsilon,
    )


@NNEF.load(
    "tract_extra_exp_mean_norm",
    "input",
    "state",
    "axis",
    "alpha",
    scaling_factor=1.0,
    skip=0,
    stateless=False,
    complex=False,
)
def load_exp_mean_norm(call: Invocation) -> tuple[Outlet, ...]:
    """tract_extra_exp_mean_norm(input, state, axis, alpha, scaling_factor, skip, stateless)."""
    if call.logical("complex"):
        call.refuse(
            "complex=true subtracts magnitudes from parts of complex numbers",
            remedy="use complex=false, with a state for each part",
        )
    data = call.tensor("input")
    op = ExpMeanNorm(
        call.integer("axis"),
        float(call.scalar("alpha")),
        float(call.scalar("scaling_factor")),
        call.integer("skip"),
        call.logical("stateless"),
    )
    return call.wire(op, data, call.tensor("state", like=data))


@NNEF.dump(ExpMeanNorm)
def dump_exp_mean_norm(op: ExpMeanNorm, node: Node, out: Dump) -> None:
    """Write tract_extra_exp_mean_norm."""
    out.call(
        "tract_extra_exp_mean_norm",
        axis=op.axis,
        alpha=op.alpha,
        scaling_factor=op.scaling_factor,
        skip=op.skip,
        stateless=op.stateless,
    )
