"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 9))
gen.Case(
    about="a quotient by a constant is rounded once, as IEEE division is",
    inputs={"x": ("[1, 1, S]", x)},
    body="""
        y = div(x, 3.0);
    """,
    outputs={"y": (x / np.float32(3.0)).astype(np.float32)},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
