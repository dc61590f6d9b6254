"""P9: a region of interest covers every position whose change moves an output.

The model is evaluated node by node, apart from any plan. Then, wire by wire, what lies outside of
the region is replaced, all of it at once and a few positions one by one, and what follows is
evaluated again: no output may change in any bit. Most models show all that they compute, so their
outputs are also cut to a few positions and to triangles, which every rule must carry back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import TDim, dim_max, symbols
from tract_ref.errors import EvalError, Refused
from tract_ref.ir.fact import TDIM
from tract_ref.ir.model import Model, Outlet, Source
from tract_ref.ir.op import Turn
from tract_ref.ir.rules import Refusal
from tract_ref.ops.select_k import Trilu
from tract_ref.ops.slicing import Slice
from tract_ref.passes.propagate_roi import propagate_roi
from tract_ref.stream.positions import positions
from tract_ref.stream.tables import INPUT_ROI
from tract_ref_suites.checks.failure import CheckFailure, require, stage
from tract_ref_suites.checks.subject import Subject
from tract_ref_suites.problems.base import SYMBOL, Problem

# Wires and outputs of one model that are looked at.
_WIRES = 40
_OUTPUTS = 2
# Positions that cut outputs show; those of 0 and less count from the end. The one before the last
# is bounded on both sides, so that a wrong copy behind the end is no mere widening.
_CUTS = {"front": (1, 3), "last": (-1, 0), "before last": (-2, -1)}

Values = dict[Outlet, Array]


def regions_cover_what_shows(problem: Problem) -> None:
    """P9: what a region leaves out may hold anything, at lengths 0, 1 and n."""
    subject = Subject(problem)
    _check(subject, subject.model, {subject.admitted(0), subject.admitted(1), problem.length})
    for model in cut_models(subject):
        _check(subject, model, {problem.length})


def cut_models(subject: Subject) -> Iterator[Model]:
    """Yield models that show a few positions of every axis of the first outputs, or a triangle.

    They are of the problem's own stream length and longer ones, so that every axis has an end.
    """
    model = subject.model
    for kind in (*_CUTS, "triangle"):
        cut = model.copy()
        cut.scope = cut.scope.asserting(f"{SYMBOL}>={subject.problem.length}")
        outlets = [_cut_one(cut, kind, outlet) for outlet in cut.outputs[:_OUTPUTS]]
        if outlets != cut.outputs[:_OUTPUTS]:
            cut.set_outputs(outlets, cut.output_names[:_OUTPUTS])
            yield cut


def _cut_one(model: Model, kind: str, outlet: Outlet) -> Outlet:
    fact = model.fact(outlet)
    if fact.dtype == TDIM:
        return outlet
    name = model.unique_name("cut")
    if kind == "triangle":
        return model.wire(name, Trilu(1), (outlet,))[0] if fact.rank > 1 else outlet
    for axis, dim in enumerate(fact.shape):
        if dim != 1:
            start, end = (at if at > 0 else dim + at for at in _CUTS[kind])
            start = model.scope.simplify(dim_max(0, start))
            if symbols(start) - {SYMBOL}:
                # Where an axis ends that only running tells is not known to a Slice.
                continue
            (outlet,) = model.wire(model.unique_name(name), Slice(axis, start, end), (outlet,))
    return outlet


def _check(subject: Subject, model: Model, lengths: set[int]) -> None:
    problem = subject.problem
    with stage("declutter"):
        try:
            annotated = propagate_roi(model)
        except Refused as refused:
            # State ops of pulsed models are refused in writing: regions are of the batch graph.
            cells = {INPUT_ROI.lookup(type(node.op)) for node in model.order()}
            is_written = any(isinstance(cell, Refusal) for cell in cells)
            require(is_written, "declutter", "refused", str(refused))
            return
    wires = [
        Outlet(node.id, slot)
        for node in annotated.order()
        for slot, fact in enumerate(node.outputs)
        if fact.region is not None and fact.dtype != TDIM
    ]
    if not wires:
        return
    for length in sorted(lengths):
        inputs = subject.at_length(length) if length != problem.length else subject.inputs
        with stage("run"):
            runs = Evaluator.over(annotated, inputs, {SYMBOL: length})
        for outlet in wires[:_WIRES]:
            require_covered(runs, outlet)


@dataclass(frozen=True)
class Evaluator:
    """One evaluation of a model, from which others start.

    Attributes:
        model: the model.
        symbols: values of its symbols.
        values: value of every wire.
    """

    model: Model
    symbols: Mapping[str, int]
    values: Values

    @staticmethod
    def over(model: Model, inputs: Mapping[str, Array], symbols: Mapping[str, int]) -> Evaluator:
        """Evaluate a model."""
        fed = {outlet: inputs[model.nodes[outlet.node].name] for outlet in model.inputs}
        found = Evaluator(model, symbols, fed)
        values = found._run(fed, {n.id for n in model.order()}, None)
        return Evaluator(model, {**_late(model, values), **symbols}, values)

    def outputs_with(self, outlet: Outlet, value: Array) -> list[Array]:
        """Return the model's outputs when one wire holds another value."""
        behind = {outlet.node}
        for node in self.model.order():
            if any(wire.node in behind for wire in node.inputs):
                behind.add(node.id)
        moved = self._run({**self.values, outlet: value}, behind - {outlet.node}, outlet)
        return [moved[out] for out in self.model.outputs]

    @property
    def outputs(self) -> list[Array]:
        """The outputs as they are."""
        return [self.values[outlet] for outlet in self.model.outputs]

    def _run(self, values: Values, nodes: set[int], fixed: Outlet | None) -> Values:
        values = dict(values)
        with np.errstate(all="ignore"):
            for node in self.model.order():
                if node.id not in nodes or isinstance(node.op, Source):
                    continue
                turn = Turn(symbols=self.symbols, state=node.op.state())
                inputs = tuple(values[wire] for wire in node.inputs)
                for slot, result in enumerate(node.op.eval(turn, inputs)):
                    if Outlet(node.id, slot) != fixed:
                        values[Outlet(node.id, slot)] = result
        return values


