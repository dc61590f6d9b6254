"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 16)), gen.ints(2, (1, 1, 3))
gen.Case(
    about="dilation widens the field to (K - 1) * D, whatever the pulse",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)], dilation = [3]);",
    outputs={"y": gen.conv(x, w, dilation=[3])},
    length=16,
    pulses=[1, 2, 4, 7],
    delay=[6],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
