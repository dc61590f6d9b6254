"""set_symbols: no stale symbol is left anywhere, and the model computes what it computed before."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tract_ref
from tract_ref.dim import Dim, Scope, TDim, evaluate, parse_dim, sym
from tract_ref.errors import InvalidModel, Refused, TractRefError
from tract_ref.ir.attributes import dims_of, substituted_in
from tract_ref.ir.fact import TDIM, Fact, dims_tensor
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.slicing import Slice
from tract_ref.ops.submodel import Submodel
from tract_ref.passes.set_symbols import symbols_of
from tract_ref.runtime.plan import Plan
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, small_integers
from tract_ref_suites.strategies.models import CHANNELS, Dag, build, dags

STALE = "stale_symbol"
NUMBERS: dict[object, float | int | bool] = {float: 0.5, int: 1, bool: False}


def op_classes() -> list[type[Op]]:
    """Return every op that has a cell in the pulsifier's table, as each one must."""
    return sorted(PULSIFY_V1.keys(), key=lambda op: op.__name__)


@cache
def instances() -> dict[type[Op], Op]:
    """Return one op of each class, out of the hand problems as written and as streamed either way.

    Ops whose attributes are all numbers need no problem to be made.
    """
    found: dict[type[Op], Op] = {Const: Const(dims_tensor((sym("S"), 2)))}
    for op_class in op_classes():
        hints = typing.get_type_hints(op_class)
        named = [f.name for f in dataclasses.fields(cast("Any", op_class))]
        if all(hints[name] in NUMBERS for name in named):
            found[op_class] = op_class(*(NUMBERS[hints[name]] for name in named))
    for family in families().values():
        for problem in family.hand.values():
            model = problem.model()
            for built in (model, *_streamed(model, problem.pulses)):
                for node in _nodes(built):
                    found.setdefault(type(node.op), node.op)
            for op in _of_increments(model, problem.pulses):
                found.setdefault(type(op), op)
    return found


def _of_increments(model: Model, pulses: tuple[int, ...]) -> Iterator[Op]:
    if pulses:
        for plan in tract_ref.increments(model, symbol=SYMBOL).plans.values():
            yield from plan.ops()


def _streamed(model: Model, pulses: tuple[int, ...]) -> Iterator[Model]:
    try:
        for pulse in pulses[:1]:
            yield tract_ref.pulsify(model, pulse, symbol=SYMBOL).model
    except TractRefError:
        return


def _nodes(model: Model) -> Iterator[Any]:
    for node in model.order():
        yield node
        for body in node.op.bodies():
            yield from _nodes(body)


