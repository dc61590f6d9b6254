"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen
import numpy as np

FRAMES, ROW, APART = 140, 256, 70
x = gen.ints(1, (FRAMES, ROW))
gen.Case(
    about="70 old frames of 256 numbers move by 14, more than two threads can do in place",
    inputs={"x": ("[S, 256]", x)},
    body=f"""
        late = slice(x, axes = [0], begin = [{APART}], end = [S]);
        early = slice(x, axes = [0], begin = [0], end = [S - {APART}]);
        y = late - early;
    """,
    outputs={"y": np.subtract(x[APART:], x[:-APART])},
    length=FRAMES,
    pulses=[14],
    delay=[APART],
    assumes=[f"S>={APART}"],
).write(__file__)
