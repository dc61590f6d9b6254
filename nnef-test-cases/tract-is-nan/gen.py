"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (9,)).astype(np.float64)
x[4] = np.nan
gen.Case(
    about="NaN is found, by a name of its own",
    inputs={"x": ("[S]", x)},
    body="y = tract_core_is_nan(x);",
    outputs={"y": np.isnan(x)},
    pulses=[4],
    delay=[0],
    length=9,
).write(__file__)
