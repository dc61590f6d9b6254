"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2, 9))
gen.Case(
    about="an edge pad of the stream axis and of another one",
    inputs={"x": ("[2, S]", x)},
    body="y = pad(x, [(1, 2), (2, 1)], border = 'replicated');",
    outputs={"y": gen.pad(x, [(1, 2), (2, 1)], "replicated")},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
