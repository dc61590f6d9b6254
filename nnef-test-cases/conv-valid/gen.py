"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 12)), gen.ints(2, (1, 1, 3))
gen.Case(
    about="a valid convolution of K taps is late by K - 1 frames and keeps as many",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)]);",
    outputs={"y": gen.conv(x, w)},
    length=12,
    pulses=[1, 2, 4],
    delay=[2],
    counts={"pulse": {"Conv": 1, "Delay": 1}},
).write(__file__)
