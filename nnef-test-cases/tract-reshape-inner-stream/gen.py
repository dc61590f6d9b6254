"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(38, (2, 4))
gen.Case(
    about="two rows of a stream, one behind the other",
    inputs={"x": ("[2, S]", x)},
    body="y = reshape(x, shape = [2 * S]);",
    outputs={"y": np.array(x.ravel().tolist(), np.float32)},
    pulses=[],
    asked=[2],
    delay=[],
    length=4,
).write(__file__)
