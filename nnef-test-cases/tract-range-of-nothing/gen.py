"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2,)).astype(np.int64)
y = np.zeros(0, np.int64)
gen.Case(
    about="a range that ends before its start has no number",
    inputs={"x": ("[S]", x)},
    body="y = tract_core_range(0, S - 3, 1);",
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=2,
).write(__file__)
