"""Small ONNX models for tests of the importer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32, I64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node
Dims = Sequence[int | str | None] | None


def value(name: str, *dims: int | str | None, dtype: int = F32) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def output(name: str, dims: Dims = None, dtype: int = F32) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def ints(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def scalar(name: str, number: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(number, np.int64), name)


def floats(name: str, *shape: int) -> onnx.TensorProto:
    data = np.random.default_rng(len(name) + sum(shape)).normal(size=shape)
    return numpy_helper.from_array(data.astype(np.float32), name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def identity(*dims: int | str | None) -> onnx.ModelProto:
    return model_of([node("Identity", ["x"], ["y"], name="id")], [value("x", *dims)], [output("y")])
