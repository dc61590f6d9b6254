"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen
import numpy as np

x = gen.ints(1, (9,))
z = x > 0
gen.Case(
    about="bools are padded",
    inputs={"x": ("[S]", x)},
    body="""
    z = gt(x, [0.0]);
    padded = pad(z, padding = [(1, 0)], value = 1.0);
    y = select(padded, [1.0], [-7.0]);
    """,
    outputs={"y": np.where(np.concatenate([[True], z]), np.float32(1), np.float32(-7))},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
