"""Exact increments broken on purpose: what ops read, when frames are certain, what is kept.

Like `broken`: plain context managers that put everything back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tract_ref.dim import Dim
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Node, Outlet, Source
from tract_ref.ir.op import Op
from tract_ref.ops.cumulative import CumSum, RunningSum
from tract_ref.ops.slicing import Slice
from tract_ref.passes import pulsify_v2
from tract_ref.runtime.increments import IncrementSession
from tract_ref.runtime.reach import POINTWISE, Increment, Reach, RegionPlan, whole
from tract_ref.stream import region
from tract_ref.stream.region import Count
from tract_ref.stream.tables import REGION_V2
from tract_ref_suites.meta.broken import Break, Broken, patched, rule_of


@contextmanager
def reads(op: type[Op], change: Callable[[Reach], Reach]) -> Break:
    """Let the v2 rule of an op tell that it reads other frames."""
    rule = rule_of(REGION_V2, op)

    def changed(found: Any, node: Node, ctx: Any) -> RegionPlan:
        plan = rule(found, node, ctx)
        inputs = tuple(change(reach) if reach is not None else None for reach in plan.inputs)
        return replace(plan, inputs=inputs)

    with REGION_V2.replaced(op, changed):
        yield


@contextmanager
def waits_for_one_more() -> Break:
    """Hold every frame back until one more has come, in sessions and in regions alike."""

    def count(old: Any) -> Any:
        return lambda self, frames: old(self, frames - 1) if frames else 0

    def through(old: Any) -> Any:
        return lambda self, reach: old(self, replace(reach, high=reach.high + reach.per))

    with patched(Reach, "count", count), patched(Count, "through", through):
        yield


@contextmanager
def reads_one_more(op: type[Op]) -> Break:
    """Let an op of streams that meet wait for one more frame, though it makes nothing of it."""
    rule = rule_of(REGION_V2, op)

    def changed(found: Any, node: Node, ctx: Any) -> RegionPlan:
        plan = rule(found, node, ctx)
        main = plan.main
        if main is None:
            return plan

        def cut(increment: Increment) -> tuple[Op, ...]:
            return (*main(increment), Slice(plan.axis, 0, increment.frames))

        inputs = tuple(r and replace(r, high=r.high + r.per) for r in plan.inputs)
        return replace(plan, inputs=inputs, main=cut)

    with REGION_V2.replaced(op, changed):
        yield


@contextmanager
def exclusive_sums_read_their_own_frame() -> Break:
    """Let a sum of the frames before a frame wait for that frame as well."""
    rule = rule_of(REGION_V2, CumSum)

    def changed(found: CumSum, node: Node, ctx: Any) -> RegionPlan:
        plan = rule(found, node, ctx)
        if not found.exclusive or found.axis != plan.axis:
            return plan
        return replace(plan, inputs=(POINTWISE,), main=whole(RunningSum(found.axis, True, 0)))

    with REGION_V2.replaced(CumSum, changed):
        yield


@contextmanager
def announcements_ignored() -> Break:
    """Take no input for complete before the stream is finished, in sessions and in regions."""

    def advance(old: Any) -> Any:
        def changed(self: IncrementSession, node: Node) -> None:
            old(self, node)
            history = self._memory.wires.get(Outlet(node.id))
            if isinstance(node.op, Source) and history is not None:
                history.complete &= self._memory.finished

        return changed

    def source(old: Any) -> Any:
        return lambda rate, end, length, symbol: old(rate, None, length, symbol)

    with (
        patched(IncrementSession, "_advance_node", advance),
        patched(pulsify_v2, "source_region", source),
    ):
        yield


def region_rounds_up() -> Broken:
    """Count in the closed form a last window that has not come whole."""

    def make(old: Any) -> Any:
        return lambda self, reach: old(self, replace(reach, high=reach.high - reach.scale + 1))

    return patched(Count, "through", make)


def region_forgets_assertions() -> Broken:
    """Take streams for possible, in the closed form, that the model excludes."""

    def make(old: Any) -> Any:
        return lambda lengths, symbol, least: old(lengths, symbol, 0)

    return patched(pulsify_v2, "slow_count", make)


@contextmanager
def lengths_uncapped() -> Break:
    """Give out frames although a stream that ends now does not have them."""

    def length(old: Any) -> Any:
        def changed(self: IncrementSession, dim: Dim) -> tuple[int, bool]:
            least, certain = old(self, dim)
            return (least, True) if certain else (1 << 60, False)

        return changed

    def certain(old: Any) -> Any:
        def changed(
            length: Dim, symbol: str, slow: Count, longest: int | None
        ) -> tuple[Count, int | None, int]:
            cap, settled, total = old(length, symbol, slow, longest)
            far = Count.constant(1 << 60)
            return (far, None, 0) if settled is None else (cap, settled, total)

        return changed

    with patched(IncrementSession, "_length", length), patched(region, "_certain", certain):
        yield


def complete_when_announced() -> Broken:
    """Take every wire for complete as soon as the length of the stream is announced."""

    def make(old: Any) -> Any:
        def extend(self: IncrementSession, node: Node, plan: RegionPlan) -> None:
            memory = self._memory
            for wire in node.inputs:
                if wire in memory.wires and self.program.symbol in memory.symbols:
                    memory.wires[wire].complete = True
            old(self, node, plan)

        return extend

    return patched(IncrementSession, "_extend", make)


def forgets_too_early() -> Broken:
    """Drop the oldest frame that the next increment reads."""

    def make(old: Any) -> Any:
        return lambda self, start, have: old(self, start, have) + 1

    return patched(Reach, "keeps", make)


def forgets_what_borders_copy() -> Broken:
    """Drop the last frames, of which what follows the end is made."""
    return patched(Reach, "keeps", lambda old: lambda self, start, have: self.first(start))


def clone_shares_frames() -> Broken:
    """Clone a session without its memory: both go on with the same one."""

    def make(old: Any) -> Any:
        def clone(self: IncrementSession) -> IncrementSession:
            other = old(self)
            other._memory = self._memory
            return other

        return clone

    return patched(IncrementSession, "clone", make)


def clone_forgets(attribute: str) -> Broken:
    """Clone a session without the states of its ops, or what was given out."""

    def make(old: Any) -> Any:
        def clone(self: IncrementSession) -> IncrementSession:
            other = old(self)
            setattr(other._memory, attribute, {})
            return other

        return clone

    return patched(IncrementSession, "clone", make)


def finish_flushes_nothing() -> Broken:
    """Keep the frames back that only the end makes certain."""

    def make(old: Any) -> Any:
        def finish(self: IncrementSession) -> dict[str, Tensor]:
            model, wires = self.program.model, self._memory.wires
            named = dict(zip(model.output_names, model.outputs, strict=True))
            return {
                name: value[(*(slice(None),) * wires[named[name]].axis, slice(0, 0))]
                if named[name] in wires
                else value
                for name, value in old(self).items()
            }

        return finish

    return patched(IncrementSession, "finish", make)
