"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 9, 4))
y = gen.pool(x, 2, np.max)
gen.Case(
    about="windows beside a stream on the channel axis",
    inputs={"x": ("[1, S, 4]", x)},
    body="""
        y = max_pool(x, size = [1, 1, 2], border = 'ignore',
            padding = [(0, 0), (0, 0), (0, 0)]);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
