"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 13))
w = gen.ints(2, (1, 1, 2))
gen.Case(
    about="turns of two sizes, a convolution over a stream of S+3 frames",
    inputs={"x": ("[1, 1, S+3]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, padding = [(0, 0)]);",
    outputs={"y": gen.conv(x, w)},
    pulses=[2],
    delay=[1],
    length=10,
    chunks=[4, 2, 4],
).write(__file__)
