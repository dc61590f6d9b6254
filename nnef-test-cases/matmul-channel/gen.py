"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 4, 12)), gen.ints(2, (1, 3, 4))
gen.Case(
    about="a matrix product over channels sees one frame at a time",
    inputs={"x": ("[1, 4, S]", x)},
    weights={"w": w},
    body="y = matmul(w, x);",
    outputs={"y": gen.conv(x, w[0][:, :, np.newaxis])},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[0],
    counts={"pulse": {"EinSum": 1, "Delay": 0}},
).write(__file__)
