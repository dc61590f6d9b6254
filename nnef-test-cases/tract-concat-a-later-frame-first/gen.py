"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(37, (4,))
gen.Case(
    about="the second frame of a stream is put in front of it",
    inputs={"x": ("[S]", x)},
    assumes=["S>=2"],
    body="""
        a = slice(x, axes = [0], begin = [1], end = [2]);
        y = concat([a, x], axis = 0);
    """,
    outputs={"y": np.concatenate([x[1:2], x])},
    pulses=[2],
    delay=[1],
    length=4,
).write(__file__)
