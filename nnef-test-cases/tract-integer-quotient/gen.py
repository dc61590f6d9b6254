"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,)).astype(np.int64)
a, b = x[:-2], x[2:]
y = np.array([int(q / p) for p, q in zip(a.tolist(), b.tolist(), strict=True)])
gen.Case(
    about="integers of a stream divided by its later frames",
    inputs={"x": ("[S]", x)},
    body="""
        a = slice(x, axes = [0], begin = [0], end = [S - 2]);
        b = slice(x, axes = [0], begin = [2], end = [S]);
        y = b / a;
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[2],
    length=9,
).write(__file__)
