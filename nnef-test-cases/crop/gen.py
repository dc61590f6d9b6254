"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 12))
gen.Case(
    about="frames dropped at the front become delay, frames dropped at the end cost nothing",
    inputs={"x": ("[1, 2, S]", x)},
    body="y = slice(x, axes = [2], begin = [2], end = [S - 1]);",
    outputs={"y": x[:, :, 2:11]},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[2],
    counts={"pulse": {"Delay": 0}},
    assumes=["S>=3"],
).write(__file__)
