"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (4,))
bounds = {"first": 0, "last": 1, "step": -1}
gen.Case(
    about="a range of dims known at run time that ends before its start is empty",
    inputs={
        "x": ("[S]", x),
        **{name: ("[]", np.asarray(value, np.int64)) for name, value in bounds.items()},
    },
    body="""
    a = tract_core_cast(first, to = 'tdim');
    b = tract_core_cast(last, to = 'tdim');
    c = tract_core_cast(step, to = 'tdim');
    y = tract_core_range(a, b, c);
    z = abs(x);
    """,
    outputs={"y": np.zeros(0, np.int64), "z": np.abs(x)},
    pulses=[],
    delay=[],
    length=4,
).write(__file__)
