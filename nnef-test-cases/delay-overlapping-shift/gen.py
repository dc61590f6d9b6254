"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 31))
kernel = gen.ints(2, (2, 1, 9))
gen.Case(
    about="8 old frames move by 1, 2, 3 (over each other), then by 4, 8 and 16 (they do not)",
    inputs={"x": ("[1, 2, S]", x)},
    weights={"kernel": kernel},
    body="y = conv(x, kernel, 0.0, padding = [(0, 0)], groups = 2);",
    outputs={"y": gen.conv(x, kernel, groups=2)},
    length=31,
    pulses=[1, 2, 3, 4, 8, 16],
    delay=[8],
    counts={"pulse": {"Delay": 1}},
).write(__file__)
