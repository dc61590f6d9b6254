"""Wrong rules about regions of interest; law P9 changes what they leave out and sees it.

The shifts of slices and pads, and the product of floats, are as the real engine has them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, ge, sym
from tract_ref.ir.fact import Fact, Shape
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.per_element import coordinate, remap
from tract_ref.ops.axes import AddAxis
from tract_ref.ops.binary import And, Div, Ge, Mul
from tract_ref.ops.cast import Cast
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.select import Select
from tract_ref.ops.select_k import Trilu
from tract_ref.ops.slicing import Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.ops.structure import Identity
from tract_ref.passes import propagate_roi
from tract_ref.stream import roi, roi_moves, shared
from tract_ref.stream.roi import Region, as_region, either, intersection
from tract_ref.stream.shared import same_positions, value_over_output
from tract_ref.stream.tables import INPUT_ROI
from tract_ref_suites.meta import broken
from tract_ref_suites.meta.mutant import Mutant, mutant
from tract_ref_suites.problems.base import SYMBOL, Problem, small_integers

_F32 = np.dtype(np.float32)
_FIRST = 3
_ROWS = range(5, 7)


@dataclass(frozen=True, kw_only=True)
class MaskedProblem(Problem):
    """A stream times a mask of its positions, a mask and itself, or rows that see later chunks.

    Attributes:
        kind: `product`, `both` or `chunks`.
        rows: stream length.
    """

    family = "masks"
    op = "Masked"
    kind: str
    rows: int = 6

    @property
    def length(self) -> int:
        return self.rows

    @property
    def pulses(self) -> tuple[int, ...]:
        return ()

    def model(self) -> Model:
        model = Model(Scope(["S>=0"]))
        x = model.add_source("x", Fact(_F32, (sym(SYMBOL),)))
        if self.kind == "chunks":
            model.set_outputs([_chunks(model, x)], ["y"])
            return model
        line = model.wire("line", Range(0, sym(SYMBOL), 1), ())[0]
        first = model.add_const("first", np.full((1,), _FIRST, np.int64))
        mask = model.wire("mask", Ge(), (line, first))[0]
        if self.kind == "both":
            other = model.wire("same", Identity(), (mask,))[0]
            mask = model.wire("both", And(), (mask, other))[0]
        number = model.wire("number", Cast(_F32), (mask,))[0]
        ends: list[Outlet] = [model.wire("product", Mul(), (number, x))[0]]
        model.set_outputs(ends, ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(0, (self.rows,), "f4")}

    def expected(self) -> dict[str, Array]:
        data = self.inputs()["x"]
        if self.kind == "chunks":
            rows = [[x * (j // 4 >= i // 4) for j, x in enumerate(data)] for i in _ROWS]
            return {"y": np.asarray(rows, _F32).reshape(len(_ROWS), self.rows)}
        return {"y": np.asarray([(i >= _FIRST) * x for i, x in enumerate(data)], _F32)}


def _chunks(model: Model, x: Outlet) -> Outlet:
    """Add two rows in each of which a position shows when its chunk of 4 is not an earlier one."""
    four = model.add_const("four", np.full((1, 1), 4, np.int64))
    chunks: list[Outlet] = []
    for axis, end in enumerate((8, sym(SYMBOL))):
        line = model.wire(f"line{axis}", Range(0, end, 1), ())[0]
        line = model.wire(f"axis{axis}", AddAxis(1 - axis), (line,))[0]
        chunks.append(model.wire(f"chunk{axis}", Div(), (line, four))[0])
    later = model.wire("later", Ge(), chunks[::-1])[0]
    row = model.wire("row", AddAxis(0), (x,))[0]
    none = model.add_const("none", np.zeros((1, 1), _F32))
    shown = model.wire("shown", Select(), (later, row, none))[0]
    return model.wire("rows", Slice(0, _ROWS.start, _ROWS.stop), (shown,))[0]


def _rule(op: type[Op], change: Callable[..., tuple[Region, ...]]) -> AbstractContextManager[None]:
    """Replace the rule of an op by what `change` makes of the op, its context and its answer."""
    old = broken.rule_of(INPUT_ROI, op)

    def rule(op: Any, node: Any, ctx: Any) -> tuple[Region, ...]:
        return change(op, ctx, old(op, node, ctx))

    return INPUT_ROI.replaced(op, rule)


def _slice_reversed(op: Any, ctx: Any, found: tuple[Region, ...]) -> tuple[Region, ...]:
    window = roi_moves.cropped(None, op.axis, op.start, op.end)
    return (intersection(window, roi_moves.shifted(ctx.regions[0], op.axis, op.start)),)


def _pad_reversed(op: Any, ctx: Any, found: tuple[Region, ...]) -> tuple[Region, ...]:
    region = ctx.regions[0]
    for axis, (before, _) in enumerate(op.pads):
        region = roi_moves.shifted(region, axis, -before)
    return (region,)


def _both_hide(op: Any, ctx: Any, found: tuple[Region, ...]) -> tuple[Region, ...]:
    """Let every known side hide the other one, whatever the dtype."""
    values = [value_over_output(slot, ctx) for slot in (0, 1)]
    hidden = [ctx.regions[0] if v is None else as_region(v) for v in reversed(values)]
    return tuple(intersection(ctx.regions[0], region) for region in hidden)


def _first_reader_and_others(
    a: Region, b: Region, shape: Shape, scope: Scope, old: Callable[..., Region]
) -> Region:
    return b if a == 0 else old(intersection(a, b), 0, shape, scope)


def _readers_intersected() -> AbstractContextManager[None]:
    def make(old: Callable[..., Region]) -> Callable[..., Region]:
        return lambda a, b, shape, scope: _first_reader_and_others(a, b, shape, scope, old)

    return broken.patched(propagate_roi, "union", make)


def _any_dims() -> AbstractContextManager[None]:
    def aligned(region: Region, slot: int, ctx: Any) -> Region:
        return region

    return broken.patched(shared, "aligned", lambda _: aligned)


def _windows_read_less() -> AbstractContextManager[None]:
    def make(old: Callable[..., Region]) -> Callable[..., Region]:
        def read_by(
            region: Region, axis: int, size: Dim, low: Dim, high: Dim, **rest: int
        ) -> Region:
            return old(region, axis, size, low + 1, high, **rest)

        return read_by

    return broken.patched(roi_moves, "read_by", make)


def _no_copies() -> AbstractContextManager[None]:
    def make(old: Callable[..., Region]) -> Callable[..., Region]:
        return lambda region, axis, pair, size, mode: old(region, axis, pair, size, "constant")

    return broken.patched(roi_moves, "bordered", make)


def _copies_too_far() -> AbstractContextManager[None]:
    """Reflect around the position behind the last one."""

    def make(old: Callable[..., Region]) -> Callable[..., Region]:
        def bordered(
            region: Region, axis: int, pair: tuple[int, int], size: Dim, mode: str
        ) -> Region:
            before, after = pair
            if mode != "reflect" or not after or region is None:
                return old(region, axis, pair, size, mode)
            at = coordinate(axis)
            copied = ge(size - 2, at) * ge(at, size - 1 - after)
            back = intersection(copied, remap(region, {axis: before + 2 * size - at}))
            return either(old(region, axis, (before, 0), size, mode), back)

        return bordered

    return broken.patched(roi_moves, "bordered", make)


def _blocks_end_early() -> AbstractContextManager[None]:
    """Take floor(y / q) <= b for y <= q*b."""

    def make(old: Callable[..., list[tuple[bool, Dim]]]) -> Callable[..., list[tuple[bool, Dim]]]:
        def bounds(piece: Dim, name: str) -> list[tuple[bool, Dim]]:
            floors = [atom for atom in getattr(piece, "atoms", ()) if atom.kind == "floor"]
            over = [atom.divisor for atom in floors if name in atom.symbols]
            lost = over[0] - 1 if over else 0
            return [(low, end if low else end - lost) for low, end in old(piece, name)]

        return bounds

    return broken.patched(roi, "_bounds", make)


ROI_MUTANTS: dict[str, Mutant] = {
    "roi-slice-reversed": mutant(
        "rule", "the region of a slice is shifted the other way",
        lambda: _rule(Slice, _slice_reversed), "P9", "slicing/Slice-rest", "slicing/Slice-stream",
    ),
    "roi-pad-reversed": mutant(
        "rule", "the region of a pad is shifted the other way",
        lambda: _rule(Pad, _pad_reversed), "P9", "padding/Pad-rest", "padding/Pad-constant",
    ),
    "roi-branches-swapped": mutant(
        "rule", "each branch of a select is seen where the other one is taken",
        lambda: _rule(Select, lambda op, ctx, found: (found[0], found[2], found[1])), "P9",
        "masks/Mask-rest", "masks/Mask-square",
    ),
    "roi-readers-intersected": mutant(
        "rule", "a wire is seen where all of its readers see it",
        _readers_intersected, "P9", "graphs/Dag-unequal-offsets", "graphs/Dag-random",
    ),
    "roi-worked-axis-kept": mutant(
        "rule", "a softmax keeps what is observed of the axis that it works on",
        lambda: INPUT_ROI.replaced(Softmax, same_positions), "P9",
        "softmax/Softmax-whole-axis", "softmax/Softmax-softmax",
    ),
    "roi-sum-reads-itself": mutant(
        "rule", "a cumulative sum reads no position but its own",
        lambda: INPUT_ROI.replaced(CumSum, same_positions), "P9",
        "cumulative/CumSum-rest", "cumulative/CumSum-along-stream",
    ),
    "roi-unequal-dims": mutant(
        "rule", "a coordinate is kept where the input is repeated",
        _any_dims, "P9", "binary/Add-repeats-the-stream", "binary/Add-floats",
    ),
    "roi-window-too-short": mutant(
        "rule", "a window misses its last position",
        _windows_read_less, "P9", "conv/Conv-rest", "conv/Conv-1d",
    ),
    "roi-copies-forgotten": mutant(
        "rule", "what an edge or a reflection copies is not observed where it is copied from",
        _no_copies, "P9", "padding/Pad-reflect", "padding/Pad-edge",
    ),
    "roi-reflection-too-far": mutant(
        "rule", "a reflection behind the end is around the position after the last one",
        _copies_too_far, "P9", "padding/Pad-reflect",
    ),
    "roi-blocks-end-early": mutant(
        "rule", "of a block of positions with one quotient only the first one is taken",
        _blocks_end_early, "P9", MaskedProblem(kind="chunks", rows=14),
    ),
    "roi-triangle-turned": mutant(
        "rule", "a triangle is seen on its other side",
        lambda: _rule(Trilu, lambda op, ctx, found: (
            remap(found[0], {0: coordinate(1), 1: coordinate(0)}),
        )), "P9", "select_k/Trilu-stream-of-matrices", "select_k/Trilu",
    ),
    "roi-zero-hides-nan": mutant(
        "rule", "a product of floats hides what a zero of its mask stands for",
        lambda: _rule(Mul, _both_hide), "P9", MaskedProblem(kind="product"),
    ),
    "roi-masks-hide-each-other": mutant(
        "rule", "two known masks hide each other",
        lambda: _rule(And, _both_hide), "P9", MaskedProblem(kind="both"),
    ),
}  # fmt: skip
