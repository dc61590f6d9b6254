"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 2, 10, 5)), gen.ints(2, (3, 2, 3, 3))
gen.Case(
    about="the stream runs along the height, the width keeps its padding",
    inputs={"x": ("[1, 2, S, 5]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0), (1, 1)]);",
    outputs={"y": gen.conv(x, w, pads=[(0, 0), (1, 1)])},
    length=10,
    pulses=[1, 2, 4],
    delay=[2],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
