"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (4, 9))
gen.Case(
    about="every other position of an axis beside the stream",
    inputs={"x": ("[4, S]", x)},
    body="y = tract_core_downsample(x, axis = 0, stride = 2, modulo = 1);",
    outputs={"y": x[1::2]},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
