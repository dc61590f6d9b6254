"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (10,))
gen.Case(
    about="turns of two sizes, positions added to a stream",
    inputs={"x": ("[S]", x)},
    body="""
        count = tract_core_range(0, S, 1);
        number = tract_core_cast(count, to = 'f32');
        y = add(x, number);
    """,
    outputs={"y": (x + np.arange(10)).astype(np.float32)},
    pulses=[2],
    delay=[0],
    length=10,
    chunks=[4, 2, 4],
).write(__file__)
