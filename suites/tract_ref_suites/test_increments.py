"""Sessions in exact increments: the full properties, the wavenets, state as a value, misuse."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import EvalError, InternalError, MalformedFile, Refused
from tract_ref.ir.model import Model
from tract_ref.loading import load
from tract_ref.ops.binary import Add
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.runtime.increments import IncrementSession
from tract_ref.runtime.inputs import write_state
from tract_ref.runtime.memory import History
from tract_ref.runtime.plan import Plan
from tract_ref_suites.checks import OWN_LAWS
from tract_ref_suites.checks.increments import ABOUT_THE_PULSE, cuts, increments_are_exact
from tract_ref_suites.command_line import CASES
from tract_ref_suites.increment_runs import Line, pushed
from tract_ref_suites.meta.broken import patched
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem, small_integers
from tract_ref_suites.test_state import everything

FULL = {
    "conv": ("spec_pulse", "Conv-6-4"),
    "pad plus conv": ("conv", "Conv-after-pad"),
    "delay plus pool": ("pool", "MaxPool-after-delay"),
    "deconv": ("spec_pulse", "Deconv-6-8"),
    "delay plus downsample": ("slicing", "Downsample-after-delay"),
}
"""The properties that the draft of pulsification v2 left out (spec/pulse.md 6.15)."""


# The full properties


@pytest.mark.parametrize("name", list(FULL))
@given(data=st.data())
def test_a_full_property_holds_without_exclusions(name: str, data: st.DataObject) -> None:
    family, slug = FULL[name]
    problem = data.draw(families()[family].strategies[slug](), label="problem")
    assert problem.pulses
    increments_are_exact(problem)


def test_p12_is_put_to_every_problem_that_streams_or_must_be_refused() -> None:
    (law,) = [law for law in OWN_LAWS if law.id == "P12"]
    hands = [p for family in families().values() for p in family.hand.values()]
    judged = [p for p in hands if law.is_about(p)]
    assert judged == [p for p in hands if p.pulses or p.refused_at]
    assert len(judged) > 300


def test_what_only_the_pulse_stood_in_the_way_of_streams_in_increments() -> None:
    hands = [p for family in families().values() for p in family.hand.values()]
    found = [p for p in hands if p.refused_at and not p.pulses and ABOUT_THE_PULSE in p.refusal]
    kept = [p for p in hands if p.refused_at and not p.pulses and ABOUT_THE_PULSE not in p.refusal]
    assert kept
    for problem in found:
        assert increments(problem.model(), symbol=SYMBOL).plans
    for problem in kept:
        with pytest.raises(Refused):
            increments(problem.model(), symbol=SYMBOL)


@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_cuts_of_a_stream_are_whole_and_some_have_empty_pushes(
    length: int, drawn: random.Random
) -> None:
    found = cuts(length, drawn)
    assert all(sum(sizes) == length for sizes in found)
    assert found[0] == (length,)
    assert (length > 24) == (len(found) == 3)


# The wavenets


def increments_of(folder: str) -> tuple[Increments, dict[str, Array], dict[str, Array]]:
    """Return a case in increments, its inputs, and its batch outputs by every op's `eval`."""
    model = load(CASES / folder)
    with np.load(CASES / folder / "io.npz") as arrays:
        inputs = {name: arrays[name] for name in model.input_names}
    batch = Plan(model, fast=False).run(inputs, symbols={SYMBOL: 256})
    return increments(model, symbol=SYMBOL), inputs, batch


@pytest.mark.parametrize("folder", ["wavenet-hey-snips", "wavenet-hey-snips-linear"])
def test_a_wavenet_gives_its_74_frames_and_discards_none(folder: str) -> None:
    streaming, inputs, batch = increments_of(folder)
    session = streaming.session()
    parts = [session.push({"x": inputs["x"][..., at : at + 8]})["y"] for at in range(0, 256, 8)]
    parts.append(session.finish()["y"])
    # 22 pushes of 8 are 176 of the 182 frames that come before the first window is whole.
    assert [part.shape[2] for part in parts] == [0] * 22 + [2] + [8] * 9 + [0]
    joined = np.concatenate(parts, 2)
    assert joined.shape[2] == 74
    assert joined.tobytes() == np.ascontiguousarray(batch["y"]).tobytes()


