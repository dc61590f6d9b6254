"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 1))
y = np.repeat(x, 2, 1)
gen.Case(
    about="a base of one column to a row of equal exponents",
    inputs={"x": ("[S, 1]", x)},
    body="y = pow(x, [[1.0, 1.0]]);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
