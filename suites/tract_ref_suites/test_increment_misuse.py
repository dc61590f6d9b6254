"""Exact increments: lengths that are announced or asserted, and callers that break them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tract_ref import Increments, Plan, increments, pulsify
from tract_ref.dim import Scope, sym
from tract_ref.errors import EvalError
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref.ops.binary import Mul
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool
from tract_ref.stream.window import WindowSpec, explicit
from tract_ref_suites.problems.base import SYMBOL

S = sym(SYMBOL)
F32 = np.dtype("f4")
FRAMES = np.arange(1, 9, dtype=F32)


def padded(*assertions: str) -> Increments:
    """Return a stream with one frame in front and two behind."""
    model = Model(Scope(assertions))
    wire = model.add_source("x", Fact(F32, (S,)))
    model.set_outputs(model.wire("y", Pad(((1, 2),), "constant", 9.0), (wire,)), ["y"])
    return increments(model)


def test_a_push_beyond_the_announced_end_changes_nothing() -> None:
    session = padded().session({SYMBOL: 3})
    assert session.push({"x": FRAMES[:3]})["y"].tolist() == [9, 1, 2, 3, 9, 9]
    for more in (1, 2):
        with pytest.raises(EvalError, match=r"'x' would have \d frames, of at most 3: S=3 was ann"):
            session.push({"x": FRAMES[:more]})
    assert session.finish()["y"].size == 0


def test_a_push_beyond_the_largest_asserted_length_changes_nothing() -> None:
    session = padded("S<=4").session()
    with pytest.raises(EvalError, match="S=4 is the most asserted"):
        session.push({"x": FRAMES[:5]})
    assert session.push({"x": FRAMES[:2]})["y"].tolist() == [9, 1, 2]
    assert session.finish()["y"].tolist() == [9, 9]


@pytest.mark.parametrize("assertion", ["S<=4", "S==4"])
def test_a_stream_as_long_as_asserted_has_ended(assertion: str) -> None:
    made = padded(assertion)
    session = made.session()
    assert session.push({"x": FRAMES[:3]})["y"].size == 4
    assert session.push({"x": FRAMES[3:4]})["y"].tolist() == [4, 9, 9]
    (region,) = [made.regions()[wire] for wire in made.batch.outputs]
    assert [region.at(s) for s in range(5)] == [1, 2, 3, 4, 7]
    assert region.complete == 4


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"S": 9}, "S=9 breaks the assertion"),
        ({"S": -1}, "S=-1; a length is 0 or more"),
        ({"s": 3}, "no dimension has the symbol 's'"),
    ],
    ids=["too-long", "negative", "misspelt"],
)
@pytest.mark.parametrize("version", ["increments", "pulses"])
def test_impossible_announcements_are_refused(
    known: dict[str, int], words: str, version: str
) -> None:
    made = padded("S<=4")
    start: dict[str, Callable[[dict[str, int]], object]] = {
        "increments": made.session,
        "pulses": Plan(pulsify(made.batch, 1).model).session,
    }
    with pytest.raises(EvalError, match=words):
        start[version](known)


def test_regions_of_an_impossible_length_are_refused() -> None:
    with pytest.raises(EvalError, match="S=-1; a length is 0 or more"):
        padded().regions(end=-1)


def test_an_exclusive_sum_comes_with_the_frame_before() -> None:
    # The window over frame 0 and the one in front is certain with frame 0; the sum before it is 0.
    model = Model()
    wire = model.add_source("x", Fact(F32, (1, 1, S)))
    window = WindowSpec((2,), (2,), (1,), (explicit(1, 1),))
    (wire,) = model.wire("pool", MaxPool(window), (wire,))
    model.set_outputs(model.wire("y", CumSum(2, exclusive=True), (wire,)), ["y"])
    session = increments(model).session()
    parts = [session.push({"x": FRAMES[None, None, i : i + 1]})["y"][0, 0] for i in range(6)]
    assert [part.tolist() for part in parts] == [[0], [1], [], [4], [], [9]]
    assert session.finish()["y"].tolist() == [[[]]]


def test_a_copy_shares_what_does_not_change() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (S,)))
    weights = model.add_const("w", np.ones(1, F32))
    model.set_outputs(model.wire("y", Mul(), (wire, weights)), ["y"])
    session = increments(model).session()
    session.push({"x": FRAMES[:2]})
    copy = session.clone()
    held = [s._memory.static for s in (session, copy)]  # pyright: ignore[reportPrivateUsage]
    assert all(held[0][key] is held[1][key] for key in held[0])
    assert copy.push({"x": FRAMES[2:3]})["y"].tolist() == [3]
    assert session.push({"x": FRAMES[5:6]})["y"].tolist() == [6]
