"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 2, 12))
gen.Case(
    about="the divisor of the first and the last window counts the frames that exist",
    inputs={"x": ("[1, 2, S]", x)},
    body="""
        y = avg_pool(x, size = [1, 1, 3], border = 'ignore', padding = [(0, 0), (0, 0), (1, 1)]);
    """,
    outputs={"y": gen.pool(x, 3, lambda frames: sum(frames) / len(frames), pads=(1, 1))},
    length=12,
    pulses=[1, 2, 4, 5],
    delay=[1],
    approx="close",
).write(__file__)
