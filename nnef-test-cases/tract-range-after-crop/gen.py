"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,)).astype(np.int64)
y = np.array([v + t for t, v in enumerate(x[2:].tolist())])
gen.Case(
    about="a range is as long as a cropped stream",
    inputs={"x": ("[S]", x)},
    body="""
        c = slice(x, axes = [0], begin = [2], end = [S]);
        numbers = tract_core_range(0, max(0, S - 2), 1);
        y = c + numbers;
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[2],
    length=9,
).write(__file__)
