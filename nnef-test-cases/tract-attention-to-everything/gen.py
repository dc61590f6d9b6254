"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.reals(35, (4, 2))
y = np.zeros((4, 2), np.float64)
for i in range(4):
    shares = np.exp([float(x[i] @ x[j]) for j in range(4)])
    for j in range(4):
        y[i] += shares[j] / shares.sum() * x[j]
gen.Case(
    about="attention to all frames looks ahead of every pulse",
    inputs={"x": ("[S, 2]", x)},
    body="""
        s = tract_core_einsum([x, x], expr = "ik,jk->ij", acc = "f32");
        p = softmax(s, axes = [1]);
        y = tract_core_einsum([p, x], expr = "ij,jk->ik", acc = "f32");
    """,
    outputs={"y": y.astype(np.float32)},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
    approx="close",
).write(__file__)
