"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 9))
y = gen.pad(x, [(0, 0), (0, 0), (2, 0)], value=-np.inf)
y = np.maximum(y[..., :-1], y[..., 1:])
gen.Case(
    about="a window of padding alone has the maximum -inf",
    inputs={"x": ("[1, 1, S]", x)},
    body="""
        y = max_pool(x, size = [1, 1, 2], border = 'ignore',
            padding = [(0, 0), (0, 0), (2, 0)]);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
