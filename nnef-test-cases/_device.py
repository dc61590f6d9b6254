"""What the cases about memory on a device share: one turn of a state op, streams of every type.

The classes of bugs are those of spec/attention.md 5: history that is not cleared (G1), a shift that
overlaps itself (G2), bytes counted as elements (G3), input that is not contiguous (G4), a tail that
is filled although nothing follows it (G5).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import _gen as gen
import numpy as np


def one_turn(
    script: str, about: str, body: str, *files: tuple[str, Mapping[str, gen.Array]]
) -> None:
    """Write a case of state ops, which has one turn and is asked once per file.

    Args:
        script: the `gen.py`.
        about: one sentence.
        body: the assignments of the graph, from the input x.
        files: name and arrays of each; the same names in all, x first.
    """
    folder = Path(script).parent
    arrays = files[0][1]
    x = arrays["x"]
    outputs = {name: value for name, value in arrays.items() if name != "x"}
    case = gen.Case(
        about=about,
        inputs={"x": (str(list(x.shape)), x)},
        body=body,
        outputs=outputs,
        pulses=[],
        delay=[],
        length=0,
    )
    core = "extension tract_registry tract_core;"
    graph = case.graph().replace(core, f"{core}\nextension tract_registry tract_pulse;")
    (folder / "graph.nnef").write_text(graph)
    asserts = "".join(f'\n[[assert]]\nbatch = "{name}"\n' for name, _ in files)
    (folder / "case.toml").write_text(
        f'version = 1\nabout = "{about}"\napprox = "exact"\n{asserts}'
    )
    for name, values in files:
        np.savez(folder / name, **values)


def delayed(x: gen.Array, axis: int, delay: int, overlap: int) -> gen.Array:
    """Return one turn of a delay whose history is zero."""
    lines = np.moveaxis(x, axis, 0)
    out = np.zeros((lines.shape[0] + overlap, *lines.shape[1:]), x.dtype)
    for target in range(len(out)):
        if target >= delay + overlap:
            out[target] = lines[target - delay - overlap]
    return np.moveaxis(out, 0, axis)


def shifted(script: str, dtype: str) -> None:
    """Write a case of a type: frames that wait for later ones, and a tensor passed through a pad.

    Late and early frames of a stream meet on another axis; a pad surrounds it. A copy of so many
    bytes that moves as many elements, or the other way round, is wrong except for types of 1 byte.
    """
    wait, pads = 8, [(0, 0), (0, 0), (3, 2)]
    x = _drawn(dtype, (1, 3, 21))
    late, early = x[:, :, wait:], x[:, :, : x.shape[2] - wait]
    body = f"""
        late = slice(x, axes = [2], begin = [{wait}], end = [S]);
        early = slice(x, axes = [2], begin = [0], end = [S - {wait}]);
        meet = concat([late, early], axis = 1);
    """
    outputs = {"meet": np.concatenate([late, early], 1)}
    # Not every engine pads truth values.
    if x.dtype != bool:
        body += f"    around = pad(x, padding = {pads}, border = 'constant');"
        outputs["around"] = gen.pad(x, pads)
    name = gen.NNEF_TYPES[x.dtype.name]
    gen.Case(
        about=f"frames of {name} wait for later ones, whatever the size of an element",
        inputs={"x": ("[1, 3, S]", x)},
        body=body,
        outputs=outputs,
        length=21,
        pulses=[1, 2, 4, 8, 16],
        delay=[wait, 0][: len(outputs)],
        assumes=[f"S>={wait}"],
    ).write(script)


def _drawn(dtype: str, shape: tuple[int, ...]) -> gen.Array:
    if dtype == "bool":
        return np.random.default_rng(1).random(shape) < 0.5
    return gen.ints(1, shape, 1, 9).astype(dtype)
