"""The page of findings says what the known limits say."""

from __future__ import annotations

import pytest

from tract_ref_suites.cases import case_folders
from tract_ref_suites.engines.dims_limits import load_dim_limits
from tract_ref_suites.engines.known_limits import load_limits
from tract_ref_suites.findings import ENGINE, PAGE, filled, tables

# The documents stand beside the package in the tree, and are not in the wheel.
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documents are not installed")


def test_the_tables_are_those_of_the_limits() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == filled(text), "run python -m tract_ref_suites.findings"


def test_every_limit_has_a_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    slugs = [folder.name for folder in case_folders()]
    for limit in (*load_limits(ENGINE, "unknown", slugs), *load_dim_limits(ENGINE, "unknown")):
        assert f"\n| {limit.id} | " in text


def test_every_row_has_a_command() -> None:
    rows = [line for lines in tables().values() for line in lines[2:]]
    assert len(rows) > 60
    for row in rows:
        assert (
            "`python -m tract_ref_suites.engines.tract_dims " in row or "`tract-ref replay " in row
        )


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="0 places for the table 'dims'"):
        filled("# Findings\n")
