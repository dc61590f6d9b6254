"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 10))
gen.Case(
    about="turns of two sizes, a stream padded by its first frame",
    inputs={"x": ("[1, S]", x)},
    body="y = pad(x, [(0, 0), (1, 0)], border = 'replicated');",
    outputs={"y": gen.pad(x, [(0, 0), (1, 0)], border="replicated")},
    pulses=[2],
    delay=[0],
    length=10,
    chunks=[4, 2, 4],
).write(__file__)
