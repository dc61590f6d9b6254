"""Reshape: the same elements, in row-major order, under other dims.

A reshape is read as its smallest forms: AddAxis and RmAxis for ones, one Reshape per run of
axes whose volumes agree. nearest_upsample is AddAxis, Broadcast, Reshape.

Source: spec/ir.md 5; spec/nnef.md 5; spec/pulse.md 2.16, 8.10, 8.19, 9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from tract_ref.dim import Dim, TDim, maybe_div, product, symbols
from tract_ref.errors import EvalError, Inconclusive, InvalidModel
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Shape, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.ops.axes import LENGTH_IN_VALUE, AddAxis, RmAxis, chain, tracks
from tract_ref.ops.repeat import Broadcast
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import along_tracked_axis
from tract_ref.stream.tables import PULSIFY_V1, PulsifyContext


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
        if self.at < 0 or end > data.rank or _differ(seen, self.before):
            raise InvalidModel(
                f"axes from {self.at} on are {_text(self.before)} in the op, the input is {data}"
            )
        if product(self.before) != product(self.after):
            raise InvalidModel(
                f"{_text(self.before)} has {product(self.before)} elements, {_text(self.after)} "
                f"has {product(self.after)}; a reshape keeps their number",
                remedy="state what is known of the symbols, or use -1 for one dim",
            )
        return (data.with_shape((*data.shape[: self.at], *self.after, *data.shape[end:])),)

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
        return tracks([*kept, *((a, a + shift) for a in range(end, inputs[0].rank))])


def _differ(seen: Shape, said: Shape) -> bool:
    pairs = zip(seen, said, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)


def _text(dims: Shape) -> str:
    return "[" + ",".join(str(dim) for dim in dims) + "]"


def reshape_ops(shape: Shape, wanted: Shape) -> list[Op]:
    """Return the smallest ops that reshape one shape into another of the same volume.

    Equal dims are left alone, ones are added or removed by AddAxis and RmAxis, and what remains is
    one Reshape per run of axes whose volumes agree.
    """
    if 0 in shape or 0 in wanted:
        return [] if shape == wanted else [Reshape(0, shape, wanted)]
    ops: list[Op] = []
    at = 0
    while shape or wanted:
        if shape and wanted and shape[0] == wanted[0]:
            taken, made = 1, 1
        else:
            taken, made = _smallest_group(shape, wanted)
            before, after = shape[:taken], wanted[:made]
            if (taken, made) == (1, 0):
                ops.append(RmAxis(at))
            elif (taken, made) == (0, 1):
                ops.append(AddAxis(at))
            else:
                ops.append(Reshape(at, before, after))
        shape, wanted, at = shape[taken:], wanted[made:], at + made
    return ops


def _smallest_group(shape: Shape, wanted: Shape) -> tuple[int, int]:
    for total in range(1, len(shape) + len(wanted)):
        for taken in range(max(0, total - len(wanted)), min(total, len(shape)) + 1):
            if product(shape[:taken]) == product(wanted[: total - taken]):
                return taken, total - taken
    return len(shape), len(wanted)


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


@PULSIFY_V1.rule(Reshape)
def pulsify_reshape(op: Reshape, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream a Reshape whose stream axis is outermost: u inner elements become v per frame.

    raw frame f of the input is raw frame f*u/v of the output      d' = u*(d+e)/v, rate' = rate*u/v

    Units: d in input frames; e = least extra delay that makes d' whole.
    Errors:
        Refused: the stream is not outermost in what changes; u or v is not a number; the frames
            of a turn do not fill whole output frames.
    """
    wire, stream = ctx.inputs[0], ctx.stream(ctx.inputs[0])
    if stream is None:
        ctx.refuse(*LENGTH_IN_VALUE)
    if not op.at <= stream.axis < op.at + len(op.before):
        return along_tracked_axis(op, node, ctx)
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
    frames = ctx.frames(wire) * inner
    if frames % made:
        ctx.refuse(
            f"pulse={ctx.pulse} brings {frames} elements of axis {stream.axis}, not a multiple of "
            f"the {made} of one output frame",
            f"use a pulse that is a multiple of {ctx.pulse * made // gcd(frames, made)}",
        )
    wire = ctx.delay(wire, -stream.delay % (made // gcd(inner, made)))
    late = ctx.stream(wire)
    delay = (late if late is not None else stream).delay * inner // made
    before = (*op.before[:place], ctx.frames(wire), *op.before[place + 1 :])
    after = (*op.after[:target], frames // made, *op.after[target + 1 :])
    axis = op.at + target
    length = ctx.batch_output().shape[axis]
    info = Linear(axis, length, delay, stream.rate * Fraction(inner, made))
    return ctx.wire(Reshape(op.at, before, after), (wire,), info)


def _not_outermost(op: Reshape) -> tuple[str, str]:
    return (
        f"reshapes {_text(op.before)} to {_text(op.after)}: the stream axis is not outermost, "
        "frames of one turn would land between frames of other turns",
        "transpose the stream axis in front of what is merged with it",
    )


def _kept(shape: Sequence[Dim], wanted: Sequence[Dim], *, zero_copies: bool) -> list[Dim]:
    """Resolve 0 (copy the dim of the same index) and one -1 (what remains of the volume)."""
    dims: list[Dim] = [
        shape[i] if zero_copies and isinstance(d, int) and d == 0 and i < len(shape) else d
        for i, d in enumerate(wanted)
    ]
    unknown = [i for i, d in enumerate(dims) if isinstance(d, int) and d == -1]
    if not unknown:
        return dims
    known = product(tuple(d for d in dims if not (isinstance(d, int) and d == -1)))
    found = _quotient(product(tuple(shape)), known) if len(unknown) == 1 else None
    if found is None:
        raise InvalidModel(
            f"{_text(tuple(shape))} does not reshape to {_text(tuple(wanted))}: a -1 cannot be "
            "found",
            remedy="write the dim itself",
        )
    dims[unknown[0]] = found
    return dims


def _quotient(volume: Dim, known: Dim) -> Dim | None:
    if isinstance(known, int) and known == 0:
        return 0 if volume == 0 else None
    try:
        quotient, divisor = maybe_div(volume, known)
    except Inconclusive:
        return None
    return quotient if divisor == 1 else None


@NNEF.load("reshape", "input", "shape", axis_start=0, axis_count=-1)
def load_reshape(call: Invocation) -> tuple[Outlet, ...]:
    """reshape(input, shape, axis_start, axis_count): in the window, 0 copies and -1 is inferred."""
    data, wanted = call.tensor("input"), call.dims("shape")
    shape, start, count = (
        call.fact(data).shape,
        call.integer("axis_start"),
        call.integer("axis_count"),
    )
    end = len(shape) if count < 0 else start + count
    if not wanted:
        call.malformed("shape=[] is not read", remedy="squeeze the axes")
    if not 0 <= start <= end <= len(shape):
        call.malformed(
            f"axes {start} to {end} of an input of rank {len(shape)}",
            remedy="use axis_start and axis_count inside the rank",
        )
    dims = _kept(shape[start:end], wanted, zero_copies=True)
    return _reshaped(call, data, (*shape[:start], *dims, *shape[end:]))


def _reshaped(call: Invocation | OnnxCall, data: Outlet, wanted: Shape) -> tuple[Outlet, ...]:
    shape = call.fact(data).shape
    if product(shape) != product(wanted):
        call.malformed(
            f"{_text(shape)} does not reshape to {_text(wanted)}: {product(shape)} elements "
            f"are not {product(wanted)}"
        )
    return chain(call, data, reshape_ops(shape, wanted))


@NNEF.dump(Reshape)
def dump_reshape(op: Reshape, node: Node, out: Dump) -> None:
    """Write reshape over the window that changes."""
    out.call("reshape", shape=op.after, axis_start=op.at, axis_count=len(op.before))


@NNEF.load("nearest_upsample", "input", "factor")
def load_nearest_upsample(call: Invocation) -> tuple[Outlet, ...]:
    """nearest_upsample(input, factor): repeat each position; factor lists the axes from 2 on."""
    data, factors = call.tensor("input"), call.integers("factor")
    shape = call.fact(data).shape
    if len(factors) != len(shape) - 2 or any(factor < 1 for factor in factors):
        call.malformed(f"factor={list(factors)} for an input {call.fact(data)}")
    ops: list[Op] = []
    dims = list(shape)
    for axis, factor in enumerate(factors, start=2):
        if factor == 1:
            continue
        wide = (*dims[: axis + 1], factor, *dims[axis + 1 :])
        made = product((dims[axis], factor))
        ops += [AddAxis(axis + 1), Broadcast(wide), Reshape(axis, wide[axis : axis + 2], (made,))]
        dims[axis] = made
    return chain(call, data, ops)


@ONNX.rule("Reshape")
def import_reshape(call: OnnxCall) -> tuple[Outlet, ...]:
    """Reshape: -1 is inferred; 0 copies the dim of that index unless `allowzero`."""
    shape = call.fact(call.input(0)).shape
    copies = not call.integer("allowzero", 0)
    return _reshaped(call, call.input(0), tuple(_kept(shape, call.dims(1), zero_copies=copies)))


@ONNX.rule("Flatten")
def import_flatten(call: OnnxCall) -> tuple[Outlet, ...]:
    """Flatten: the axes before `axis` become one, those from it on another."""
    shape = call.fact(call.input(0)).shape
    axis = call.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        call.malformed(f"axis={axis} for an input of rank {len(shape)}")
    axis += len(shape) if axis < 0 else 0
    return _reshaped(call, call.input(0), (product(shape[:axis]), product(shape[axis:])))
