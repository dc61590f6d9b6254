"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (4,))
p, q = gen.ints(2, (1,)), gen.ints(3, (2,))
gen.Case(
    about="frames around a stream of which nothing is left stand alone",
    inputs={"x": ("[S]", x)},
    weights={"p": p, "q": q},
    body="""
        c = slice(x, axes = [0], begin = [3], end = [S - 3]);
        y = concat([p, c, q], axis = 0);
    """,
    outputs={"y": np.concatenate([p, q])},
    pulses=[2],
    delay=[5],
    length=4,
).write(__file__)
