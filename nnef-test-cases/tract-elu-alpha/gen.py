"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.reals(1, (9,))
y = np.where(x < 0, 2 * np.expm1(x), x).astype(np.float32)
gen.Case(
    about="alpha of elu scales the exponential",
    inputs={"x": ("[S]", x)},
    body="y = elu(x, alpha = 2.0);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
    approx="close",
).write(__file__)