def is_dim_hint(hint: object) -> bool:
    """Say whether an annotation admits a symbolic dim."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return TDim in options


def injected(value: Any, hint: Any) -> Any:
    """Return an attribute with the symbol in every place whose annotation admits a dim."""
    if is_dim_hint(hint) and isinstance(value, int | TDim) and not isinstance(value, bool):
        return sym(STALE) + value
    if isinstance(value, np.ndarray) and value.dtype == TDIM:
        return dims_tensor(tuple(sym(STALE) + d for d in value.ravel().tolist())).reshape(
            value.shape
        )
    if isinstance(value, tuple) and typing.get_origin(hint) is tuple:
        hints = typing.get_args(hint)
        if len(hints) == 2 and hints[1] is Ellipsis:
            hints = (hints[0],) * len(value)
        return tuple(injected(v, h) for v, h in zip(value, hints, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = typing.get_type_hints(type(value))
        fields = [f for f in dataclasses.fields(value) if f.init]
        changed = {f.name: injected(getattr(value, f.name), known[f.name]) for f in fields}
        return dataclasses.replace(value, **changed)
    return value


def test_every_op_has_an_instance_among_the_hand_problems() -> None:
    missing = [op.__name__ for op in op_classes() if op not in instances()]
    assert missing == []


@pytest.mark.parametrize("op_class", op_classes(), ids=lambda op: op.__name__)
def test_no_attribute_keeps_a_stale_symbol(op_class: type[Op]) -> None:
    stale = injected(instances()[op_class], op_class)
    # The text of a dataclass shows every field of every dataclass inside it.
    assert stale.mentions(STALE) == (STALE in repr(stale))
    fresh = stale.substitute({STALE: 3})
    assert type(fresh) is op_class
    assert STALE not in repr(fresh)
    assert not fresh.mentions(STALE)
    assert fresh.substitute({STALE: 4}) is fresh
    renamed = stale.substitute({STALE: sym("other") // 2})
    assert renamed.mentions("other") == stale.mentions(STALE)


def test_the_ops_with_dims_are_known() -> None:
    """The injection above reaches something: these ops hold dims."""
    reached = {op.__name__ for op, one in instances().items() if injected(one, op).mentions(STALE)}
    known = {"Const", "Source", "Slice", "Broadcast", "Reshape", "Tile", "PulsePad"}
    assert known <= reached


class Pair(NamedTuple):
    first: Dim
    second: Dim


@dataclasses.dataclass(frozen=True)
class Inner:
    dims: tuple[Dim, ...]
    table: Mapping[str, Dim]


@dataclasses.dataclass(frozen=True)
class Nest:
    pair: Pair
    parts: list[Inner]
    scope: Scope
    fact: Fact
    number: int = 3


def test_substitution_reaches_any_nesting() -> None:
    s = sym("S")
    fact = Fact(TDIM, (s, 2), dims_tensor((s + 1, 4)), region=s * 2)
    nest = Nest(Pair(1, s), [Inner((s, 2), {"a": s + 5})], Scope(["S>=1"]), fact)
    seen = sorted(str(dim) for dim in dims_of(nest))
    assert seen == ["2*S", "S", "S", "S", "S", "S+1", "S+5"]
    made = substituted_in(nest, {"S": 6})
    assert isinstance(made, Nest)
    assert made.pair == Pair(1, 6)
    assert isinstance(made.pair, Pair)
    assert made.parts == [Inner((6, 2), {"a": 11})]
    assert made.scope == Scope()
    assert made.fact.shape == (6, 2)
    assert made.fact.const is not None
    assert made.fact.const.tolist() == [7, 4]
    assert made.fact.region == 12
    assert substituted_in(nest, {"T": 6}) is nest


# Whole models


def values_for(expression: Dim, size: int) -> dict[str, int]:
    return {SYMBOL: evaluate(expression, {"u": size}), "u": size}


EXPRESSIONS = st.sampled_from(["5", "u", "2*u", "u/2", "2*u+1", "max(u,3)", "u+u/3"])


@given(dag=dags(), text=EXPRESSIONS, size=st.integers(0, 9), seed=st.integers(0, 99))
def test_a_set_model_computes_what_the_model_computes(
    dag: Dag, text: str, size: int, seed: int
) -> None:
    model, value = build(dag), parse_dim(text)
    bindings = values_for(value, size)
    x = small_integers(seed, (1, CHANNELS, bindings[SYMBOL]), "f8")
    expected = Plan(model, fast=False).run({"x": x})
    made = tract_ref.set_symbols(model, {SYMBOL: value})
    known = {"u": size} if "u" in symbols_of(made) else {}
    found = Plan(made, fast=False).run({"x": x}, symbols=known)
    np.testing.assert_array_equal(found["y"], expected["y"], strict=True)
    assert SYMBOL not in symbols_of(made)
    assert [node.name for node in made.order()] == [node.name for node in model.order()]
    assert made.labels.keys() == model.labels.keys()
    for node in made.order():
        for slot, fact in enumerate(node.outputs):
            before = model.fact(Outlet(model.node_named(node.name).id, slot))
            assert fact.concrete_shape(bindings) == before.concrete_shape(bindings)


def two_symbols(*, scope: Scope | None = None) -> Model:
    """Return y = x + x with x of [T, S], and a property that mentions T."""
    model = Model(scope)
    x = model.add_source("x", Fact(np.dtype(np.float32), (sym("T"), sym("S"))))
    model.set_outputs([x], ["y"])
    model.properties["sizes"] = dims_tensor((sym("T"), 3))
    return model


def test_assertions_scenarios_and_properties_are_reached() -> None:
    scope = Scope(["T>=1", "S>=0"], {"a": ["T==2"], "b": ["S==1"]})
    made = tract_ref.set_symbols(two_symbols(scope=scope), {"T": sym("S") // 2})
    assert made.scope.lines == ("(S)/2 >= 1", "S >= 0", "a: (S)/2 == 2", "b: S == 1")
    assert [str(dim) for dim in made.properties["sizes"]] == ["(S)/2", "3"]
    assert symbols_of(made) == {"S"}
    swapped = tract_ref.set_symbols(two_symbols(), {"S": sym("T"), "T": sym("S")})
    assert [str(dim) for dim in swapped.fact(swapped.inputs[0]).shape] == ["S", "T"]


def test_bodies_are_reached() -> None:
    fact = Fact(np.dtype(np.float32), (sym("S"),))
    body = Model()
    (y,) = body.wire("y", Slice(0, sym("T"), sym("T") + 2), (body.add_source("x", fact),))
    body.set_outputs([y], ["y"])
    model = Model()
    model.set_outputs(model.wire("op", Submodel("b", body), (model.add_source("x", fact),)), ["y"])
    assert symbols_of(model) == {"S", "T"}
    assert model.node_named("op").op.mentions("T")
    made = tract_ref.set_symbols(model, {"T": 3, "S": sym("U") + 5})
    assert symbols_of(made) == {"U"}
    assert not made.node_named("op").op.mentions("T")
    x = np.arange(9, dtype=np.float32)
    assert Plan(made, fast=False).run({"x": x})["y"].tolist() == [3, 4]
    assert symbols_of(model) == {"S", "T"}


def test_values_that_break_a_promise_are_invalid() -> None:
    scope = Scope(["T>=2"], {"a": ["T==2"], "b": ["S==1"]})
    with pytest.raises(InvalidModel) as caught:
        tract_ref.set_symbols(two_symbols(scope=scope), {"T": 1})
    message = "set_symbols: T=1 breaks the assertion T >= 2 of the model; use other values"
    assert str(caught.value) == message
    with pytest.raises(InvalidModel, match=r"^set_symbols: S=3, T=4 breaks every scenario of the"):
        tract_ref.set_symbols(two_symbols(scope=scope), {"T": 4, "S": 3})
    assert tract_ref.set_symbols(two_symbols(scope=scope), {"T": 2}).scope.scenario({}) == "a"


def test_the_stream_symbol_of_a_pulsified_model_stays() -> None:
    pulsed = tract_ref.pulsify(tract_ref.load(CASES / "conv-valid"), 4).model
    with pytest.raises(Refused, match=r"^set_symbols: S is the stream symbol of a pulsified model"):
        tract_ref.set_symbols(pulsed, {"S": 8})


def test_symbols_of_a_model_are_found_wherever_they_stand() -> None:
    scope = Scope(["A>=1"], {"a": ["B==2"]})
    assert symbols_of(two_symbols(scope=scope)) == {"A", "B", "S", "T"}


# --set

BODY = f"""{X}
a = slice(x, axes = [2], begin = [T], end = [T + 4]);
y = tanh(a);"""
WITH_T = HEAD.replace("graph", "extension tract_symbol T;\nextension tract_assert T >= 1;\ngraph")


@pytest.mark.parametrize(
    ("words", "shape", "attribute"),
    [
        (["T=2"], "1,1,S,f32", "start=2, end=6"),
        (["T=S/2"], "1,1,S,f32", "start=(S)/2, end=4+(S)/2"),
        (["S=2*T"], "1,1,2*T,f32", "start=T, end=T+4"),
        (["S=2*s", "T=s"], "1,1,2*s,f32", "start=s, end=s+4"),
        (["S=12", "T=3"], "1,1,12,f32", "start=3, end=7"),
    ],
)
def test_set_reaches_the_attributes(
    words: list[str], shape: str, attribute: str, tmp_path: Path
) -> None:
    model = nnef(tmp_path / "m", BODY, head=WITH_T)
    ran = run("dump", model, *(w for word in words for w in ("--set", word)))
    assert (ran.status, ran.err) == (0, "")
    assert f"-> {shape}\n" in ran.out
    assert attribute in ran.out


def test_a_new_symbol_needs_to_be_meant(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", BODY, head=WITH_T)
    ran = run("dump", model, "--set", "T=Q+1")
    assert ran.status == 3
    assert "T=Q+1: the model has no symbol 'Q' (symbols: S, T); for a new one add" in ran.err
    assert run("dump", model, "--set", "S=2*s").status == 3
    assert run("dump", model, "--set", "S=2*s", "--symbol", "s").status == 0
    assert run("dump", model, "--set", "S=S+Q", "--set", "T=Q").status == 3


def test_an_unknown_symbol_is_bad_input_that_names_the_known_ones(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", BODY, head=WITH_T)
    ran = run("dump", model, "--set", "Q=1")
    assert ran.status == 3
    assert ran.err == "InvalidModel: no dimension has the symbol 'Q' (symbols: S, T)\n"
    ran = run("dump", model, "--set", "T=0")
    assert ran.status == 3
    assert "set_symbols: T=0 breaks the assertion T >= 1 of the model" in ran.err


def test_the_stream_symbol_of_a_case_may_be_replaced() -> None:
    ran = run("check", CASES / "conv-valid", "--set", "S=2*s", "--pulse", 2, "--exact", "--json")
    assert (ran.status, ran.json["symbol"]) == (0, "s")
