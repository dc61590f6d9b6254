"""Imports go down only, have no cycles, and keep heavy packages out (design: floors)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tract_ref

PACKAGE = Path(tract_ref.__file__).parent

FLOORS = {
    "errors": 0,
    "approx": 0,
    "dim": 0,
    "ir": 1,
    "runtime": 1,
    "stream": 2,
    "calls": 2,
    "nnef.ast": 2,
    "nnef.table": 2,
    "nnef.lexer": 2,
    "nnef.parser": 2,
    "nnef.printer": 2,
    "nnef.tensor": 2,
    "nnef.archive": 2,
    "nnef.dims": 2,
    "nnef.values": 2,
    "onnx_io.table": 2,
    "ops": 3,
    "fast": 3,
    "nnef.invocation": 4,
    "nnef.recipes": 4,
    "nnef.reader": 4,
    "nnef.writer": 4,
    "nnef": 2,
    "onnx_io": 4,
    "passes": 4,
    "drawing": 4,
    "verdict": 4,
    "prove": 4,
    "latency": 4,
    "prove_increments": 4,
    "loading": 5,
    "cli": 5,
    "": 5,
}
# Drivers reach ops through the tables; these two families are part of every pulsified model, and
# the window verb slices.
NAMED_BY_DRIVERS = {"ops.structure", "ops.buffer", "ops.repeat", "ops.slicing"}
MAY_NAME_ANY_OP = ("passes.rewrites", "onnx_io.recipes", "nnef.recipes")
BANNED = {"hypothesis", "pytest", "sympy", "tract", "tract_ref_suites"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int:
    """Return the floor of a module, or of the closest listed package around it."""
    listed = module
    while listed not in FLOORS and listed:
        listed = listed.rpartition(".")[0]
    assert listed or not module, f"{module} stands on no floor: list it"
    return FLOORS[listed]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield what a file imports, and whether only the type checker sees it."""
    tree = ast.parse(path.read_text())
    typing_only: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing_only |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                exists = (PACKAGE.parent / whole.replace(".", "/")).with_suffix(".py").exists()
                folder = (PACKAGE.parent / whole.replace(".", "/")).is_dir()
                yield whole if exists or folder else node.module, id(node) in typing_only


FILES = sorted(PACKAGE.rglob("*.py"))


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p) or "__init__")
def test_imports_go_down(path: Path) -> None:
    module = module_name(path)
    for name, typing_only in imports(path):
        top = name.split(".")[0]
        assert top not in BANNED, f"{module} imports {name}"
        if top == "onnx":
            assert module.startswith("onnx_io."), f"{module} imports onnx"
        if top == "onnxruntime":
            assert module in ("cli.export", "cli.doctor"), f"{module} imports onnxruntime"
        if top != "tract_ref" or typing_only:
            continue
        target = name.removeprefix("tract_ref").lstrip(".")
        assert floor_of(target) <= floor_of(module), f"{module} imports {target}: upwards"
        if floor_of(module) == 3:
            check_op_import(module, target)
        if floor_of(module) == 4 and target.startswith("ops."):
            free = module.startswith(MAY_NAME_ANY_OP) or target in NAMED_BY_DRIVERS
            assert free, f"{module} names {target}: reach ops through tables"


def check_op_import(module: str, target: str) -> None:
    if not target.startswith(("ops.", "fast.")):
        return
    family, stem = target.split(".")[:2]
    own = module.split(".")[-1]
    allowed = family == "ops" and module.startswith("fast.") and stem == own
    assert allowed, f"{module} imports {target}: op files do not import each other"


def test_there_is_no_cycle() -> None:
    graph = {
        module_name(path): {
            name.removeprefix("tract_ref").lstrip(".")
            for name, typing_only in imports(path)
            if name.split(".")[0] == "tract_ref" and not typing_only
        }
        for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for below in sorted(graph.get(module, ())):
            if below:
                visit(below, (*trail, module))
        done.add(module)

    for module in graph:
        if module:
            visit(module, ())


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, tract_ref; "
        "print([m for m in ('numpy', 'onnx', 'rich', 'click') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_checking_an_nnef_model_does_not_load_onnx() -> None:
    code = "import sys, tract_ref.cli.check; print('onnx' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p) or "__init__")
def test_files_fit_in_a_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
