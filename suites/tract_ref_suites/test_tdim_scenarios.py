"""Scenarios: which one values select, what all of them agree on, and their way through files."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tract_ref
from tract_ref.dim import Scenario, Scope, evaluate, parse_dim, sym
from tract_ref.errors import EvalError, InvalidModel, MalformedFile
from tract_ref.ir.dump import dump
from tract_ref.nnef.reader import parse_model
from tract_ref.nnef.writer import model_text
from tract_ref_suites.command_line import HEAD, X, nnef, run
from tract_ref_suites.strategies.dims import NAMES, Written, tdims

SYMBOLS = ["S>=0", "P>=0"]
LLM = Scope(SYMBOLS, {"tg": ["S==1"], "pp": ["P==0"]})
POINTS = [dict(zip(NAMES, p, strict=True)) for p in itertools.product(range(-1, 4), repeat=3)]


@pytest.mark.parametrize(
    ("bindings", "chosen"),
    [
        ({}, None),
        ({"S": 50}, "pp"),
        ({"P": 50}, "tg"),
        ({"S": 1}, "tg"),
        ({"P": 0}, "pp"),
        ({"S": 1, "P": 0}, "tg"),
        ({"S": 1, "P": 50}, "tg"),
        ({"T": 3}, None),
    ],
)
def test_values_select_a_scenario(bindings: dict[str, int], chosen: str | None) -> None:
    assert LLM.scenario(bindings) == chosen


def test_values_of_no_scenario_are_an_error_that_lists_them() -> None:
    with pytest.raises(EvalError) as caught:
        LLM.scenario({"S": 50, "P": 50})
    seen = "no possible scenario for P=50, S=50 (tg: S == 1; pp: P == 0)"
    assert str(caught.value) == seen
    assert LLM.holds({"S": 50, "P": 50}) is False


def test_a_scope_without_scenarios_selects_none() -> None:
    assert Scope(["S>=0"]).scenario({"S": 3}) is None
    assert Scope().scenario({}) is None


def test_a_scenario_with_one_false_assertion_is_discarded() -> None:
    scope = Scope((), {"a": ["S>=2", "T==1"], "b": ["S<2"]})
    assert scope.scenario({"T": 5}) == "b"
    assert scope.scenario({"S": 2}) == "a"
    assert scope.scenario({"S": 2, "T": 1}) == "a"


@pytest.mark.parametrize(
    ("bindings", "answer"),
    [
        ({"S": 1, "P": 7}, True),
        ({"S": 7, "P": 0}, True),
        ({"S": 1}, None),
        ({"S": 7}, None),
        ({"S": -1, "P": 0}, False),
        ({"S": 7, "P": 7}, False),
    ],
)
def test_a_scope_holds_where_one_scenario_does(
    bindings: dict[str, int], answer: bool | None
) -> None:
    assert LLM.holds(bindings) is answer


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("min(P, S#(P+S))", "P"),
        ("S*P", "P"),
        ("max(1, S*P+1)", "P+1"),
        ("min(1, S+P)", "min(1,S)"),
        ("S+P", "P+S"),
        ("S", "S"),
    ],
)
def test_what_all_scenarios_agree_on_is_the_result(text: str, simple: str) -> None:
    assert str(LLM.simplify(parse_dim(text))) == simple
    assert LLM.simplify(LLM.simplify(parse_dim(text))) is LLM.simplify(parse_dim(text))


def test_one_scenario_alone_decides_nothing() -> None:
    dim = parse_dim("min(P, S#(P+S))")
    assert Scope(SYMBOLS).simplify(dim) is not sym("P")
    # In tg alone S is 1; in pp it is not.
    assert LLM.simplify(sym("S")) is sym("S")
    assert LLM.decide_equal(sym("S"), 1) is None
    assert LLM.proves_ge(1, sym("S")) is None


def test_a_scenario_where_a_broadcast_has_no_value_says_nothing() -> None:
    scope = Scope([], {"tg": ["S==1"], "pp": ["P==1"]})
    dim = parse_dim("0#(1+S)")
    assert scope.simplify(dim) is dim
    assert scope.bounds(dim) == (None, None)
    assert scope.decide_equal(dim, 0) is None


def test_bounds_are_the_union_over_the_scenarios() -> None:
    scope = Scope(["S>=0"], {"a": ["S>=2", "S<=3"], "b": ["S==7"]})
    assert scope.bounds(sym("S")) == (2, 7)
    assert scope.smallest("S") == 2
    assert scope.proves_ge(sym("S"), 2) is True
    assert scope.decide_equal(sym("S"), 0) is False
    assert Scope((), {"a": ["S>=2"], "b": ["T>=2"]}).bounds(sym("S")) == (None, None)


def test_an_excluded_scenario_is_not_counted() -> None:
    scope = Scope(["S>=2"], {"tg": ["S==1"], "pp": ["P==0"]})
    assert scope.simplify(sym("P")) == 0
    assert [str(case.assertions[-1]) for case in scope.cases] == ["P == 0"]


def test_when_all_scenarios_are_excluded_only_the_assertions_speak() -> None:
    scope = Scope(["S>=2"], {"a": ["S==1"], "b": ["S==0"]})
    assert scope.cases == ()
    assert scope.bounds(sym("S")) == (2, None)
    assert scope.simplify(parse_dim("max(S, 1)")) is sym("S")


def test_scopes_are_values() -> None:
    again = Scope(SYMBOLS, {"tg": ["S == 1"], "pp": ["P == 0"]})
    assert again == LLM
    assert hash(LLM) == hash(again)
    assert pickle.loads(pickle.dumps(LLM)) == LLM
    assert Scope(SYMBOLS) != LLM
    assert Scope(SYMBOLS, {"pp": ["P==0"], "tg": ["S==1"]}) != LLM
    assert repr(LLM) == "Scope(['S >= 0', 'P >= 0'], {'tg': ['S == 1'], 'pp': ['P == 0']})"
    assert LLM.symbols == {"S", "P"}
    assert Scope((), {"a": ["T>=1"]}).symbols == {"T"}


def test_asserting_keeps_the_scenarios() -> None:
    built = Scope().asserting("S>=0").asserting("S==1", scenario="tg")
    built = built.asserting("P==0", scenario="pp").asserting("P>=0")
    assert built == LLM
    assert built.asserting("S==1", scenario="tg") is built
    assert built.asserting("P>=0") is built
    assert Scope(["S>=0"]).asserting("T>=1").scenarios == ()


def test_substitution_reaches_the_scenarios() -> None:
    bound = LLM.substitute({"S": 1})
    assert bound == Scope(["P >= 0"], {"tg": ["1 == 1"], "pp": ["P == 0"]})
    assert bound.scenario({}) == "tg"
    assert LLM.substitute({"S": 5}).simplify(sym("P")) == 0
    assert LLM.substitute({"S": sym("P") + 1}).lines == (
        "P+1 >= 0",
        "P >= 0",
        "tg: P+1 == 1",
        "pp: P == 0",
    )


@pytest.mark.parametrize("name", ["", " ", "a:b", "a;b", " a", "a\n"])
def test_a_scenario_needs_a_name_that_can_be_written(name: str) -> None:
    with pytest.raises(InvalidModel, match=r"^the scenario name "):
        Scope((), {name: ["S>=0"]})


def test_a_scenario_asserts_something() -> None:
    with pytest.raises(InvalidModel, match=r"^the scenario 'tg' asserts nothing; leave it out"):
        Scenario("tg", ())


def test_scenarios_multiply_the_work_and_do_not_nest_it() -> None:
    """The clamps of spec/ir.md 1.8 under three scenarios: quadratic steps, as without."""

    def steps(depth: int) -> int:
        names = [f"H{level}" for level in range(depth)]
        known = [text for name in names for text in (f"{name}>=0", f"{name}<=2")]
        scope = Scope(known, {"a": ["S>=0"], "b": ["S>=5", "H0==0"], "c": ["S==2"]})
        dim = sym("S")
        for name in names:
            dim = parse_dim(f"max(0,{dim}+{name}-2)")
        scope.simplify(dim)
        return scope.steps

    counts = [steps(depth) for depth in (4, 8, 16)]
    assert counts[0] > 0
    assert counts[1] <= 6 * counts[0]
    assert counts[2] <= 6 * counts[1]


PROMISES = ["S >= 1", "T >= 0", "P == 0", "S == 1", "T >= S", "P <= 2", "T == 2", "S >= P"]
CASES = st.dictionaries(
    st.sampled_from(["tg", "pp", "x"]),
    st.lists(st.sampled_from(PROMISES), min_size=1, max_size=2, unique=True),
    max_size=3,
)


@given(written=tdims(max_leaves=6), scenarios=CASES)
def test_answers_are_true_where_a_scenario_holds(
    written: Written, scenarios: dict[str, list[str]]
) -> None:
    scope = Scope(["S >= 0"], scenarios)
    simple = scope.simplify(written.dim)
    low, high = scope.bounds(written.dim)
    equal = scope.decide_equal(written.dim, 2)
    for bindings in POINTS:
        if scope.holds(bindings):
            value = written.raw(bindings)
            assert evaluate(simple, bindings) == value
            assert low is None or low <= value
            assert high is None or value <= high
            assert equal is None or equal == (value == 2)


@given(scenarios=CASES, values=st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 3)))
def test_the_selected_scenario_is_not_false(
    scenarios: dict[str, list[str]], values: dict[str, int]
) -> None:
    scope = Scope((), scenarios)
    if scope.holds(values) is False:
        with pytest.raises(EvalError, match=r"^no possible scenario for "):
            scope.scenario(values)
        return
    chosen = scope.scenario(values)
    for scenario in scope.scenarios:
        if scenario.name == chosen:
            assert scenario.holds(values) is not False


SCENARIOS = HEAD.replace(
    "graph",
    "extension tract_symbol P;\nextension tract_assert S >= 1;\n"
    "extension tract_assert tg: S == 1;\nextension tract_assert pp : P==0;\n"
    "extension tract_assert tg:P >= 2;\ngraph",
)
BODY = "x = tract_core_external(shape = [P, S], datum_type = 'f32'); y = tanh(x);"


def test_nnef_reads_and_writes_scenarios() -> None:
    model = parse_model(f"{SCENARIOS}{BODY}\n}}\n")
    assert model.scope == Scope(["S >= 1"], {"tg": ["S == 1", "P >= 2"], "pp": ["P == 0"]})
    written = model_text(model)
    assert [line for line in written.splitlines() if "tract_assert" in line] == [
        "extension tract_assert S >= 1;",
        "extension tract_assert tg: S == 1;",
        "extension tract_assert tg: P >= 2;",
        "extension tract_assert pp: P == 0;",
    ]
    again = parse_model(written)
    assert again.scope == model.scope
    assert model_text(again) == written


@pytest.mark.parametrize(
    ("line", "seen"),
    [(": S >= 1", "names no scenario"), ("tg: S => 1", "'tg: S => 1'"), ("tg:", "expected a n")],
)
def test_a_wrong_scenario_line_is_malformed(line: str, seen: str) -> None:
    text = HEAD.replace("graph", f"extension tract_assert {line};\ngraph")
    with pytest.raises(MalformedFile, match=seen) as caught:
        parse_model(f"{text}{X} y = tanh(x);\n}}\n")
    assert caught.value.line == 4


def test_dump_shows_scenarios(tmp_path: Path) -> None:
    ran = run("dump", nnef(tmp_path / "m", BODY, head=SCENARIOS))
    assert ran.out.splitlines()[:4] == [
        "assert S >= 1",
        "assert tg: S == 1",
        "assert tg: P >= 2",
        "assert pp: P == 0",
    ]


def test_every_pass_keeps_the_scenarios(tmp_path: Path) -> None:
    model = tract_ref.load(nnef(tmp_path / "m", BODY, head=SCENARIOS))
    for after in (
        tract_ref.declutter(model),
        tract_ref.pulsify(model, 2, symbol="P").model,
        tract_ref.set_symbols(model, {}),
    ):
        assert after.scope == model.scope
    assert "assert pp: P == 0" in dump(tract_ref.set_symbols(model, {"S": 2}))


def test_a_batch_run_in_no_scenario_is_an_error(tmp_path: Path) -> None:
    plan = tract_ref.Plan(tract_ref.load(nnef(tmp_path / "m", BODY, head=SCENARIOS)))
    assert plan.run({"x": np.ones((0, 3), np.float32)})["y"].shape == (0, 3)
    assert plan.run({"x": np.ones((2, 1), np.float32)})["y"].shape == (2, 1)
    with pytest.raises(EvalError, match=r"^no possible scenario for P=2, S=3 \(tg: S == 1, P >= 2"):
        plan.run({"x": np.ones((2, 3), np.float32)})
    with pytest.raises(EvalError, match=r"^P=0, S=0 breaks the assertion S >= 1 of the model"):
        plan.run({"x": np.ones((0, 0), np.float32)})


def test_a_stream_that_ends_in_no_scenario_is_an_error(tmp_path: Path) -> None:
    head = HEAD.replace(
        "graph",
        "extension tract_assert few: S <= 2;\nextension tract_assert many: S >= 9;\ngraph",
    )
    model = tract_ref.load(nnef(tmp_path / "m", f"{X} y = tanh(x);", head=head))
    session = tract_ref.Plan(tract_ref.pulsify(model, 4).model).session()
    session.push({"x": np.ones((1, 1, 5), np.float32)})
    with pytest.raises(EvalError, match=r"^no possible scenario for S=5 \(few: S <= 2; many: S"):
        session.finish()
    session.push({"x": np.ones((1, 1, 4), np.float32)})
    session.finish()
