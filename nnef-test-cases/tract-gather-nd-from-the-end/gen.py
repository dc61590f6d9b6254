"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = np.array([[0], [-1], [1]], np.int64)
t = gen.ints(2, (4,))
gen.Case(
    about="an index of -1 is the last row",
    inputs={"x": ("[S, 1]", x)},
    weights={"t": t},
    body="y = tract_core_gather_nd(t, x, batch_dims = 0);",
    outputs={"y": np.array([t[0], t[3], t[1]])},
    pulses=[4],
    delay=[0],
    length=3,
).write(__file__)
