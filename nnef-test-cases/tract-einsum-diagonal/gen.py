"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 2))
w = gen.ints(2, (2, 2))
y = np.array([sum(x[s, k] * w[k, k] for k in range(2)) for s in range(9)], np.float32)
gen.Case(
    about="a letter that stands twice in one operand is its diagonal",
    inputs={"x": ("[S, 2]", x)},
    weights={"w": w},
    body="y = tract_core_einsum([x, w], expr = 'sk,kk->s', acc = 'f32', output = '');",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
