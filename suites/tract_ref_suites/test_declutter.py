"""Declutter counts what it does: quiet when there is nothing to do, linear in the depth."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tract_ref import declutter, load
from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import EvalError, TractRefError
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Const, Model, Outlet, Source
from tract_ref.ops.axes import AddAxis, RmAxis
from tract_ref.ops.binary import Add
from tract_ref.ops.conv import Conv
from tract_ref.ops.gather import Gather
from tract_ref.ops.padding import Pad
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.ops.structure import Identity
from tract_ref.ops.unary import Neg
from tract_ref.passes.declutter import Rewrites
from tract_ref_suites.cases import case_folders, load_case
from tract_ref_suites.command_line import CASES, run
from tract_ref_suites.strategies.windows import Along, window_spec

FOLDED_BYTES = 4 << 20


def counted(model: Model) -> tuple[Model, Rewrites]:
    record = Rewrites()
    return declutter(model, record=record), record


# A second run


def readable_cases() -> list[Path]:
    """Return the case folders whose model can be read, on the reference's word in the case."""
    folders = []
    for folder in case_folders():
        kinds = {assertion.kind for assertion in load_case(folder).asserts}
        if not kinds & {"refuses", "invalid"}:
            folders.append(folder)
    assert folders, "no case folder can be read"
    return folders


@pytest.mark.parametrize("folder", readable_cases(), ids=lambda folder: folder.name)
def test_a_second_run_rewrites_nothing(folder: Path) -> None:
    once, _ = counted(load(load_case(folder).model_path))
    _, again = counted(once)
    assert again == Rewrites(Counter(), again.visits)
    computed = [n for n in once.order() if not isinstance(n.op, Source | Const)]
    # Every node that computes is looked at once, and that is all.
    assert again.visits == len(computed)


# Growth


def deep(layers: int) -> Model:
    """Return a chain in which every layer has something for seven rewrites, over shared wires."""
    model = Model()
    x = wire = model.add_source("x", Fact(np.dtype(np.float32), (1, 2, sym("S"))))
    one = model.add_const("one", np.ones((1, 2, 1), np.float32))
    three, point = (window_spec((Along(k),)) for k in (3, 1))
    for i in range(layers):
        kernel = model.add_const(f"k{i}", np.full((2, 2, 3), i + 1, np.float32))
        matrix = model.add_const(f"p{i}", np.full((2, 2, 1), i + 1, np.float32))
        (a,) = model.wire(f"pad{i}", Pad(((0, 0), (0, 0), (2, 0)), "constant", 0.0), (wire,))
        (a,) = model.wire(f"conv{i}", Conv(three, 1), (a, kernel))
        (a,) = model.wire(f"point{i}", Conv(point, 1), (a, matrix))
        (a,) = model.wire(f"down{i}", RmAxis(0), model.wire(f"up{i}", AddAxis(0), (a,)))
        (a,) = model.wire(f"bias{i}", Add(), (a, one))
        twins = [model.wire(f"{name}{i}", Neg(), (a,))[0] for name in ("neg", "twin")]
        (wire,) = model.wire(f"sum{i}", Add(), twins)
        (copy,) = model.wire(f"copy{i}", Identity(), (x,))
        (wire,) = model.wire(f"skip{i}", Add(), (wire, copy))
    model.set_outputs([wire], ["y"])
    return model


def test_every_rule_fires_once_per_layer() -> None:
    simple, record = counted(deep(10))
    assert record.fired == {
        "declutter_padding": 10,
        "declutter_conv_to_einsum": 10,
        "declutter_undone": 10,
        "declutter_identity": 10,
        "merge_siblings": 10,
    }
    assert record.total == 50
    assert simple.op_counts() == {"Add": 30, "Conv": 10, "EinSum": 10, "Neg": 10}


def test_visits_grow_with_the_depth_and_no_faster() -> None:
    visits = [counted(deep(layers))[1].visits for layers in (100, 200, 400)]
    nodes = len(deep(100).nodes)
    assert visits[2] - visits[1] == 2 * (visits[1] - visits[0])
    assert visits[0] <= 2 * nodes


def test_records_add_up() -> None:
    record = Rewrites()
    declutter(deep(1), record=record)
    declutter(deep(1), record=record)
    assert record.fired["declutter_identity"] == 2
    total = Rewrites()
    total.add(record)
    assert total == record
    assert total.fired is not record.fired


def test_the_model_that_is_given_stays_as_it_was() -> None:
    model = deep(2)
    before = [(n.name, n.op, n.inputs, n.origin) for n in model.nodes.values()]
    declutter(model)
    assert [(n.name, n.op, n.inputs, n.origin) for n in model.nodes.values()] == before


# Constants


def consts(model: Model) -> list[Array]:
    return [node.op.tensor for node in model.order() if isinstance(node.op, Const)]


def repeated(op: Tile | Broadcast, shape: tuple[int, ...]) -> Model:
    model = Model()
    small = model.add_const("small", np.ones(shape, np.uint8))
    model.set_outputs(model.wire("y", op, (small,)), ["y"])
    return model


