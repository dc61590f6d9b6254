"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,))
y = gen.pad(x[:3], [(0, 2)], value=-1.0)
gen.Case(
    about="the first frames of a stream, then a pad after them",
    inputs={"x": ("[S]", x)},
    body="""
        c = slice(x, axes = [0], begin = [0], end = [3]);
        y = pad(c, [(0, 2)], value = -1.0);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
