"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 15))
w = {"w1": gen.ints(2, (2, 2, 3)), "w2": gen.ints(3, (3, 2, 2)), "w3": gen.ints(4, (1, 3, 4))}
y = x
for kernel in w.values():
    y = gen.conv(y, kernel)
gen.Case(
    about="delays of a chain of valid convolutions add up: 2 + 1 + 3",
    inputs={"x": ("[1, 2, S]", x)},
    weights=w,
    body="""
        a = conv(x, w1, 0.0, padding = [(0, 0)]);
        b = conv(a, w2, 0.0, padding = [(0, 0)]);
        y = conv(b, w3, 0.0, padding = [(0, 0)]);
    """,
    outputs={"y": y},
    length=15,
    pulses=[1, 2, 4, 16],
    delay=[6],
    counts={"pulse": {"Conv": 3, "Delay": 3}},
).write(__file__)