@pytest.mark.parametrize(
    ("op", "shape"),
    [(Tile((FOLDED_BYTES,)), (1,)), (Broadcast((FOLDED_BYTES // 4, 4)), (1, 4))],
    ids=["Tile", "Broadcast"],
)
def test_a_constant_is_repeated_up_to_the_bound(op: Tile | Broadcast, shape: tuple[int]) -> None:
    at, record = counted(repeated(op, shape))
    assert record.fired == {"fold_constants": 1}
    assert [tensor.nbytes for tensor in consts(at)] == [FOLDED_BYTES]


@pytest.mark.parametrize(
    ("op", "shape"),
    [(Tile((FOLDED_BYTES + 1,)), (1,)), (Broadcast((FOLDED_BYTES // 4 + 1, 4)), (1, 4))],
    ids=["Tile", "Broadcast"],
)
def test_a_constant_is_not_repeated_past_the_bound(op: Tile | Broadcast, shape: tuple[int]) -> None:
    past, record = counted(repeated(op, shape))
    assert record.total == 0
    assert [tensor.nbytes for tensor in consts(past)] == [np.prod(shape)]
    assert past.op_counts() == {op.name: 1}


def test_a_large_constant_may_become_one_of_its_size() -> None:
    model = Model()
    large = model.add_const("large", np.ones(FOLDED_BYTES + 8, np.uint8))
    model.set_outputs(model.wire("y", Add(), (large, large)), ["y"])
    simple, record = counted(model)
    assert record.fired == {"fold_constants": 1}
    assert [tensor.nbytes for tensor in consts(simple)] == [FOLDED_BYTES + 8]


def test_a_chain_of_constants_keeps_no_link() -> None:
    model = Model()
    links, nbytes = 40, 1 << 20
    wire = model.add_const("c", np.zeros(nbytes, np.uint8))
    for i in range(links):
        (wire,) = model.wire(f"add{i}", Add(), (wire, wire))
    model.set_outputs([wire], ["y"])
    tracemalloc.start()
    simple, record = counted(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.fired == {"fold_constants": links}
    assert len(simple.nodes) == 1
    assert peak < links * nbytes // 4


def test_folding_names_the_node_whose_data_are_wrong() -> None:
    model = Model()
    table = model.add_const("table", np.arange(3, dtype=np.float32))
    index = model.add_const("index", np.array([3], np.int64))
    model.set_outputs(model.wire("pick", Gather(0), (table, index)), ["y"])
    with pytest.raises(TractRefError) as caught:
        declutter(model)
    assert isinstance(caught.value, EvalError)
    assert (caught.value.stage, caught.value.node, caught.value.op) == (
        "declutter",
        "pick",
        "Gather",
    )


# Siblings


def test_equal_constants_are_one() -> None:
    model = Model()
    x = model.add_source("x", Fact(np.dtype(np.float32), (sym("S"),)))
    wires = []
    for i in range(3):
        bias = model.add_const(f"b{i}", np.full(1, 2.0 if i < 2 else 3.0, np.float32))
        wires += model.wire(f"add{i}", Add(), (x, bias))
    model.set_outputs(wires, ["a", "b", "c"])
    simple, record = counted(model)
    # The second constant, then the second Add, which reads the same now.
    assert record.fired == {"merge_siblings": 2}
    assert [float(tensor[0]) for tensor in consts(simple)] == [2.0, 3.0]
    assert simple.outputs[0] == simple.outputs[1] != simple.outputs[2]


@pytest.mark.parametrize("other", [-0.0, np.nan], ids=str)
def test_constants_of_other_bits_stay_apart(other: float) -> None:
    model = Model()
    wires = [
        model.add_const(f"c{i}", np.full(1, v, np.float32)) for i, v in enumerate((0.0, other))
    ]
    model.set_outputs(wires, ["a", "b"])
    simple, record = counted(model)
    assert record.total == 0
    assert len(consts(simple)) == 2


def test_equal_branches_are_shared_to_their_ends() -> None:
    model = Model()
    x = model.add_source("x", Fact(np.dtype(np.float32), (1, 2, sym("S"))))
    ends = []
    for branch in range(4):
        wire = x
        for i in range(5):
            bias = model.add_const(f"b{branch}.{i}", np.full((1, 1, 1), i + 1.0, np.float32))
            (wire,) = model.wire(f"add{branch}.{i}", Add(), (wire, bias))
        ends.append(wire)
    model.set_outputs(ends, ["a", "b", "c", "d"])
    simple, record = counted(model)
    assert record.fired == {"merge_siblings": 3 * 10}
    assert simple.op_counts() == {"Add": 5}
    assert set(simple.outputs) == {Outlet(simple.node_named("add0.4").id)}


# The command


def test_dump_prints_the_rewrites() -> None:
    ran = run("dump", CASES / "wavenet-hey-snips", "--pass", "declutter", "--rewrites")
    assert (ran.status, ran.err) == (0, "")
    found = dict(line.split() for line in ran.out.splitlines())
    assert found["declutter_conv_to_einsum"] == "49"
    assert list(found)[-1] == "visits"
    words = ("--pass", "declutter", "--rewrites", "--json")
    report = run("dump", CASES / "wavenet-hey-snips", *words).json
    assert report == {
        "schema": "tract-ref.dump-rewrites/1",
        "rewrites": {name: int(n) for name, n in found.items() if name != "visits"},
        "visits": int(found["visits"]),
    }


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["--rewrites"], "--rewrites counts what declutter does: add --pass declutter"),
        (["--rewrites", "--pass", "pulse"], "add --pass declutter"),
        (["--rewrites", "--counts", "--pass", "declutter"], "choose one"),
    ],
)
def test_rewrites_are_those_of_declutter(words: list[str], seen: str) -> None:
    ran = run("dump", CASES / "conv-valid", *words)
    assert ran.status == 3
    assert seen in ran.err
