"""Tests of finding an engine by name, with real package metadata."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tract_ref_suites.engines import UnknownEngineError, load_engine
from tract_ref_suites.engines.command import CommandEngine


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tract_ref.engines]\ntoy = toy_engine:Toy\nlame = lame_engine:Lame\n"
    )
    (tmp_path / "toy_engine.py").write_text("class Toy:\n    name = 'toy'\n")
    (tmp_path / "lame_engine.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_installed")
def test_an_entry_point_is_found_by_name() -> None:
    assert load_engine("toy").name == "toy"


@pytest.mark.usefixtures("_installed")
def test_an_unknown_name_lists_the_installed_ones() -> None:
    with pytest.raises(UnknownEngineError, match=r'no engine "nope"; installed: .*toy'):
        load_engine("nope")


@pytest.mark.usefixtures("_installed")
def test_an_absent_package_is_named() -> None:
    with pytest.raises(UnknownEngineError, match="absent: no_such_package"):
        load_engine("lame")


def test_a_command_needs_no_entry_point() -> None:
    engine = load_engine(f"command:{sys.executable} -c pass")
    assert isinstance(engine, CommandEngine)
    assert engine.can().stream


def test_a_missing_program_is_named() -> None:
    with pytest.raises(UnknownEngineError, match="no such program"):
        load_engine("command:/no/such/program")
