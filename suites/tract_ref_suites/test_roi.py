"""Regions of interest of small models: exact expressions, sound and tight by evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, eq, ge, parse_dim, sym
from tract_ref.errors import Refused
from tract_ref.ir.fact import Fact, dtype_named
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.per_element import coordinate
from tract_ref.ir.rules import Refusal
from tract_ref.ops.axes import AddAxis, Reshape
from tract_ref.ops.binary import Add, And, Eq, Ge, Lt, Mul, Or, Sub
from tract_ref.ops.buffer import Delay
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.gather import Gather
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.ops.scatter import ScatterElements
from tract_ref.ops.select import Select
from tract_ref.ops.select_k import Trilu
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.ops.structure import Identity
from tract_ref.ops.submodel import Submodel
from tract_ref.ops.transpose import MoveAxis
from tract_ref.ops.unary import Abs, Neg
from tract_ref.passes.propagate_roi import propagate_roi
from tract_ref.stream.positions import positions
from tract_ref.stream.roi import settle, size_of
from tract_ref.stream.tables import INPUT_ROI
from tract_ref.stream.window import Explicit, Valid, WindowSpec
from tract_ref_suites.checks.roi import Evaluator, require_covered, shows
from tract_ref_suites.command_line import CASES, run
from tract_ref_suites.problems.base import SYMBOL, small_integers

S = sym(SYMBOL)
LENGTH = 9


class Graph:
    """A model that is built wire by wire."""

    def __init__(self, *assertions: str) -> None:
        self.model = Model(Scope(assertions))

    def source(self, name: str, *shape: object, dtype: str = "f32") -> Outlet:
        dims = tuple(parse_dim(str(dim)) for dim in shape)
        return self.model.add_source(name, Fact(dtype_named(dtype), dims))

    def const(self, value: object, dtype: str) -> Outlet:
        array = np.asarray(value, dtype_named(dtype))
        return self.model.add_const(f"c{len(self.model.nodes)}", array)

    def wire(self, op: Op, *inputs: Outlet, name: str = "") -> Outlet:
        return self.model.wire(name or f"n{len(self.model.nodes)}", op, inputs)[0]

    def line(self, axis: int, rank: int, size: object = "S") -> Outlet:
        """Add the positions of one axis of a rank, as i64."""
        wire = self.wire(Range(0, parse_dim(str(size)), 1))
        for place in range(rank):
            wire = wire if place == axis else self.wire(AddAxis(place), wire)
        return wire

    def compare(self, op: type[Op], a: Outlet, number: int) -> Outlet:
        ones = (1,) * self.model.fact(a).rank
        return self.wire(op(), a, self.const(np.full(ones, number), "i64"))

    def from_on(self, number: int, rank: int = 1, axis: int = 0, size: object = "S") -> Outlet:
        """Add the condition that a position is `number` or more."""
        return self.compare(Ge, self.line(axis, rank, size), number)

    def shown(self, condition: Outlet, value: Outlet) -> Outlet:
        """Add a Select of a value, -1 elsewhere."""
        fact = self.model.fact(value)
        other = self.const(np.full((1,) * fact.rank, -1), str(fact).rsplit(",")[-1])
        return self.wire(Select(), condition, value, other)

    def end(self, *outlets: Outlet) -> Model:
        self.model.set_outputs(outlets, [f"y{i}" for i in range(len(outlets))])
        return self.model


def windows(kernel: int, *, stride: int = 1, before: int = 0, dilation: int = 1) -> WindowSpec:
    padding = Explicit(before, 0) if before else Valid()
    return WindowSpec((kernel,), (stride,), (dilation,), (padding,))


def conv(g: Graph, x: Outlet, window: WindowSpec) -> Outlet:
    kernel = small_integers(1, (1, 1, *window.kernel))
    return g.wire(Conv(window, 1), x, g.const(kernel, "f32"))


def _slice(g: Graph) -> Outlet:
    x = g.source("x", "S")
    cut = g.wire(Slice(0, 3, S), x)
    return g.shown(g.from_on(2, size="max(0,S-3)"), cut)


def _pad(g: Graph) -> Outlet:
    x = g.source("x", "S")
    return g.shown(g.from_on(5, size="S+2"), g.wire(Pad(((2, 0),), "constant", 0), x))


def _edge(g: Graph) -> Outlet:
    x = g.source("x", "S")
    padded = g.wire(Pad(((2, 0),), "edge", 0), x)
    return g.shown(g.compare(Lt, g.line(0, 1, "S+2"), 1), padded)


def _behind(mode: str) -> Callable[[Graph], Outlet]:
    def build(g: Graph) -> Outlet:
        x = g.source("x", "S")
        return g.wire(Slice(0, S, S + 1), g.wire(Pad(((0, 2),), mode, 0), x))

    return build


def _rank(g: Graph) -> Outlet:
    x = g.source("x", 2, "S", "S")
    rows, columns = g.line(0, 2), g.line(1, 2)
    band = g.compare(Ge, g.wire(Sub(), rows, columns), 1)
    return g.shown(g.wire(AddAxis(0), band), x)


def _strict_band(g: Graph) -> Outlet:
    x = g.source("x", "S", "S")
    distance = g.wire(Sub(), g.line(0, 2), g.line(1, 2))
    band = g.wire(And(), g.compare(Lt, distance, 2), g.compare(Ge, distance, 0))
    return g.shown(band, x)


def _conv(g: Graph) -> Outlet:
    x = g.source("x", 1, 1, "S")
    y = conv(g, x, windows(3, before=1))
    return g.wire(Slice(2, 4, 6), y)


def _strided(g: Graph) -> Outlet:
    x = g.source("x", 1, 1, "S")
    return g.wire(Slice(2, 1, 3), conv(g, x, windows(3, stride=2)))


def _heads(g: Graph) -> Outlet:
    q, k = g.source("q", 1, "S", 2), g.source("x", 1, "S", 2)
    scores = g.wire(EinSum("bid,bjd->bij", "f32"), q, k)
    return g.shown(g.from_on(3, rank=3, axis=2), scores)


def _reshape(g: Graph) -> Outlet:
    x = g.source("x", "S", 4)
    flat = g.wire(Reshape(0, (S, 4), (4 * S,)), x)
    return g.shown(g.from_on(6, size="4*S"), flat)


def _chosen_rows(g: Graph) -> Outlet:
    x = g.source("x", "S", 2)
    return g.wire(Gather(0), x, g.const([2, 0], "i64"))


def _late_rows(g: Graph) -> Outlet:
    x = g.source("x", "S", 2)
    return g.wire(Gather(0), x, g.wire(Range(2, S - 1, 1)))


def _product(g: Graph) -> Outlet:
    x = g.source("x", "S", dtype="i64")
    mask = g.wire(Select(), g.from_on(4), g.const([1], "i64"), g.const([0], "i64"))
    return g.wire(Mul(), mask, x)


def _either(g: Graph) -> Outlet:
    x = g.source("x", "S", dtype="bool")
    return g.wire(Or(), x, g.from_on(4))


def _running(g: Graph) -> Outlet:
    x = g.source("x", "S")
    return g.wire(Slice(0, 0, 4), g.wire(CumSum(0, exclusive=True), x))


def _softmax(g: Graph) -> Outlet:
    x = g.source("x", "S", 3)
    return g.wire(Slice(1, 0, 1), g.wire(Slice(0, 2, S), g.wire(Softmax((1,)), x)))


def _readers(g: Graph) -> Outlet:
    x = g.source("x", "S")
    return g.wire(Concat(0), g.wire(Slice(0, 0, 2), x), g.wire(Slice(0, 5, S), x))


def _scatter(g: Graph) -> Outlet:
    x = g.source("x", "S", 2)
    at, new = g.const(np.zeros((1, 2)), "i64"), g.const(np.zeros((1, 2)), "f32")
    return g.wire(Slice(0, 3, S), g.wire(ScatterElements(0), x, at, new))


def _copies(g: Graph) -> Outlet:
    x = g.source("x", 4)
    return g.wire(Slice(0, 5, 7), g.wire(Tile((2,)), x))


def _repeated(g: Graph) -> Outlet:
    x = g.source("x", "S", 1)
    return g.shown(g.from_on(3, rank=2), g.wire(Broadcast((S, 5)), x))


def _moved(g: Graph) -> Outlet:
    x = g.source("x", "S", 2, 3)
    return g.shown(g.from_on(3, rank=3, axis=1), g.wire(MoveAxis(0, 1), x))


def _from_the_end() -> Dim:
    way = S - 1 - coordinate(0)
    return eq(way, 2 * (way // 2)) * ge(1, way // 2)


def _backwards(g: Graph) -> Outlet:
    x = g.source("x", "S")
    return g.wire(Slice(0, 0, 2), g.wire(Downsample(0, -2), x))


ROW, COLUMN, DEEP = (coordinate(axis) for axis in range(3))
EXACT: dict[str, tuple[Callable[[Graph], Outlet], Dim]] = {
    "slice-with-a-start": (_slice, ge(ROW, 5)),
    "pad-in-front": (_pad, ge(ROW, 3)),
    "edge-pad-copies-the-first": (_edge, eq(ROW, 0)),
    "reflection-behind-the-end": (_behind("reflect"), ge(ROW, S - 2) * ge(S - 2, ROW)),
    "edge-behind-the-end": (_behind("edge"), eq(ROW, S - 1)),
    "mask-of-lower-rank": (_rank, ge(COLUMN - DEEP, 1)),
    "strict-band": (_strict_band, ge(ROW, COLUMN) * ge(1, ROW - COLUMN)),
    "convolution": (_conv, ge(DEEP, 3) * ge(6, DEEP)),
    "strided-convolution": (_strided, ge(DEEP, 2) * ge(6, DEEP)),
    "scores-of-late-keys": (_heads, ge(COLUMN, 3)),
    "merged-axes": (_reshape, ge(4 * ROW + COLUMN, 6)),
    "constant-rows": (_chosen_rows, eq(ROW, 0) + eq(ROW, 2) - eq(ROW, 0) * eq(ROW, 2)),
    "counted-rows": (_late_rows, ge(ROW, 2) * ge(S - 2, ROW)),
    "whole-product": (_product, ge(ROW, 4)),
    "or-with-true": (_either, ge(3, ROW)),
    "exclusive-sum": (_running, ge(2, ROW)),
    "softmax-along-another-axis": (_softmax, ge(ROW, 2)),
    "two-readers": (_readers, ge(1, ROW) + ge(ROW, 5) - ge(1, ROW) * ge(ROW, 5)),
    "scatter": (_scatter, ge(ROW, 3)),
    "copies": (_copies, ge(ROW, 1) * ge(2, ROW)),
    "repeated": (_repeated, ge(ROW, 3)),
    "moved": (_moved, ge(ROW, 3)),
    "every-second-from-the-end": (_backwards, _from_the_end()),
}


def annotated(build: Callable[[Graph], Outlet]) -> tuple[Model, Outlet]:
    """Return a model with regions, and the wire of its source x."""
    graph = Graph(f"S>={LENGTH}")
    model = propagate_roi(graph.end(build(graph)))
    return model, Outlet(model.node_named("x").id)


def evaluated(model: Model, length: int = LENGTH) -> Evaluator:
    inputs: dict[str, Array] = {}
    for seed, (name, fact) in enumerate(Plan(model, fast=False).input_facts.items()):
        shape = fact.concrete_shape({SYMBOL: length})
        drawn = small_integers(seed, shape, "f4")
        inputs[name] = drawn > 0 if fact.dtype.kind == "b" else drawn.astype(fact.dtype)
    return Evaluator.over(model, inputs, {SYMBOL: length})


@pytest.mark.parametrize("name", list(EXACT))
def test_a_region_is_said_in_its_shortest_form(name: str) -> None:
    build, wanted = EXACT[name]
    model, x = annotated(build)
    region, shape = model.fact(x).region, model.fact(x).shape
    assert str(region) == str(settle(wanted, shape, model.scope))
    assert region is wanted or name == "every-second-from-the-end"


@pytest.mark.parametrize("name", list(EXACT))
def test_a_region_is_neither_too_small_nor_too_large(name: str) -> None:
    model, x = annotated(EXACT[name][0])
    runs = evaluated(model)
    region = positions(model.fact(x).region, runs.values[x].shape, {SYMBOL: LENGTH})
    assert not region.all()
    assert region.any()
    found = np.zeros_like(region)
    for index in np.ndindex(*region.shape):
        found[index] = shows(runs, x, index)
    assert np.array_equal(found, region)


@dataclass(frozen=True)
class Seen:
    """What is seen of a mask and of what it masks."""

    mask: object
    other: object


def _masked(op: Op, dtype: str, *, both: bool = False) -> Seen:
    graph = Graph("S>=0")
    mask = graph.from_on(4)
    if dtype != "bool":
        ones, zeros = graph.const([1], dtype), graph.const([0], dtype)
        mask = graph.wire(Select(), mask, ones, zeros, name="mask")
    other = graph.from_on(2) if both else graph.source("x", "S", dtype=dtype)
    model = propagate_roi(graph.end(graph.wire(op, mask, other)))
    return Seen(model.fact(mask).region, model.fact(other).region)


def test_a_float_product_by_a_mask_hides_nothing_because_of_nan() -> None:
    assert _masked(Mul(), "f32") == Seen(None, None)


def test_one_of_two_known_masks_is_seen_whole() -> None:
    # Where both are false, changing both at once shows.
    seen = _masked(And(), "bool", both=True)
    assert seen.mask is None
    assert str(seen.other) == "(🎯0>=4)"


def test_a_wire_that_masks_itself_is_seen_whole() -> None:
    graph = Graph("S>=0")
    mask = graph.from_on(4)
    model = propagate_roi(graph.end(graph.wire(And(), mask, mask)))
    assert model.fact(mask).region is None


def test_each_branch_of_a_select_is_seen_where_it_is_taken() -> None:
    graph = Graph("S>=0")
    a, b = graph.source("x", "S"), graph.source("b", "S")
    condition = graph.from_on(4)
    model = propagate_roi(graph.end(graph.wire(Select(), condition, a, b)))
    assert model.fact(condition).region is None
    assert str(model.fact(a).region) == "(🎯0>=4)"
    assert str(model.fact(b).region) == "(3>=🎯0)"


def _halves(*assertions: str) -> tuple[Model, Outlet, Outlet]:
    graph = Graph(*assertions)
    x, y = graph.source("x", "(S+1)/2"), graph.source("y", "S/2")
    both = graph.wire(Add(), x, y)
    model = graph.model
    cut = graph.wire(Slice(0, 1, model.fact(both).shape[0]), both)
    return propagate_roi(graph.end(cut)), x, y


def test_dims_that_are_equal_under_an_assertion_keep_the_region() -> None:
    # S/2 # (S+1)/2 has the size of the longer one only when the shorter one is not 0.
    model, x, y = _halves("S>=2")
    assert str(model.fact(x).region) == "(🎯0>=1)"
    assert model.fact(y).region is None


def test_dims_that_may_differ_lose_the_region_and_stay_sound() -> None:
    model, x, y = _halves("S>=0")
    assert model.fact(x).region is None
    assert model.fact(y).region is None


def test_readers_that_see_everything_together_leave_no_region() -> None:
    graph = Graph("S>=6")
    x = graph.source("x", "S")
    parts = [graph.wire(Slice(0, *ends), x) for ends in ((0, 2), (2, 5), (5, S))]
    model = propagate_roi(graph.end(graph.wire(Concat(0), *parts)))
    assert model.fact(x).region is None


def test_a_reader_that_sees_everything_cancels_the_region_of_the_others() -> None:
    graph = Graph("S>=0")
    x = graph.source("x", "S")
    model = propagate_roi(graph.end(graph.wire(Slice(0, 2, S), x), graph.wire(Neg(), x)))
    assert model.fact(x).region is None


def test_what_a_proved_condition_never_takes_is_not_observed() -> None:
    graph = Graph("S>=0")
    x = graph.source("x", "S")
    never = graph.compare(Lt, graph.line(0, 1), 0)
    model = propagate_roi(graph.end(graph.shown(never, x)))
    assert model.fact(x).region == 0
    require_covered(evaluated(model), x)


def test_an_index_is_always_observed_because_it_may_be_out_of_range() -> None:
    graph = Graph("S>=0")
    data, index = graph.source("x", 4), graph.source("i", "S", dtype="i64")
    model = propagate_roi(graph.end(graph.wire(Slice(0, 2, S), graph.wire(Gather(0), data, index))))
    assert model.fact(index).region is None


def test_a_triangle_is_the_region_of_what_it_is_cut_from() -> None:
    graph = Graph("S>=0")
    x = graph.source("x", "S", "S")
    model = propagate_roi(graph.end(graph.wire(Trilu(-1, upper=False), x)))
    assert str(model.fact(x).region) == "(🎯0>=🎯1+1)"


def test_equality_masks_give_equality_regions() -> None:
    graph = Graph("S>=0")
    x = graph.source("x", "S", "S")
    model = propagate_roi(
        graph.end(graph.shown(graph.wire(Eq(), graph.line(0, 2), graph.line(1, 2)), x))
    )
    assert str(model.fact(x).region) == "(🎯0==🎯1)"


# The pass


def _cropped() -> tuple[Model, Outlet]:
    graph = Graph("S>=0")
    x = graph.source("x", "S")
    return graph.end(graph.wire(Slice(0, 2, S), graph.wire(Abs(), x, name="abs"), name="cut")), x


def test_the_pass_leaves_its_input_alone_and_is_quiet_on_a_second_run() -> None:
    model, x = _cropped()
    once = propagate_roi(model)
    assert model.fact(x).region is None
    assert not model.has_regions
    assert str(once.fact(x).region) == "(🎯0>=2)"
    assert [n.outputs for n in propagate_roi(once).order()] != []
    assert str(propagate_roi(once).fact(x).region) == "(🎯0>=2)"


def test_any_edit_forgets_all_regions() -> None:
    model, x = _cropped()
    patched = propagate_roi(model)
    copied = patched.copy()
    node = patched.node_named("abs")
    ModelPatch.replace(patched, node, Neg(), node.inputs).apply()
    assert patched.fact(x).region is None
    assert not patched.has_regions
    assert str(copied.fact(x).region) == "(🎯0>=2)"
    copied.wire("more", Identity(), (x,))
    assert all(fact.region is None for n in copied.nodes.values() for fact in n.outputs)


def test_sub_models_are_annotated_as_if_all_of_their_outputs_showed() -> None:
    body = _cropped()[0]
    graph = Graph("S>=0")
    x = graph.source("x", "S")
    model = propagate_roi(graph.end(graph.wire(Submodel("part", body), x, name="sub")))
    (inner,) = model.node_named("sub").op.bodies()
    assert str(inner.fact(inner.inputs[0]).region) == "(🎯0>=2)"
    assert model.fact(x).region is None


def test_a_pulsed_model_is_refused() -> None:
    graph = Graph()
    model = graph.end(graph.wire(Delay(0, 1, 0), graph.source("x", 4), name="late"))
    with pytest.raises(
        Refused, match=r'propagate_roi: node "late" .Delay.: is a state op'
    ) as found:
        propagate_roi(model)
    assert str(found.value).endswith("propagate regions before pulsify")


def test_only_state_ops_of_pulsed_models_are_refused() -> None:
    cells = {op: INPUT_ROI.lookup(op) for op in INPUT_ROI.keys()}  # noqa: SIM118
    refused = {op.__name__: cell for op, cell in cells.items() if isinstance(cell, Refusal)}
    assert {"Delay", "PulsePad", "RunningSum", "PositionalSlice"} <= refused.keys()
    assert {"Slice", "Conv", "Select"}.isdisjoint(refused)
    assert {cell.remedy for cell in refused.values()} == {"propagate regions before pulsify"}


def test_the_dump_shows_the_region_of_every_wire_that_has_one() -> None:
    printed = run("dump", CASES / "crop-then-pad", "--pass", "roi")
    assert printed.status == 0
    assert "x = Source() {1,1,S,f32} -> 1,1,S,f32 region=(S>=🎯2+5)" in printed.out.splitlines()
    plain = run("dump", CASES / "crop-then-pad", "--pass", "load")
    assert "region=" not in plain.out


@pytest.mark.parametrize("depth", [4, 64])
def test_a_chain_of_windows_keeps_a_region_of_constant_size(depth: int) -> None:
    graph = Graph(f"S>={4 * depth}")
    wire = x = graph.source("x", 1, 1, "S")
    for _ in range(depth):
        wire = conv(graph, wire, windows(3))
    length = graph.model.fact(wire).shape[2]
    model = propagate_roi(graph.end(graph.wire(Slice(2, 5, length), wire)))
    region = model.fact(x).region
    assert str(region) == "(🎯2>=5)"
    assert region is not None
    assert size_of(region) == 3
