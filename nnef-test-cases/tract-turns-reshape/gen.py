"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (20,))
gen.Case(
    about="turns of two sizes, two frames made one after the first is dropped",
    inputs={"x": ("[2*S]", x)},
    body="""
        p = pad(x, [(0, 1)], value = 7.0);
        c = slice(p, axes = [0], begin = [1], end = [2*S+1]);
        y = reshape(c, shape = [S, 2], axis_start = 0, axis_count = 1);
    """,
    outputs={"y": gen.pad(x, [(0, 1)], value=7.0)[1:].reshape(10, 2)},
    pulses=[2],
    delay=[1],
    length=10,
    chunks=[4, 2, 4],
).write(__file__)
