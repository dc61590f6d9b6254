"""What must be refused or rejected is, by the right class and with the right first words."""

from __future__ import annotations

import pytest

from tract_ref.errors import InternalError, Refused
from tract_ref.ir.rules import Refusal, RuleTable
from tract_ref.nnef.table import NNEF
from tract_ref.onnx_io.table import ONNX
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import ErrorCase

CASES = {
    f"{family.name}-{slug}": case
    for family in families().values()
    for slug, case in family.errors.items()
}
TABLES: dict[str, RuleTable] = {  # pyright: ignore[reportMissingTypeArgument]
    table.name: table for table in (PULSIFY_V1, NNEF.dumps, NNEF.loads, ONNX)
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_is_declined_with_these_words(case: ErrorCase) -> None:
    with pytest.raises(case.error) as caught:
        case.attempt()
    assert type(caught.value) is case.error
    assert case.error is not InternalError
    assert case.starts
    assert str(caught.value).startswith(case.starts)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_refusal_says_what_to_do(case: ErrorCase) -> None:
    with pytest.raises(case.error) as caught:
        case.attempt()
    assert caught.value.remedy or not isinstance(caught.value, Refused)


REFUSALS = {name: case for name, case in CASES.items() if case.refusal}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_witness_shows_the_written_refusal(case: ErrorCase) -> None:
    table_name, _, op = case.refusal.partition(":")
    table = TABLES[table_name]
    keys = [key for key in table.keys() if getattr(key, "__name__", key) == op]  # noqa: SIM118
    assert len(keys) == 1, f"{table_name} has no row {op}"
    refusal = table.lookup(keys[0])
    assert isinstance(refusal, Refusal), f"{case.refusal} is no refusal"
    with pytest.raises(Refused) as caught:
        case.attempt()
    assert refusal.reason in str(caught.value)
