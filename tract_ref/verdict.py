"""Verdicts of the proof loops: what is said of an output, and where two runs part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tract_ref.approx import Comparison
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.runtime.plan import Plan

Kind = Literal["exact", "within", "wrong", "refused", "nothing compared"]
DECLUTTER_CHANGES = "declutter changes it: batch after it is not batch before"


@dataclass(frozen=True)
class Divergence:
    """The first frame where the streamed model leaves the batch model.

    Attributes:
        wire: name of the first wire that differs, in evaluation order.
        pulse: number of the turn or push (0-based) that brought the frame.
        index: position in the batch value of the wire.
        batch: value there in batch.
        streamed: value there while streaming.
        ulps: distance of the two in units of the last place.
        reason: set instead of values when lengths or dtypes already differ, or a pass is to blame.
        note: said after the values: what else is known about the cause.
    """

    wire: str
    pulse: int
    index: tuple[int, ...]
    batch: object
    streamed: object
    ulps: int
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class OutputVerdict:
    """The verdict on one output.

    Attributes:
        name: the output.
        verdict: `exact` (bit for bit), `within` the named tolerance, `wrong`, or `nothing compared`
            where the batch output is empty or NaN everywhere, and the streamed one is as well.
        delay: frames to drop from the streamed output.
        frames: frames that came out after the delay.
        expected_frames: frames of the batch output on the stream axis.
        max_ulp: largest distance in units of the last place.
        first: where they part, None unless wrong.
        streams: it has a stream axis; otherwise it is the same every turn.
    """

    name: str
    verdict: Kind
    delay: int
    frames: int
    expected_frames: int
    max_ulp: int
    first: Divergence | None
    streams: bool = True


def worst_kind(kinds: Iterable[Kind]) -> Kind:
    """Return the verdict on several outputs."""
    found = set(kinds)
    for kind in ("wrong", "within", "exact"):
        if kind in found:
            return kind
    return "nothing compared"


def kind_of(result: Comparison, batch: Tensor) -> Kind:
    """Return the verdict that a comparison with a batch output is."""
    if not result.within:
        return "wrong"
    # An element, other than a NaN, that another one could differ from.
    if not np.any(batch == batch):
        return "nothing compared"
    return "exact" if result.equal_bits else "within"


def named_wires(model: Model, wanted: set[str]) -> dict[str, Outlet]:
    """Return the computed wires of a model whose name is wanted, in evaluation order."""
    found: dict[str, Outlet] = {}
    for node in model.order():
        if isinstance(node.op, Const):
            continue
        for slot in range(len(node.outputs)):
            outlet = Outlet(node.id, slot)
            if model.wire_name(outlet) in wanted:
                found[model.wire_name(outlet)] = outlet
    return found


def kept_values(
    model: Model,
    wires: Mapping[str, Outlet],
    inputs: Mapping[str, Tensor],
    symbols: Mapping[str, int],
    *,
    fast: bool,
) -> dict[str, Tensor]:
    """Return the values of inner wires of a batch model, by name.

    Args:
        model: a batch model.
        wires: the wires.
        inputs: whole inputs.
        symbols: values of the symbols.
        fast: use the fast kernels.
    """
    return Plan(model, keep=list(wires.values()), fast=fast).run(inputs, symbols=symbols)


def divergence(name: str, result: Comparison, turn: int, *, reason: str = "") -> Divergence:
    """Return where a comparison outside its tolerance parts.

    Args:
        name: the wire.
        result: of its streamed frames with those of batch.
        turn: which one brought the frame.
        reason: said instead of the values.
    """
    first = result.first
    if first is None:
        return Divergence(name, 0, (), None, None, 0, reason or result.reason)
    return Divergence(name, turn, first.index, first.expected, first.got, first.ulps, reason)
