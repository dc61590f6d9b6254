"""Rewrite the files of this folder."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import _gen as gen

x = gen.ints(1, (8,))
y = x.copy()
y[6:] = -1
case = gen.Case(
    about="one turn of a PulsePad that pads the end and leaves alone what comes before frame 0",
    inputs={"x": ("[8]", x)},
    body="""
        y = tract_pulse_pulse_pad(x, axis = 0, before = 0, after = 2, begin_input = 1,
            end_input = 6, border = 'constant', value = -1.0, overlap = 0);
    """,
    outputs={"y": y},
    pulses=[],
    delay=[],
    length=8,
)
folder = Path(__file__).parent
core = "extension tract_registry tract_core;"
graph = case.graph().replace(core, f"{core}\nextension tract_registry tract_pulse;")
(folder / "graph.nnef").write_text(graph)
(folder / "case.toml").write_text(
    f'version = 1\nabout = "{case.about}"\napprox = "exact"\n\n[[assert]]\nbatch = "io.npz"\n'
)
np.savez(folder / "io.npz", x=x, y=y)
