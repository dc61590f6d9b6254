"""Sessions used wrongly: a typed error with plain words, and a session that is as it was before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tract_ref
from tract_ref.approx import Array
from tract_ref.errors import EvalError, InvalidModel, MalformedFile
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.state import Session
from tract_ref_suites.command_line import HEAD, nnef

BODY = """x = tract_core_external(shape = [1, 2, S], datum_type = 'f32');
z = tract_core_external(shape = [1, 2, S], datum_type = 'f32');
w = tract_core_external(shape = [1, 2, 1], datum_type = 'f32');
c = conv(x * w, [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], 0.0, padding = [(0, 0)]);
d = slice(z, axes = [2], begin = [2], end = [0]);
y = c + d;"""
W = np.array([[[2], [3]]], np.float32)


def frames(count: int, *, start: int = 0) -> Array:
    """Return frames that all differ."""
    first = 2 * start
    return np.arange(first, first + 2 * count, dtype=np.float32).reshape(1, count, 2).swapaxes(1, 2)


def feed(count: int, *, start: int = 0) -> dict[str, Array]:
    return {"x": frames(count, start=start), "z": -frames(count, start=start), "w": W}


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> Plan:
    return plan_of(tmp_path / "m", 4, fast=request.param)


def plan_of(folder: Path, pulse: int, *, fast: bool) -> Plan:
    model = tract_ref.load(nnef(folder, BODY, head=HEAD.replace("(x)", "(x, z, w)")))
    return Plan(tract_ref.pulsify(model, pulse).model, fast=fast)


def snapshot(session: Session, path: Path) -> dict[str, Array]:
    """Return everything that a session remembers."""
    session.save(path)
    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def same(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:

    def bits(array: Array) -> tuple[object, ...]:
        return array.dtype, array.shape, array.tobytes()

    return a.keys() == b.keys() and all(bits(a[name]) == bits(b[name]) for name in a)


def without(name: str) -> dict[str, Array]:
    return {key: value for key, value in feed(3).items() if key != name}


PUSHES: dict[str, tuple[dict[str, Any], str]] = {
    "missing": (without("z"), "streaming input 'z' is missing; feed it at every push"),
    "unknown": ({**feed(3), "q": W}, "no input is called 'q'; inputs: x, z, w"),
    "dtype": (
        {**feed(3), "z": frames(3).astype(np.float64)},
        "input 'z' is [1, 2, 3] float64; its pulse is 1,2,4,f32, any size on 2",
    ),
    "rank": ({**feed(3), "z": frames(3)[0]}, "input 'z' is [2, 3] float32; its pulse is"),
    "scalar": ({**feed(3), "z": np.float32(1)}, "input 'z' is a float32, not an array"),
    "shape": ({**feed(3), "z": frames(3)[:, :1]}, "input 'z' is [1, 1, 3] float32; its pulse is"),
    "list": ({**feed(3), "z": [1.0]}, "input 'z' is a list, not an array; use numpy.asarray"),
    "static dtype": ({**feed(3), "w": W.astype(int)}, "input 'w' is [1, 2, 1] int64; it is 1,2,1"),
    "static shape": ({**feed(3), "w": W[0]}, "input 'w' is [2, 1] float32; it is 1,2,1,f32"),
}


@pytest.mark.parametrize("case", PUSHES)
def test_a_failed_push_changes_nothing(case: str, plan: Plan, tmp_path: Path) -> None:
    inputs, starts = PUSHES[case]
    session = plan.session()
    session.push(feed(7))
    before, twin = snapshot(session, tmp_path / "before"), session.clone()
    with pytest.raises(EvalError) as error:
        session.push(inputs)
    assert str(error.value).startswith(starts)
    assert same(snapshot(session, tmp_path / "after"), before)
    assert same(session.push(feed(6, start=7)), twin.push(feed(6, start=7)))
    assert same(session.finish(), twin.finish())


def test_a_failed_first_push_leaves_a_fresh_session(plan: Plan) -> None:
    session = plan.session()
    with pytest.raises(EvalError, match=r"^input 'w' is missing; feed it at the first push"):
        session.push(without("w"))
    with pytest.raises(EvalError, match=r"^input 'w' is missing"):
        session.finish()
    assert same(session.push(feed(9)), plan.session().push(feed(9)))


def test_a_caller_may_reuse_its_arrays(plan: Plan) -> None:
    session, twin = plan.session(), plan.session()
    inputs = {name: array.copy() for name, array in feed(6).items()}
    session.push(inputs)
    twin.push(feed(6))
    for array in inputs.values():
        array[...] = np.nan
    later = {name: array for name, array in feed(6, start=6).items() if name != "w"}
    assert same(session.push(later), twin.push(later))


@pytest.mark.parametrize(
    ("misuse", "starts"),
    [
        (lambda session: session.push(feed(1)), "push after finish; start a new session"),
        (lambda session: session.finish(), "finish after finish; start a new session"),
    ],
    ids=["push", "finish"],
)
def test_a_finished_session_stays_finished(
    misuse: Callable[[Session], object], starts: str, plan: Plan, tmp_path: Path
) -> None:
    session = plan.session()
    session.push(feed(7))
    session.finish()
    saved = snapshot(session, tmp_path / "saved")
    loaded = plan.session()
    loaded.load(tmp_path / "saved")
    for used in (session, session.clone(), loaded):
        with pytest.raises(EvalError) as error:
            misuse(used)
        assert str(error.value) == starts
        assert same(snapshot(used, tmp_path / "again"), saved)


def test_inputs_that_end_apart_are_an_error_that_can_be_repaired(plan: Plan) -> None:
    session, twin = plan.session(), plan.session()
    parts = [session.push({**feed(7), "z": feed(5)["z"]})]
    with pytest.raises(EvalError, match=r"^streaming inputs ended at different times"):
        session.finish()
    parts += [session.push({"x": frames(0), "z": feed(7)["z"][..., 5:]}), session.finish()]
    wanted = [twin.push(feed(7)), twin.finish()]
    got, expected = (np.concatenate([part["y"] for part in s], 2) for s in (parts, wanted))
    assert got.shape == (1, 2, 5)
    assert np.array_equal(got, expected)


def test_a_saved_state_continues_in_another_session(plan: Plan, tmp_path: Path) -> None:
    session, other = plan.session(), plan.session()
    session.push(feed(7))
    session.save(tmp_path / "state")
    # What the other session held before must leave no trace.
    other.push(feed(11, start=50))
    other.load(tmp_path / "state")
    assert same(session.push(feed(6, start=7)), other.push(feed(6, start=7)))
    assert same(session.finish(), other.finish())


def test_the_state_of_another_model_is_declined(plan: Plan, tmp_path: Path) -> None:
    foreign = plan_of(tmp_path / "other", 2, fast=plan.fast).session()
    foreign.push(feed(5))
    foreign.save(tmp_path / "foreign")
    np.savez(tmp_path / "arrays.npz", x=W)
    (tmp_path / "junk").write_bytes(b"junk")
    session = plan.session()
    session.push(feed(7))
    before, twin = snapshot(session, tmp_path / "before"), session.clone()
    for name, kind, words in (
        ("foreign", EvalError, "holds the state of pulse 2, x: 1,2,2,f32"),
        ("arrays.npz", EvalError, "holds the state of no session; this is pulse 4"),
        ("junk", MalformedFile, "not an .npz"),
        ("nowhere", MalformedFile, "no such file"),
    ):
        with pytest.raises(kind) as error:
            session.load(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert words in str(error.value)
        assert same(snapshot(session, tmp_path / "after"), before)
    assert same(session.push(feed(6, start=7)), twin.push(feed(6, start=7)))


def widened(saved: dict[str, Array], key: str) -> dict[str, Array]:
    return {**saved, key: saved[key].astype(np.float64)}


def cut(saved: dict[str, Array], key: str) -> dict[str, Array]:
    return {**saved, key: saved[key][:, :1]}


def less(saved: dict[str, Array], key: str) -> dict[str, Array]:
    return {name: array for name, array in saved.items() if name != key}


DAMAGES: dict[str, Callable[[dict[str, Array], str], dict[str, Array]]] = {
    "no counters": lambda saved, _: less(saved, "counters"),
    "no state": less,
    "no pending": lambda saved, _: less(saved, "pending/x"),
    "no count": lambda saved, _: less(saved, "count/y"),
    "no manifest": lambda saved, _: less(saved, "manifest"),
    "state dtype": widened,
    "state shape": cut,
    "pending dtype": lambda saved, _: widened(saved, "pending/x"),
    "pending shape": lambda saved, _: cut(saved, "pending/x"),
    "pending of no input": lambda saved, _: {**saved, "pending/q": W},
    "state of no node": lambda saved, _: {**saved, "state/q/buffer": W},
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_state_is_declined(case: str, plan: Plan, tmp_path: Path) -> None:
    session = plan.session()
    session.push(feed(7))
    before, twin = snapshot(session, tmp_path / "before"), session.clone()
    key = min(name for name in before if name.startswith("state/") and name.endswith("buffer"))
    damaged = DAMAGES[case](before, key)
    np.savez(tmp_path / "damaged.npz", **damaged)  # pyright: ignore[reportArgumentType]
    with pytest.raises(EvalError, match=r"^saved state (lacks|has) '"):
        session.load(tmp_path / "damaged.npz")
    assert same(snapshot(session, tmp_path / "after"), before)
    assert same(session.push(feed(6, start=7)), twin.push(feed(6, start=7)))


@pytest.mark.parametrize("case", ["state dtype", "state shape", "pending dtype", "pending shape"])
def test_a_manifest_cannot_widen_what_the_model_keeps(case: str, tmp_path: Path) -> None:
    session = plan_of(tmp_path / "m", 4, fast=True).session()
    session.push(feed(7))
    saved = snapshot(session, tmp_path / "saved")
    key = min(name for name in saved if name.startswith("state/"))
    saved = DAMAGES[case](saved, key)
    lines = [
        f"{name} = {list(array.shape)} {array.dtype}"
        for name, array in saved.items()
        if name not in ("model", "manifest")
    ]
    saved["manifest"] = np.asarray(lines)
    np.savez(tmp_path / "forged.npz", **saved)  # pyright: ignore[reportArgumentType]
    with pytest.raises(EvalError, match=r"^saved state has '.*; the model has "):
        session.load(tmp_path / "forged.npz")


def test_the_state_of_other_weights_is_declined(plan: Plan, tmp_path: Path) -> None:
    body = BODY.replace("[1.0, 2.0, 3.0]", "[1.0, 2.0, 3.5]")
    model = tract_ref.load(nnef(tmp_path / "w", body, head=HEAD.replace("(x)", "(x, z, w)")))
    other = Plan(tract_ref.pulsify(model, 4).model, fast=plan.fast).session()
    other.push(feed(7))
    other.save(tmp_path / "other")
    with pytest.raises(EvalError, match=r"^saved state: .* holds the state of pulse 4, .* digest"):
        plan.session().load(tmp_path / "other")
    twin = plan_of(tmp_path / "twin", 4, fast=plan.fast)
    assert twin.digest == plan.digest


def batched(folder: Path, *, fast: bool) -> Plan:
    """Return a pulsified model with a second symbol, which is not the stream's."""
    head = HEAD.replace("tract_symbol S;", "tract_symbol S;\nextension tract_symbol N;")
    body = """x = tract_core_external(shape = [N, 2, S], datum_type = 'f32');
y = conv(x, [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], 0.0, padding = [(0, 0)]);"""
    model = tract_ref.load(nnef(folder, body, head=head))
    return Plan(tract_ref.pulsify(model, 4, symbol="S").model, fast=fast)


