"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, first, last = gen.ints(1, (1, 2, 12)), gen.ints(2, (1, 2, 3)), gen.ints(3, (1, 2, 2))
gen.Case(
    about="three constant frames before the stream and two after its end",
    inputs={"x": ("[1, 2, S]", x)},
    weights={"first": first, "last": last},
    body="y = concat([first, x, last], axis = 2);",
    outputs={"y": np.concatenate([first, x, last], 2)},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[0],
    counts={"pulse": {"Delay": 1}},
).write(__file__)
