"""The documents tell the truth: their code runs, their files exist, docstrings have sections."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tract_ref
from tract_ref_suites.command_line import run

PACKAGE = Path(tract_ref.__file__).parent
ROOT = PACKAGE.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/findings.md",
    "docs/pulse-v2.md",
)
# Made by a run, or by whoever adds what the text speaks of.
_MADE_LATER = re.compile(r"[<>*…]|^found/|^io\.npz$|^\.venv|NNN|^case\.toml$|^graph\.nnef$")
_PATH = re.compile(r"^(?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|nnef)$|^(?:[\w.-]+/)+$|^\.ci/run$")

# The documents stand beside the package in the tree, and are not in the wheel.
IN_TREE = (ROOT / "README.md").exists()
pytestmark = pytest.mark.skipif(not IN_TREE, reason="the documents are not installed")


def texts() -> dict[str, str]:
    return {name: (ROOT / name).read_text() for name in DOCUMENTS if (ROOT / name).exists()}


def code_blocks() -> list[tuple[str, str]]:
    found = [
        (name, block)
        for name, text in texts().items()
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]
    assert found or not IN_TREE, "no document has a block of Python"
    return found


def named_files() -> list[tuple[str, str]]:
    """Return (document, path) for whatever looks like a path in code or in a link."""
    found: list[tuple[str, str]] = []
    for name, text in texts().items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        spans = re.findall(r"`([^`\n]+)`", prose) + re.findall(r"\]\(([^)#]+)\)", prose)
        found += [(name, s) for s in spans if _PATH.match(s) and not _MADE_LATER.search(s)]
    assert found or not IN_TREE, "no document names a file"
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(("document", "block"), code_blocks())
def test_python_blocks_run(document: str, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block, document, "exec"), {"__name__": "document"})


def shown_commands() -> list[tuple[str, list[str]]]:
    """Return (words, lines below) of every command that a document shows with its output."""
    found: list[tuple[str, list[str]]] = []
    for text in texts().values():
        for words, below in re.findall(
            r"^    \$ tract-ref (.*)\n((?:    .*\n)+)", text, re.MULTILINE
        ):
            found.append((words, [line.strip() for line in below.splitlines()]))
    assert found or not IN_TREE, "no document shows a command"
    return found


@pytest.mark.parametrize(("words", "shown"), shown_commands(), ids=lambda value: str(value)[:40])
def test_commands_print_what_is_shown(
    words: str, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nnef-test-cases").symlink_to(ROOT / "nnef-test-cases")
    monkeypatch.chdir(tmp_path)
    ran = run(*shlex.split(words))
    assert (ran.status, ran.err) == (0, "")
    # How far fast kernels round away is a matter of the machine.
    printed = iter(re.sub(r"\d+ ULP", "N ULP", line).strip() for line in ran.out.splitlines())
    for line in shown:
        wanted = re.sub(r"\d+ ULP", "N ULP", line)
        assert wanted in printed, f"{words} does not print, in this order, {line!r}"


@pytest.fixture(scope="module")
def picture() -> dict[str, Any]:
    """Return the names of the script that draws pulse-v2.svg."""
    return runpy.run_path(str(ROOT / "docs" / "draw_pulse_v2.py"))


def test_the_picture_is_what_its_script_draws(picture: dict[str, Any]) -> None:
    assert (ROOT / "docs" / "pulse-v2.svg").read_text() == picture["drawing"]()


def test_the_timeline_is_that_of_the_picture(picture: dict[str, Any]) -> None:
    """Per push: its size, s, then frames and kept frames of x and a, and the frames of y."""
    rows = re.findall(r"^    \d+ .*kept.*$", texts()["docs/pulse-v2.md"], re.MULTILINE)
    counts, y_reads, x_reads = picture["COUNTS"], picture["STRIDED"], picture["WINDOW"]
    for number, (row, s) in enumerate(zip(rows, picture["ENDS"], strict=True)):
        x, a, y = (counts[wire].at(s) for wire in "xay")
        told = [number + 1, picture["PUSHES"][number], s]
        told += [x, x - x_reads.first(a), a, a - y_reads.first(y), y]
        assert [int(n) for n in re.findall(r"\d+", row)][:8] == told


@pytest.mark.parametrize(("document", "path"), named_files())
def test_named_files_exist(document: str, path: str) -> None:
    places = (ROOT, (ROOT / document).parent, PACKAGE, PACKAGE / "cli")
    found = any((place / path).exists() for place in places)
    bare = "/" not in path and any((ROOT / "suites").rglob(path))
    assert found or bare, f"{document} names {path}"


def public_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield what `tract_ref` offers by name, with the public methods of its classes."""
    for name, stem in tract_ref._HOME.items():
        source = PACKAGE / (stem.replace(".", "/") + ".py")
        for node in ast.parse(source.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                yield name, node
            if isinstance(node, ast.ClassDef) and node.name == name:
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                        yield f"{name}.{part.name}", part


PUBLIC = dict(public_functions())


def parameters(function: ast.FunctionDef) -> list[str]:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def raised(function: ast.FunctionDef) -> set[str]:
    """Return the classes that the function itself raises."""
    calls = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise)]
    return {
        call.func.id
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    } - {"InternalError"}


def test_every_name_of_the_package_is_found() -> None:
    functions = {name.partition(".")[0] for name in PUBLIC}
    assert functions == set(tract_ref._HOME)


@pytest.mark.parametrize("name", list(PUBLIC))
def test_public_functions_have_the_sections(name: str) -> None:
    function = PUBLIC[name]
    text = ast.get_docstring(function) or ""
    assert text, f"{name} has no docstring"
    # One or two parameters may be explained by the sentence.
    several = len(parameters(function)) > 2
    assert not several or "Args:" in text, f"{name} takes {parameters(function)}"
    for parameter in parameters(function) if "Args:" in text else ():
        assert re.search(rf"^ +\**{parameter}:", text, re.MULTILINE), f"{name}: {parameter}"
    gives = function.returns is not None and ast.unparse(function.returns) not in ("None", "str")
    says = "Returns:" in text or "Yield" in text or re.search(r"[Rr]eturns? ", text) or not several
    assert not gives or says, f"{name} does not say what it returns"
    own = {error for error in raised(function) if error.isidentifier()}
    assert not own or "Raises:" in text, f"{name} raises {sorted(own)}"


@pytest.mark.parametrize("script", sorted(ROOT.glob("nnef-test-cases/*/gen.py")), ids=str)
def test_generators_take_nothing_from_the_package(script: Path) -> None:
    """Expected values come by another road than the code they judge."""
    for node in ast.walk(ast.parse(script.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        assert not any(name.startswith("tract_ref") for name in names)
