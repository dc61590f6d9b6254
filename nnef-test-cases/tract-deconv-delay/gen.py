"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 8)), gen.ints(2, (1, 1, 3))
y = np.zeros((1, 1, 13), np.float32)
for i, k in np.ndindex(6, 3):
    y[0, 0, 2 * i + k] += x[0, 0, i + 2] * w[0, 0, k]
gen.Case(
    about="a transposed convolution with a stride delays twice what its input does",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="""
        c = slice(x, axes = [2], begin = [2], end = [S]);
        y = deconv(c, w, 0.0, padding = [(0, 0)], stride = [2]);
    """,
    outputs={"y": y},
    pulses=[2],
    delay=[4],
    length=8,
).write(__file__)
