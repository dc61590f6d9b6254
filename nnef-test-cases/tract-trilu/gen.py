"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (5, 3, 3))
gen.Case(
    about="the lower triangle of every matrix of a stream is dropped",
    inputs={"x": ("[S, 3, 3]", x)},
    body="y = tract_core_trilu(x, 0, upper = true);",
    outputs={"y": np.triu(x)},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
