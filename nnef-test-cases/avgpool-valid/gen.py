"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 13))
gen.Case(
    about="a valid average pool streams like a convolution; quarters are exact",
    inputs={"x": ("[1, 2, S]", x)},
    body="""
        y = avg_pool(x, size = [1, 1, 4], padding = [(0, 0), (0, 0), (0, 0)], stride = [1, 1, 2]);
    """,
    outputs={"y": gen.pool(x, 4, lambda frames: sum(frames) / 4, stride=2)},
    length=13,
    pulses=[2, 4, 6],
    delay=[1],
    counts={"pulse": {"Delay": 1}},
    refuses=[3],
).write(__file__)
