"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 2, 13)), gen.ints(2, (3, 2, 3))
gen.Case(
    about="a stride divides the delay, and pulses that it does not divide are refused",
    inputs={"x": ("[1, 2, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)], stride = [2]);",
    outputs={"y": gen.conv(x, w, stride=[2])},
    length=13,
    pulses=[2, 4, 6],
    delay=[1],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
    refuses=[1, 3],
).write(__file__)
