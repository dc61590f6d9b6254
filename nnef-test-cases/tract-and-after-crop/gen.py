"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 13)) > 0
z = np.zeros((1, 1), bool)
gen.Case(
    about="a constant decides a conjunction after a crop of more than a pulse",
    inputs={"x": ("[1, S]", x)},
    weights={"z": z},
    body="""
        c = slice(x, axes = [1], begin = [3], end = [S - 1]);
        d = slice(c, axes = [1], begin = [4], end = [max(0, S - 4)]);
        y = and(z, d);
    """,
    outputs={"y": x[:, 7:-1] & z},
    pulses=[1],
    delay=[0],
    length=13,
).write(__file__)
