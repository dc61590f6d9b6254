"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 5)), gen.ints(2, (1, 1, 2))
y = np.zeros((1, 1, 11), np.float32)
for i, k in np.ndindex(5, 2):
    y[0, 0, 2 * i + k] += x[0, 0, i] * w[0, 0, k]
gen.Case(
    about="a transposed convolution one position longer than its frames reach",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = deconv(x, w, 0.0, padding = [(0, 0)], stride = [2], output_shape = [2 * S + 1]);",
    outputs={"y": y},
    pulses=[2],
    delay=[0],
    length=5,
).write(__file__)
