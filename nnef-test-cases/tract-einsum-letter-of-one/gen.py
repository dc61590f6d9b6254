"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (5, 1))
w = gen.ints(2, (3, 2))
y = np.array([[sum(x[s, 0] * w[k, j] for k in range(3)) for j in range(2)] for s in range(5)])
y = y.astype(np.float32)
gen.Case(
    about="one column stands for three under a summed letter",
    inputs={"x": ("[S, 1]", x)},
    weights={"w": w},
    body="y = tract_core_einsum([x, w], expr = 'sk,kj->sj', acc = 'f32', output = '');",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
