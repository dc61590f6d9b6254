"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen
import numpy as np

x = gen.ints(1, (1, 13, 3))
turned = np.ascontiguousarray(x.transpose(0, 2, 1))
kernel = gen.ints(2, (2, 3, 3))
pads = [(0, 0), (0, 0), (1, 2)]
gen.Case(
    about="a pad and a padded convolution read a transposed stream by its strides",
    inputs={"x": ("[1, S, 3]", x)},
    weights={"kernel": kernel},
    body="""
        turned = transpose(x, axes = [0, 2, 1]);
        around = pad(turned, padding = [(0, 0), (0, 0), (1, 2)], border = 'constant',
            value = 9.0);
        y = conv(turned, kernel, 0.0, padding = [(1, 1)]);
    """,
    outputs={
        "around": gen.pad(turned, pads, value=9.0),
        "y": gen.conv(turned, kernel, pads=[(1, 1)]),
    },
    length=13,
    pulses=[1, 3, 4, 16],
    delay=[0, 1],
).write(__file__)
