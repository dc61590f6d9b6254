"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 4, 12)), gen.ints(2, (6, 2, 3))
gen.Case(
    about="groups do not touch the stream axis",
    inputs={"x": ("[1, 4, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)], groups = 2);",
    outputs={"y": gen.conv(x, w, groups=2)},
    length=12,
    pulses=[1, 2, 4],
    delay=[2],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
