"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(33, (4,))
gen.Case(
    about="the last two frames of a stream are known at its end",
    inputs={"x": ("[S]", x)},
    assumes=["S>=2"],
    body="y = slice(x, axes = [0], begin = [S - 2], end = [S]);",
    outputs={"y": x[2:]},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
).write(__file__)
