"""Ends of streams that are known late: with assertions, constant parts of inputs, huge crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref import Plan, pulsify
from tract_ref.dim import Dim, Scope, TDim, dim_max, dim_min, sym
from tract_ref.errors import EvalError, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model
from tract_ref.ops.binary import Add
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import SumPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.passes import late_end
from tract_ref.passes.late_end import most_ahead
from tract_ref.prove import prove
from tract_ref.stream.window import WindowSpec, explicit
from tract_ref_suites.problems.base import SYMBOL

S = sym(SYMBOL)
F32 = np.dtype("f4")


def cropped_then_padded(
    length: Dim = S, *, crop: int = 4, after: int = 3, least: int = 0, end: int | None = None
) -> Model:
    """Return a model that drops the last frames and puts others in their place."""
    model = Model(Scope([f"{SYMBOL}>={least}"] if least else []))
    wire = model.add_source("x", Fact(F32, (length,)))
    (wire,) = model.wire("crop", Slice(0, 0, length - crop), (wire,))
    if end is not None:
        (wire,) = model.wire("bound", Slice(0, 0, end), (wire,))
    (wire,) = model.wire("pad", Pad(((0, after),), "constant", -1.0), (wire,))
    model.set_outputs([wire], ["y"])
    return model


@pytest.mark.parametrize("least", [0, 10, 16, 100])
@pytest.mark.parametrize("pulse", [1, 2, 4])
def test_a_large_assertion_does_not_hide_the_late_end(least: int, pulse: int) -> None:
    proof = prove(cropped_then_padded(least=least), pulse, length=least + 20, fast=False)
    assert (proof.verdict, proof.outputs[0].delay) == ("exact", 4)


def test_a_crop_of_thousands_of_frames_is_waited_for() -> None:
    proof = prove(cropped_then_padded(crop=5000, end=10000), 1, length=5000, fast=False)
    assert (proof.verdict, proof.outputs[0].delay) == ("exact", 5000)


@pytest.mark.parametrize(("rest", "delay"), [(-2, 1), (0, 1), (2, 3), (5, 6)])
@pytest.mark.parametrize("pulse", [1, 2, 4])
def test_the_constant_part_of_an_input_comes_before_its_end_is_known(
    rest: int, delay: int, pulse: int
) -> None:
    # Of S + 2 frames, 8 say only that S is at least 6, of which 5 are kept.
    model = Model()
    wire = model.add_source("x", Fact(F32, (S + rest,)))
    (wire,) = model.wire("crop", Slice(0, 0, S - 1 + min(0, rest)), (wire,))
    (wire,) = model.wire("pad", Pad(((0, 3),), "constant", -1.0), (wire,))
    model.set_outputs([wire], ["y"])
    proof = prove(model, pulse, length=13, fast=False)
    assert (proof.verdict, proof.outputs[0].delay) == ("exact", delay)


def test_push_gives_no_frame_that_the_end_takes_back() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (S + 2,)))
    (wire,) = model.wire("crop", Slice(0, 0, S), (wire,))
    model.set_outputs([wire], ["y"])
    session = Plan(pulsify(model, 1).model).session()
    frames = np.arange(7, dtype=F32)
    parts = [session.push({"x": frames[i : i + 1]})["y"] for i in range(7)]
    assert [part.size for part in parts] == [0, 0, 1, 1, 1, 1, 1]
    assert session.finish()["y"].size == 0


@given(
    crop=st.integers(0, 9),
    rest=st.integers(-3, 4),
    least=st.integers(3, 40),
    pulse=st.integers(1, 5),
    more=st.integers(0, 9),
)
def test_no_smaller_delay_knows_the_end_in_time(
    crop: int, rest: int, least: int, pulse: int, more: int
) -> None:
    model = cropped_then_padded(S + rest, crop=crop, least=least)
    proof = prove(model, pulse, length=least + more, fast=False)
    turns = range(least + 2 * (crop + 9))
    # After k turns S is at least k*P - rest; frame max(0, S + rest - crop) is not to leave before.
    wanted = max(
        0, *(k * pulse - max(0, max(least, k * pulse - rest) + rest - crop) for k in turns)
    )
    assert (proof.verdict, proof.outputs[0].delay) == ("exact", wanted)


@st.composite
def lengths(draw: st.DrawFn) -> tuple[TDim, bool, int]:
    """Draw a length of a wire of rate 1/1, 1/2 or 2: cropped, strided, bounded."""
    crop, stride = draw(st.integers(0, 60)), draw(st.sampled_from([1, 2, 3]))
    length = dim_max(0, S - crop)
    length = dim_max(0, (length + draw(st.integers(-4, 4))) // stride)
    bound = draw(st.none() | st.integers(1, 90))
    length = length if bound is None else dim_min(length, bound)
    assert isinstance(length, TDim)
    return length, bound is None, stride


@given(lengths(), st.integers(1, 4), st.integers(0, 70))
def test_the_closed_form_finds_what_a_search_pulse_by_pulse_finds(
    drawn: tuple[TDim, bool, int], multiple: int, least: int
) -> None:
    length, grows, stride = drawn
    unit = stride * multiple
    searched = most_ahead(length, SYMBOL, unit, multiple, least, grows=grows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_end, "_DENSE_PULSES", 0)
        assert most_ahead(length, SYMBOL, unit, multiple, least, grows=grows) == searched


def test_branches_meet_whose_lengths_differ_only_below_zero() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (2 * S,)))
    left = model.wire("left", Downsample(0, 2, 0), (wire,))[0]
    right = model.wire("right", Downsample(0, 2, 1), (wire,))[0]
    assert model.fact(left).shape != model.fact(right).shape
    model.set_outputs(model.wire("y", Add(), (left, right)), ["y"])
    assert prove(model, 2, length=9, fast=False).verdict == "exact"


def test_branches_of_other_lengths_are_refused() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (S,)))
    (short,) = model.wire("short", Slice(0, 0, S - 1), (wire,))
    model.set_outputs(model.wire("y", Add(), (wire, short)), ["y"])
    with pytest.raises(Refused, match="not proved equal"):
        pulsify(model, 2)


def test_an_average_over_padding_takes_a_symbolic_pulse() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (1, 1, S)))
    (wire,) = model.wire("crop", Slice(2, 2, S), (wire,))
    window = WindowSpec((2,), (2,), (1,), (explicit(1, 1),))
    model.set_outputs(model.wire("y", SumPool(window, False, True), (wire,)), ["y"])
    assert prove(model, "2*P", length=9, fast=False).verdict == "exact"


def test_half_as_many_frames_end_at_the_smallest_length_that_makes_them() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (S // 2,)))
    model.set_outputs(model.wire("y", Downsample(0, 1, 1), (wire,)), ["y"])
    session = Plan(pulsify(model, 4).model).session()
    frames = np.arange(5, dtype=F32)
    given_out = [session.push({"x": frames})["y"], session.finish()["y"]]
    assert np.concatenate(given_out).tolist() == [1, 2, 3, 4]
    assert session.received == 10


def test_inputs_that_end_at_different_times_are_refused() -> None:
    model = Model()
    a, b = (model.add_source(name, Fact(F32, (S,))) for name in "ab")
    model.set_outputs(model.wire("y", Add(), (a, b)), ["y"])
    session = Plan(pulsify(model, 2).model).session()
    session.push({"a": np.zeros(3, F32), "b": np.zeros(4, F32)})
    with pytest.raises(EvalError, match="ended at different times"):
        session.finish()


def test_a_search_sees_the_turns_in_which_the_stream_is_shorter_than_asserted() -> None:
    length = dim_max(0, S - 4)
    assert isinstance(length, TDim)
    ahead = most_ahead(length, SYMBOL, 4, 4, 100, grows=True)
    assert ahead == max(k * 4 - (max(4 * k, 100) - 4) for k in range(60)) == 4
