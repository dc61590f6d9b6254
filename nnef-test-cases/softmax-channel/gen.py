"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.reals(1, (1, 4, 12))
e = np.exp(x.astype(np.float64))
gen.Case(
    about="a softmax over channels sees one frame at a time",
    inputs={"x": ("[1, 4, S]", x)},
    body="y = softmax(x, axes = [1]);",
    outputs={"y": np.stack([row / sum(e[0]) for row in e[0]])[np.newaxis].astype(np.float32)},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[0],
    counts={"pulse": {"Softmax": 1, "Delay": 0}},
    approx="close",
).write(__file__)
