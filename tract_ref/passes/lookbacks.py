"""What a model in exact increments keeps: frames per wire, and the field of every output.

How many frames of a wire are there after s source frames is its region, and what its readers made
of them are theirs: the frames kept between two pushes depend on s alone, not on how the pushes were
cut. Their largest number is the lookback that a buffer is declared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from tract_ref.errors import Inconclusive, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref.passes.declutter import declutter
from tract_ref.passes.pulsify_v1 import RefusedNode, stream_symbol
from tract_ref.passes.pulsify_v2 import Increments, RegionContext
from tract_ref.runtime.reach import Reach
from tract_ref.stream.region import AxisRegion

# Source frames after which every start-up, however deep the model, is over.
_FAR = 1 << 60


def lookbacks(model: Increments, regions: Mapping[Outlet, AxisRegion]) -> dict[Outlet, int]:
    """Return, per streaming wire, the most frames that are kept of it between two pushes.

    Args:
        model: what streams.
        regions: the region of every streaming wire.
    """
    found = dict.fromkeys(regions, 0)
    for number, plan in model.plans.items():
        for wire, reach in zip(model.batch.nodes[number].inputs, plan.inputs, strict=True):
            if reach is not None:
                kept = _kept(regions[wire], regions[Outlet(number)], reach)
                found[wire] = max(found[wire], kept)
    return found


def _kept(read: AxisRegion, made: AxisRegion, reach: Reach) -> int:
    """Return the most frames that one reader keeps of a wire."""
    ends = {_FAR, *(start for start, _ in (*read.pieces, *made.pieces))}
    most = 0
    for end in ends:
        # The last period before a change, in which every phase occurs.
        at = max(0, end - 1)
        period = lcm(read.count_at(at).period, made.count_at(at).period)
        for source in range(max(0, end - period), end):
            if made.complete is not None and source >= made.complete:
                continue
            have = read.at(source)
            most = max(most, have - max(0, reach.keeps(made.at(source), have)))
    return most


def field_frames(model: Increments) -> int:
    """Return the source frames that the windows on the longest path span, states left out."""
    spans: dict[int, Fraction] = {}
    for node in model.batch.order():
        plan = model.plans.get(node.id)
        if plan is None:
            continue
        found = [Fraction(1)]
        for wire, reach in zip(node.inputs, plan.inputs, strict=True):
            if reach is not None:
                frames = max(-((reach.low - reach.high) // reach.per), reach.front, reach.back)
                found.append(spans[wire.node] + frames / model.streams[wire].rate)
        spans[node.id] = max(found)
    return int(max(spans.values())) + 1


def refusals_v2(model: Model, *, symbol: str | None = None) -> tuple[RefusedNode, ...]:
    """Return every node that `increments` refuses by itself, in evaluation order.

    A node behind a refused one is not judged: nothing is known of its input.

    Args:
        model: a batch model; it is not changed.
        symbol: the stream symbol; by default the only symbol of the inputs.

    Raises:
        InvalidModel: there is not one stream symbol.
    """
    name = stream_symbol(model, symbol)
    batch = before_pulsify(declutter(model))
    context = RegionContext(batch, name)
    found: dict[int, Refused | Inconclusive] = {}
    blame: dict[int, set[int]] = {}
    for node in batch.order():
        behind = set[int]().union(*(blame.get(outlet.node, ()) for outlet in node.inputs))
        if behind:
            blame[node.id] = behind
            continue
        try:
            context.judge(node)
        except (Refused, Inconclusive) as error:
            found[node.id] = error
            blame[node.id] = {node.id}
    return tuple(
        RefusedNode(error, (), sum(number in roots for roots in blame.values()) - 1)
        for number, error in found.items()
    )
