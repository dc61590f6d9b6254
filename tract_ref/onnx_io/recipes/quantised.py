"""Quantised operators, which are refused: the engine computes in plain types."""

from __future__ import annotations

from tract_ref.onnx_io.table import ONNX

ONNX.refuse(
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    reason="is quantised arithmetic, which is not read",
    remedy="export the model in floats, without quantisation",
)
