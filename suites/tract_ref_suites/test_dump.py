"""The text of a model: wires on both sides, and all that is known of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tract_ref.dim import Scope, parse_dim, sym
from tract_ref.ir.dump import dump, fact_text
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.per_element import PerElement, coordinate
from tract_ref.ops.unary import Neg
from tract_ref_suites.command_line import CASES, HEAD, nnef, run
from tract_ref_suites.onnx_graphs import model_of, node, output, value

FACT = Fact(np.dtype(np.float32), (2, sym("S")))


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (FACT, "2,S,f32"),
        (replace(FACT, uniform=np.float32(0.5).reshape(())), "2,S,f32 value=0.5"),
        (replace(FACT, per_element=PerElement(coordinate(1) + 3)), "2,S,f32 value=🎯1+3"),
        (replace(FACT, per_element=PerElement(coordinate(1), 4)), "2,S,f32 value=(🎯1) / 4.0"),
        (replace(FACT, region=parse_dim("(🎯0>=1)")), "2,S,f32 region=(🎯0>=1)"),
        (
            replace(FACT, per_element=PerElement(coordinate(0)), region=parse_dim("(🎯1==0)")),
            "2,S,f32 value=🎯0 region=(🎯1==0)",
        ),
        (Fact.of(np.ones(2, np.float32)), "2,f32"),
    ],
)
def test_a_fact_says_what_is_known_of_its_elements(fact: Fact, text: str) -> None:
    assert fact_text(fact) == text


def annotated() -> Model:
    model = Model(Scope(["S>=1"], {"few": ["S==1"], "many": ["S>=9"]}))
    x = model.add_source("x", FACT)
    (y,) = model.wire("node of y", Neg(), (x,))
    model.label(y, "y")
    region = parse_dim("(🎯1>=2)")
    made = model.node_named("node of y")
    made.outputs = (replace(made.outputs[0], per_element=PerElement(sym("S")), region=region),)
    model.set_outputs([y], ["out"])
    return model


def test_a_model_says_what_is_known_of_symbols_and_elements() -> None:
    assert dump(annotated()).splitlines() == [
        "assert S >= 1",
        "assert few: S == 1",
        "assert many: S >= 9",
        "x = Source() {2,S,f32} -> 2,S,f32",
        "y = Neg(x) -> 2,S,f32 value=S region=(🎯1>=2)",
        "output out = y",
    ]


def test_notes_and_provenance_stand_at_the_end() -> None:
    model = annotated()
    text = dump(model, notes={model.outputs[0]: "delay=3"}, provenance=True)
    line = next(line for line in text.splitlines() if line.startswith("y = "))
    assert line == "y = Neg(x) -> 2,S,f32 value=S region=(🎯1>=2)  [delay=3]  from node of y"


def two_relus() -> onnx.ModelProto:
    nodes = [
        node("Relu", ["x"], ["middle"], name="first"),
        node("Tanh", ["middle"], ["y"], name="second"),
    ]
    return model_of(nodes, [value("x", 1, "S")], [output("y")])


def test_both_sides_of_a_line_name_wires(tmp_path: Path) -> None:
    onnx.save(two_relus(), tmp_path / "m.onnx")
    lines = run("dump", tmp_path / "m.onnx").out.splitlines()
    made = [line.partition(" = ")[0] for line in lines if not line.startswith("output")]
    assert "middle" in made
    assert "y" in made
    read = {name for line in lines if "(" in line for name in inputs_of(line)}
    assert read <= set(made)
    assert lines[-1] == "output y = y"
    report = run("dump", tmp_path / "m.onnx", "--json").json
    wires = {wire for entry in report["nodes"] for wire in entry["wires"]}
    assert {name for entry in report["nodes"] for name in entry["inputs"]} <= wires
    assert "middle" in wires
    assert {entry["name"] for entry in report["nodes"]} >= {"first", "second"}


def inputs_of(line: str) -> list[str]:
    inside = line.partition("(")[2].partition(")")[0]
    return [name for name in inside.split(", ") if name]


def test_json_holds_what_the_text_holds(tmp_path: Path) -> None:
    head = HEAD.replace(
        "graph", "extension tract_assert S >= 1;\nextension tract_assert a: S >= 2;\ngraph"
    )
    body = "x = tract_core_external(shape = [S], datum_type = 'f32'); y = tanh(x);"
    report = run("dump", nnef(tmp_path / "m", body, head=head), "--json").json
    assert report["schema"] == "tract-ref.dump/1"
    assert report["assertions"] == ["S >= 1"]
    assert report["scenarios"] == {"a": ["S >= 2"]}
    assert report["nodes"][1] == {
        "name": "y",
        "wires": ["y"],
        "op": "Tanh",
        "attributes": "",
        "inputs": ["x"],
        "facts": ["S,f32"],
    }
    plain = run("dump", nnef(tmp_path / "n", body), "--json").json
    assert sorted(plain) == ["inputs", "nodes", "outputs", "schema"]


def test_a_node_with_several_wires_names_them_all(tmp_path: Path) -> None:
    body = """x = tract_core_external(shape = [4, S], datum_type = 'f32');
