"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = np.zeros((1, 1, 0), np.float32), gen.ints(2, (1, 1, 3))
gen.Case(
    about="a transposed convolution of no frame gives nothing",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = deconv(x, w, 0.0, padding = [(0, 0)], stride = [2]);",
    outputs={"y": x},
    pulses=[4],
    delay=[0],
    length=0,
).write(__file__)
