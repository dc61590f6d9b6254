"""Provenance: every node of a transformed model says which nodes of the document it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tract_ref import declutter, load, pulsify, set_symbols
from tract_ref.dim import sym
from tract_ref.errors import Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import MORE, MOST_ORIGINS, Model, Outlet, joined
from tract_ref.ir.patch import ModelPatch
from tract_ref.ops.binary import Add
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.ops.unary import Abs, Neg
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref_suites.cases import case_folders, load_case
from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run
from tract_ref_suites.strategies.windows import Along, window_spec

STREAM = Fact(np.dtype(np.float32), (1, 1, sym("S")))


def chain(*names: str) -> Model:
    """Return Neg after Neg over one input, called by these names."""
    model = Model()
    wire = model.add_source("x", STREAM)
    for name in names:
        (wire,) = model.wire(name, Neg(), (wire,))
    model.set_outputs([wire], ["y"])
    return model


def origins(model: Model) -> dict[str, tuple[str, ...]]:
    return {node.name: node.origin for node in model.order()}


def test_a_node_of_the_document_comes_from_itself() -> None:
    assert origins(chain("a", "b")) == {"x": ("x",), "a": ("a",), "b": ("b",)}


def test_a_replacement_comes_from_what_it_replaces() -> None:
    model = chain("a", "b")
    node = model.node_named("a")
    ModelPatch.replace(model, node, Abs(), node.inputs).apply()
    assert origins(model) == {"x": ("x",), "a": ("a",), "b": ("b",)}


def test_all_staged_nodes_come_from_all_that_is_replaced() -> None:
    model = chain("a", "b", "c")
    patch = ModelPatch(model)
    (first,) = patch.wire("new", Abs(), model.node_named("a").inputs)
    (second,) = patch.wire("newer", Abs(), (first,))
    patch.shunt(Outlet(model.node_named("b").id), second)
    patch.apply()
    # `a` is gone with `b`: only `b` read it.
    found = origins(model)
    assert found == {"x": ("x",), "new": ("b", "a"), "b": ("b", "a"), "c": ("c",)}


def test_what_others_still_read_is_no_origin() -> None:
    model = chain("a", "b")
    (other,) = model.wire("other", Abs(), (Outlet(model.node_named("a").id),))
    model.set_outputs([*model.outputs, other], ["y", "z"])
    patch = ModelPatch(model)
    (new,) = patch.wire("new", Abs(), model.node_named("a").inputs)
    patch.shunt(Outlet(model.node_named("b").id), new)
    patch.apply()
    assert origins(model)["b"] == ("b",)


def test_origins_survive_another_patch() -> None:
    model = chain("a", "b")
    for _ in range(2):
        patch = ModelPatch(model)
        (new,) = patch.wire("new", Abs(), (model.inputs[0],))
        patch.shunt(model.outputs[0], new)
        patch.apply()
    assert origins(model) == {"x": ("x",), "b": ("b", "a")}


@pytest.mark.parametrize("count", [MOST_ORIGINS, MOST_ORIGINS + 1])
def test_origins_are_bounded(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    expected = (*names[:MOST_ORIGINS], *([MORE] if count > MOST_ORIGINS else []))
    assert joined((name,) for name in names) == expected
    assert joined([expected, expected]) == expected
    assert joined([("a", MORE), ("b",)]) == ("a", "b", MORE)
    model = chain(*names)
    patch = ModelPatch(model)
    (new,) = patch.wire("new", Abs(), (model.inputs[0],))
    patch.shunt(model.outputs[0], new)
    patch.apply()
    reversed_names = tuple(reversed(names))
    more = (MORE,) if count > MOST_ORIGINS else ()
    assert origins(model)[names[-1]] == (*reversed_names[:MOST_ORIGINS], *more)


def test_merged_siblings_come_from_both() -> None:
    model = Model()
    x = model.add_source("x", STREAM)
    twins = [model.wire(name, Neg(), (x,))[0] for name in ("a", "b", "c")]
    (total,) = model.wire("sum", Add(), (twins[0], twins[1]))
    model.set_outputs(model.wire("all", Add(), (total, twins[2])), ["y"])
    assert origins(declutter(model)) == {
        "x": ("x",),
        "a": ("a", "b", "c"),
        "sum": ("sum",),
        "all": ("all",),
    }
    assert origins(model)["a"] == ("a",)


def padded_conv() -> Model:
    model = Model()
    x = model.add_source("x", STREAM)
    kernel = model.add_const("w", np.ones((1, 1, 3), np.float32))
    (pad,) = model.wire("pad", Pad(((0, 0), (0, 0), (2, 0)), "constant", 0.0), (x,))
    (conv,) = model.wire("conv", Conv(window_spec((Along(3),)), 1), (pad, kernel))
    model.set_outputs([conv], ["y"])
    return model


@pytest.mark.parametrize("run_pass", [declutter, before_pulsify])
def test_an_op_that_takes_another_one_in_comes_from_both(
    run_pass: Callable[[Model], Model],
) -> None:
    found = origins(run_pass(padded_conv()))
    assert found == {"x": ("x",), "w": ("w",), "conv": ("conv", "pad")}


def test_a_folded_constant_comes_from_what_computed_it() -> None:
    model = Model()
    x = model.add_source("x", STREAM)
    one = model.add_const("one", np.ones((1, 1, 1), np.float32))
    (negated,) = model.wire("neg", Neg(), (one,))
    (two,) = model.wire("two", Add(), (negated, negated))
    model.set_outputs(model.wire("y", Add(), (x, two)), ["y"])
    assert origins(declutter(model)) == {"x": ("x",), "two": ("two",), "y": ("y",)}


def test_a_delay_comes_from_the_node_that_needed_it() -> None:
    pulsed = pulsify(padded_conv(), 4).model
    found = {node.op.name: node.origin for node in pulsed.order()}
    assert found["Delay"] == found["Conv"] == ("conv", "pad")


def test_a_shared_delay_comes_from_all_that_needed_it() -> None:
    model = Model()
    x = model.add_source("x", STREAM)
    convs = []
    for name in ("left", "right"):
        kernel = model.add_const(f"{name}.w", np.full((1, 1, 3), len(name), np.float32))
        convs += model.wire(name, Conv(window_spec((Along(3),)), 1), (x, kernel))
    model.set_outputs(model.wire("sum", Add(), convs), ["y"])
    pulsed = pulsify(model, 4).model
    (delay,) = [node for node in pulsed.order() if node.op.name == "Delay"]
    assert delay.origin == ("left", "right")


def test_set_symbols_keeps_where_nodes_come_from() -> None:
    model = declutter(padded_conv())
    made = set_symbols(model, {"S": sym("T") + 3})
    assert origins(made) == origins(model)
    assert origins(model.copy()) == origins(model)


def document_names(model: Model) -> Iterator[str]:
    for node in model.order():
        yield node.name


def streamed_cases() -> list[Path]:
    """Return the case folders that stream, on the word of their `case.toml`."""
    kinds = {folder: {a.kind for a in load_case(folder).asserts} for folder in case_folders()}
    found = [f for f, k in kinds.items() if "stream" in k and not k & {"refuses", "invalid"}]
    assert found, "no case folder streams"
    return found


@pytest.mark.parametrize("folder", streamed_cases(), ids=lambda folder: folder.name)
def test_every_node_of_a_pulsified_case_comes_from_the_document(folder: Path) -> None:
    case = load_case(folder)
    model, stream = load(case.model_path), case.stream
    assert stream is not None
    try:
        pulsed = pulsify(model, (stream.pulses or (8,))[0], symbol=stream.symbol).model
    except Refused:
        # What the reference declines is judged by the case itself.
        pulsed = declutter(model)
    known = {*document_names(model), MORE}
    for node in pulsed.order():
        assert node.origin
        assert set(node.origin) <= known, f"{node.name} comes from {node.origin}"
        assert len(node.origin) == len(set(node.origin)) <= MOST_ORIGINS + 1


# What the user sees


def test_dump_shows_provenance(tmp_path: Path) -> None:
    body = f"""{X}
