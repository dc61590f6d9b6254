"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

gen.wavenet(
    __file__,
    linear=True,
    golden=[
        ("y", [0, 0, 0], 1688849854949250.0, 0),
        ("y", [0, 0, 1], 1688849860263930.0, 0),
        ("y", [0, 0, 2], 1688849865578610.0, 0),
        ("y", [0, 0, 73], 1688849862035490.0, 0),
    ],
)
