"""Pulsification v2: what every streaming node needs of its inputs, and what follows from it.

The rules of REGION_V2 say, per node, which input frames an output frame reads. From that alone
follow the exact increments (`Increments.session`), the regions in closed form
(`Increments.regions`), and fixed pulses (`passes/fixed_pulse`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tract_ref.dim import sym
from tract_ref.errors import EvalError, Inconclusive, InternalError, Refused, TractRefError
from tract_ref.ir.model import Model, Node, Outlet, Source
from tract_ref.ir.rules import Refusal
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref.passes.declutter import declutter
from tract_ref.passes.node_context import BatchNodeContext, follows_length
from tract_ref.passes.pulsify_v1 import stream_symbol
from tract_ref.runtime.increments import IncrementSession, Program
from tract_ref.runtime.inputs import require_possible
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.reach import RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.region import AxisRegion, joined_regions, slow_count, source_region
from tract_ref.stream.tables import REGION_V2

STAGE = "pulsify v2"


class RegionContext(BatchNodeContext):
    """Context of the rules while one model is judged.

    Args:
        batch: the batch model, decluttered.
        symbol: the stream symbol.
    """

    def __init__(self, batch: Model, symbol: str) -> None:
        super().__init__(batch, symbol, STAGE)
        self.plans: dict[int, RegionPlan] = {}
        self.streams: dict[Outlet, Linear] = {}

    def judge(self, node: Node) -> None:
        """Ask a node's rule what it needs.

        Raises:
            Refused: it cannot stream.
        """
        self._node = node
        streams = any(wire in self.streams for wire in node.inputs)
        if not (streams or isinstance(node.op, Source) or follows_length(node, self.symbol)):
            return
        try:
            rule = REGION_V2.lookup(type(node.op))
            if isinstance(rule, Refusal):
                rule.raise_for(STAGE, node)
                return
            plan = rule(node.op, node, self)
        except TractRefError as error:
            raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
        if plan is None:
            return
        if len(plan.inputs) != len(node.inputs):
            raise InternalError(f"{len(plan.inputs)} needs of {len(node.inputs)} inputs")
        self.plans[node.id] = plan
        for slot in range(len(node.outputs)):
            stream = Linear(plan.axis, plan.length, 0, plan.rate)
            self.streams[Outlet(node.id, slot)] = stream

    # Rule side

    @property
    def inputs(self) -> tuple[Outlet, ...]:
        """The node's inputs."""
        return self.node.inputs

    def stream(self, wire: Outlet) -> Linear | None:
        """Return how a wire streams."""
        return self.streams.get(wire)

    def meet(self, slots: Iterable[int] | None = None) -> Linear:
        """Return what the inputs that stream share."""
        chosen = range(len(self.inputs)) if slots is None else slots
        found = [s for slot in chosen if (s := self.stream(self.inputs[slot])) is not None]
        if not found:
            self.refuse("no input streams", "compute it outside the streamed model")
        return self.alike(found)


@dataclass(frozen=True)
class Increments:
    """A model that streams in exact increments.

    Attributes:
        batch: the batch model, after declutter; wires are named after it.
        symbol: the stream symbol.
        plans: what each streaming node needs, by its id.
        streams: how each wire streams; delays are 0.
    """

    batch: Model
    symbol: str
    plans: Mapping[int, RegionPlan]
    streams: Mapping[Outlet, Linear]

    def session(self, symbols: Mapping[str, int] | None = None) -> IncrementSession:
        """Start a session.

        Args:
            symbols: values known from the start; that of the stream symbol announces the end.

        Raises:
            EvalError: a symbol is not set, unknown, or breaks an assertion.
        """
        known = dict(symbols or {})
        names = Plan(self.batch, fast=False).symbols | {self.symbol}
        require_possible(self.batch.scope, known, names)
        program = Program(self.batch, self.symbol, self.plans)
        try:
            return IncrementSession(program, known)
        except Inconclusive as error:
            raise EvalError(error.seen, remedy="set the symbol") from error

    def regions(self, *, end: int | None = None) -> dict[Outlet, AxisRegion]:
        """Return the region of every streaming wire, in closed form.

        Args:
            end: the stream length, where it is announced.

        Raises:
            Refused: a length is no minimum or maximum of quasi-affine terms; phases never recur.
            EvalError: no stream has that length.
        """
        if end is not None:
            require_possible(self.batch.scope, {self.symbol: end}, {self.symbol})
        least = self.batch.scope.smallest(self.symbol)
        longest = self.batch.scope.bounds(sym(self.symbol))[1] if end is None else end
        plans = [self.plans[wire.node] for wire in self.batch.inputs if wire.node in self.plans]
        lengths = [(plan.length, plan.rate) for plan in plans]
        slow = slow_count(lengths, self.symbol, least)
        found: dict[Outlet, AxisRegion] = {}
        for node in self.batch.order():
            plan = self.plans.get(node.id)
            if plan is None:
                continue
            if isinstance(node.op, Source):
                region = source_region(plan.rate, longest, plan.length, self.symbol)
            else:
                parts = [
                    (found[wire], reach)
                    for wire, reach in zip(node.inputs, plan.inputs, strict=True)
                    if reach is not None
                ]
                try:
                    region = joined_regions(parts, plan.length, self.symbol, slow, end, longest)
                except TractRefError as error:
                    raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
            for slot in range(len(node.outputs)):
                found[Outlet(node.id, slot)] = region
        return found


def increments(model: Model, *, symbol: str | None = None) -> Increments:
    """Make a batch model stream in exact increments: turns of any size, no delay, no filler.

    Args:
        model: a batch model; it is not changed.
        symbol: the stream symbol; by default the only symbol of the inputs.

    Raises:
        Refused: an op cannot stream, or no output streams; the error names the node, the reason
            and a remedy.
        InvalidModel: there is not one stream symbol.
    """
    name = stream_symbol(model, symbol, stage=STAGE)
    batch = before_pulsify(declutter(model))
    context = RegionContext(batch, name)
    for node in batch.order():
        context.judge(node)
    if not any(wire in context.streams for wire in batch.inputs):
        raise Refused(f"no input streams on {name}", stage=STAGE, remedy="see --axis")
    if not any(wire in context.streams for wire in batch.outputs):
        raise Refused(
            f"no output streams on {name}: all of them are constant from turn to turn",
            stage=STAGE,
            remedy="stream a model whose output follows its input",
        )
    return Increments(batch, name, context.plans, context.streams)
