"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2, 5))
y = x[[0, 0, 1, 1]]
gen.Case(
    about="two rows become four, the stream stays as it is",
    inputs={"x": ("[2, S]", x)},
    body="""
        y = tract_core_resize(x, sizes = [4, S], coord_transformer = 'asymmetric',
            interpolator = 'nearest', nearest_mode = 'floor');
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=5,
).write(__file__)
