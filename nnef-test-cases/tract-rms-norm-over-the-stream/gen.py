"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(32, (4,))
power = (x.astype(np.float64) ** 2).mean()
gen.Case(
    about="the mean square of a stream needs all of it",
    inputs={"x": ("[S]", x)},
    body="y = tract_transformers_rms_norm(x, axis = 0, eps = 1.0);",
    outputs={"y": (x / np.sqrt(power + 1)).astype(np.float32)},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
    approx="close",
).write(__file__)
