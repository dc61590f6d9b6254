"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 12), -9, 0)
gen.Case(
    about="padding of a max pool never wins: all inputs are negative",
    inputs={"x": ("[1, 2, S]", x)},
    body="""
        y = max_pool(x, size = [1, 1, 3], border = 'ignore', padding = [(0, 0), (0, 0), (1, 1)]);
    """,
    outputs={"y": gen.pool(x, 3, max, pads=(1, 1))},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[1],
    counts={"pulse": {"MaxPool": 1, "Delay": 1}},
).write(__file__)