@pytest.mark.parametrize("fast", [True, False])
def test_another_symbol_is_set_for_a_session(fast: bool, tmp_path: Path) -> None:
    plan = batched(tmp_path / "m", fast=fast)
    session = plan.session({"N": 1})
    x = frames(11)
    parts = [session.push({"x": x[..., :6]})]
    session.save(tmp_path / "state")
    loaded = plan.session({"N": 1})
    loaded.load(tmp_path / "state")
    rest = [session.push({"x": x[..., 6:]}), session.finish()]
    assert same(loaded.push({"x": x[..., 6:]}), rest[0])
    assert same(loaded.finish(), rest[1])
    got = np.concatenate([part["y"] for part in parts + rest], 2)
    kernel = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    wanted = [[np.sum(x[0, :, t : t + 3] * kernel) for t in range(9)]]
    assert np.array_equal(got[0], np.asarray(wanted, np.float32))


def test_an_unknown_symbol_is_named(plan: Plan) -> None:
    with pytest.raises(EvalError, match=r"^no dimension has the symbol 'Q' \(symbols: S\)"):
        plan.session({"Q": 5})


@pytest.mark.parametrize("inputs", [None, 3, [W]], ids=["none", "integer", "list"])
def test_inputs_are_given_by_name(inputs: Any, plan: Plan) -> None:
    session = plan.session()
    for feeding in (session.push, session.turn):
        with pytest.raises(EvalError, match=r"^the inputs are a \w+, not arrays by name; feed"):
            feeding(inputs)


