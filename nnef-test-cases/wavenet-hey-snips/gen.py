"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

gen.wavenet(
    __file__,
    golden=[
        ("y", [0, 0, 0], -1.11397, 5),
        ("y", [0, 0, 1], -1.27320, 5),
        ("y", [0, 0, 2], -1.08967, 5),
        ("y", [0, 1, 0], -0.31985, 5),
        ("y", [0, 1, 1], -0.24415, 5),
        ("y", [0, 1, 2], -0.39297, 5),
    ],
)
