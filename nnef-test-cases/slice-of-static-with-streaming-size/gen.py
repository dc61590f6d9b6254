"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (12, 1))
table = np.arange(1, 65, dtype=np.float32).reshape(64, 1)
gen.Case(
    about="a table cut to the length of the stream goes on where the last pulse stopped",
    inputs={"x": ("[S, 1]", x)},
    weights={"table": table},
    body="""
        rows = slice(table, axes = [0], begin = [0], end = [S]);
        y = x + rows;
    """,
    outputs={"y": x + table[:12]},
    length=12,
    pulses=[4, 1, 2, 5],
    delay=[0],
    counts={"pulse": {"Delay": 0}},
    assumes=["S<=64"],
).write(__file__)
