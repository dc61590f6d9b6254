"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 9))
x[0, 0, 4] = np.nan
y = gen.pool(x, 2, np.max)
gen.Case(
    about="NaN in a window is its maximum",
    inputs={"x": ("[1, 1, S]", x)},
    body="""
        y = max_pool(x, size = [1, 1, 2], border = 'ignore',
            padding = [(0, 0), (0, 0), (0, 0)]);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[1],
    length=9,
).write(__file__)
