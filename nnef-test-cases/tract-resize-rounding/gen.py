"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (3, 5))
y = x[[0, 1, 1, 2, 2, 2]]
gen.Case(
    about="positions between two are rounded up",
    inputs={"x": ("[3, S]", x)},
    body="""
        y = tract_core_resize(x, scales = [2.0, 1.0], coord_transformer = 'asymmetric',
            interpolator = 'nearest', nearest_mode = 'ceil');
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
