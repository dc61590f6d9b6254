"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.reals(1, (9,))
alpha, gamma = 1.67326319217681884765625, 1.05070102214813232421875
y = (gamma * np.where(x > 0, x, alpha * np.expm1(x))).astype(np.float32)
gen.Case(
    about="selu, with the constants of its paper",
    inputs={"x": ("[S]", x)},
    body="y = selu(x);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
    approx="close",
).write(__file__)
