"""Structural ops: the rules of Source and Const (defined with the model), and Identity.

Identity: out = in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from tract_ref.dim import Dim, slope, substitute, sym
from tract_ref.errors import Inconclusive
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Const, Node, Outlet, Source
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.runtime.kernels import FAST, Concrete, View
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import elementwise, region_elementwise, same_positions, sees_everything
from tract_ref.stream.tables import (
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    NodeContext,
    PulsifyContext,
    RegionContext,
)


@dataclass(frozen=True)
class Identity(Op):
    """Pass a tensor through: out = in."""

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The fact is unchanged."""
        return (replace(inputs[0], region=None),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the input."""
        return inputs

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axis k is axis k."""
        return AxesMapping.natural(1, 1, inputs[0].rank)


@DECLUTTER.rule(Identity)
def declutter_identity(op: Identity, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """An Identity is its input."""
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


INPUT_ROI.use(sees_everything, Source, Const)
INPUT_ROI.use(same_positions, Identity)


@PULSIFY_V1.rule(Source)
def pulsify_source(op: Source, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a model input along the one axis whose dim contains the stream symbol.

    A dim a*S + b brings a*P frames per turn; b belongs to the length only.

    Errors:
        Refused: two axes contain the symbol; the dim is not affine in it; a*P is not an integer.
    """
    axis = _source_axis(op, ctx)
    if axis is None:
        return ctx.wire(Source(op.fact), (), None)
    dim = op.fact.shape[axis]
    rate = _affine_rate(dim, ctx)
    frames = ctx.pulse.per_turn(rate)
    if frames is None:
        ctx.refuse(
            f"pulse={ctx.pulse} brings {ctx.pulse.share(rate)} frames of an input of length {dim}",
            ctx.pulse.multiple(rate.denominator),
        )
    pulsed = op.fact.with_dim(axis, frames)
    return ctx.wire(Source(pulsed), (), Linear(axis, dim, 0, rate))


@REGION_V2.rule(Source)
def region_source(op: Source, node: Node, ctx: RegionContext) -> RegionPlan | None:
    """A source holds the frames that were received."""
    axis = _source_axis(op, ctx)
    if axis is None:
        return None
    dim = op.fact.shape[axis]
    return RegionPlan(
        axis,
        dim,
        _affine_rate(dim, ctx),
        (),
        None,
        turn=lambda turn: Source(op.fact.with_dim(axis, turn.frames)),
    )


def _source_axis(op: Source, ctx: NodeContext) -> int | None:
    axes = op.fact.axes_with(ctx.symbol)
    if len(axes) > 1:
        ctx.refuse(
            f"input {op.fact} streams on {len(axes)} axes at once",
            f"keep {ctx.symbol} on one axis of each input",
        )
    return axes[0] if axes else None


def _affine_rate(dim: Dim, ctx: NodeContext) -> Fraction:
    if dim == sym(ctx.symbol):
        return Fraction(1)
    try:
        rate = slope(dim, ctx.symbol)
    except Inconclusive:
        rate = None
    affine = rate is not None and rate > 0
    if rate is not None and affine and rate.denominator == 1:
        zero = substitute(dim, {ctx.symbol: 0})
        one = substitute(dim, {ctx.symbol: 1000003})
        affine = isinstance(zero, int) and isinstance(one, int) and one - zero == rate * 1000003
    if rate is None or not affine:
        ctx.refuse(
            f"the input's length {dim} is not of the form a*{ctx.symbol}+b",
            "declare the streamed dimension as the symbol itself",
        )
    return rate


@PULSIFY_V1.rule(Const)
def pulsify_const(op: Const, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Keep a constant; one whose value depends on the stream length is not known while streaming.

    Errors:
        Refused: a tensor of dims contains the stream symbol.
    """
    _require_known(op, ctx)
    return ctx.wire(op, (), None)


@REGION_V2.rule(Const)
def region_const(op: Const, node: Node, ctx: RegionContext) -> None:
    """A constant does not stream."""
    _require_known(op, ctx)


def _require_known(op: Const, ctx: NodeContext) -> None:
    if Fact.of(op.tensor).mentions(ctx.symbol):
        ctx.refuse(
            f"its value depends on the whole length {ctx.symbol} of the stream",
            "compute what depends on the length outside the streamed model",
        )


PULSIFY_V1.use(elementwise, Identity)
REGION_V2.use(region_elementwise, Identity)


@FAST.rule(Identity)
def fast_identity(op: Identity, facts: Concrete) -> View:
    """The input itself."""
    return View(lambda data: data)


@NNEF.load("copy", "x")
def load_copy(call: Invocation) -> tuple[Outlet, ...]:
    """copy(x)."""
    return call.wire(Identity(), call.tensor("x"))


@NNEF.dump(Identity)
def dump_identity(op: Identity, node: Node, out: Dump) -> None:
    """Write copy."""
    out.call("copy")


NNEF.refuse_dump(
    Source,
    Const,
    reason="is written by the document itself, not as a call",
    remedy="report this: it is a bug of the writer",
)


@ONNX.rule("Identity", "Dropout")
def import_identity(call: OnnxCall) -> tuple[Outlet, ...]:
    """Identity; Dropout at inference, whose mask output is not provided."""
    if call.operator == "Dropout" and call.wants_output(1):
        call.refuse("the mask output of Dropout is used", remedy="export the model for inference")
    training = call.const(2) if call.input_count > 2 else None
    if (
        call.input_count > 2
        and call.optional(2) is not None
        and (training is None or training.any())
    ):
        call.refuse("Dropout in training mode", remedy="export the model for inference")
    return call.wire(Identity(), call.input(0))


@ONNX.rule("Constant")
def import_constant(call: OnnxCall) -> tuple[Outlet, ...]:
    """Constant with `value`, `value_float(s)` or `value_int(s)`."""
    tensor = call.tensor("value")
    if tensor is None:
        call.refuse("only tensor and number constants are read", remedy="use the attribute value")
    return (call.model.add_const(call.name, tensor),)
