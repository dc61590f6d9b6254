"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 14))
gen.Case(
    about="every third frame from the fifth on: delay 4 becomes delay 1 and a phase of 1",
    inputs={"x": ("[1, 2, S]", x)},
    body="y = slice(x, axes = [2], begin = [4], end = [S], stride = [3]);",
    outputs={"y": x[:, :, 4::3]},
    length=14,
    pulses=[3, 6],
    delay=[1],
    counts={"pulse": {"Downsample": 1, "Delay": 0}},
    refuses=[4],
    assumes=["S>=4"],
).write(__file__)
