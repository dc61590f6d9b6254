"""A problem in exact increments, and the values of its wires: what the parts of P12 share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import lcm

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Dim, evaluate
from tract_ref.ir.model import Const, Node, Outlet, Source
from tract_ref.ir.op import Turn
from tract_ref.ops.deconv import Deconv
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.runtime.frame import evaluate_node
from tract_ref.runtime.inputs import least_length
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.region import AxisRegion
from tract_ref_suites.checks.failure import stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.problems.base import SYMBOL


@dataclass
class Streaming:
    """A problem in exact increments.

    Attributes:
        subject: the problem.
        model: how it streams.
    """

    subject: Subject
    model: Increments

    @cached_property
    def late(self) -> dict[Outlet, AxisRegion]:
        """Regions of a stream whose end is discovered."""
        with stage("pulsify"):
            return self.model.regions()

    def known(self, length: int) -> dict[Outlet, AxisRegion]:
        """Return the regions of a stream whose end is announced."""
        with stage("pulsify"):
            return self.model.regions(end=length)

    @property
    def sources(self) -> list[tuple[str, Outlet, RegionPlan | None]]:
        """Name, wire and plan of every input."""
        nodes, plans = self.model.batch.nodes, self.model.plans
        return [(nodes[o.node].name, o, plans.get(o.node)) for o in self.model.batch.inputs]

    @property
    def outputs(self) -> list[tuple[str, Outlet, int]]:
        """Name, wire and axis of every output that streams."""
        batch, streams = self.model.batch, self.model.streams
        pairs = zip(batch.output_names, batch.outputs, strict=True)
        return [(name, wire, streams[wire].axis) for name, wire in pairs if wire in streams]

    @property
    def unit(self) -> int:
        """Source frames that bring a whole number of frames of every input."""
        rates = (plan.rate for _, _, plan in self.sources if plan is not None)
        return lcm(*(rate.denominator for rate in rates))

    def slow(self, seen: int) -> int:
        """Return the smallest stream length that is possible after `seen` source frames."""
        counts = (
            least_length(plan.length, SYMBOL, int(seen * plan.rate))
            for _, _, plan in self.sources
            if plan is not None
        )
        return max(self.model.batch.scope.smallest(SYMBOL), *counts)

    def long_enough(self, wires: Iterable[Outlet], seen: int) -> int:
        """Return a stream length with all that the next frame of every wire reads."""
        wanted = [self.subject.problem.length, seen + self.unit]
        for wire in wires:
            region = self.late[wire]
            whole = region.reaches(region.at(seen) + 1)
            wanted += [] if whole is None else [whole]
        return self.subject.admitted(max(wanted))

    def values(self, length: int) -> dict[Outlet, Array]:
        """Return the batch value of every wire at a stream length."""
        inputs = self.subject.at_length(length)
        values: dict[Outlet, Array] = {}
        for node in self.model.batch.order():
            if isinstance(node.op, Source):
                values[Outlet(node.id)] = inputs[node.name]
            elif isinstance(node.op, Const):
                values[Outlet(node.id)] = node.op.tensor
            else:
                results = evaluated(node, length, tuple(values[w] for w in node.inputs))
                values |= {Outlet(node.id, slot): value for slot, value in enumerate(results)}
        return values


def evaluated(node: Node, length: int, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Run one op over whole inputs."""
    with stage("run"), np.errstate(all="ignore"):
        return evaluate_node(node, Turn({SYMBOL: length}), inputs)


def frames_at(dim: Dim, length: int) -> int:
    """Return the frames of a wire at a stream length."""
    return max(0, evaluate(dim, {SYMBOL: length}))


def held_after(
    streaming: Streaming, regions: Mapping[Outlet, AxisRegion], seen: int
) -> dict[str, int]:
    """Return how many frames every output holds."""
    return {name: regions[wire].at(seen) for name, wire, _ in streaming.outputs}


def without_zeros(streaming: Streaming) -> Streaming:
    """Return the problem with no zero among its weights, which would hide what they read."""
    nodes = streaming.subject.model.nodes.values()
    tensors = [node.op.tensor for node in nodes if isinstance(node.op, Const)]
    is_full = all(tensor.all() for tensor in tensors if tensor.dtype.kind == "f")
    if is_full and not any(isinstance(node.op, Deconv) for node in nodes):
        return streaming
    subject = Subject(streaming.subject.problem, generic=True)
    with stage("pulsify"):
        return Streaming(subject, increments(subject.model, symbol=SYMBOL))