w = [[[1.0, 2.0, 3.0]]];
p = pad(x, padding = [(0, 0), (0, 0), (2, 0)], border = 'constant', value = 0.0);
y = conv(p, w, 0.0, padding = [(0, 0)], border = 'constant');"""
    model = nnef(tmp_path / "m", body)
    ran = run("dump", model, "--pass", "declutter", "--provenance")
    (conv,) = [line for line in ran.out.splitlines() if line.startswith("y = Conv")]
    assert conv.endswith("f32  from y, p")
    plain = run("dump", model, "--pass", "declutter").out
    assert "from" not in plain
    words = ("--pass", "declutter", "--json")
    report = run("dump", model, *words, "--provenance").json
    assert report["schema"] == "tract-ref.dump/1"
    assert {n["name"]: n["origin"] for n in report["nodes"]}["y"] == ["y", "p"]
    assert all("origin" not in node for node in run("dump", model, *words).json["nodes"])


def test_a_message_about_a_transformed_model_names_the_wire_of_the_document() -> None:
    ran = run("dump", CASES / "conv-valid", "--pass", "pulse", "--provenance")
    assert "y = Conv(" in ran.out
    assert "from y" in ran.out


def test_a_refusal_names_the_node_of_the_document(tmp_path: Path) -> None:
    body = f"{X}\na = copy(x);\ny = softmax(a, axes = [2]);"
    ran = run("dump", nnef(tmp_path / "m", body, head=HEAD), "--pass", "pulse")
    assert ran.status == 2
    assert 'node "y" (Softmax)' in ran.err
