"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 14))
w = {f"w{k}": gen.ints(k, (1, 1, k)) for k in (2, 3, 4)}
c, a, b = (gen.conv(x, w[f"w{k}"], pads=[(0, k - 1)]) for k in (2, 3, 4))
gen.Case(
    about="select of delays 1, 2 and 3: the two early inputs each get a Delay of their own",
    inputs={"x": ("[1, 1, S]", x)},
    weights=w,
    body="""
        c = conv(x, w2, 0.0, padding = [(0, 1)]);
        a = conv(x, w3, 0.0, padding = [(0, 2)]);
        b = conv(x, w4, 0.0, padding = [(0, 3)]);
        y = select(c > 0.0, a, b);
    """,
    outputs={"y": np.where(c > 0, a, b)},
    length=14,
    pulses=[4, 1, 2],
    delay=[3],
    counts={"pulse": {"Conv": 3, "Delay": 5}},
).write(__file__)
