"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = np.zeros((1, 1, 0, 3), np.float32)
gen.Case(
    about="a 2-D max pool of no frame at all gives nothing",
    inputs={"x": ("[1, 1, S, 3]", x)},
    body="""
        y = max_pool(x, size = [1, 1, 1, 1], border = 'ignore',
            padding = [(0, 0), (0, 0), (0, 0), (0, 0)]);
    """,
    outputs={"y": x},
    pulses=[4],
    delay=[0],
    length=0,
).write(__file__)
