"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(42, (1, 1, 9)), gen.ints(43, (1, 1, 2))
y = np.array([x[0, 0, i] * w[0, 0, 0] + x[0, 0, i + 1] * w[0, 0, 1] for i in (1, 3, 5, 7)])
gen.Case(
    about="every second frame of a convolution, from the second one on",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="""
        c = conv(x, w, 0.0, padding = [(0, 0)], stride = [1], dilation = [1]);
        y = tract_core_downsample(c, axis = 2, stride = 2, modulo = 1);
    """,
    outputs={"y": y.astype(np.float32).reshape(1, 1, 4)},
    pulses=[2, 4],
    delay=[1],
    length=9,
).write(__file__)
