"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 12)), gen.ints(2, (1, 1, 3))
gen.Case(
    about="zeros after the last frame need the end, which is known late",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 2)]);",
    outputs={"y": gen.conv(x, w, pads=[(0, 2)])},
    length=12,
    pulses=[1, 2, 3, 4, 5],
    delay=[2],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
