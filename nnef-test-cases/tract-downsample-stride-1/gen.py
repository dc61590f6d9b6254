"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,))
gen.Case(
    about="a Downsample of stride 1 from position 1 drops one frame",
    inputs={"x": ("[S]", x)},
    body="y = tract_core_downsample(x, axis = 0, stride = 1, modulo = 1);",
    outputs={"y": x[1:]},
    pulses=[4],
    delay=[1],
    length=9,
).write(__file__)
