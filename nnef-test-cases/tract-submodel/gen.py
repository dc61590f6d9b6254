"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (2, 7))
inner = gen.Case(
    about="the inner graph",
    inputs={"a": ("[2, S]", x)},
    body="b = abs(a) * 2.0;",
    outputs={"b": np.abs(x) * 2},
    pulses=[],
    delay=[],
    length=7,
)
folder = Path(__file__).parent / "net"
folder.mkdir(exist_ok=True)
(folder / "graph.nnef").write_text(inner.graph())
gen.Case(
    about="a stream goes through a graph of its own",
    inputs={"x": ("[2, S]", x)},
    body="y = tract_core_submodel([x], label = 'net');",
    outputs={"y": np.abs(x) * 2},
    pulses=[3],
    delay=[0],
    length=7,
).write(__file__)
