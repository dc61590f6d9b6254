"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (5, 1, 1)), gen.ints(2, (1, 1, 1))
y = np.zeros((5, 1, 0), np.float32)
gen.Case(
    about="crops longer than an axis beside the stream leave nothing of it",
    inputs={"x": ("[S, 1, 1]", x)},
    weights={"w": w},
    body="y = deconv(x, w, 0.0, padding = [(2, 2)]);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
