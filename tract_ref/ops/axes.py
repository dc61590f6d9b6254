"""Axis ops that keep the order of elements: AddAxis, RmAxis, Reshape.

AddAxis:   out[.., 0, ..] = x[..]              RmAxis: the inverse
Reshape:   the same elements, in row-major order, under other dims

A reshape is read as its smallest forms: AddAxis and RmAxis for ones, one Reshape per run of axes
whose volumes agree.

Source: spec/ir.md 5; spec/nnef.md 5; spec/pulse.md 2.16, 8.10, 8.19, 9.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tract_ref.calls import AnyCall, chain
from tract_ref.dim import Dim, TDim, product, symbols
from tract_ref.errors import EvalError, InvalidModel
from tract_ref.ir.annotate import carried, respread, shifted
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Shape, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.pulse import whole_parts
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ir.shapes import contradicts, require_axis, reshape_groups, shape_text
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.runtime.reach import FixedTurn, Increment, Reach, RegionPlan
from tract_ref.stream import roi_moves
from tract_ref.stream.fact import Linear
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    carry_axis,
    region_along_tracked_axis,
    region_carry_axis,
)
from tract_ref.stream.tables import (
    BATCH_ONLY,
    INPUT_ROI,
    LENGTH_IN_VALUE,
    PULSED_ONLY,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
    RoiContext,
    refuse_streaming,
)


@dataclass(frozen=True)
class AddAxis(Op):
    """Insert an axis of one position.

    Attributes:
        axis: where the new axis stands in the output.
    """

    axis: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Insert a 1."""
        (data,) = inputs
        require_axis(self.axis, data.rank + 1, data)
        out = data.with_shape((*data.shape[: self.axis], 1, *data.shape[self.axis :]))
        return (carried(out, data, shifted(self.axis, data.rank, 1)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view with one more axis."""
        return (np.expand_dims(inputs[0], self.axis),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes from `axis` on move one up."""
        return AxesMapping.of_pairs((a, a + (a >= self.axis)) for a in range(inputs[0].rank))


@dataclass(frozen=True)
class RmAxis(Op):
    """Remove an axis of one position.

    Attributes:
        axis: the axis of the input; its dim is 1.
    """

    axis: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Remove the 1."""
        (data,) = inputs
        require_axis(self.axis, data.rank, data)
        dim = data.shape[self.axis]
        if dim != 1:
            raise InvalidModel(
                f"axis={self.axis} has {dim} positions in {data}; only an axis of 1 can be removed",
                remedy="slice it to 1 position first",
            )
        out = data.with_shape((*data.shape[: self.axis], *data.shape[self.axis + 1 :]))
        return (carried(out, data, {**shifted(self.axis + 1, data.rank, -1), self.axis: 0}),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a view with one axis less."""
        return (np.squeeze(inputs[0], self.axis),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes after `axis` move one down."""
        rank = inputs[0].rank
        kept = (a for a in range(rank) if a != self.axis)
        return AxesMapping.of_pairs((a, a - (a > self.axis)) for a in kept)


@dataclass(frozen=True)
class Reshape(Op):
    """Give the axes [at, at + len(before)) other dims of the same volume, in row-major order.

    Attributes:
        at: first axis that changes.
        before: the dims that change.
        after: what they become; the product is the same polynomial.
    """

    at: int
    before: tuple[Dim, ...]
    after: tuple[Dim, ...]

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Replace the dims."""
        (data,) = inputs
        end = self.at + len(self.before)
        seen = data.shape[self.at : end]
        if self.at < 0 or end > data.rank or contradicts(seen, self.before):
            raise InvalidModel(
                f"axes from {self.at} on are {shape_text(self.before)} in the op, "
                f"the input is {data}"
            )
        if product(self.before) != product(self.after):
            raise InvalidModel(
                f"{shape_text(self.before)} has {product(self.before)} elements, "
                f"{shape_text(self.after)} has {product(self.after)}; a reshape keeps their number",
                remedy="state what is known of the symbols, or use -1 for one dim",
            )
        out = data.with_shape((*data.shape[: self.at], *self.after, *data.shape[end:]))
        return (respread(out, data, self.at, self.before, self.after),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the same elements under the other dims."""
        (data,) = inputs
        after = tuple(turn.resolve(dim) for dim in self.after)
        shape = (*data.shape[: self.at], *after, *data.shape[self.at + len(self.before) :])
        try:
            return (data.reshape(shape),)
        except ValueError:
            raise EvalError(f"{list(data.shape)} does not reshape to {list(shape)}") from None

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes outside the window are kept, those after it shift."""
        end, shift = self.at + len(self.before), len(self.after) - len(self.before)
        kept = [(a, a) for a in range(self.at)]
        return AxesMapping.of_pairs([*kept, *((a, a + shift) for a in range(end, inputs[0].rank))])


@dataclass(frozen=True)
class Regroup(Op):
    """Give elements of some frames other dims, without the first few and what does not fill them.

    Only increments hold one: their frames need not begin where the frames of a reshape do.

    Attributes:
        at: first axis that changes.
        before: the dims that change.
        after: what they become.
        skip: elements left out in front, in row-major order.
    """

    at: int
    before: tuple[Dim, ...]
    after: tuple[Dim, ...]
    skip: int

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Replace the dims."""
        (data,) = inputs
        rest = data.shape[self.at + len(self.before) :]
        return (data.with_shape((*data.shape[: self.at], *self.after, *rest)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take the elements, give them the other dims."""
        (data,) = inputs
        lead, rest = data.shape[: self.at], data.shape[self.at + len(self.before) :]
        after = tuple(turn.resolve(dim) for dim in self.after)
        flat = data.reshape(*lead, math.prod(turn.resolve(dim) for dim in self.before), *rest)
        end = self.skip + math.prod(after)
        taken = flat[(*(slice(None),) * self.at, slice(self.skip, end))]
        return (taken.reshape(*lead, *after, *rest),)


def reshape_ops(shape: Shape, wanted: Shape) -> list[Op]:
    """Return the smallest ops that reshape one shape into another of the same volume.

    Equal dims are left alone, ones are added or removed by AddAxis and RmAxis, and what remains is
    one Reshape per run of axes whose volumes agree.
    """
    ops: list[Op] = []
    for at, before, after in reshape_groups(shape, wanted):
        if (len(before), len(after)) == (1, 0):
            ops.append(RmAxis(at))
        elif (len(before), len(after)) == (0, 1):
            ops.append(AddAxis(at))
        else:
            ops.append(Reshape(at, before, after))
    return ops


@DECLUTTER.rule(AddAxis, RmAxis)
def declutter_undone(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """An axis op that undoes the one before it is dropped with it."""
    under = ctx.model.nodes[node.inputs[0].node]
    match op, under.op:
        case (AddAxis(a), RmAxis(b)) | (RmAxis(a), AddAxis(b)) if a == b:
            return ModelPatch.bypass(ctx.model, node, under.inputs[0])
        case _:
            return None


@DECLUTTER.rule(Reshape)
def declutter_reshape(op: Reshape, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Reshape is written in its smallest forms, or dropped with the one it undoes."""
    under = ctx.model.nodes[node.inputs[0].node]
    match under.op:
        case Reshape(at, before, after) if (at, after, before) == (op.at, op.before, op.after):
            return ModelPatch.bypass(ctx.model, node, under.inputs[0])
        case _:
            pass
    fact = ctx.model.fact(node.inputs[0])
    shape = (*fact.shape[: op.at], *op.before, *fact.shape[op.at + len(op.before) :])
    ops = reshape_ops(shape, node.outputs[0].shape)
    if len(ops) == 1 and ops[0] == op:
        return None
    patch = ctx.patch()
    wire = node.inputs[0]
    for each in ops:
        (wire,) = patch.wire(node.name, each, (wire,))
    patch.shunt(Outlet(node.id), wire)
    return patch


INPUT_ROI.use(bubble_through_axes, AddAxis, RmAxis)
PULSIFY_V1.use(carry_axis, AddAxis, RmAxis)
REGION_V2.use(region_carry_axis, AddAxis, RmAxis)


@INPUT_ROI.rule(Reshape)
def roi_reshape(op: Reshape, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """Both positions of an element have one row-major index."""
    shape = ctx.outputs[0].shape
    return (roi_moves.reshaped(ctx.regions[0], op.at, op.before, op.after, shape),)


INPUT_ROI.refuse(Regroup, **BATCH_ONLY)
refuse_streaming(Regroup, **PULSED_ONLY)


@PULSIFY_V1.rule(Reshape)
def pulsify_reshape(op: Reshape, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a Reshape whose stream axis is outermost: u inner elements become v per frame.

    raw frame f of the input is raw frame f*u/v of the output      d' = u*(d+e)/v, rate' = rate*u/v

    Units: d in input frames; e = least extra delay that makes d' whole.
    Errors:
        Refused: the stream is not outermost in what changes; u or v is not a number; the frames
            of a turn do not fill whole output frames.
    """
    regrouped = _regrouped(op, ctx)
    if regrouped is None:
        return along_tracked_axis(op, node, ctx)
    stream, place, target, inner, made = regrouped
    wire = ctx.inputs[0]
    frames = ctx.frames(wire) * inner
    made_frames = whole_parts(frames, made)
    if made_frames is None:
        ctx.refuse(
            f"pulse={ctx.pulse} brings {frames} elements of axis {stream.axis}, not a multiple of "
            f"the {made} of one output frame",
            ctx.pulse.multiple((made / (stream.rate * inner)).numerator),
        )
    whole = made // math.gcd(inner, made)
    wire = ctx.delay(wire, -stream.delay % whole, why=f"begins at a multiple of {whole} frames")
    late = ctx.stream(wire)
    delay = (late if late is not None else stream).delay * inner // made
    before = (*op.before[:place], ctx.frames(wire), *op.before[place + 1 :])
    after = (*op.after[:target], made_frames, *op.after[target + 1 :])
    axis = op.at + target
    length = ctx.batch_output().shape[axis]
    info = Linear(axis, length, delay, stream.rate * Fraction(inner, made))
    reach = (0, max(0, -(-made // inner) - 1))
    return ctx.wire(Reshape(op.at, before, after), (wire,), info, reach=reach)


@REGION_V2.rule(Reshape)
def region_reshape(op: Reshape, node: Node, ctx: RegionContext) -> RegionPlan:
    """Output frame j holds elements [j*v, (j + 1)*v) of input frames of u elements each."""
    regrouped = _regrouped(op, ctx)
    if regrouped is None:
        return region_along_tracked_axis(op, node, ctx)
    stream, place, target, inner, made = regrouped
    axis = op.at + target

    def shapes(read: Dim, frames: Dim) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
        before = (*op.before[:place], read, *op.before[place + 1 :])
        return before, (*op.after[:target], frames, *op.after[target + 1 :])

    def main(increment: Increment) -> tuple[Op, ...]:
        first, stop = increment.windows[0]
        skip = made * increment.start - inner * first
        return (Regroup(op.at, *shapes(stop - first, increment.frames), skip),)

    def of_turn(turn: FixedTurn) -> Op:
        return Reshape(op.at, *shapes(turn.read, turn.frames))

    length, rate = ctx.batch_output().shape[axis], stream.rate * Fraction(inner, made)
    reach = Reach(scale=made, per=inner, high=made - 1)
    return RegionPlan(axis, length, rate, (reach,), main, turn=of_turn)


def _regrouped(op: Reshape, ctx: NodeContext) -> tuple[Linear, int, int, int, int] | None:
    """Return how frames are regrouped, None when the stream axis is left alone.

    That is: the stream; its place in `before` and in `after`; elements per frame before and after.

    Raises:
        Refused: the stream axis is not outermost among what changes; the frames are empty.
    """
    stream = ctx.stream(ctx.inputs[0])
    if stream is None:
        ctx.refuse(*LENGTH_IN_VALUE)
    if not op.at <= stream.axis < op.at + len(op.before):
        return None
    place = stream.axis - op.at
    with_symbol = [i for i, dim in enumerate(op.after) if ctx.symbol in symbols(dim)]
    if len(with_symbol) != 1 or any(d != 1 for d in op.before[:place]):
        ctx.refuse(*_not_outermost(op))
    target = with_symbol[0]
    inner, made = product(op.before[place + 1 :]), product(op.after[target + 1 :])
    if any(d != 1 for d in op.after[:target]) or isinstance(inner, TDim) or isinstance(made, TDim):
        ctx.refuse(*_not_outermost(op))
    if not inner or not made:
        ctx.refuse("the frames are empty", "stream a model whose frames have elements")
    return stream, place, target, inner, made


def _not_outermost(op: Reshape) -> tuple[str, str]:
    return (
        f"reshapes {shape_text(op.before)} to {shape_text(op.after)}: the stream axis is not "
        "outermost, frames of one turn would land between frames of other turns",
        "transpose the stream axis in front of what is merged with it",
    )


def reshaped(call: AnyCall, data: Outlet, wanted: Shape) -> tuple[Outlet, ...]:
    """Wire the smallest ops that give a wire another shape; the volumes must agree."""
    shape = call.fact(data).shape
    if product(shape) != product(wanted):
        call.malformed(
            f"{shape_text(shape)} does not reshape to {shape_text(wanted)}: {product(shape)} "
            f"elements are not {product(wanted)}"
        )
    return chain(call, data, reshape_ops(shape, wanted))


def removals(call: AnyCall, data: Outlet, axes: Sequence[int]) -> tuple[Outlet, ...]:
    """Remove axes of the input shape, the last one first."""
    if len(set(axes)) != len(axes):
        call.malformed(f"axes={list(axes)} names an axis twice")
    return chain(call, data, [RmAxis(axis) for axis in sorted(axes, reverse=True)])


@NNEF.load("squeeze", "input", "axes")
def load_squeeze(call: Invocation) -> tuple[Outlet, ...]:
    """squeeze(input, axes): axes of the input shape, in any order."""
    return removals(call, call.tensor("input"), call.integers("axes"))


@NNEF.load("unsqueeze", "input", "axes")
def load_unsqueeze(call: Invocation) -> tuple[Outlet, ...]:
    """unsqueeze(input, axes): in ascending order, each axis in the shape built so far."""
    axes = sorted(call.integers("axes"))
    return chain(call, call.tensor("input"), [AddAxis(axis) for axis in axes])


@NNEF.dump(AddAxis)
def dump_add_axis(op: AddAxis, node: Node, out: Dump) -> None:
    """Write unsqueeze."""
    out.call("unsqueeze", axes=(op.axis,))


@NNEF.dump(RmAxis)
def dump_rm_axis(op: RmAxis, node: Node, out: Dump) -> None:
    """Write squeeze."""
    out.call("squeeze", axes=(op.axis,))


NNEF.refuse_dump(
    Regroup,
    reason="is part of an increment, not of a model",
    remedy="write the batch model",
)


@NNEF.dump(Reshape)
def dump_reshape(op: Reshape, node: Node, out: Dump) -> None:
    """Write reshape over the window that changes."""
    out.call("reshape", shape=op.after, axis_start=op.at, axis_count=len(op.before))
