"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 12))
gen.Case(
    about="the front is filled with frames that come later: delay 2",
    inputs={"x": ("[1, 2, S]", x)},
    body="y = pad(x, [(0, 0), (0, 0), (2, 3)], border = 'reflect');",
    outputs={"y": gen.pad(x, [(0, 0), (0, 0), (2, 3)], border="reflect")},
    length=12,
    pulses=[1, 2],
    delay=[2],
).write(__file__)
