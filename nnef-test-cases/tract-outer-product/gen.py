"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(34, (4, 1))
y = np.array([[a * b for b in x[:, 0]] for a in x[:, 0]], np.float32)
gen.Case(
    about="a product of every frame with every other grows on two axes",
    inputs={"x": ("[S, 1]", x)},
    body="""y = tract_core_einsum([x, x], expr = "ik,jk->ij", acc = "f32");""",
    outputs={"y": y},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
).write(__file__)
