"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 3))
state = np.ones(1, np.float32)
mean, columns = np.ones(9), []
for t in range(3):
    mean = mean / 2 + x[:, t] / 2
    columns.append(x[:, t] - mean)
y = np.array(columns, np.float32).T
gen.Case(
    about="one running mean for all frames runs over the other axis",
    inputs={"x": ("[S, 3]", x)},
    weights={"state": state},
    body="y = tract_extra_exp_mean_norm(x, state, axis = 1, alpha = 0.5);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
    approx="close",
).write(__file__)
