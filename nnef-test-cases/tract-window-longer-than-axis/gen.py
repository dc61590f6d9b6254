"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 6, 1)), gen.ints(2, (1, 1, 1, 3))
y = np.zeros((1, 1, 6, 0), np.float32)
gen.Case(
    about="a window that does not fit a fixed axis gives no output there",
    inputs={"x": ("[1, 1, S, 1]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0), (0, 0)]);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=6,
).write(__file__)
