"""Fixed pulses of pulsification v2: turns of constant size, each wire a number of frames late.

Regions say what is lowered to which state ops, and how late an output is. Output frame j reads
input frames floor((a*j + lo) / q) to floor((a*j + hi) / q), so that with an input delay d

    d' = max(0, floor((q*d + hi) / a))

    reads nothing                  frame j comes when its turn does: d' = 0
    a = q = 1, lo = hi = 0         all streams are delayed to the latest
    q = 1, lo = hi, no fill        one frame of a, from frame lo on: no buffer, only a phase
    lo = 0, hi = a - 1, no fill    regrouped: d rises to a multiple of a / gcd(a, q)
    q = 1                          windows: a Delay that overlaps, padding written over it
    a = 1                          a transposed window: earlier frames lead every turn

`PulseContext` places the buffers, those of v1 too; nothing here reads PULSIFY_V1.

Source: spec/pulse.md 9.2.
"""

from __future__ import annotations

import math
from functools import partial

from tract_ref.dim import Dim
from tract_ref.errors import InternalError, TractRefError
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.pulse import whole_parts
from tract_ref.passes.pulse_context import PulseContext
from tract_ref.passes.pulsify_v1 import Pulsed, translated
from tract_ref.passes.pulsify_v2 import STAGE, RegionContext
from tract_ref.runtime.reach import POINTWISE, FixedTurn, Increment, Reach, RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.tables import FILL_ZERO


def pulsify(model: Model, pulse: int | str | Dim, *, symbol: str | None = None) -> Pulsed:
    """Turn a batch model into one that takes `pulse` source frames per turn, from its regions.

    Args:
        model: a batch model; it is not changed.
        pulse: source frames per turn; a symbol, as `P` or `2*P`, gives one translation for turns
            of any size that is a multiple of the factor.
        symbol: the stream symbol; by default the only symbol of the inputs.

    Returns:
        The pulsified model, decluttered, and where every batch wire went.

    Raises:
        Refused: an op cannot stream, the frames of a turn do not suit its strides, or no output
            streams; the error names the node, the reason and a remedy.
        InvalidModel: the pulse is neither a positive integer nor a factor times a symbol that the
            model does not use, or there is not one stream symbol.
    """
    return translated(
        model,
        pulse,
        symbol,
        lambda ctx: partial(_translate, ctx, RegionContext(ctx.batch, ctx.symbol)),
        stage=STAGE,
    )


def _translate(ctx: PulseContext, regions: RegionContext, node: Node) -> None:
    ctx.enter(node)
    regions.judge(node)
    plan = regions.plans.get(node.id)
    try:
        if plan is None:
            results = ctx.wire(node.op, ctx.inputs, *(None for _ in node.outputs))
        else:
            results = _lowered(plan, ctx)
    except TractRefError as error:
        raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
    ctx.leave(results)


def _lowered(plan: RegionPlan, ctx: PulseContext) -> tuple[Outlet, ...]:
    """Wire one turn of a node."""
    if plan.lowered is not None:
        return plan.lowered(ctx)
    reads = [(slot, reach) for slot, reach in enumerate(plan.inputs) if reach is not None]
    if all(reach == POINTWISE for _, reach in reads):
        return _pointwise(plan, ctx, streams=bool(reads))
    ((slot, reach),) = reads
    if plan.fill is None and reach.per == 1 and reach.low == reach.high:
        return _picked(plan, ctx, slot, reach)
    if plan.fill is None and (reach.low, reach.high) == (0, reach.scale - 1):
        return _regrouped(plan, ctx, slot, reach)
    return _framed(plan, ctx, slot, reach)


def _pointwise(plan: RegionPlan, ctx: PulseContext, *, streams: bool) -> tuple[Outlet, ...]:
    """Treat every frame alone; without a stream, count the frames that have come."""
    wires, shared = ctx.sync(ctx.inputs)
    delay = shared.delay if streams and shared is not None else 0
    frames = _frames(plan, ctx)
    turn = FixedTurn(frames if streams else 0, frames, delay)
    op = _op(plan, ctx, POINTWISE, turn)
    out = Linear(plan.axis, plan.length, delay, plan.rate)
    if op is None:
        return (ctx.restream(wires[0], out),)
    # An op with a state remembers all that it was given.
    first = -math.inf if streams and op.state() is not None else 0
    return ctx.wire(op, wires, *(out for _ in ctx.node.outputs), reach=(first, 0))


