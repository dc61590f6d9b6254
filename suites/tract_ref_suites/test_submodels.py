"""Graphs inside a graph: how they are found, bound, checked, dumped and put into the main one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tract_ref import Plan, declutter, load
from tract_ref.dim import sym
from tract_ref.errors import EvalError, InvalidModel, MalformedFile, Refused
from tract_ref.ir.check import check_model
from tract_ref.ir.dump import dump
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref.ir.op import Turn
from tract_ref.nnef.archive import read_archive, write_folder, write_tar
from tract_ref.nnef.writer import model_files
from tract_ref.ops.binary import Add
from tract_ref.ops.norm import ExpUnitNorm
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.slicing import Slice
from tract_ref.ops.submodel import IfThenElse, Submodel
from tract_ref.ops.unary import Abs, Neg
from tract_ref.passes.set_symbols import set_symbols

HEAD = "version 1.0;\nextension tract_registry tract_core;\nextension tract_symbol {symbol};\n"
F32 = np.dtype(np.float32)


def document(symbol: str, inputs: str, outputs: str, *lines: str) -> bytes:
    body = "".join(f"  {line}\n" for line in lines)
    head = HEAD.format(symbol=symbol)
    return f"{head}graph g({inputs}) -> ({outputs}) {{\n{body}}}\n".encode()


MAIN = document(
    "S",
    "x, z",
    "y",
    "x = tract_core_external(shape = [2, S], datum_type = 'f32');",
    "z = tract_core_external(shape = [2, S], datum_type = 'f32');",
    "y = tract_core_submodel([x, z], label = 'net');",
)
# The symbol of the inner graph has another name; what it stands for comes from the wires.
INNER = document(
    "T",
    "a, b",
    "c",
    "a = tract_core_external(shape = [2, T], datum_type = 'f32');",
    "b = tract_core_external(shape = [2, T], datum_type = 'f32');",
    "c = a + b * 2.0;",
)


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    write_folder(folder / "model", files)
    return folder / "model"


def double(name: str = "a", symbol: str = "S") -> Model:
    body = Model()
    a = body.add_source(name, Fact(F32, (2, sym(symbol))))
    body.set_outputs(body.wire("sum", Add(), (a, a)), ["sum"])
    return body


def around(body: Model, *facts: Fact) -> Model:
    model = Model()
    wires = [model.add_source(f"x{i}", fact) for i, fact in enumerate(facts)]
    model.set_outputs(model.wire("net", Submodel("net", body), wires), ["y"])
    return model


X, Z = np.arange(6, dtype="f4").reshape(2, 3), np.ones((2, 3), "f4")


@pytest.mark.parametrize("entry", ["net/graph.nnef", "net.nnef.tar"])
def test_a_submodel_is_found_as_a_folder_or_packed(tmp_path: Path, entry: str) -> None:
    data = INNER if entry.endswith("graph.nnef") else packed({"graph.nnef": INNER})
    model = load(written(tmp_path, {"graph.nnef": MAIN, entry: data}))
    assert model.op_counts() == {"Submodel": 1}
    np.testing.assert_array_equal(Plan(model).run({"x": X, "z": Z})["y"], X + 2)


def test_a_submodel_brings_its_own_tensors(tmp_path: Path) -> None:
    inner = document(
        "S",
        "a",
        "c",
        "a = tract_core_external(shape = [2, S], datum_type = 'f32');",
        "w = variable(label = 'w', shape = [2, 9]);",
        "c = a * slice(w, axes = [1], begin = [0], end = [1]);",
    )
    body = Model()
    w = body.add_const("w", np.arange(18, dtype="f4").reshape(2, 9))
    body.set_outputs([w], ["w"])
    (dat,) = [data for name, data in model_files(body).items() if name.endswith(".dat")]
    main = MAIN.replace(b"[x, z]", b"[x]")
    files = {"graph.nnef": main, "net/graph.nnef": inner, "net/w.dat": dat}
    model = load(written(tmp_path, files))
    found = Plan(model).run({"x": X, "z": Z})["y"]
    np.testing.assert_array_equal(found, X * np.array([[0], [9]], "f4"))


def test_a_submodel_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=r"no sub-model 'net'; add net/graph.nnef"):
        load(written(tmp_path, {"graph.nnef": MAIN}))


def test_the_entries_of_a_submodel_are_checked_like_any_other(tmp_path: Path) -> None:
    files = {"graph.nnef": MAIN, "net/graph.nnef": INNER, "net/graph.quant": b"1"}
    with pytest.raises(Refused, match=r"net/graph.quant: quantisation table"):
        load(written(tmp_path, files))


def test_a_submodel_that_no_call_names_is_not_read(tmp_path: Path) -> None:
    archive = read_archive(written(tmp_path, {"graph.nnef": INNER, "other/graph.nnef": b"?"}))
    assert archive.submodel("elsewhere") is None
    inner = archive.submodel("other")
    assert inner is not None
    assert inner.graph_text() == "?"


def test_two_submodels_of_one_label_are_written_apart(tmp_path: Path) -> None:
    model = Model()
    x = model.add_source("x", Fact(F32, (2, sym("S"))))
    (first,) = model.wire("first", Submodel("net", double()), [x])
    other = double()
    other.set_outputs(other.wire("neg", Neg(), other.outputs), ["neg"])
    model.set_outputs(model.wire("second", Submodel("net", other), [first]), ["y"])
    files = model_files(model)
    assert sorted(files) == ["graph.nnef", "net/graph.nnef", "net_1/graph.nnef"]
    write_tar(tmp_path / "model.tar", files)
    again = load(tmp_path / "model.tar")
    assert model_files(again) == files
    np.testing.assert_array_equal(Plan(again).run({"x": X})["y"], -4 * X)


def test_declutter_puts_the_nodes_of_a_submodel_in_its_place() -> None:
    model = declutter(around(double(symbol="T"), Fact(F32, (2, sym("S")))))
    assert model.op_counts() == {"Add": 1}
    assert [str(fact) for fact in model.nodes[model.outputs[0].node].outputs] == ["2,S,f32"]
    assert model.nodes[model.outputs[0].node].name == "net"


def test_symbols_of_a_body_stand_for_the_dims_of_the_wires() -> None:
    model = around(double(symbol="T"), Fact(F32, (2, sym("S") * 2)))
    assert str(model.fact(model.outputs[0])) == "2,2*S,f32"
    found = Plan(model).run({"x0": np.ones((2, 4), "f4")})["y"]
    np.testing.assert_array_equal(found, np.full((2, 4), 2, "f4"))


def test_other_symbols_of_a_body_are_those_of_the_model_around_it() -> None:
    body = Model()
    a = body.add_source("a", Fact(F32, (1,)))
    body.set_outputs(body.wire("wide", Broadcast((sym("S"),)), [a]), ["wide"])
    model = Model()
    x = model.add_source("x", Fact(F32, (sym("S"),)))
    one = model.add_source("one", Fact(F32, (1,)))
    (wide,) = model.wire("net", Submodel("net", body), [one])
    model.set_outputs(model.wire("y", Add(), [x, wide]), ["y"])
    inputs = {"x": np.arange(5, dtype="f4"), "one": np.ones(1, "f4")}
    np.testing.assert_array_equal(Plan(model).run(inputs)["y"], np.arange(5) + 1)
    fixed = set_symbols(model, {"S": 5})
    assert not any(fact.mentions("S") for node in fixed.order() for fact in node.outputs)
    assert not any(node.op.mentions("S") for node in fixed.node_named("net").op.bodies()[0].order())


@pytest.mark.parametrize(
    "facts", [(Fact(F32, (3, 4)),), (Fact(np.dtype(np.int32), (2, 4)),), (Fact(F32, (2,)),)]
)
def test_wires_that_do_not_fit_a_body_are_an_error(facts: tuple[Fact, ...]) -> None:
    with pytest.raises(InvalidModel, match=r"the input 'a' of a sub-model is 2,S,f32, the wire"):
        around(double(), *facts)


def test_the_number_of_wires_is_that_of_the_inputs() -> None:
    with pytest.raises(InvalidModel, match="2 wires for the 1 inputs of a sub-model"):
        around(double(), *(Fact(F32, (2, 4)),) * 2)


def test_a_body_that_keeps_a_state_is_an_error() -> None:
    body = double()
    start = body.add_const("start", np.zeros(2, "f4"))
    norm = ExpUnitNorm(1, 0.5, 1e-9, 0, False, False)
    body.set_outputs(body.wire("norm", norm, (*body.outputs, start)), ["norm"])
    with pytest.raises(InvalidModel, match=r"keeps a state, in 'norm' \(ExpUnitNorm\)"):
        around(body, Fact(F32, (2, 4)))


def test_set_symbols_reaches_a_body() -> None:
    model = set_symbols(around(double(), Fact(F32, (2, sym("S")))), {"S": 3})
    (body,) = model.node_named("net").op.bodies()
    assert str(body.fact(body.outputs[0])) == "2,3,f32"
    check_model(model)
    np.testing.assert_array_equal(Plan(model).run({"x0": X})["y"], 2 * X)


def test_check_and_dump_reach_a_body() -> None:
    body = double()
    body.set_outputs(body.wire("neg", Neg(), body.outputs), ["neg"])
    model = around(body, Fact(F32, (2, sym("S"))))
    assert "    sum = Add(a, a) -> 2,S,f32" in dump(model).splitlines()
    body.node_named("sum").outputs = (Fact(F32, (3, sym("S"))),)
    with pytest.raises(InvalidModel, match=r'"sum" \(Add\): fact 3,S,f32 is not'):
        check_model(model)


def choice() -> Model:
    then_body, else_body = double(), double()
    else_body.set_outputs(else_body.wire("neg", Neg(), else_body.outputs), ["neg"])
    else_body.set_outputs(else_body.wire("abs", Abs(), else_body.outputs), ["abs"])
    model = Model()
    condition = model.add_source("c", Fact(np.dtype(np.bool_), ()))
    x = model.add_source("x", Fact(F32, (2, sym("S"))))
    op = IfThenElse(then_body, else_body, (0,), (0,))
    model.set_outputs(model.wire("if", op, [condition, x]), ["y"])
    return model


def test_declutter_reaches_the_bodies_of_a_choice() -> None:
    model = choice()
    (node,) = [node for node in model.nodes.values() if isinstance(node.op, IfThenElse)]
    assert isinstance(node.op, IfThenElse)
    twice = node.op.then_body
    twice.set_outputs(twice.wire("inner", Submodel("inner", double()), twice.outputs), ["inner"])
    simple = declutter(model)
    body = simple.node_named("if").op.bodies()[0]
    assert body.op_counts() == {"Add": 2}
    assert dump(declutter(simple)) == dump(simple)
    assert twice.op_counts() == {"Add": 1, "Submodel": 1}


def test_a_choice_runs_one_body_only() -> None:
    model = choice()
    op = model.node_named("if").op
    assert isinstance(op, IfThenElse)
    # A slice past the end of a table is an error as soon as it runs.
    body = op.else_body
    body.set_outputs(body.wire("cut", Slice(1, 0, 9, exact=True), body.outputs), ["cut"])
    turn = Turn({"S": 3})
    np.testing.assert_array_equal(op.eval(turn, (np.array(True), X))[0], 2 * X)
    with pytest.raises(EvalError, match="which has 3 positions"):
        op.eval(turn, (np.array(False), X))


def test_a_choice_by_a_constant_is_the_body_chosen() -> None:
    model = choice()
    condition = model.add_const("yes", np.array(True))
    node = model.node_named("if")
    model.relink(node, (condition, node.inputs[1]))
    assert declutter(model).op_counts() == {"Add": 1}