@pytest.mark.parametrize("pulse", [2.5, "4", None, True], ids=repr)
def test_a_pulse_is_a_positive_integer(pulse: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"pulse=.* is not a positive integer"):
        plan_of(tmp_path / "m", pulse, fast=True)


@pytest.mark.parametrize("size", [-3, 2.5, "4", None, True], ids=repr)
def test_a_size_is_an_integer_or_a_dimension(size: Any, tmp_path: Path) -> None:
    folder = nnef(tmp_path / "m", BODY, head=HEAD.replace("(x)", "(x, z, w)"))
    with pytest.raises(InvalidModel, match=r"^set_symbols: S=.* is not a size|^S=.* is not a size"):
        tract_ref.load(folder, set={"S": size})


def test_a_clone_goes_its_own_way(plan: Plan) -> None:
    session = plan.session()
    session.push(feed(7))
    twin, clone = session.clone(), session.clone()
    clone.push(feed(9, start=70))
    clone.finish()
    assert same(session.push(feed(6, start=7)), twin.push(feed(6, start=7)))


def test_only_a_pulsified_model_takes_chunks(tmp_path: Path) -> None:
    batch = tract_ref.load(nnef(tmp_path / "m", BODY, head=HEAD.replace("(x)", "(x, z, w)")))
    session = Plan(batch).session()
    with pytest.raises(EvalError, match=r"^run: push needs a pulsified model; pulsify it first"):
        session.push(feed(3))
    with pytest.raises(EvalError, match=r"^run: push needs a pulsified model"):
        session.finish()
    assert session.turn(feed(3))["y"].shape == (1, 2, 1)


def test_the_end_of_the_stream_keeps_what_was_promised(tmp_path: Path) -> None:
    head = HEAD.replace("(x)", "(x, z, w)").replace(
        "graph", "extension tract_assert S >= 9;\ngraph"
    )
    model = tract_ref.load(nnef(tmp_path / "m", BODY, head=head))
    plan = Plan(tract_ref.pulsify(model, 4).model)
    session = plan.session()
    session.push(feed(8))
    with pytest.raises(EvalError, match=r"^S=8 breaks the assertion S >= 9 of the model"):
        session.finish()
    session.push(feed(1, start=8))
    session.finish()
    announced = plan.session({"S": 12})
    announced.push(feed(11))
    with pytest.raises(EvalError, match=r"^S=12 was announced but 11 frames arrived"):
        announced.finish()
