"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,)) > 0
z = gen.ints(2, (9,)) > 0
gen.Case(
    about="bools are compared",
    inputs={"x": ("[S]", x), "z": ("[S]", z)},
    body="y = x == z;",
    outputs={"y": x == z},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
