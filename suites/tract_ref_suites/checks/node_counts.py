"""P12, never too few: every op has made all that its inputs tell, as soon as they tell it.

One op is asked at a time, about the first frame that it did not make: some other frames after those
that its inputs hold must move it. Floats are drawn, and are not those of the model, so no op in
front hides what is read. Regions and announcements are held to it alike. A frame that nothing moves
is excused only (spec/pulse.md 9.4)

- where the function is constant: nothing at all moves any frame, as of 1**x;
- where all integers of an input are the same one: others might be no indices;
- where nothing is, in the gaps of a transposed convolution that its crop begins with;
- where a window reaches beyond an announced end that has not come, and no frame that it waits for
  is one of its positions: it lies in padding, or they lie between its positions.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tract_ref.approx import Array
from tract_ref.ir.model import Node, Outlet, Source
from tract_ref.ops.deconv import Deconv
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.region import AxisRegion
from tract_ref_suites.checks.failure import CheckFailure
from tract_ref_suites.checks.perturb import MOODS, moved_values
from tract_ref_suites.checks.streaming import Streaming, evaluated, frames_at

# Prefixes of a stream that are judged.
_PREFIXES = 3
# Bases that a witness is looked for with.
_SEEDS = 20
# So many of them before it is asked whether there is an excuse.
_FEW = 3
# Which of them are not drawn.
_OWN, _EQUAL = 1, 2
_ENDS = {2: "high", 3: "low"}
# Frames that a stream is longer by, of which more integers are drawn.
_MORE = 30


@dataclass(frozen=True)
class _Moment:
    """A stream some frames of which have come.

    Attributes:
        regions: what every wire holds.
        seen: source frames that have come.
        lengths: stream lengths that are possible: one that is long enough, then the smallest ones.
        end: the length that was announced, None where the end is discovered.
    """

    regions: Mapping[Outlet, AxisRegion]
    seen: int
    lengths: tuple[int, ...]
    end: int | None

    def held(self, wire: Outlet) -> int:
        return self.regions[wire].at(self.seen)


@dataclass
class _Drawing:
    """Whole values for the inputs of every op, and what ops make of them.

    Attributes:
        streaming: the problem.
        length: stream length of the values.
        constant: nodes that were asked whether they are constant functions, and whether they are.
    """

    streaming: Streaming
    length: int
    constant: dict[int, bool] = field(default_factory=dict[int, bool])
    _made: dict[tuple[int, int], tuple[Array, ...]] = field(
        default_factory=dict[tuple[int, int], tuple[Array, ...]]
    )

    @cached_property
    def own(self) -> dict[Outlet, Array]:
        """What the model itself computes."""
        return self.streaming.values(self.length)

    @cached_property
    def many(self) -> dict[Outlet, Array]:
        """What it computes of a longer stream."""
        return self.streaming.values(self.streaming.subject.admitted(self.length + _MORE))

    def base(self, node: Node, wire: Outlet, seed: int) -> Array:
        """Return a value of an input: drawn, the model's own, or equal elements, to compare with.

        Integers are among those of the model, as indices are.
        """
        own = self.own[wire]
        if seed == _OWN:
            return own
        compared = self._compared(node, wire) if seed == _EQUAL else None
        if compared is not None:
            return np.full_like(own, compared)
        if own.dtype.kind == "f":
            rng = np.random.default_rng((seed, wire.node, wire.slot))
            return rng.uniform(-9, 9, own.shape).astype(own.dtype)
        return self.moved(wire, _ENDS.get(seed, "drawn"), seed + _SEEDS)

    def _compared(self, node: Node, wire: Outlet) -> Any:
        """Return an element that a node may compare its streams with."""
        own, streams = self.own[wire], self.streaming.model.streams
        still = (self.own[other] for other in node.inputs if other not in streams)
        found = [v.flat[0] for v in still if v.size and v.dtype == own.dtype]
        if own.dtype.kind == "f":
            return found[0] if found else 1.0
        return next((x for x in found if x in self.many[wire]), None)

    def moved(self, wire: Outlet, mood: str, seed: int) -> Array:
        """Return a value unlike the base."""
        own, drawn = self.own[wire], (wire.node * _SEEDS + seed) * len(MOODS) + MOODS.index(mood)
        if own.dtype.kind == "b":
            flags = np.random.default_rng(drawn).random(own.shape) < 0.5
            return np.full(own.shape, mood == "high") if mood in ("high", "low") else flags
        pool = own if own.dtype.kind == "f" else self.many[wire]
        return moved_values(pool, own.shape, mood, seed=drawn)

    def inputs(
        self, node: Node, seed: int, mood: str, kept: Mapping[int, int], length: int
    ) -> tuple[Array, ...]:
        """Return inputs of a node that part from the base after the frames kept of each slot."""
        found: list[Array] = []
        for slot, wire in enumerate(node.inputs):
            value = self.own[wire]
            if slot in kept:
                stream = self.streaming.model.streams[wire]
                frames = frames_at(stream.length, length)
                lead = (slice(None),) * stream.axis
                low = min(kept[slot], frames)
                value = np.concatenate(
                    [
                        self.base(node, wire, seed)[(*lead, slice(0, low))],
                        self.moved(wire, mood, seed)[(*lead, slice(low, frames))],
                    ],
                    stream.axis,
                )
            found.append(value)
        return tuple(found)

    def made(self, node: Node, seed: int, slots: Mapping[int, int]) -> tuple[Array, ...]:
        """Return what a node makes of the base."""
        key = (node.id, seed)
        if key not in self._made:
            inputs = tuple(
                self.base(node, wire, seed) if slot in slots else self.own[wire]
                for slot, wire in enumerate(node.inputs)
            )
            self._made[key] = evaluated(node, self.length, inputs)
        return self._made[key]


@dataclass(frozen=True)
class _Question:
    """The first frame that a node did not make.

    Attributes:
        drawing: values.
        node: the node.
        plan: what it reads.
        frame: the frame.
        kept: frames that each streaming input holds, by slot.
        moment: what has come.
    """

    drawing: _Drawing
    node: Node
    plan: RegionPlan
    frame: int
    kept: Mapping[int, int]
    moment: _Moment

    def is_open(self, seeds: Iterable[int]) -> bool:
        """Say whether frames that have not come move it."""
        here = slice(self.frame, self.frame + 1)
        ways = itertools.product(seeds, self.moment.lengths, MOODS)
        return any(self._moves(self.kept, here, *way) for way in ways)

    def is_excused(self) -> bool:
        """Say whether there is a reason that nothing moves it."""
        if self._is_over_the_end() or self._is_constant() or self._is_alike():
            return True
        here = slice(self.frame, self.frame + 1)
        return isinstance(self.node.op, Deconv) and not self._depends(here)

    def _is_constant(self) -> bool:
        known = self.drawing.constant
        if self.node.id not in known:
            known[self.node.id] = not self._depends(slice(None))
        return known[self.node.id]

    def _is_alike(self) -> bool:
        """Say whether all integers of an input are the same one."""
        pools = (self.drawing.many[self.node.inputs[slot]] for slot in self.kept)
        return any(pool.dtype.kind in "iu" and (pool == pool.flat[:1]).all() for pool in pools)

    def _depends(self, frames: slice) -> bool:
        """Say whether some frames follow the inputs at all."""
        nothing = dict.fromkeys(self.kept, 0)
        ways = itertools.product(range(_SEEDS), (self.drawing.length,), MOODS)
        return any(self._moves(nothing, frames, *way) for way in ways)

    def _is_over_the_end(self) -> bool:
        """Say whether it reads beyond an announced end that has not come."""
        if self.moment.end is None:
            return False
        streams = self.drawing.streaming.model.streams
        for slot, kept in self.kept.items():
            reach = self.plan.inputs[slot]
            total = frames_at(streams[self.node.inputs[slot]].length, self.moment.end)
            if reach is not None and kept < total <= reach.last(self.frame):
                return True
        return False

    def _moves(
        self, kept: Mapping[int, int], frames: slice, seed: int, length: int, mood: str
    ) -> bool:
        """Say whether some frames are others where the inputs part from the base."""
        base = self.drawing.made(self.node, seed, kept)
        inputs = self.drawing.inputs(self.node, seed, mood, kept, length)
        other = evaluated(self.node, length, inputs)
        place = (*(slice(None),) * self.plan.axis, frames)
        return any(
            not np.array_equal(a[place], b[place], equal_nan=a.dtype.kind == "f")
            for a, b in zip(base, other, strict=True)
        )


def nothing_is_held_back(streaming: Streaming, drawn: random.Random) -> None:
    """Hold the count of every wire to the frames that the op before it could make."""
    drawings: dict[int, _Drawing] = {}
    for moment in _moments(streaming, drawn):
        length = moment.lengths[0]
        drawing = drawings.setdefault(length, _Drawing(streaming, length))
        for node in streaming.model.batch.order():
            plan = streaming.model.plans.get(node.id)
            if plan is not None and not isinstance(node.op, Source):
                _check_node(drawing, node, plan, moment)


def _moments(streaming: Streaming, drawn: random.Random) -> Iterator[_Moment]:
    subject, unit = streaming.subject, streaming.unit
    own = subject.problem.length
    units = range(own // unit + 1)
    prefixes = [unit * at for at in drawn.sample(units, min(_PREFIXES, len(units)))]
    far = max(streaming.long_enough(streaming.late, seen) for seen in prefixes)
    known = streaming.known(own)
    for seen in (*prefixes, own):
        yield _Moment(known, seen, (own,), own)
    for seen in prefixes:
        slow = streaming.slow(seen)
        # What holds frames back for the sake of a stream that no op admits cannot be run.
        if slow >= subject.problem.shortest:
            others = sorted({slow, subject.admitted(slow + 1)} - {far})
            yield _Moment(streaming.late, seen, (far, *(s for s in others if s < far)), None)


def _check_node(drawing: _Drawing, node: Node, plan: RegionPlan, moment: _Moment) -> None:
    held = moment.held(Outlet(node.id))
    slow = moment.end
    if slow is None:
        slow = drawing.streaming.slow(moment.seen)
    if held >= min(frames_at(plan.length, length) for length in (slow, drawing.length)):
        # The stream may end without that frame.
        return
    kept = {
        slot: moment.held(wire)
        for slot, wire in enumerate(node.inputs)
        if plan.inputs[slot] is not None
    }
    question = _Question(drawing, node, plan, held, kept, moment)
    if (
        question.is_open(range(_FEW))
        or question.is_excused()
        or question.is_open(range(_FEW, _SEEDS))
    ):
        return
    when = "late" if moment.end is None else f"{moment.end} announced"
    text = (
        f"after {moment.seen} frames, end {when}: {node.name!r} ({node.op.name}) holds {held} "
        "frames; the next one is certain too"
    )
    raise CheckFailure("run", "wrong_delay", text)
