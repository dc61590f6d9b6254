"""Models that the benchmarks measure, written as NNEF folders that every contestant reads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "nnef-test-cases"
FOLDER = Path(__file__).resolve().parent / "models"

_HEADER = """version 1.0;
extension tract_registry tract_core;
extension tract_symbol S;
extension tract_assert S>={least};
"""


def _generator() -> ModuleType:
    name = "_tract_ref_gen"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, CASES / "_gen.py")
        if spec is None or spec.loader is None:
            raise ImportError("nnef-test-cases/_gen.py is missing")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def wavenet(blocks: int) -> Path:
    """Return the folder of a wavenet of so many blocks."""
    folder = FOLDER / f"wavenet-{blocks}"
    if not (folder / "graph.nnef").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _generator().wavenet(folder, blocks=blocks)
    return folder


def dilated_chain(layers: int) -> Path:
    """Return the folder of a chain of convolutions, dilations 1, 2, 4, 8 in turn."""
    return _chain(f"dilated-{layers}", [(1, 2, 4, 8)[i % 4] for i in range(layers)])


def doubling_chain(layers: int) -> Path:
    """Return the folder of a chain of convolutions, each twice as dilated as the one before it."""
    return _chain(f"doubling-{layers}", [2**i for i in range(layers)])


def _chain(name: str, dilations: list[int]) -> Path:
    lines = ["x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');"]
    wire, used = "x", 0
    for i, dilation in enumerate(dilations):
        used += 2 * dilation
        lines.append(_conv(f"c{i}", wire, i, dilation))
        wire = f"c{i}"
    return _write(name, lines, wire, len(dilations), used)


def skip_chain(layers: int) -> Path:
    """Return the folder of a chain of convolutions, each added to its cropped input."""
    lines = ["x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');"]
    wire, used = "x", 0
    for i in range(layers):
        dilation = (1, 2, 4, 8)[i % 4]
        lines.append(_conv(f"c{i}", wire, i, dilation))
        end = f"S - {used}" if used else "S"
        lines.append(
            f"k{i} = slice({wire}, axes = [2], begin = [{2 * dilation}], end = [{end}], "
            "stride = [1]);"
        )
        lines.append(f"h{i} = add(c{i}, k{i});")
        used += 2 * dilation
        wire = f"h{i}"
    return _write(f"skip-{layers}", lines, wire, layers, used)


def _conv(name: str, wire: str, number: int, dilation: int) -> str:
    weight = [round(float(w), 4) for w in np.sin(0.7 * np.arange(3) + 1.3 * number) * 0.6]
    kernel = "[[[" + ", ".join(repr(w) for w in weight) + "]]]"
    return (
        f"{name} = conv({wire}, {kernel}, 0.0, border = 'constant', padding = [(0, 0)], "
        f"stride = [1], dilation = [{dilation}], groups = 1);"
    )


def _write(name: str, lines: list[str], output: str, layers: int, used: int) -> Path:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    body = "\n  ".join(lines)
    text = _HEADER.format(least=used + 1)
    (folder / "graph.nnef").write_text(f"{text}\ngraph net(x) -> ({output}) {{\n  {body}\n}}\n")
    return folder
