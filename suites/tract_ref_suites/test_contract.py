"""The contract: every law, on every problem, on every engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref_suites.cells import Cell


@pytest.mark.hand
def test_hand_problem_keeps_the_law(hand_cell: Cell) -> None:
    assert hand_cell.hand is not None
    hand_cell.check(hand_cell.hand)


@pytest.mark.random
@given(data=st.data())
def test_random_problem_keeps_the_law(random_cell: Cell, data: st.DataObject) -> None:
    assert random_cell.strategy is not None
    random_cell.check(data.draw(random_cell.strategy(), label="problem"))
