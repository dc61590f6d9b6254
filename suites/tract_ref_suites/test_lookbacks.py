"""What exact increments keep of every wire, against what a session holds; regions as dims."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tract_ref.dim import evaluate, sym
from tract_ref.drawing import admitted_length, inputs_for, source_frames
from tract_ref.errors import EvalError, Refused
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Outlet
from tract_ref.passes.lookbacks import field_frames, lookbacks
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.prove_increments import feeds
from tract_ref.stream.region import AxisRegion, Count, Ramp
from tract_ref.stream.region_text import count_dim, count_text, region_dim
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem

FEW = settings(max_examples=10)
STREAMING = [
    name
    for name, family in families().items()
    if any(problem.pulses for problem in family.hand.values())
]


def held(model: Increments, inputs: Mapping[str, Tensor]) -> tuple[int, dict[Outlet, int]]:
    """Return the source frames fed one by one, and the most frames then held of every wire."""
    batch = model.batch
    total = source_frames(batch, model.symbol, inputs)
    streams = dict(zip(batch.input_names, map(model.streams.get, batch.inputs), strict=True))
    session = model.session()
    most: dict[Outlet, int] = {}
    for feed in feeds(streams, model.symbol, inputs, [1] * total):
        session.push(feed)
        if session.received < total:
            for wire, history in session._memory.wires.items():
                most[wire] = max(most.get(wire, 0), history.held.shape[history.axis])
    return total, most


def problems(name: str) -> st.SearchStrategy[Problem]:
    return st.one_of(*(strategy() for strategy in families()[name].strategies.values()))


@pytest.mark.parametrize("name", STREAMING)
@given(data=st.data())
@FEW
def test_as_many_frames_are_kept_as_are_told(name: str, data: st.DataObject) -> None:
    problem = data.draw(problems(name).filter(lambda p: bool(p.pulses)), label="problem")
    model = increments(problem.model(), symbol=SYMBOL)
    told = lookbacks(model, model.regions())
    length = field_frames(model) + 40
    admitted = admitted_length(model.batch.scope, SYMBOL, length)
    try:
        total, found = held(model, inputs_for(model.batch, SYMBOL, admitted))
    except EvalError:
        # The model wants other values than drawn ones, as positions that exist.
        total, found = held(model, problem.inputs())
    # A short stream does not fill the buffers.
    assert found == told if total >= length else all(found[w] <= told[w] for w in found)


@pytest.mark.parametrize("name", STREAMING)
@given(data=st.data())
@FEW
def test_a_region_as_a_dim_is_the_region(name: str, data: st.DataObject) -> None:
    problem = data.draw(problems(name).filter(lambda p: bool(p.pulses)), label="problem")
    source = (sym("T") + 1) * sym("P")
    for region in increments(problem.model(), symbol=SYMBOL).regions().values():
        if len(region.pieces) > 1:
            with pytest.raises(Refused, match="changes its form"):
                region_dim(region, source)
            continue
        dim = region_dim(region, source)
        for turn in range(5):
            for pulse in (1, 2, 3, 7, 64):
                value = evaluate(dim, {"T": turn, "P": pulse})
                assert value == region.at((turn + 1) * pulse), (str(dim), region)


@pytest.mark.parametrize(
    ("ramp", "text"),
    [
        (Ramp(0, (7,)), "7"),
        (Ramp(1, (0,)), "s"),
        (Ramp(3, (-2,)), "3*s - 2"),
        (Ramp(1, (0, 0)), "floor(s / 2)"),
        (Ramp(2, (1, 1, 2)), "floor((2*s + 3) / 3)"),
        (Ramp(2, (0, 0)), "2*floor(s / 2)"),
        (Ramp(6, (-3, -3, -3, -3)), "6*floor(s / 4) - 3"),
        (Ramp(2, (0, 2)), "2*floor(s / 2) + [0, 2][s mod 2]"),
        (Ramp(5, (0, 0, 5)), "5*floor(s / 3) + [0, 0, 5][s mod 3]"),
    ],
)
def test_a_ramp_as_text_and_as_a_dim_is_the_ramp(ramp: Ramp, text: str) -> None:
    count = Count.of(ramp)
    assert count_text(count) == text
    dim = count_dim(count, sym("s"))
    for source in range(20):
        value = dim if isinstance(dim, int) else evaluate(dim, {"s": source})
        assert value == ramp.at(source), str(dim)


def test_a_long_table_is_cut_in_text_and_refused_as_a_dim() -> None:
    ramp = Ramp(65, tuple(min(65, 2 * phase) for phase in range(65)))
    text = count_text(Count.of(ramp))
    assert text == "65*floor(s / 65) + [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, …][s mod 65]"
    with pytest.raises(Refused, match="65 phases; a dim is written with at most 64"):
        region_dim(AxisRegion(((0, Count.of(ramp)),)), sym("s"))
