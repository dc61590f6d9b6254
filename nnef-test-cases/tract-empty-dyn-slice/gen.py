"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (4, 3))
at = np.asarray(2, np.int64)
gen.Case(
    about="bounds known at run time that are equal keep nothing",
    inputs={"x": ("[S, 3]", x), "first": ("[]", at), "last": ("[]", at)},
    body="y = tract_core_dyn_slice(x, first, last, len = 0, axis = 1);",
    outputs={"y": x[:, 2:2]},
    pulses=[2],
    delay=[0],
    length=4,
).write(__file__)
