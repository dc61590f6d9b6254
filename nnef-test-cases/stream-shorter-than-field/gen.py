"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 2)), gen.ints(2, (1, 1, 5))
gen.Case(
    about="a stream shorter than the field of a window gives an empty output",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)]);",
    outputs={"y": gen.conv(x, w)},
    length=2,
    pulses=[1, 2, 4],
    delay=[4],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
