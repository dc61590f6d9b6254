"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(41, (6, 2))
y = np.zeros((3, 2, 2), np.float32)
for t in range(3):
    a, b = x[2 * t], x[2 * t + 1]
    y[t] = a + b, a - b
gen.Case(
    about="transforms of two frames every two frames, at a pulse of three",
    inputs={"x": ("[S, 2]", x)},
    body="y = tract_core_stft(x, axis = 0, frame = 2, stride = 2);",
    outputs={"y": y},
    pulses=[],
    asked=[3],
    delay=[],
    length=6,
    approx="close",
).write(__file__)
