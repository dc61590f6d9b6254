"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 9))
y = gen.pool(x, 3, np.mean)
gen.Case(
    about="an average is the sum divided by the count, rounded once",
    inputs={"x": ("[1, 1, S]", x)},
    body="""
        y = avg_pool(x, size = [1, 1, 3], border = 'ignore',
            padding = [(0, 0), (0, 0), (0, 0)]);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[2],
    length=9,
).write(__file__)
