"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 12))
gen.Case(
    about="padding after a cropped end waits for the frames that the crop may drop",
    inputs={"x": ("[1, 1, S]", x)},
    body="""
        c = slice(x, axes = [2], begin = [0], end = [S - 4]);
        y = pad(c, [(0, 0), (0, 0), (0, 3)], value = -1.0);
    """,
    outputs={"y": gen.pad(x[:, :, :8], [(0, 0), (0, 0), (0, 3)], value=-1.0)},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[4],
    counts={"pulse": {"Delay": 1, "PulsePad": 1}},
    assumes=["S>=4"],
).write(__file__)
