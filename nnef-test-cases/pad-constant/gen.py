"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 12))
gen.Case(
    about="a constant before the stream costs frames kept, not delay; after it, the end",
    inputs={"x": ("[1, 2, S]", x)},
    body="y = pad(x, [(0, 0), (0, 0), (2, 3)], value = -7.0);",
    outputs={"y": gen.pad(x, [(0, 0), (0, 0), (2, 3)], value=-7.0)},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[0],
    counts={"pulse": {"Delay": 1, "PulsePad": 1}},
).write(__file__)
