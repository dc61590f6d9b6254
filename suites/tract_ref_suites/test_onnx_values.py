"""The ONNX importer: tensors, external data, and values against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tract_ref.approx import Array
from tract_ref.dim import parse_dim
from tract_ref.errors import MalformedFile, Refused
from tract_ref.ir.model import Model
from tract_ref.onnx_io.importer import read_onnx
from tract_ref.runtime.plan import Plan
from tract_ref_suites.onnx_graphs import (
    F32,
    I64,
    floats,
    identity,
    ints,
    model_of,
    node,
    output,
    scalar,
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

# Tensors


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
)
def test_every_element_type(load: Load, dtype: str, is_raw: bool) -> None:
    array = np.array([[0, 1, 3], [100, 1, 0]], np.dtype(dtype))
    code = helper.np_dtype_to_tensor_dtype(array.dtype)
    data = array.tobytes() if is_raw else array.ravel().tolist()
    tensor = helper.make_tensor("c", code, array.shape, data, raw=is_raw)
    model = load(
        model_of([node("Identity", ["c"], ["y"])], [], [output("y", None, code)], [tensor])
    )
    seen = model.const_of(model.outputs[0])
    np.testing.assert_array_equal(seen, array, strict=True)


@pytest.mark.parametrize("code", ["BFLOAT16", "FLOAT8E4M3FN", "INT4", "STRING", "COMPLEX64"])
def test_other_element_types_are_refused_by_name(load: Load, code: str) -> None:
    proto = identity(2)
    number = TensorProto.DataType.Value(code)
    proto.graph.initializer.append(TensorProto(name="c", dims=[1], data_type=number))
    with pytest.raises(Refused, match=f"read: the initialiser 'c' has the element type {code}"):
        load(proto)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (
            TensorProto(name="c", dims=[2], data_type=F32, raw_data=b"1234567"),
            "the initialiser 'c' has 7 bytes of raw data where its shape needs 8",
        ),
        (
            TensorProto(name="c", dims=[2], data_type=F32, float_data=[1.0]),
            "the initialiser 'c' has 1 elements of f32 where its shape needs 2",
        ),
        (
            TensorProto(name="c", dims=[2], data_type=F32, raw_data=b"123456789"),
            "the initialiser 'c' has 9 bytes of raw data where its shape needs 8",
        ),
        (
            TensorProto(name="c", dims=[1], data_type=F32, float_data=[1.0, 2.0]),
            "the initialiser 'c' has 2 elements of f32 where its shape needs 1",
        ),
        (
            TensorProto(name="c", dims=[-2], data_type=F32),
            r"the initialiser 'c' has the shape \[-2\]",
        ),
        (
            TensorProto(name="c", dims=[1], data_type=TensorProto.INT8, int32_data=[300]),
            "the initialiser 'c' has an element that is not of i8",
        ),
        (
            TensorProto(name="c", dims=[1], data_type=99),
            "the initialiser 'c' has the element type 99, which ONNX does not define",
        ),
        (
            TensorProto(name="c", dims=[0, 2**62, 2**62], data_type=F32),
            "the initialiser 'c' has the shape .* too large",
        ),
    ],
)
def test_broken_tensors_are_malformed(load: Load, tensor: TensorProto, words: str) -> None:
    proto = identity(2)
    proto.graph.initializer.append(tensor)
    with pytest.raises(MalformedFile, match=r"m\.onnx: read: " + words):
        load(proto)


def test_an_initialiser_that_is_also_an_input_is_a_constant(load: Load) -> None:
    nodes = [node("Add", ["x", "b"], ["y"])]
    model = load(model_of(nodes, [value("x", 2), value("b", 2)], [output("y")], [floats("b", 2)]))
    assert model.input_names == ["x"]


def test_initialiser_names_are_used_once(load: Load) -> None:
    proto = model_of([node("Identity", ["b"], ["y"])], [], [output("y")], [ints("b"), ints("b")])
    with pytest.raises(MalformedFile, match="the initialiser name 'b' is empty or used twice"):
        load(proto)


# External data


def external(location: str, **entries: int) -> onnx.ModelProto:
    tensor = TensorProto(name="c", dims=[2], data_type=F32, data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **{k: str(v) for k, v in entries.items()}}.items():
        tensor.external_data.add(key=key, value=text)
    return model_of([node("Identity", ["c"], ["y"])], [], [output("y")], [tensor])


def test_external_data_in_the_folder_is_read(load: Load, tmp_path: Path) -> None:
    numbers = np.array([0.0, 1.5, 2.5, 0.0], np.float32)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.bin").write_bytes(numbers.tobytes())
    model = load(external("sub/c.bin", offset=4, length=8))
    np.testing.assert_array_equal(model.const_of(model.outputs[0]), numbers[1:3], strict=True)
    (tmp_path / "whole.bin").write_bytes(numbers[:3].tobytes())
    model = load(external("whole.bin", offset=4))
    np.testing.assert_array_equal(model.const_of(model.outputs[0]), numbers[1:3], strict=True)


@pytest.mark.parametrize(
    ("location", "entries", "words"),
    [
        ("", {}, "the initialiser 'c' has the external location ''"),
        ("/etc/passwd", {}, "the initialiser 'c' has the external location '/etc/passwd'"),
        ("C:\\c.bin", {}, "the initialiser 'c' has the external location"),
        (
            "../out.bin",
            {},
            r"the initialiser 'c' has the external location '\.\./out\.bin', outside",
        ),
        ("link.bin", {}, r"the initialiser 'c' has the external location 'link\.bin', outside"),
        ("loop.bin", {}, r"the initialiser 'c': there is no file 'loop\.bin'"),
        ("none.bin", {}, r"the initialiser 'c': there is no file 'none\.bin'"),
        ("nul\0.bin", {}, r"the initialiser 'c': there is no file"),
        (".", {}, r"the initialiser 'c': '\.' is not a regular file"),
        (
            "in.bin",
            {"offset": 4, "length": 8},
            r"the initialiser 'c' is at bytes 4 to 12 of 'in\.bin'",
        ),
        (
            "in.bin",
            {"offset": 9},
            r"the initialiser 'c' is at bytes 9 to 8 of 'in\.bin', which has 8",
        ),
        (
            "in.bin",
            {"length": 4},
            "the initialiser 'c' has 4 bytes of external data where its shape",
        ),
        ("in.bin", {"offset": -1}, "the initialiser 'c' has offset='-1'; it is a number of bytes"),
    ],
)
def test_external_data_stays_in_the_folder_and_in_the_file(
    tmp_path: Path, location: str, entries: dict[str, int], words: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (tmp_path / "out.bin", folder / "in.bin"):
        path.write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(tmp_path / "out.bin")
    (folder / "loop.bin").symlink_to("loop.bin")
    (folder / "m.onnx").write_bytes(external(location, **entries).SerializeToString())
    with pytest.raises(MalformedFile, match=words):
        read_onnx(folder / "m.onnx")


# Values: the same as onnxruntime


def both(load: Load, tmp_path: Path, proto: onnx.ModelProto, feed: Mapping[str, Array]) -> Model:
    model = load(proto)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), options)
    expected = session.run(None, dict(feed))
    for fast in (True, False):
        seen = Plan(model, fast=fast).run(feed)
        assert list(seen) == model.output_names
        for name, array in zip(model.output_names, expected, strict=True):
            wanted = np.asarray(array)
            assert seen[name].dtype == wanted.dtype
            assert seen[name].shape == wanted.shape
            np.testing.assert_allclose(seen[name], wanted, rtol=1e-5, atol=1e-5)
    return model


X = np.random.default_rng(7).normal(size=(2, 3, 8)).astype(np.float32)
TAKE = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "two"], ["t"])]
TWO = scalar("two", 2)

GRAPHS: dict[str, tuple[list[onnx.NodeProto], list[onnx.TensorProto]]] = {
    "conv": (
        [node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1])],
        [floats("w", 4, 3, 3), floats("b", 4)],
    ),
    "slice": (
        [node("Slice", ["x", "start", "end", "axes", "steps"], ["y"])],
        [ints("start", 1), ints("end", -1), ints("axes", 2), ints("steps", 2)],
    ),
    "add with fewer axes": ([node("Add", ["b", "x"], ["y"])], [floats("b", 3, 1)]),
    "matmul": (
        [node("Transpose", ["x"], ["a"], perm=[0, 2, 1]), node("MatMul", ["a", "w"], ["y"])],
        [floats("w", 3, 5)],
    ),
    "reshape by shape arithmetic": (
        [
            *TAKE,
            node("Mul", ["t", "three"], ["u"]),
            node("Gather", ["s", "zero"], ["n"]),
            node("Unsqueeze", ["n", "front"], ["n1"]),
            node("Unsqueeze", ["u", "front"], ["u1"]),
            node("Concat", ["n1", "u1"], ["wanted"], axis=0),
            node("Reshape", ["x", "wanted"], ["y"]),
        ],
        [TWO, scalar("three", 3), scalar("zero", 0), ints("front", 0)],
    ),
    "concat of dims and numbers": (
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "start", "end"], ["n"]),
            node("Concat", ["n", "rest"], ["wanted"], axis=0),
            node("Reshape", ["x", "wanted"], ["y"]),
        ],
        [ints("start", 0), ints("end", 1), ints("rest", -1, 1)],
    ),
    "first half": (
        [
            *TAKE,
            node("Cast", ["t"], ["t64"], to=I64),
            node("Div", ["t64", "two"], ["half"]),
            node("Unsqueeze", ["half", "front"], ["end"]),
            node("Slice", ["x", "front", "end", "axes"], ["y"]),
        ],
        [TWO, ints("front", 0), ints("axes", 2)],
    ),
    "expand as exported by torch": (
        [
            node("Shape", ["x"], ["s"]),
            node("Equal", ["s", "minus"], ["free"]),
            node("Where", ["free", "ones", "s"], ["wanted"]),
            node("Expand", ["one", "wanted"], ["y"]),
        ],
        [ints("minus", -1, -1, -1), ints("ones", 1, 1, 1), floats("one", 1)],
    ),
    "divided by its length": (
        [*TAKE, node("Cast", ["t"], ["length"], to=F32), node("Div", ["x", "length"], ["y"])],
        [TWO],
    ),
    "int32 shapes": (
        [
            node("Shape", ["x"], ["s"]),
            node("Cast", ["s"], ["s32"], to=TensorProto.INT32),
            node("Cast", ["s32"], ["s64"], to=I64),
            node("Reshape", ["x", "s64"], ["y"]),
        ],
        [],
    ),
    "softmax and relu": (
        [
            node("Softmax", ["x"], ["a"], axis=1),
            node("Sub", ["a", "b"], ["c"]),
            node("Relu", ["c"], ["y"]),
        ],
        [floats("b", 1)],
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_values_are_those_of_onnxruntime(load: Load, tmp_path: Path, name: str) -> None:
    nodes, constants = GRAPHS[name]
    proto = model_of(nodes, [value("x", "N", 3, "T")], [output("y")], constants)
    both(load, tmp_path, proto, {"x": X})


@pytest.mark.parametrize("code", [I64, TensorProto.INT32])
def test_a_shape_is_an_output_of_integers(load: Load, tmp_path: Path, code: int) -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["y"], to=code)]
    proto = model_of(nodes, [value("x", "N", 3, "T")], [output("y", [3], code)])
    both(load, tmp_path, proto, {"x": X})


@pytest.mark.parametrize("code", [I64, TensorProto.INT32])
def test_a_shape_meets_integers_fed_at_run_time(load: Load, tmp_path: Path, code: int) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Cast", ["s"], ["c"], to=code),
        node("Mul", ["c", "k"], ["y"]),
    ]
    inputs = [value("x", "N", 3, "T"), value("k", 3, dtype=code)]
    proto = model_of(nodes, inputs, [output("y", None, code)])
    k = np.array([1, -2, 5], helper.tensor_dtype_to_np_dtype(code))
    both(load, tmp_path, proto, {"x": X, "k": k})


def test_inputs_are_aligned_at_the_front(load: Load, tmp_path: Path) -> None:
    proto = model_of(
        [node("Sub", ["b", "x"], ["y"])], [value("x", "N", 3, "T"), value("b", "T")], [output("y")]
    )
    both(load, tmp_path, proto, {"x": X, "b": X[0, 0].copy()})


def test_shape_arithmetic_leaves_only_its_result(load: Load) -> None:
    nodes, constants = GRAPHS["reshape by shape arithmetic"]
    model = load(model_of(nodes, [value("x", "N", 3, "T")], [output("y")], constants))
    assert model.op_counts() == {"Reshape": 1}
    assert model.fact(model.outputs[0]).shape == (parse_dim("N"), parse_dim("3*T"))
