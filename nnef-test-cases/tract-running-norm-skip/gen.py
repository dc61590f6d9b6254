"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 2))
state = np.ones(2, np.float32)
mean, rows = state.astype(np.float64), []
for t in range(9):
    if t >= 3:
        mean = mean / 2 + x[t] / 2
    rows.append(x[t] - mean)
y = np.array(rows, np.float32)
gen.Case(
    about="a running mean keeps its initial value for three frames",
    inputs={"x": ("[S, 2]", x)},
    weights={"state": state},
    body="y = tract_extra_exp_mean_norm(x, state, axis = 0, alpha = 0.5, skip = 3);",
    outputs={"y": y},
    pulses=[2],
    delay=[0],
    length=9,
    approx="close",
).write(__file__)
