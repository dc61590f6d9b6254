"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (1, 1, 12))
w = np.array([[[0.333, 0.333, 0.334]]], np.float32)
gen.Case(
    about="a mask as long as the wire, S/2 + 1 frames, has P/2 frames per pulse",
    inputs={"x": ("[1, 1, S]", x)},
    weights={"w": w},
    body="""
        c = conv(x, w, 0.0, padding = [(2, 1)], stride = [2]);
        mask = tract_core_broadcast([[[0.0001]]], shape = [1, 1, tract_core_shape_of(c)[2]]);
        y = c + mask;
    """,
    outputs={"y": gen.conv(x, w, pads=[(2, 1)], stride=[2]) + np.float32(0.0001)},
    length=12,
    pulses=[4, 2],
    delay=[0],
    assumes=["S>=1"],
    refuses=[3],
    approx="close",
).write(__file__)
