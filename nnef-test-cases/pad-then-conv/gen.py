"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 12)), gen.ints(2, (1, 1, 3))
gen.Case(
    about="zeros padded before a valid convolution become padding of the convolution",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="""
        p = pad(x, [(0, 0), (0, 0), (2, 1)]);
        y = conv(p, w, 0.0, padding = [(0, 0)]);
    """,
    outputs={"y": gen.conv(x, w, pads=[(2, 1)])},
    length=12,
    pulses=[1, 2, 4],
    delay=[0],
    counts={"load": {"Conv": 1, "Pad": 1}, "declutter": {"Conv": 1, "Pad": 0}},
).write(__file__)
