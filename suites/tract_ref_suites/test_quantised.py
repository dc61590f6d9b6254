"""Quantised models are refused where they are read, by a name and with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tract_ref import load
from tract_ref.errors import Refused
from tract_ref.nnef.reader import parse_model

HEAD = "version 1.0;\nextension tract_registry tract_core;\n"
FLOATS = "export the model in floats, without quantisation"


def graph(*lines: str) -> str:
    return f"{HEAD}graph g(x) -> (y) {{ x = external(shape = [2, 3]); {' '.join(lines)} }}"


OPERATORS = {
    "linear_quantize": "y = linear_quantize(x, 0.0, 1.0, 8);",
    "zero_point_linear_quantize": "y = zero_point_linear_quantize(x, zero_point = 0);",
    "min_max_linear_quantize": "y = min_max_linear_quantize(x, 0.0, 1.0, 8);",
    "logarithmic_quantize": "y = logarithmic_quantize(x, 1.0, 8);",
    "q_scale": "y = q_scale(x);",
    "tract_core_q_scale": "y = tract_core_q_scale(x);",
    "tract_core_qmatmul": "y = tract_core_qmatmul(x, x);",
    "tract_core_qconv": "y = tract_core_qconv(x, x);",
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_quantised_operator_is_refused(operator: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_model(graph(OPERATORS[operator]))
    assert f"{operator}: is quantised arithmetic, which is not read" in str(caught.value)
    assert caught.value.remedy == FLOATS


@pytest.mark.parametrize("dtype", ["QU8(Z:0 S:0.1)", "QI8", "qi32"])
@pytest.mark.parametrize(
    "line",
    [
        "z = tract_core_external(shape = [2], datum_type = '{}'); y = x + 1.0;",
        "y = tract_core_cast(x, to = '{}');",
        "y = tract_core_einsum([x, x], expr = 'ij,ij->ij', acc = '{}', output = '');",
    ],
)
def test_a_quantised_dtype_is_refused(line: str, dtype: str) -> None:
    with pytest.raises(Refused, match="the quantised dtype") as caught:
        parse_model(graph(line.format(dtype)))
    assert dtype in str(caught.value)
    assert caught.value.remedy == FLOATS


def test_a_quantised_result_of_a_product_is_refused() -> None:
    line = "y = tract_core_einsum([x, x], expr = 'ij,ij->ij', acc = 'f32', output = 'QI8');"
    with pytest.raises(Refused, match=r"a quantised result \(output='QI8'\)") as caught:
        parse_model(graph(line))
    assert caught.value.remedy


def test_a_table_beside_the_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.nnef").write_text(graph("y = x + 1.0;"))
    (tmp_path / "graph.quant").write_text('"x": linear_quantize(bits = 8, max = 1.0, min = -1.0);')
    with pytest.raises(Refused, match=r"graph.quant: quantisation table") as caught:
        load(tmp_path)
    assert caught.value.remedy.startswith("export the model in floats")


@pytest.mark.parametrize("bits", [18, 32])
def test_a_block_of_quantised_numbers_is_refused(tmp_path: Path, bits: int) -> None:
    header = bytearray(128)
    header[0:4] = b"\x4e\xef\x01\x00"
    header[4:8] = bits.to_bytes(4, "little")
    header[8:12] = (2).to_bytes(4, "little")
    header[12:20] = (1).to_bytes(4, "little") + (32).to_bytes(4, "little")
    header[44:48] = b"\xff" * 4
    header[48:52] = (0x3040).to_bytes(2, "little") + (0x5452).to_bytes(2, "little")
    (tmp_path / "w.dat").write_bytes(bytes(header) + bytes(bits))
    text = graph("w = variable(label = 'w', shape = [1, 32]); y = x + 1.0;")
    (tmp_path / "graph.nnef").write_text(text)
    with pytest.raises(Refused) as caught:
        load(tmp_path)
    assert caught.value.remedy == "store plain floats or integers"


@pytest.mark.parametrize("code", [TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.UINT4])
def test_an_onnx_input_of_few_bits_is_refused(tmp_path: Path, code: int) -> None:
    source = helper.make_tensor_value_info("x", code, [2])
    target = helper.make_tensor_value_info("y", code, [2])
    made = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [source], [target])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)])
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(Refused) as caught:
        load(tmp_path / "m.onnx")
    assert caught.value.remedy


def test_an_onnx_operator_of_another_domain_is_refused(tmp_path: Path) -> None:
    source = helper.make_tensor_value_info("x", TensorProto.UINT8, [2])
    target = helper.make_tensor_value_info("y", TensorProto.UINT8, [2])
    node = helper.make_node("QLinearAdd", ["x", "x"], ["y"], domain="com.microsoft")
    made = helper.make_graph([node], "g", [source], [target])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets), tmp_path / "m.onnx")
    with pytest.raises(Refused, match=r"'QLinearAdd' of the domain 'com.microsoft'"):
        load(tmp_path / "m.onnx")


def test_bytes_are_not_quantised_by_themselves() -> None:
    text = graph("y = tract_core_cast(x, to = 'u8');")
    assert parse_model(text).fact(parse_model(text).outputs[0]).dtype == np.dtype(np.uint8)
