"""A symbolic pulse: one translation, turns of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tract_ref import Plan, Session, load, pulsify, save
from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, parse_assertion, sym
from tract_ref.errors import EvalError, InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.axes import Reshape
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.prove import prove
from tract_ref.stream.window import Explicit, Valid, WindowSpec
from tract_ref_suites.problems.base import SYMBOL, facts, small_integers

S = sym(SYMBOL)


def of(op: Op, text: str) -> Model:
    """Return a model of one op over an input of this fact."""
    model = Model()
    x = model.add_source("x", facts(text)[0])
    model.set_outputs(model.wire("y", op, (x,)), ["y"])
    return model


def conv(model: Model, name: str, wire: Outlet, *, stride: int = 1, pads: bool = False) -> Outlet:
    kernel = model.add_const(f"{name}.w", small_integers(3, (1, 1, 3)))
    window = WindowSpec((3,), (stride,), (1,), (Explicit(1, 1) if pads else Valid(),))
    return model.wire(name, Conv(window, 1), (wire, kernel))[0]


def two_convs(*, stride: int = 1) -> Model:
    """Return a padded convolution after another one."""
    model = Model()
    x = model.add_source("x", facts("1,1,S,f32")[0])
    wire = conv(model, "a", x, pads=True)
    model.set_outputs([conv(model, "b", wire, stride=stride)], ["y"])
    return model


def frames(count: int, *, seed: int = 0) -> Array:
    return small_integers(seed, (1, 1, count))


def fed(session: Session, x: Array, sizes: tuple[int, ...]) -> Array:
    """Push the frames of x in pieces, finish, and return all that came out."""
    parts, start = [], 0
    for size in sizes:
        parts.append(session.push({"x": x[:, :, start : start + size]})["y"])
        start += size
    parts.append(session.finish()["y"])
    return np.concatenate(parts, 2)


def test_a_turn_takes_any_multiple_of_the_factor() -> None:
    plan = Plan(pulsify(two_convs(stride=2), "2*P").model)
    session = plan.session()
    for count, out in ((2, 1), (6, 3), (4, 2), (2, 1)):
        assert session.turn({"x": frames(count)})["y"].shape == (1, 1, out)


@pytest.mark.parametrize("count", [0, 3])
def test_a_turn_of_another_size_is_an_error_and_changes_nothing(count: int) -> None:
    plan = Plan(pulsify(two_convs(stride=2), "2*P").model)
    session, other = plan.session(), plan.session()
    with pytest.raises(EvalError, match="a turn is not a whole number P>=1 of pulses"):
        session.turn({"x": frames(count)})
    for x in (frames(4), frames(2, seed=1)):
        assert np.array_equal(session.turn({"x": x})["y"], other.turn({"x": x})["y"])
    assert session.turns == 2


def test_inputs_of_one_turn_must_agree_on_its_size() -> None:
    model = Model()
    one, two = (model.add_source(name, facts("1,1,S,f32")[0]) for name in ("x", "z"))
    model.set_outputs([conv(model, "a", one), conv(model, "b", two)], ["y", "w"])
    session = Plan(pulsify(model, "P").model).session()
    with pytest.raises(EvalError, match="input 'z' has 3 positions on axis 2"):
        session.turn({"x": frames(2), "z": frames(3)})
    assert session.turns == 0


def test_a_push_is_one_turn_of_all_whole_pulses() -> None:
    session = Plan(pulsify(two_convs(stride=2), "2*P").model).session()
    session.push({"x": frames(7)})
    assert session.turns == 1
    session.push({"x": frames(0)})
    assert session.turns == 1
    session.push({"x": frames(1)})
    assert session.turns == 2


@pytest.mark.parametrize("fast", [False, True])
def test_sessions_share_layouts_and_no_state(fast: bool) -> None:
    model = two_convs()
    plan = Plan(pulsify(model, "P").model, fast=fast)
    inputs = [frames(11, seed=k) for k in range(3)]
    sessions = [plan.session() for _ in inputs]
    parts: list[list[Array]] = [[] for _ in inputs]
    for start, stop in ((0, 2), (2, 7), (7, 9), (9, 11)):
        for x, session, found in zip(inputs, sessions, parts, strict=True):
            found.append(session.push({"x": x[:, :, start:stop]})["y"])
    for x, session, found in zip(inputs, sessions, parts, strict=True):
        found.append(session.finish()["y"])
        batch = Plan(model, fast=False).run({"x": x})["y"]
        assert np.array_equal(np.concatenate(found, 2), batch)


def test_a_state_saved_in_turns_of_one_size_goes_on_in_another(tmp_path: Path) -> None:
    model = two_convs()
    plan = Plan(pulsify(model, "P").model)
    x = frames(12)
    session = plan.session()
    first = session.push({"x": x[:, :, :5]})["y"]
    session.save(tmp_path / "state.npz")
    loaded = plan.session()
    loaded.load(tmp_path / "state.npz")
    rest = fed(loaded, x[:, :, 5:], (1, 2, 4))
    assert np.array_equal(np.concatenate([first, rest], 2), Plan(model).run({"x": x})["y"])


def test_a_state_is_not_read_by_a_model_of_another_pulse(tmp_path: Path) -> None:
    session = Plan(pulsify(two_convs(), "P").model).session()
    session.save(tmp_path / "state.npz")
    for pulse in (1, "2*P", "Q"):
        other = Plan(pulsify(two_convs(), pulse).model).session()
        with pytest.raises(EvalError, match="holds the state of pulse P, x:"):
            other.load(tmp_path / "state.npz")


def test_the_state_is_as_large_as_with_pulses_of_one_factor() -> None:
    for model, unit in ((two_convs(), 1), (two_convs(stride=2), 2)):
        fixed = Plan(pulsify(model, unit).model).session().state_bytes
        session = Plan(pulsify(model, sym("P") * unit).model).session()
        assert session.state_bytes == fixed > 0
        session.push({"x": frames(40)})
        assert session.state_bytes == fixed


def test_the_symbol_of_the_pulse_is_not_set_from_outside() -> None:
    plan = Plan(pulsify(two_convs(), "P").model)
    with pytest.raises(EvalError, match="no dimension has the symbol 'P'"):
        plan.session({"P": 3})


def test_a_symbolic_model_is_written_and_read(tmp_path: Path) -> None:
    model = two_convs(stride=2)
    save(pulsify(model, "2*P").model, tmp_path / "m")
    session = Plan(load(tmp_path / "m")).session()
    x = frames(13)
    assert np.array_equal(fed(session, x, (5, 1, 7)), Plan(model).run({"x": x})["y"])


def end_in_the_middle() -> Model:
    """Return a pad behind a stream that is cut to at most 5 frames."""
    model = Model()
    x = model.add_source("x", facts("1,1,S,f32")[0])
    (cut,) = model.wire("cut", Slice(2, 0, 5), (x,))
    pad = Pad(((0, 0), (0, 0), (0, 3)), "constant", -1.0)
    model.set_outputs(model.wire("y", pad, (cut,)), ["y"])
    return model


@pytest.mark.parametrize("sizes", [(4, 4, 4), (6, 6), (1, 8, 3), (12,), (5, 7)])
def test_a_bounded_end_is_met_by_the_frames_received_not_by_the_turns(
    sizes: tuple[int, ...],
) -> None:
    model = end_in_the_middle()
    session = Plan(pulsify(model, "P").model).session()
    x = frames(12)
    found = [session.turn({"x": part})["y"] for part in np.split(x, np.cumsum(sizes)[:-1], 2)]
    assert np.array_equal(np.concatenate(found, 2)[:, :, :8], Plan(model).run({"x": x})["y"])


def test_prove_feeds_turns_of_many_sizes() -> None:
    run = prove(two_convs(), "P", fast=False)
    assert (run.verdict, str(run.pulse), run.outputs[0].delay) == ("exact", "P", 3)
    assert run.receptive_field == 5


@pytest.mark.parametrize(
    ("pulse", "starts"),
    [
        ("P+1", "pulsify v1: pulse=P+1 is not a number of frames times one symbol"),
        ("P*Q", "pulsify v1: pulse=(P)*(Q) is not a number of frames times one symbol"),
        (sym("P") * -2, "pulsify v1: pulse=-2*P is not a number of frames times one symbol"),
        ("P/2", "pulsify v1: pulse=(P)/2 is not a number of frames times one symbol"),
        ("S", "pulsify v1: pulse=S: S is a symbol of the model"),
        ("4", "pulsify v1: pulse='4' is not a positive integer"),
        (2.5, "pulsify v1: pulse=2.5 is not a positive integer"),
    ],
)
def test_what_is_no_pulse_is_an_error(pulse: int | str | Dim, starts: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        pulsify(two_convs(), pulse)
    assert str(caught.value).startswith(starts)


def test_a_symbol_of_an_assertion_is_taken() -> None:
    model = Model(Scope((parse_assertion("P>=S"),)))
    x = model.add_source("x", facts("1,1,S,f32")[0])
    model.set_outputs([conv(model, "y", x)], ["y"])
    with pytest.raises(InvalidModel, match="pulse=P: P is a symbol of the model"):
        pulsify(model, "P", symbol=SYMBOL)
    assert pulsify(model, "Q", symbol=SYMBOL).delays == (2,)


def test_a_reshape_of_whole_frames_needs_no_factor() -> None:
    assert str(pulsify(of(Reshape(0, (2 * S, 3), (S, 6)), "2*S,3,f32"), "P").pulse) == "P"


def _next_to(op: Op) -> Model:
    model = Model()
    x = model.add_source("x", facts("S,f32")[0])
    table = model.add_const("t", np.zeros(1, np.float32))
    inputs = () if isinstance(op, Range) else (table,)
    model.set_outputs([x, *model.wire("y", op, inputs)], ["x", "y"])
    return model


@pytest.mark.parametrize(
    ("model", "starts", "use"),
    [
        (two_convs(stride=2), 'node "b" (Conv): pulse=P brings P frames on axis 2', "use 2*P"),
        (of(Downsample(0, 3), "S,f32"), 'node "y" (Downsample): pulse=P brings P', "use 3*P"),
        (of(Slice(0, 0, 4), "S/2,f32"), 'node "x" (Source): pulse=P brings 1/2*P', "use 2*P"),
        (_next_to(Range(0, S, 2)), 'node "y" (Range): pulse=P brings 1/2*P numbers', "use 2*P"),
        (
            _next_to(Broadcast((S // 3,))),
            'node "y" (Broadcast): pulse=P makes 1/3*P frames',
            "use 3*P",
        ),
    ],
    ids=["conv", "downsample", "source", "range", "broadcast"],
)
def test_whole_frames_are_proved_for_every_size(model: Model, starts: str, use: str) -> None:
    with pytest.raises(Refused) as caught:
        pulsify(model, "P")
    assert str(caught.value).startswith(f"pulsify v1: {starts}")
    assert caught.value.remedy == use
    assert pulsify(model, use.removeprefix("use ")).pulse == sym("P") * int(use[4])
