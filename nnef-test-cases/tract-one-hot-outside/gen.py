"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = np.array([0, 5, 1], np.int64)
y = np.array([[1, 0], [0, 0], [0, 1]], np.float32)
gen.Case(
    about="a number that is no position gives a line of zeros",
    inputs={"x": ("[S]", x)},
    body="y = tract_core_one_hot(x, axis = 1, dim = 2, value_off = 0.0, value_on = 1.0);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=3,
).write(__file__)
