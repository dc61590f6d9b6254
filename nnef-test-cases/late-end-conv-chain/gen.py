"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 14))
w1, w2 = gen.ints(2, (1, 1, 3)), gen.ints(3, (1, 1, 3))
gen.Case(
    about="zeros after a cropped end: 3 frames of waiting, then 2 and 1 of the convolutions",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w1": w1, "w2": w2},
    body="""
        c = slice(x, axes = [2], begin = [0], end = [S - 3]);
        a = conv(c, w1, 0.0, padding = [(0, 2)]);
        y = conv(a, w2, 0.0, padding = [(1, 1)]);
    """,
    outputs={"y": gen.conv(gen.conv(x[:, :, :11], w1, pads=[(0, 2)]), w2, pads=[(1, 1)])},
    length=14,
    pulses=[1, 2, 4, 5, 7],
    delay=[6],
    counts={"pulse": {"Conv": 2}},
    assumes=["S>=4"],
).write(__file__)
