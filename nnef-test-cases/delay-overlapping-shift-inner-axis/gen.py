"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2, 3, 23, 4))
kernel = gen.ints(2, (3, 1, 2, 1))
gen.Case(
    about="8 old frames move where the stream axis is neither the outermost nor the innermost",
    inputs={"x": ("[2, 3, S, 4]", x)},
    weights={"kernel": kernel},
    body="""
        y = conv(x, kernel, 0.0, padding = [(0, 0), (0, 0)], dilation = [8, 1], groups = 3);
    """,
    outputs={"y": gen.conv(x, kernel, dilation=[8, 1], groups=3)},
    length=23,
    pulses=[1, 2, 4, 8, 16],
    delay=[8],
    counts={"pulse": {"Delay": 1}},
).write(__file__)
