"""No empty cell: every op has a rule or a written refusal in every table that exists."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import tract_ref.fast
import tract_ref.ops
from tract_ref.ir.model import Const, Source
from tract_ref.ir.op import Op
from tract_ref.ir.rules import DECLUTTER, Refusal
from tract_ref.nnef.table import NNEF
from tract_ref.onnx_io.table import ONNX
from tract_ref.runtime.kernels import FAST
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2


def all_ops() -> list[type[Op]]:
    found: set[type[Op]] = {Source, Const}
    for info in pkgutil.iter_modules(tract_ref.ops.__path__):
        module = importlib.import_module(f"tract_ref.ops.{info.name}")
        for _, value in inspect.getmembers(module, inspect.isclass):
            # A class with subclasses is a shared base, not an op.
            if (
                issubclass(value, Op)
                and not inspect.isabstract(value)
                and not value.__subclasses__()
            ):
                found.add(value)
    return sorted(found, key=lambda op: op.__name__)


OPS = all_ops()


def test_there_are_ops() -> None:
    assert len(OPS) > 60


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_op_has_a_rule_or_a_refusal(op: type[Op]) -> None:
    for table in (PULSIFY_V1, REGION_V2, INPUT_ROI, NNEF.dumps):
        cell = table.lookup(op)
        if isinstance(cell, Refusal):
            assert cell.reason
            assert cell.remedy


@pytest.mark.parametrize(
    "table", [PULSIFY_V1, REGION_V2, INPUT_ROI, DECLUTTER, FAST, NNEF.dumps], ids=lambda t: t.name
)
def test_tables_hold_only_ops_that_exist(table: object) -> None:
    keys = table.keys()  # pyright: ignore[reportAttributeAccessIssue]
    assert keys
    assert set(keys) <= set(OPS)


def test_format_tables_are_filled() -> None:
    assert len(NNEF.loads.keys()) > 80
    assert len(ONNX.keys()) > 60


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_op_says_what_it_is(op: type[Op]) -> None:
    assert op.__doc__
    assert op.output_facts.__doc__


def test_every_kernel_file_has_a_family() -> None:
    fast = {info.name for info in pkgutil.iter_modules(tract_ref.fast.__path__)}
    ops = {info.name for info in pkgutil.iter_modules(tract_ref.ops.__path__)}
    assert fast <= ops


def test_no_family_is_hidden() -> None:
    folder = Path(next(iter(tract_ref.ops.__path__)))
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert stems == {info.name for info in pkgutil.iter_modules(tract_ref.ops.__path__)}
