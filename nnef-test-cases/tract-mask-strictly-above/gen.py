"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen
import numpy as np

x = gen.ints(1, (9,))
gen.Case(
    about="a mask that is false at position 0 only: i > 0",
    inputs={"x": ("[S]", x)},
    body="""
    i = tract_core_range(0, S, 1);
    y = select(gt(i, [0]), x, [-7.0]);
    """,
    outputs={"y": np.where(np.arange(9) > 0, x, np.float32(-7))},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
