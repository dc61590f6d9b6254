"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,)).astype(np.int64)
gen.Case(
    about="squares of integers",
    inputs={"x": ("[S]", x)},
    body="y = sqr(x);",
    outputs={"y": x * x},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
