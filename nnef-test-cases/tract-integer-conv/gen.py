"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 9)).astype(np.int64)
w = gen.ints(2, (1, 1, 3)).astype(np.int64)
gen.Case(
    about="a convolution of 32-bit integers",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, padding = [(0, 0)]);",
    outputs={"y": gen.conv(x, w)},
    pulses=[4],
    delay=[2],
    length=9,
).write(__file__)
