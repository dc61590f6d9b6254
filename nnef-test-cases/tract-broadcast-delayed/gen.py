"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 9))
gen.Case(
    about="a delayed stream is repeated beside its axis",
    inputs={"x": ("[1, S]", x)},
    body="""
        c = slice(x, axes = [1], begin = [2], end = [S]);
        y = tract_core_broadcast(c, [3, S - 2]);
    """,
    outputs={"y": np.repeat(x[:, 2:], 3, 0)},
    pulses=[4],
    delay=[2],
    length=9,
).write(__file__)
