"""The ONNX importer: files, graphs, attributes and dims of inputs; no operator family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tract_ref.approx import Array
from tract_ref.dim import parse_dim
from tract_ref.errors import InvalidModel, MalformedFile, Refused, TractRefError
from tract_ref.ir.model import Model
from tract_ref.onnx_io.importer import read_onnx
from tract_ref.onnx_io.table import ONNX
from tract_ref_suites.onnx_graphs import (
    F32,
    I64,
    floats,
    identity,
    ints,
    model_of,
    node,
    output,
    value,
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[onnx.ModelProto], Model]:
    def read(proto: onnx.ModelProto) -> Model:
        path = tmp_path / "m.onnx"
        path.write_bytes(proto.SerializeToString())
        return read_onnx(path)

    return read


Load = Callable[[onnx.ModelProto], Model]

# Files


def test_a_missing_file_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=r"none\.onnx: read: cannot be read: No such file"):
        read_onnx(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"", b"hello, world", b"\x08\x08", bytes(range(256))])
def test_what_is_not_a_model_is_malformed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match=r"bad\.onnx: read: this is not an ONNX model"):
        read_onnx(path)


def test_a_truncated_file_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    whole = identity(2).SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedFile, match="this is not an ONNX model"):
        read_onnx(path)


def test_a_broken_byte_never_escapes_as_another_error(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1, 1]), node("Shape", ["c"], ["s"])]
    proto = model_of(
        nodes,
        [value("x", 1, 2, "T")],
        [output("c"), output("s", dtype=I64)],
        [floats("w", 2, 2, 3)],
    )
    whole = proto.SerializeToString()
    path = tmp_path / "m.onnx"
    refused = 0
    for place in range(len(whole)):
        for bit in (1, 128):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                read_onnx(path)
            except TractRefError:
                refused += 1
    assert refused > len(whole) // 4


@pytest.mark.parametrize(
    ("opsets", "words"),
    [
        ([], "read: the model imports no opset of the default domain; export it with opset 9"),
        ([("", 8)], "read: opset 8; opsets 9 to"),
        ([("", 100)], "read: opset 100; opsets 9 to"),
        ([("com.example", 1)], "read: the model imports no opset"),
    ],
)
def test_opsets_that_are_not_read_are_refused(
    load: Load, opsets: list[tuple[str, int]], words: str
) -> None:
    proto = identity(2)
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(domain, v) for domain, v in opsets)
    with pytest.raises(Refused, match=words):
        load(proto)


# Operators and attributes


@pytest.mark.parametrize(
    ("operator", "domain", "words"),
    [
        ("Frobnicate", "", "operator 'Frobnicate' of the domain 'ai.onnx', opset 17, is not read"),
        ("Add", "com.example", "operator 'Add' of the domain 'com.example', opset 3, is not read"),
        ("Loop", "", "operator 'Loop' of the domain 'ai.onnx', opset 17, is not read"),
    ],
)
def test_unknown_operators_are_refused(load: Load, operator: str, domain: str, words: str) -> None:
    nodes = [node(operator, ["x"], ["y"], name="odd", domain=domain)]
    proto = model_of(nodes, [value("x", 2)], [output("y")])
    proto.opset_import.append(helper.make_opsetid("com.example", 3))
    with pytest.raises(Refused, match=rf'read: node "odd" \({operator}\): {words}; export'):
        load(proto)


def test_functions_of_the_model_are_refused(load: Load) -> None:
    proto = identity(2)
    body = helper.make_function("", "Identity", ["x"], ["y"], [], [helper.make_opsetid("", 17)], [])
    proto.functions.append(body)
    with pytest.raises(Refused, match="is a function of the model; inline the functions"):
        load(proto)


def test_an_attribute_of_the_wrong_type_is_malformed(load: Load) -> None:
    nodes = [node("Transpose", ["x"], ["y"], name="t", perm="10")]
    words = r'node "t" \(Transpose\): the attribute \'perm\' is STRING; it must be INTS'
    with pytest.raises(MalformedFile, match=words):
        load(model_of(nodes, [value("x", 2, 3)], [output("y")]))


def test_an_attribute_given_twice_is_malformed(load: Load) -> None:
    twice = node("Transpose", ["x"], ["y"], name="t", perm=[1, 0])
    twice.attribute.append(twice.attribute[0])
    with pytest.raises(
        MalformedFile, match=r'node "t" \(Transpose\): the attribute \'perm\' is given twice'
    ):
        load(model_of([twice], [value("x", 2, 3)], [output("y")]))


def test_an_attribute_that_no_rule_reads_is_refused(load: Load) -> None:
    nodes = [node("Identity", ["x"], ["y"], name="id", speed=3)]
    words = r'read: node "id" \(Identity\): the attribute \'speed\'=3 is not supported'
    with pytest.raises(Refused, match=words):
        load(model_of(nodes, [value("x", 2)], [output("y")]))


@pytest.mark.parametrize(("ratio", "accepted"), [(0.5, True), (0.25, False)])
def test_an_unread_attribute_may_hold_its_default(load: Load, ratio: float, accepted: bool) -> None:
    proto = model_of(
        [node("Dropout", ["x"], ["y"], ratio=ratio)], [value("x", 2)], [output("y")], opset=11
    )
    if accepted:
        assert load(proto).output_names == ["y"]
    else:
        with pytest.raises(Refused, match=r"the attribute 'ratio'=0\.25 is not supported"):
            load(proto)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (["x", "x", "x"], ["y"], "it has 3 inputs; the operator has 2"),
        (["x"], ["y"], "it has 1 inputs; the operator has 2"),
        (["x", "x"], ["y", "z"], "it has 2 outputs; the operator has 1"),
    ],
)
def test_surplus_and_missing_inputs_and_outputs_are_malformed(
    load: Load, inputs: list[str], outputs: list[str], words: str
) -> None:
    nodes = [node("Add", inputs, outputs, name="add")]
    with pytest.raises(MalformedFile, match=rf'node "add" \(Add\): {words}'):
        load(model_of(nodes, [value("x", 2)], [output("y")]))


def test_an_output_that_no_rule_provides_is_refused(load: Load) -> None:
    proto = model_of([node("Dropout", ["x"], ["y", "z"], name="d")], [value("x", 2)], [output("y")])
    words = r'read: node "d" \(Dropout\): the output 1, \'z\', is not provided'
    one = ONNX.replaced("Dropout", lambda call: (call.input(0),))
    with one, pytest.raises(Refused, match=words):
        load(proto)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value": ints("v", 4, 5)}, np.array([4, 5], np.int64)),
        ({"value_int": 4}, np.array(4, np.int64)),
        ({"value_ints": [4, 5]}, np.array([4, 5], np.int64)),
        ({"value_float": 0.5}, np.array(0.5, np.float32)),
        ({"value_floats": [0.5, 2.0]}, np.array([0.5, 2.0], np.float32)),
    ],
)
def test_every_form_of_constant(load: Load, attributes: dict[str, object], expected: Array) -> None:
    dtype = helper.np_dtype_to_tensor_dtype(expected.dtype)
    nodes = [node("Constant", [], ["y"], **attributes)]  # pyright: ignore[reportArgumentType]
    model = load(model_of(nodes, [], [output("y", None, dtype)]))
    seen = model.const_of(model.outputs[0])
    assert seen is not None
    assert seen.dtype == expected.dtype
    np.testing.assert_array_equal(seen, expected, strict=True)


def test_constants_of_other_kinds_are_refused(load: Load) -> None:
    nodes = [node("Constant", [], ["y"], name="c", value_string="a")]
    with pytest.raises(Refused, match=r'node "c" \(Constant\): the attribute \'value_string\''):
        load(model_of(nodes, [], [output("y")]))
    nodes = [node("Constant", [], ["y"], name="c", value_int=1, value_float=2.0)]
    with pytest.raises(MalformedFile, match=r'node "c" \(Constant\): Constant has 2 attributes'):
        load(model_of(nodes, [], [output("y")]))


# The graph


def test_nodes_may_come_in_any_order(load: Load) -> None:
    nodes = [
        node("Transpose", ["a"], ["y"], perm=[2, 0, 1]),
        node("Transpose", ["x"], ["a"], perm=[1, 0, 2]),
    ]
    model = load(model_of(nodes, [value("x", 2, 3, 5)], [output("y")]))
    assert model.fact(model.outputs[0]).shape == (5, 3, 2)


def test_a_cycle_is_malformed(load: Load) -> None:
    nodes = [
        node("Identity", ["b"], ["a"], name="first"),
        node("Identity", ["a"], ["b"], name="second"),
    ]
    with pytest.raises(
        MalformedFile, match=r'node "(first|second)" \(Identity\): the graph has a cycle'
    ):
        load(model_of(nodes, [value("x", 2)], [output("b")]))


def test_a_node_that_reads_itself_is_malformed(load: Load) -> None:
    nodes = [node("Identity", ["a"], ["a"], name="self")]
    with pytest.raises(MalformedFile, match=r'node "self" \(Identity\): the graph has a cycle'):
        load(model_of(nodes, [value("x", 2)], [output("a")]))


def test_a_value_that_nothing_produces_is_malformed(load: Load) -> None:
    nodes = [node("Identity", ["ghost"], ["y"], name="id")]
    words = r'm\.onnx: read: node "id" \(Identity\): it reads \'ghost\', which nothing produces'
    with pytest.raises(MalformedFile, match=words):
        load(model_of(nodes, [value("x", 2)], [output("y")]))


@pytest.mark.parametrize("names", [["y", "y"], ["x"]])
def test_a_value_produced_twice_is_malformed(load: Load, names: list[str]) -> None:
    nodes = [node("Identity", ["x"], [name]) for name in names]
    with pytest.raises(
        MalformedFile, match=rf"\(Identity\): the value '{names[0]}' is produced twice"
    ):
        load(model_of(nodes, [value("x", 2)], [output(names[0])]))


def test_outputs_must_be_produced_and_listed_once(load: Load) -> None:
    nodes = [node("Identity", ["x"], ["y"])]
    with pytest.raises(MalformedFile, match="the output 'z' is produced by nothing"):
        load(model_of(nodes, [value("x", 2)], [output("z")]))
    with pytest.raises(MalformedFile, match="the output 'y' is listed twice"):
        load(model_of(nodes, [value("x", 2)], [output("y"), output("y")]))
    with pytest.raises(MalformedFile, match="the graph has no outputs"):
        load(model_of(nodes, [value("x", 2)], []))


def test_names_and_labels(load: Load) -> None:
    nodes = [
        node("Transpose", ["x"], ["a"], name="same", perm=[1, 0]),
        node("Transpose", ["a"], ["b"], name="same", perm=[1, 0]),
        node("Transpose", ["b"], ["c"], name="x", perm=[1, 0]),
        node("Transpose", ["c"], ["y"], name="own", perm=[1, 0]),
    ]
    model = load(model_of(nodes, [value("x", 2, 3)], [output("y")]))
    assert model.input_names == ["x"]
    assert model.output_names == ["y"]
    names = [n.name for n in model.order()]
    assert names == ["x", "Transpose_0", "Transpose_1", "Transpose_2", "own"]
    labels = [model.wire_name(n.inputs[0]) for n in model.order()[1:]]
    assert labels == ["x", "a", "b", "c"]
    assert model.wire_name(model.outputs[0]) == "y"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (output("y", [3, 2]), r"read: the output 'y' is N,3,f32; it is declared as \[3, 2\]"),
        (
            output("y", ["N", 3, 1]),
            r"read: the output 'y' is N,3,f32; it is declared as \[N, 3, 1\]",
        ),
        (output("y", None, I64), "read: the output 'y' is N,3,f32; it is declared as i64"),
    ],
)
def test_a_declared_output_must_not_contradict(
    load: Load, declared: onnx.ValueInfoProto, words: str
) -> None:
    proto = model_of([node("Identity", ["x"], ["y"])], [value("x", "N", 3)], [declared])
    with pytest.raises(InvalidModel, match=words):
        load(proto)


def test_a_declared_output_may_name_or_fix_what_is_not_known(load: Load) -> None:
    nodes = [node("Identity", ["x"], ["y"])]
    load(model_of(nodes, [value("x", "N", 3)], [output("y", [7, "other"])]))


def test_value_info_is_not_trusted(load: Load) -> None:
    nodes = [node("Identity", ["x"], ["a"]), node("Identity", ["a"], ["y"])]
    proto = model_of(nodes, [value("x", 2)], [output("y")])
    proto.graph.value_info.append(value("a", 99, 98))
    model = load(proto)
    assert model.fact(model.outputs[0]).shape == (2,)


# Dims of inputs


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (("N", "2*T", "T+1"), ("N", "2*T", "T+1")),
        (("past", "seq", "past + seq"), ("past", "seq", "past+seq")),
        (("batch-size", "batch-size"), ("batch_size", "batch_size")),
        (("N!", "N?", "N!"), ("N_", "N__1", "N_")),
        (("T", "2*T/3"), ("T", "_2_T_3")),
        (("T", "(T-1)//2"), ("T", "_T_1___2")),
        ((None, "?", "?"), ("x_0", "x_1", "x_2")),
        (("x_1", None, 4), ("x_1", "x_1_1", "4")),
        (("-1", "12", 0), ("_1", "12", "0")),
    ],
)
def test_dims_of_inputs(
    load: Load, declared: tuple[int | str | None, ...], expected: tuple[str, ...]
) -> None:
    model = load(identity(*declared))
    shape = model.fact(model.inputs[0]).shape
    assert shape == tuple(parse_dim(text) for text in expected)


def test_dims_of_inputs_are_never_negative(load: Load) -> None:
    model = load(identity("T"))
    assert model.scope.proves_ge(model.fact(model.inputs[0]).shape[0], 0) is True
    with pytest.raises(MalformedFile, match="the input 'x' has -2 positions on axis 1"):
        load(identity(1, -2))


def test_inputs_that_are_not_tensors_of_known_rank_are_refused(load: Load) -> None:
    proto = identity(2)
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", F32, None))
    with pytest.raises(Refused, match="read: the input 'x' has no shape; declare its rank"):
        load(proto)
    proto.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", F32, [2]))
    with pytest.raises(Refused, match="read: the input 'x' is a sequence"):
        load(proto)
    proto.graph.input[0].CopyFrom(value("x", 2, dtype=TensorProto.BFLOAT16))
    with pytest.raises(Refused, match="read: the input 'x' has the element type BFLOAT16"):
        load(proto)


def test_a_shape_known_only_at_run_time_is_refused(load: Load) -> None:
    nodes = [node("Reshape", ["x", "k"], ["y"], name="r")]
    proto = model_of(nodes, [value("x", 2, 3), value("k", 1, dtype=I64)], [output("y")])
    words = r'read: node "r" \(Reshape\): the input 1 is known only at run time; compute it from'
    with pytest.raises(Refused, match=words):
        load(proto)


def test_an_absent_input_that_must_be_there_is_malformed(load: Load) -> None:
    nodes = [node("Conv", ["x", ""], ["y"], name="c")]
    with pytest.raises(MalformedFile, match=r'node "c" \(Conv\): the input 1 is missing'):
        load(model_of(nodes, [value("x", 1, 2, 3)], [output("y")]))
