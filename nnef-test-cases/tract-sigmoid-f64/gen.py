"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.reals(1, (9,)).astype(np.float64)
gen.Case(
    about="sigmoid of f64",
    inputs={"x": ("[S]", x)},
    body="y = sigmoid(x);",
    outputs={"y": 1 / (1 + np.exp(-x))},
    pulses=[4],
    delay=[0],
    length=9,
    approx="close",
).write(__file__)
