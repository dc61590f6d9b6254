"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9, 2))
y = x[1::2].reshape(4, 1, 2)
gen.Case(
    about="every other frame is transformed, alone",
    inputs={"x": ("[S, 2]", x)},
    body="""
        c = slice(x, axes = [0], begin = [1], end = [S]);
        y = tract_core_stft(c, axis = 0, frame = 1, stride = 2);
    """,
    outputs={"y": y},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
