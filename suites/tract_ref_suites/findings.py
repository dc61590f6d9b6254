"""The page of findings, written from the known limits: `python -m tract_ref_suites.findings`.

Rewrites the tables of docs/findings.md; what stands around them is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tract_ref_suites.cases import case_folders
from tract_ref_suites.engines.dims_limits import DimLimit, DimWitness, load_dim_limits
from tract_ref_suites.engines.known_limits import load_limits

PAGE = Path(__file__).parent.parent.parent / "docs" / "findings.md"
ENGINE = "tract"


def tables() -> dict[str, list[str]]:
    """Return the lines of each table by the name of its place."""
    return {"dims": _dims(), "models": _models()}


def _dims() -> list[str]:
    lines = [
        "| finding | why | dim | at | expected | seen | reproducer |",
        "|---|---|---|---|---|---|---|",
    ]
    for limit in load_dim_limits(ENGINE, "unknown"):
        for number, witness in enumerate(limit.witnesses):
            reason = limit.reason if number == 0 else "the same"
            cells = [limit.id, reason, f"`{witness.text}`", _point(witness)]
            cells += [_expected(witness), _seen(limit, witness), f"`{witness.command}`"]
            lines.append(_row(cells))
    return lines


def _point(witness: DimWitness) -> str:
    bound = ", ".join(f"{name}={value}" for name, value in witness.at.items())
    return bound + (f" with {', '.join(witness.known)}" if witness.known else "")


def _expected(witness: DimWitness) -> str:
    return "a refusal" if witness.expected is None else str(witness.expected)


def _seen(limit: DimLimit, witness: DimWitness) -> str:
    if limit.kind == "crash":
        return "the process aborts"
    seen = "no value" if witness.seen is None else str(witness.seen)
    return f"prints a text of value {seen}" if limit.kind == "unfaithful" else seen


def _models() -> list[str]:
    lines = ["| finding | kind | what happens | seen | reproducer |", "|---|---|---|---|---|"]
    slugs = [folder.name for folder in case_folders()]
    for limit in load_limits(ENGINE, "unknown", slugs):
        command = f"`tract-ref replay nnef-test-cases/{limit.witness} --engine {ENGINE}`"
        lines.append(_row([limit.id, limit.kind, limit.reason, limit.seen, command]))
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def filled(text: str) -> str:
    """Return a page with its tables written anew.

    Raises:
        ValueError: the page has no place for one of them.
    """
    for name, lines in tables().items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        table = begin + "\n".join(lines) + "\n" + end
        text, count = place.subn(lambda _, table=table: table, text)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name!r}")
    return text


def main() -> int:
    """Write the tables into the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
