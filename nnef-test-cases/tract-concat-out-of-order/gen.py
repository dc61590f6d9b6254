"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(36, (4,))
gen.Case(
    about="the first frame of a stream is put behind its last one",
    inputs={"x": ("[S]", x)},
    assumes=["S>=1"],
    body="""
        a = slice(x, axes = [0], begin = [1], end = [S]);
        b = slice(x, axes = [0], begin = [0], end = [1]);
        y = concat([a, b], axis = 0);
    """,
    outputs={"y": np.concatenate([x[1:], x[:1]])},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
).write(__file__)
