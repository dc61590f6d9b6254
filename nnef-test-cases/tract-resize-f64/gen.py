"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2, 5)).astype(np.float64) / 3
y = x[[0, 0, 1]]
gen.Case(
    about="numbers that f32 does not have are copied as they are",
    inputs={"x": ("[2, S]", x)},
    body="""
        y = tract_core_resize(x, scales = [1.5, 1.0], coord_transformer = 'half_pixel',
            interpolator = 'nearest', nearest_mode = 'floor');
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
