"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 2))
gen.Case(
    about="two axes become one after a crop that may leave nothing",
    inputs={"x": ("[S, 2]", x)},
    body="""
        c = slice(x, axes = [0], begin = [3], end = [S]);
        y = reshape(c, shape = [-1]);
    """,
    outputs={"y": x[3:].reshape(-1)},
    pulses=[4],
    delay=[6],
    length=9,
).write(__file__)
