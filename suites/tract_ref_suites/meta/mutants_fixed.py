"""Regions told wrongly, and fixed pulses lowered wrongly: P5 must catch each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tract_ref.ir.model import Node, Outlet
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.norm import ExpUnitNorm
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.passes import fixed_pulse
from tract_ref.passes.pulse_context import PulseContext
from tract_ref.runtime.reach import FixedTurn, Reach, RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.shared import region_along_tracked_axis
from tract_ref.stream.tables import FILL_ZERO, REGION_V2
from tract_ref_suites.meta.broken import Break, Broken, patched, rule_of
from tract_ref_suites.meta.mutant import Mutant, mutant

_CONV = ("conv/Conv-rest", "conv/Conv-same", "conv/Conv-1d")
_PAD = ("padding/Pad-rest", "padding/Pad-constant")
_MEET = ("graphs/Dag-unequal-offsets", "graphs/Dag-random")


@contextmanager
def _told(op: type, change: Callable[[RegionPlan], RegionPlan]) -> Break:
    """Let the region rule of an op tell something else."""
    rule = rule_of(REGION_V2, op)

    def changed(found: Any, node: Node, ctx: Any) -> RegionPlan | None:
        plan = rule(found, node, ctx)
        return None if plan is None else change(plan)

    with REGION_V2.replaced(op, changed):
        yield


def _reaching(change: Callable[[Reach], Reach]) -> Callable[[RegionPlan], RegionPlan]:
    def changed(plan: RegionPlan) -> RegionPlan:
        inputs = tuple(None if reach is None else change(reach) for reach in plan.inputs)
        return replace(plan, inputs=inputs)

    return changed


def _turning(change: Callable[[FixedTurn], FixedTurn]) -> Callable[[RegionPlan], RegionPlan]:
    def changed(plan: RegionPlan) -> RegionPlan:
        turn = plan.turn
        return plan if turn is None else replace(plan, turn=lambda given: turn(change(given)))

    return changed


def _filled_with_zero(plan: RegionPlan) -> RegionPlan:
    return plan if plan.fill is None else replace(plan, fill=FILL_ZERO)


@contextmanager
def _reverse_sum_streams() -> Break:
    """Add up from the end within each turn, where v1 refuses."""

    def changed(op: CumSum, node: Node, ctx: Any) -> RegionPlan:
        if not op.reverse or ctx.stream(ctx.inputs[0]).axis != op.axis:
            return region_along_tracked_axis(op, node, ctx)
        return replace(rule(replace(op, reverse=False), node, ctx), turn=lambda turn: op)

    rule = rule_of(REGION_V2, CumSum)
    with REGION_V2.replaced(CumSum, changed):
        yield


def _branches_meet_unsynced() -> Broken:
    """Announce the largest delay without delaying the other wires, in v2 only."""

    def make(old: Any) -> Any:
        def pointwise(plan: RegionPlan, ctx: PulseContext, **rest: Any) -> tuple[Outlet, ...]:
            sync = ctx.sync

            def unsynced(wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
                return wires, sync(wires)[1]

            # The context is made for one translation: nothing is left to put back.
            ctx.sync = unsynced  # pyright: ignore[reportAttributeAccessIssue]
            return old(plan, ctx, **rest)

        return pointwise

    return patched(fixed_pulse, "_pointwise", make)


FIXED_MUTANTS: dict[str, Mutant] = {
    "region-one-frame-short": mutant(
        "rule", "a window is told to end one frame before it does",
        lambda: _told(Conv, _reaching(lambda r: replace(r, high=max(r.low, r.high - 1)))),
        "P5", *_CONV,
    ),
    "region-padding-late": mutant(
        "rule", "the padding in front of a stream is told one frame short",
        lambda: _told(Pad, _reaching(lambda r: replace(r, low=r.low + 1, high=r.high + 1))),
        "P5", *_PAD,
    ),
    "region-ends-at-the-end": mutant(
        "rule", "no window is told to read beyond the last frame",
        lambda: _told(Conv, _reaching(lambda r: replace(r, beyond=0))), "P5", *_CONV,
    ),
    "region-maximum-of-zeros": mutant(
        "rule", "a maximum is told to find zeros outside the stream",
        lambda: _told(MaxPool, _filled_with_zero), "P5", "pool/MaxPool-rest", "pool/MaxPool-1d",
    ),
    "region-mean-without-count": mutant(
        "rule", "a mean over padding is lowered like one whose divisor never varies",
        lambda: _told(SumPool, lambda plan: replace(plan, lowered=None)),
        "P5", "pool/SumPool-mean-ignores-padding", "pool/SumPool-mean",
    ),
    "region-concat-in-front-forgotten": mutant(
        "rule", "what is joined in front of a stream is lowered as a window of it",
        lambda: _told(Concat, lambda plan: replace(plan, lowered=None, turn=lambda turn: None)),
        "P5", "concat/Concat-around", "concat/Concat-one-frame",
    ),
    "region-crop-too-long": mutant(
        "rule", "a crop is told to start one frame later",
        lambda: _told(Slice, _reaching(lambda r: replace(r, low=r.low + 1, high=r.high + 1))),
        "P5", "slicing/Slice-rest", "slicing/Slice-stream",
    ),
    "region-transposed-window-narrow": mutant(
        "rule", "a transposed window is told not to reach back to its oldest frame",
        lambda: _told(Deconv, _reaching(lambda r: replace(r, low=min(r.high, r.low + r.per)))),
        "P5", "deconv/Deconv-after-crops", "deconv/Deconv-1d",
    ),
    "turn-phase-lost": mutant(
        "rule", "in a turn every n-th frame is counted from the first one given",
        lambda: _told(Downsample, _turning(lambda turn: replace(turn, phase=0))),
        "P5", "slicing/Downsample-phase", "slicing/Downsample-stream",
    ),
    "turn-takes-in-garbage": mutant(
        "rule", "in fixed pulses a running norm takes in the frames before the first one",
        lambda: _told(ExpUnitNorm, _turning(lambda turn: replace(turn, delay=0))),
        "P5", "norm/ExpUnitNorm-after-a-crop", "norm/ExpUnitNorm-along-the-stream",
    ),
    "turn-sums-in-garbage": mutant(
        "rule", "in fixed pulses a sum begins with the frames before the first one",
        lambda: _told(CumSum, _turning(lambda turn: replace(turn, delay=0))),
        "P5", "cumulative/CumSum-after-front-crop", "cumulative/CumSum-along-stream",
    ),
    "turn-branches-unsynced": mutant(
        "rule", "streams that meet in fixed pulses of v2 do not wait for each other",
        _branches_meet_unsynced, "P5", *_MEET,
    ),
    "regions-accept-what-v1-refuses": mutant(
        "rule", "v2 adds up a stream from its end, turn by turn",
        _reverse_sum_streams, "P5", "refusable/CumSum-reverse",
    ),
}  # fmt: skip
