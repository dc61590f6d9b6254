"""Quantised operators, which are refused: the engine computes in plain types."""

from __future__ import annotations

from tract_ref.nnef.table import NNEF

NNEF.refuse_load(
    "linear_quantize",
    "zero_point_linear_quantize",
    "min_max_linear_quantize",
    "logarithmic_quantize",
    "q_scale",
    "tract_core_q_scale",
    "tract_core_qmatmul",
    "tract_core_qconv",
    reason="is quantised arithmetic, which is not read",
    remedy="export the model in floats, without quantisation",
)