def _picked(plan: RegionPlan, ctx: PulseContext, slot: int, reach: Reach) -> tuple[Outlet, ...]:
    """Keep one frame of `scale`."""
    wire = ctx.inputs[slot]
    delay, phase = divmod(ctx.streaming(wire).delay + reach.low, reach.scale)
    turn = FixedTurn(ctx.frames(wire), _frames(plan, ctx), delay, phase)
    op = _op(plan, ctx, reach, turn)
    out = Linear(plan.axis, plan.length, delay, plan.rate)
    first = f"frame {reach.low}"
    starts = f"starts at {first}"
    why = starts if reach.scale == 1 else f"keeps one frame of {reach.scale} from {first} on"
    if op is None:
        return (ctx.restream(wire, out, why=why),)
    return ctx.wire(op, _with(ctx, slot, wire), out, reach=(phase, phase), why=why)


def _regrouped(plan: RegionPlan, ctx: PulseContext, slot: int, reach: Reach) -> tuple[Outlet, ...]:
    """Make frames of the elements of others, from the first one of both on."""
    frames, wire = _frames(plan, ctx), ctx.inputs[slot]
    whole = reach.scale // math.gcd(reach.scale, reach.per)
    late = -ctx.streaming(wire).delay % whole
    wire = ctx.delay(wire, late, why=f"begins at a multiple of {whole} frames")
    delay = ctx.streaming(wire).delay * reach.per // reach.scale
    op = _op(plan, ctx, reach, FixedTurn(ctx.frames(wire), frames, delay))
    out = Linear(plan.axis, plan.length, delay, plan.rate)
    if op is None:
        return (ctx.restream(wire, out),)
    more = max(0, -(-reach.scale // reach.per) - 1)
    return ctx.wire(op, _with(ctx, slot, wire), out, reach=(0, more))


def _framed(plan: RegionPlan, ctx: PulseContext, slot: int, reach: Reach) -> tuple[Outlet, ...]:
    """Read windows, or frames that spread over windows of the output."""
    wire, field = ctx.inputs[slot], reach.high - reach.low + reach.per - 1
    if reach.per == 1:
        framed, out = ctx.window(
            wire,
            field=field,
            stride=reach.scale,
            before=-reach.low,
            after=reach.beyond,
            fill=FILL_ZERO if plan.fill is None else plan.fill,
        )
    elif reach.scale == 1:
        after = field - reach.per * reach.beyond
        framed, out, _ = ctx.accumulate(
            wire,
            field=field,
            stride=reach.per,
            dilation=reach.step,
            before=reach.high,
            after=after,
        )
    else:
        raise InternalError(f"windows that slide by {reach.scale}/{reach.per} frames")
    turn = FixedTurn(ctx.frames(framed), _frames(plan, ctx), out.delay)
    op = _op(plan, ctx, reach, turn)
    if op is None:
        return (ctx.restream(framed, out),)
    return ctx.wire(op, _with(ctx, slot, framed), *(out for _ in ctx.node.outputs))


def _frames(plan: RegionPlan, ctx: PulseContext) -> Dim:
    """Return the output frames of a turn.

    Raises:
        Refused: they are not whole, or not a multiple of what the op makes at once.
    """
    frames = ctx.pulse.per_turn(plan.rate)
    if frames is None or whole_parts(frames, plan.unit) is None:
        made = f"multiples of {plan.unit}" if plan.unit > 1 else "a whole number of frames"
        ctx.refuse(
            f"pulse={ctx.pulse} brings {ctx.pulse.share(plan.rate)} frames of an output of length "
            f"{plan.length}; a turn brings {made}",
            ctx.pulse.multiple((plan.unit / plan.rate).numerator),
        )
    return frames


def _op(plan: RegionPlan, ctx: PulseContext, reach: Reach, turn: FixedTurn) -> Op | None:
    """Return the op of a turn, None when its frames are the output."""
    if plan.turn is not None:
        return plan.turn(turn)
    if plan.main is None:
        return None
    unit = int(plan.rate * ctx.pulse.unit)
    # In a turn no window leaves the frames that are given: the first one reads the first of them.
    kept = (reach.high - reach.low + reach.per - 1) // reach.per
    start = kept * reach.per - reach.high if reach.scale == 1 else -(reach.low // reach.scale)
    found: list[tuple[Op, ...]] = []
    # Turns of a symbolic pulse differ in size, and have one op.
    for frames in (unit, 2 * unit) if ctx.pulse.symbol else (unit,):
        stop = reach.last(start + frames - 1) + 1
        windows = tuple((0, stop if given is not None else 0) for given in plan.inputs)
        found.append(plan.main(Increment(start, frames, windows, (None,) * len(windows))))
    if found[0] != found[-1] or len(found[0]) != 1:
        raise InternalError("its increments depend on their size, and no op of a turn is told")
    return found[0][0]


def _with(ctx: PulseContext, slot: int, wire: Outlet) -> tuple[Outlet, ...]:
    """Return the inputs with one of them exchanged."""
    return (*ctx.inputs[:slot], wire, *ctx.inputs[slot + 1 :])