def test_the_linear_wavenet_gives_the_numbers_of_the_specification_frame_by_frame() -> None:
    streaming, inputs, _ = increments_of("wavenet-hey-snips-linear")
    session = streaming.session()
    sizes = [session.push({"x": inputs["x"][..., :182]})["y"].shape[2]]
    found: list[float] = []
    for at in range(182, 256):
        value = session.push({"x": inputs["x"][..., at : at + 1]})["y"]
        sizes.append(value.shape[2])
        found += value.ravel().tolist()
    assert session.finish()["y"].size == 0
    assert sizes == [0] + [1] * 74
    assert found[:3] == [1688849854949250, 1688849860263930, 1688849865578610]
    assert found[73] == 1688849862035490


@pytest.mark.parametrize(("frame", "by"), [(182, 16777215), (2, 40), (1, 7), (0, 1), (183, 0)])
def test_the_first_frame_of_the_linear_wavenet_follows_183_frames(frame: int, by: int) -> None:
    streaming, inputs, batch = increments_of("wavenet-hey-snips-linear")
    moved = inputs["x"].copy()
    moved[..., frame] += 1
    value = streaming.session().push({"x": moved[..., :184]})["y"]
    assert value.shape[2] == 2
    assert value.ravel()[0] - batch["y"].ravel()[0] == by


# State is a value

FRAMES = 40


def held() -> tuple[Increments, dict[str, Array]]:
    """Return a model with every kind of state, and a stream."""
    streaming = increments(everything(FRAMES), symbol=SYMBOL)
    return streaming, {"x": small_integers(3, (1, 2, FRAMES))}


def part(inputs: Mapping[str, Array], start: int, stop: int) -> dict[str, Array]:
    return {"x": inputs["x"][..., start:stop]}


