"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x, w = gen.ints(1, (1, 1, 12)), gen.ints(2, (1, 1, 2))
gen.Case(
    about="SAME with a stride whose padding does not depend on the length",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="y = conv(x, w, 0.0, stride = [3], padding = []);",
    outputs={"y": gen.conv(x, w, stride=[3])},
    pulses=[6],
    delay=[0],
    length=12,
).write(__file__)
