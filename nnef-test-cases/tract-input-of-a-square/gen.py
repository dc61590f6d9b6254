"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(40, (9,))
gen.Case(
    about="an input of S * S frames has no number of frames per turn",
    inputs={"x": ("[S * S]", x)},
    body="y = x + 1.0;",
    outputs={"y": x + 1},
    pulses=[],
    asked=[1],
    delay=[],
    length=3,
).write(__file__)
