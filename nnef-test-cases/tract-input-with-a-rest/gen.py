"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(39, (5,))
gen.Case(
    about="an input of S + 1 frames brings one frame per frame of a pulse",
    inputs={"x": ("[S + 1]", x)},
    body="y = x + 1.0;",
    outputs={"y": x + 1},
    pulses=[2],
    delay=[0],
    length=4,
).write(__file__)