def same(got: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:

    def bits(value: Array) -> tuple[object, ...]:
        return value.dtype, value.shape, np.ascontiguousarray(value).tobytes()

    return got.keys() == expected.keys() and all(
        bits(got[name]) == bits(value) for name, value in expected.items()
    )


def cloned(session: IncrementSession, _: Path) -> IncrementSession:
    return session.clone()


def saved(session: IncrementSession, path: Path) -> IncrementSession:
    session.save(path)
    other = IncrementSession(session.program, {})
    other.load(path)
    return other


@pytest.mark.parametrize("copied", [cloned, saved])
@pytest.mark.parametrize("known", [False, True], ids=["late", "known"])
def test_a_stream_goes_on_bit_for_bit_in_a_copy_made_after_every_push(
    copied: Callable[[IncrementSession, Path], IncrementSession], known: bool, tmp_path: Path
) -> None:
    streaming, inputs = held()
    symbols = {SYMBOL: FRAMES} if known else {}
    unbroken, session = streaming.session(symbols), streaming.session(symbols)
    at = 0
    for number, size in enumerate((0, 1, 2, 5, 0, 7, 1, 24)):
        expected = unbroken.push(part(inputs, at, at + size))
        left, session = session, copied(session, tmp_path / f"{number}.npz")
        left.push({"x": np.full((1, 2, 3), 77, np.float32)})
        assert same(session.push(part(inputs, at, at + size)), expected)
        assert session.counts == unbroken.counts
        assert session.received == unbroken.received
        at += size
    assert at == FRAMES
    ended = unbroken.finish()
    session = copied(session, tmp_path / "end.npz")
    assert same(session.finish(), ended)
    with pytest.raises(EvalError, match="push after finish"):
        copied(session, tmp_path / "over.npz").push(part(inputs, 0, 1))


def test_every_kind_of_memory_is_saved(tmp_path: Path) -> None:
    streaming, inputs = held()
    session = streaming.session()
    session.push(part(inputs, 0, 9))
    session.save(tmp_path / "state.npz")
    with np.load(tmp_path / "state.npz") as arrays:
        kinds = {name.partition("/")[0] for name in arrays.files}
        states = {name for name in arrays.files if name.startswith("state/")}
    assert kinds == {"model", "manifest", "counters", "wire", "mark", "given", "state"}
    assert {name.split("/")[1] for name in states} == {"sum:0", "unit:0", "mean:0"}


def test_interleaved_sessions_never_touch() -> None:
    streaming, inputs = held()
    other = {"x": -inputs["x"]}
    alone = [
        [session.push(part(x, at, at + 4)) for at in range(0, FRAMES, 4)]
        for session, x in ((streaming.session(), inputs), (streaming.session(), other))
    ]
    left, right = streaming.session(), streaming.session()
    for number, at in enumerate(range(0, FRAMES, 4)):
        assert same(left.push(part(inputs, at, at + 4)), alone[0][number])
        assert same(right.push(part(other, at, at + 4)), alone[1][number])


def test_what_was_fed_and_what_was_given_are_nobodys_memory() -> None:
    streaming, inputs = held()
    session, twin = streaming.session(), streaming.session()
    for at in range(0, FRAMES, 5):
        chunk = {name: value.copy() for name, value in part(inputs, at, at + 5).items()}
        got, expected = session.push(chunk), twin.push(part(inputs, at, at + 5))
        assert same(got, expected)
        for value in (*chunk.values(), *got.values()):
            value[...] = 99


def frames_kept(pushes: int, seen: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return frames, bytes and other things kept after some of many pushes of two frames."""
    session = increments(everything(2 * pushes), symbol=SYMBOL).session()
    chunk = {"x": small_integers(3, (1, 2, 2))}
    kept: list[tuple[int, int, int]] = []
    for number in range(1, pushes + 1):
        session.push(chunk)
        if number in seen:
            memory = session._memory
            frames = sum(h.held.shape[h.axis] for h in memory.wires.values())
            others = len(memory.states) + len(memory.static)
            kept.append((frames, session.state_bytes, others))
    return kept


@pytest.mark.slow
def test_ten_thousand_pushes_keep_as_many_frames_as_a_hundred() -> None:
    early, late = frames_kept(10_000, (100, 10_000))
    assert late == early
    assert 0 < early[0] < 40


def test_frames_that_are_never_dropped_are_seen() -> None:
    with patched(History, "forget", lambda _: lambda self, first: None):
        early, late = frames_kept(60, (30, 60))
    assert late[0] - early[0] >= 60


# Misuse


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    streaming, inputs = held()
    session = streaming.session()
    session.push(part(inputs, 0, 5))
    session.save(tmp_path / "state.npz")
    other = increments(everything(FRAMES + 1), symbol=SYMBOL).session()
    with pytest.raises(EvalError, match="holds the state of increments of S, x: 1,2,S,f32"):
        other.load(tmp_path / "state.npz")
    assert other.received == 0
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(MalformedFile, match="no zip of named arrays"):
        other.load(tmp_path / "text.npz")


TAMPERED: dict[str, tuple[Callable[[dict[str, Array]], object], str]] = {
    "a wire is missing": (lambda a: a.pop("wire/conv:0"), "saved state lacks wire/conv:0"),
    "a wire of another dtype": (
        lambda a: a.update({"wire/conv:0": a["wire/conv:0"].astype("f8")}),
        "saved state has 'wire/conv:0' as",
    ),
    "a wire that is not there": (
        lambda a: a.update({"wire/none:0": a["wire/conv:0"]}),
        "saved state has wire/none:0, which the model has not",
    ),
    "a state that is not there": (
        lambda a: a.update({"state/conv:0/total": a["wire/conv:0"]}),
        'node "conv": saved state for a node that keeps none',
    ),
    "a field that is not there": (
        lambda a: a.update({"state/sum:0/none": a["wire/conv:0"]}),
        "saved state has a field 'none' that the op does not keep",
    ),
    "a counter too many": (
        lambda a: a.update({"counters": np.zeros(3, np.int64)}),
        "saved state has 'counters' as [3] int64",
    ),
}


@pytest.mark.parametrize("case", list(TAMPERED))
def test_a_state_that_no_session_saved_is_refused_and_changes_nothing(
    case: str, tmp_path: Path
) -> None:
    change, starts = TAMPERED[case]
    streaming, inputs = held()
    session = streaming.session()
    session.push(part(inputs, 0, 5))
    arrays = session._memory.arrays(streaming.batch)
    change(arrays)
    write_state(tmp_path / "state.npz", session.program.signature, arrays)
    before = session.clone()
    with pytest.raises(EvalError) as error:
        session.load(tmp_path / "state.npz")
    assert str(error.value).startswith(starts)
    assert same(session.push(part(inputs, 5, 9)), before.push(part(inputs, 5, 9)))


def test_a_session_ends_once() -> None:
    streaming, inputs = held()
    session = streaming.session()
    session.push(part(inputs, 0, 4))
    session.finish()
    with pytest.raises(EvalError, match="finish after finish; start a new session"):
        session.finish()
    with pytest.raises(EvalError, match="push after finish; start a new session"):
        session.push(part(inputs, 4, 5))


def test_an_end_other_than_the_announced_one_is_an_error() -> None:
    streaming, inputs = held()
    session = streaming.session({SYMBOL: 7})
    session.push(part(inputs, 0, 6))
    with pytest.raises(EvalError, match="S=7 was announced but 6 frames arrived"):
        session.finish()


def test_a_stream_shorter_than_the_model_asserts_is_an_error() -> None:
    streaming, inputs = held()
    session = streaming.session()
    session.push(part(inputs, 0, 2))
    with pytest.raises(EvalError, match="S=2 breaks the assertion"):
        session.finish()


def test_a_failed_push_changes_nothing() -> None:
    streaming, inputs = held()
    session, twin = streaming.session(), streaming.session()
    for each in (session, twin):
        each.push(part(inputs, 0, 5))
    wrong: list[tuple[object, str]] = [
        ({}, "streaming input 'x' is missing"),
        ({"x": inputs["x"][0]}, "input 'x' is [2, 40] float32; it is any number of frames on"),
        ({"x": inputs["x"].astype("f8")}, "input 'x' is [1, 2, 40] float64"),
        ({"x": inputs["x"], "z": inputs["x"]}, "no input is called 'z'"),
        ([inputs["x"]], "the inputs are a list"),
    ]
    for bad, starts in wrong:
        with pytest.raises(EvalError) as error:
            session.push(bad)  # pyright: ignore[reportArgumentType]
        assert str(error.value).startswith(starts)
    assert same(session.push(part(inputs, 5, 9)), twin.push(part(inputs, 5, 9)))


def test_a_frame_that_was_dropped_cannot_be_read() -> None:
    history = History(0, 0, np.arange(6, dtype=np.float32))
    history.forget(2)
    assert history.window(2, 4).tolist() == [2, 3]
    with pytest.raises(InternalError, match="frame 1 is read, which was dropped before 2"):
        history.window(1, 4)


def problems() -> list[Problem]:
    """Return a hand problem per family that streams."""
    found = [next((p for p in f.hand.values() if p.pulses), None) for f in families().values()]
    return [problem for problem in found if problem is not None]


@pytest.mark.parametrize("problem", problems(), ids=lambda p: f"{p.family}-{p.op}")
def test_neither_the_model_nor_the_closed_form_is_changed_by_a_run(problem: Problem) -> None:
    model: Model = problem.model()
    streaming = increments(model, symbol=SYMBOL)
    before = streaming.regions()
    session = streaming.session()
    empty = {
        name: value[(*(slice(None),) * streaming.streams[wire].axis, slice(0, 0))]
        if wire in streaming.streams
        else value
        for (name, value), wire in zip(
            ((n, problem.inputs()[n]) for n in model.input_names),
            streaming.batch.inputs,
            strict=True,
        )
    }
    for _ in range(3):
        session.push(empty)
    assert session.received == 0
    assert session.counts == {wire: region.at(0) for wire, region in before.items()}
    assert streaming.regions() == before


def test_numbers_that_overflow_or_are_none_warn_nobody() -> None:
    line = Line.of()
    model = line.gives(line.then(Add(), line.conv(line.x, 0, 1), line.conv(line.x, 3e38, 3e38)))
    ran = pushed(model, [np.inf, 3e38, np.nan, -np.inf, 1], (1, 2, 2))
    assert ran.sizes == [0, 2, 2, 0]