[y, z] = split(x, axis = 0, ratios = [1, 1]);
a = y + z;"""
    head = HEAD.replace("-> (y)", "-> (a)")
    text = run("dump", nnef(tmp_path / "m", body, head=head)).out
    assert "a = Add(y, z) -> 2,S,f32" in text
    model = Model()
    x = model.add_source("x", FACT)
    model.set_outputs([x], ["y"])
    model.label(Outlet(x.node), "seen")
    assert dump(model).startswith("seen = Source() ")


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["--counts", "--provenance"], "--counts and --provenance do not go together"),
        (
            ["--pass", "declutter", "--rewrites", "--provenance"],
            "--rewrites and --provenance do not go together",
        ),
        (["--pulse", "7"], "--pulse and --pass load do not go together"),
        (["--pass", "roi", "--pulse", "7"], "--pulse and --pass roi do not go together"),
    ],
)
def test_options_that_say_nothing_together_are_bad_input(words: list[str], seen: str) -> None:
    ran = run("dump", CASES / "conv-valid", *words)
    assert ran.status == 3
    assert ran.out == ""
    assert seen in ran.err


LONG = HEAD.replace("graph", "extension tract_assert S >= 183;\ngraph")
POOL = """x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');
y = max_pool(x, size = [1, 1, 3], padding = [(0, 0), (0, 0), (0, 0)], border = 'ignore');"""
LATE = """x = tract_core_external(shape = [S], datum_type = 'f32');
y = slice(x, axes = [0], begin = [2], end = [0]);"""


def test_shapes_are_printed_in_their_shortest_form_under_the_assertions(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", LATE, head=LONG)
    assert run("dump", model).out.splitlines()[2].endswith(" -> S+-2,f32")
    assert run("dump", model, "--json").json["nodes"][1]["facts"] == ["S+-2,f32"]
    pulsed = run("dump", model, "--pass", "pulse", "--pulse", "4").out
    assert "length=S+-2 " in pulsed
    plain = run("dump", nnef(tmp_path / "n", LATE)).out
    assert plain.splitlines()[1].endswith(" -> max(0,S+-2),f32")


def test_what_tells_models_apart_prints_facts_as_they_are() -> None:
    model = Model(Scope(["S>=183"]))
    x = model.add_source("x", Fact(np.dtype(np.float32), (parse_dim("max(0,S-2)"),)))
    model.set_outputs([x], ["y"])
    assert dump(model).splitlines()[1].endswith(" -> max(0,S+-2),f32")
    assert dump(model, simplified=True).splitlines()[1].endswith(" -> S+-2,f32")


def test_shapes_of_turns_of_any_size_are_simplified_for_turns_of_one_frame_or_more(
    tmp_path: Path,
) -> None:
    model = nnef(tmp_path / "m", POOL)
    lines = run("dump", model, "--pass", "pulse", "--pulse", "P").out.splitlines()
    assert lines[0] == "assert P >= 1"
    assert lines[-2].startswith("y = MaxPool(")
    # Where nothing is known of P, a pool gives max(0,P) frames.
    assert " -> 1,1,P,f32  [" in lines[-2]


def test_regions_are_those_of_the_decluttered_graph(tmp_path: Path) -> None:
    body = """x = tract_core_external(shape = [S], datum_type = 'f32');
a = x + 0.0;
y = slice(copy(a), axes = [0], begin = [2], end = [0]);"""
    model = nnef(tmp_path / "m", body)
    decluttered = run("dump", model, "--pass", "declutter", "--counts").out
    assert run("dump", model, "--pass", "roi", "--counts").out == decluttered
    assert run("dump", model, "--counts").out != decluttered
    assert " region=(🎯0>=2)" in run("dump", model, "--pass", "roi").out
    assert "roi runs on what declutter returns" in " ".join(run("dump", "--help").out.split())
