"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen
import numpy as np

x = gen.ints(1, (6, 1))
i = np.arange(6)
gen.Case(
    about="a full mask that is wider than what it lets through: j >= 0 over rows of one value",
    inputs={"x": ("[S, 1]", x)},
    body="""
    p = tract_core_range(0, S, 1);
    j = unsqueeze(p, axes = [0]);
    y = select(ge(j, [[0]]), x, [[-7.0]]);
    """,
    outputs={"y": np.where(i[None] >= 0, x, np.float32(-7))},
    pulses=[],
    delay=[],
    refuses=[4],
    length=6,
).write(__file__)