def _late(model: Model, values: Values) -> dict[str, int]:
    """Return the symbols that stand for sizes known only after running."""
    found: dict[str, int] = {}
    for outlet, value in values.items():
        for dim, size in zip(model.fact(outlet).shape, value.shape, strict=True):
            if isinstance(dim, TDim) and str(dim) in dim.symbols:
                found[str(dim)] = size
    return found


def require_covered(runs: Evaluator, outlet: Outlet) -> None:
    """Require that no output changes when a wire changes outside of its region.

    Raises:
        CheckFailure: one does; names the wire and the position.
    """
    model, value = runs.model, runs.values[outlet]
    fact, name = model.fact(outlet), model.wire_name(outlet)
    where = f"wire {name!r} of fact {fact}, region {fact.region}, {dict(runs.symbols)}"
    require(fact.region is not None, "read", "malformed", f"{where}: no region to check")
    try:
        outside = ~positions(fact.region, value.shape, runs.symbols)
    except EvalError as error:
        raise CheckFailure("declutter", "wrong_value", f"{where}: {error}") from error
    for number, mask in enumerate(_masks(outside)):
        others = _others(value)
        for other in others if not number else others[-1:]:
            moved = np.where(mask, other, value).astype(value.dtype)
            at = np.argwhere(mask)[0].tolist()
            text = f"{where}: position {at} is left out, and an output follows it"
            try:
                found = runs.outputs_with(outlet, moved)
            except EvalError as error:
                raise CheckFailure("declutter", "wrong_value", f"{text}: {error}") from error
            same = all(map(_is_same, found, runs.outputs))
            require(same, "declutter", "wrong_value", text)


def shows(runs: Evaluator, outlet: Outlet, index: tuple[int, ...]) -> bool:
    """Say whether some other value at one position of a wire changes an output."""
    value = runs.values[outlet]
    mask = np.zeros(value.shape, np.bool_)
    mask[index] = True
    for other in _others(value):
        moved = np.where(mask, other, value).astype(value.dtype)
        try:
            if not all(map(_is_same, runs.outputs_with(outlet, moved), runs.outputs)):
                return True
        except EvalError:
            return True
    return False


def _masks(outside: Array) -> Iterator[Array]:
    """Yield all positions left out, then the first and the last of them alone."""
    found = np.argwhere(outside)
    if not len(found):
        return
    yield outside
    if len(found) == 1:
        return
    for row in (0, len(found) - 1):
        alone = np.zeros_like(outside)
        alone[tuple(found[row])] = True
        yield alone


def _others(value: Array) -> list[Array]:
    """Return values unlike those that are there: beyond them, and no numbers at all."""
    kind = value.dtype.kind
    if kind == "b":
        return [~value]
    if kind in "iu":
        limits = np.iinfo(value.dtype)
        ends = (limits.min, limits.max)
        return [np.full_like(value, end) for end in ends] + [value ^ np.ones_like(value)]
    if kind != "f":
        raise CheckFailure("read", "wrong_dtype", f"no other values of {value.dtype}")
    specials = (np.nan, np.inf, -np.inf)
    with np.errstate(all="ignore"):
        return [np.full_like(value, special) for special in specials] + [-2 * value + 3]


def _is_same(a: Array, b: Array) -> bool:
    """Equal bit for bit; any NaN is a NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    nan = np.isnan(a)
    signs = np.array_equal(np.signbit(a[~nan]), np.signbit(b[~nan]))
    return bool(signs and np.array_equal(a, b, equal_nan=True))
