"""A pass that breaks the model is caught behind it, under its own name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from tract_ref import declutter, passes, pulsify, set_symbols, stream_axis
from tract_ref.dim import sym
from tract_ref.errors import InternalError, InvalidModel
from tract_ref.ir.check import check_model, checked, checking_facts
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER
from tract_ref.ops.binary import Add
from tract_ref.ops.unary import Neg
from tract_ref.passes import pulsify_v1
from tract_ref.passes import set_symbols as rebuilding
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref.passes.rewrites.fold_padding import BEFORE_PULSIFY

F32 = np.dtype(np.float32)


def small() -> Model:
    """Return y = -(x + w), labelled."""
    model = Model()
    x = model.add_source("x", Fact(F32, (2, sym("S"))))
    w = model.add_const("w", np.ones((2, 1), np.float32))
    (a,) = model.wire("a", Add(), (x, w))
    (y,) = model.wire("y", Neg(), (a,))
    model.label(y, "y")
    model.set_outputs([y], ["y"])
    return model


def of(model: Model, name: str) -> Outlet:
    return Outlet(model.node_named(name).id)


def same_name(model: Model) -> None:
    model.node_named("a").name = "x"


def missing_producer(model: Model) -> None:
    model.node_named("a").inputs = (Outlet(99), of(model, "w"))


def missing_slot(model: Model) -> None:
    model.node_named("y").inputs = (Outlet(model.node_named("a").id, 1),)


def missing_reader(model: Model) -> None:
    model.successors[model.node_named("a").id].clear()


def too_few_inputs(model: Model) -> None:
    model.node_named("a").inputs = (of(model, "x"),)


def cycle(model: Model) -> None:
    a, y = model.node_named("a"), model.node_named("y")
    model.successors[y.id][a.id] = 1
    a.inputs = (of(model, "y"), of(model, "w"))


def lost_output_name(model: Model) -> None:
    model.output_names.clear()


def lost_output(model: Model) -> None:
    model.outputs[:] = [Outlet(99)]


def label_of_nothing(model: Model) -> None:
    model.labels[Outlet(99)] = ("z",)


def input_that_is_computed(model: Model) -> None:
    model.inputs[:] = [of(model, "y")]


def constant_of_another_shape(model: Model) -> None:
    model.node_named("w").outputs = (Fact(F32, (3, 1)),)


def source_of_another_dtype(model: Model) -> None:
    model.node_named("x").outputs = (Fact(np.dtype(np.int64), (2, sym("S"))),)


def another_id(model: Model) -> None:
    model.node_named("y").id = 77


BREAKS: dict[str, tuple[Callable[[Model], None], str]] = {
    "same name": (same_name, "the name is taken by another node"),
    "missing producer": (missing_producer, "reads the missing outlet Outlet(node=99, slot=0)"),
    "missing slot": (missing_slot, "reads the missing outlet Outlet(node=2, slot=1)"),
    "missing reader": (missing_reader, "is missing among the readers of Outlet(node=2, slot=0)"),
    "arity": (too_few_inputs, "1 inputs"),
    "cycle": (cycle, "the graph has a cycle through 'y'"),
    "output name": (lost_output_name, "1 outputs, 0 names"),
    "output": (lost_output, "an input, output or label is at the missing outlet"),
    "label": (label_of_nothing, "an input, output or label is at the missing outlet"),
    "input": (input_that_is_computed, "an input is not a Source"),
    "constant": (constant_of_another_shape, "fact 3,1,f32 is not that of its op, float32 [2, 1]"),
    "source": (source_of_another_dtype, "fact 2,S,i64 is not that of its op, float32 [2, "),
    "id": (another_id, "has the id 77 and the place 3"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_every_broken_invariant_is_seen_without_the_facts(name: str) -> None:
    model = small()
    check_model(model, facts=False)
    break_it, seen = BREAKS[name]
    break_it(model)
    with pytest.raises((InvalidModel, InternalError)) as caught:
        check_model(model, stage="a pass", facts=False)
    assert caught.value.seen.startswith(seen)
    assert caught.value.stage == "a pass"


def wrong_rank(model: Model) -> None:
    model.node_named("a").outputs = (Fact(F32, (2, sym("S"), 1)),)


def wrong_dtype(model: Model) -> None:
    model.node_named("a").outputs = (Fact(np.dtype(np.float64), (2, sym("S"))),)


def wrong_dim(model: Model) -> None:
    model.node_named("y").outputs = (Fact(F32, (3, sym("S"))),)


@pytest.mark.parametrize("break_it", [wrong_rank, wrong_dtype, wrong_dim])
def test_facts_are_compared_with_those_of_the_op(break_it: Callable[[Model], None]) -> None:
    model = small()
    check_model(model)
    break_it(model)
    with pytest.raises(InvalidModel, match=r"^node \"[ay]\" \(\w+\): fact .* is not the op's fact"):
        check_model(model)


# Passes that break what they work on


@contextmanager
def declutter_breaks(break_it: Callable[[Model], None]) -> Iterator[None]:
    """Break the model from inside a rule, as a wrong rule would."""

    def rule(_op: object, _node: object, ctx: object) -> None:
        break_it(ctx.model)  # pyright: ignore[reportAttributeAccessIssue]

    with DECLUTTER.replaced(Neg, rule):
        yield


@contextmanager
def before_pulsify_breaks(break_it: Callable[[Model], None]) -> Iterator[None]:
    def rule(_node: object, model: Model) -> ModelPatch:
        break_it(model)
        return ModelPatch(model)

    with BEFORE_PULSIFY.replaced(Neg, rule):
        yield


def pulsify_breaks(break_it: Callable[[Model], None]) -> AbstractContextManager[object]:
    before = pulsify_v1._properties

    def properties(context: pulsify_v1.PulseContext, batch: Model) -> None:
        before(context, batch)
        break_it(context.model)

    return mock.patch.object(pulsify_v1, "_properties", properties)


def rebuild_breaks(break_it: Callable[[Model], None]) -> AbstractContextManager[object]:
    before = rebuilding._rebuild

    def rebuild(*args: object) -> Model:
        model = before(*args)  # pyright: ignore[reportArgumentType]
        break_it(model)
        return model

    return mock.patch.object(rebuilding, "_rebuild", rebuild)


Breaking = Callable[[Callable[[Model], None]], AbstractContextManager[object]]
PASSES: dict[str, tuple[Breaking, Callable[[Model], object]]] = {
    "declutter": (declutter_breaks, declutter),
    "before pulsify": (before_pulsify_breaks, before_pulsify),
    "pulsify v1": (pulsify_breaks, lambda model: pulsify(model, 4)),
    "set_symbols": (rebuild_breaks, lambda model: set_symbols(model, {"S": sym("T")})),
    "stream axis": (rebuild_breaks, lambda model: stream_axis(model, "T", {"x": 1})),
}


@pytest.mark.parametrize("stage", PASSES)
def test_a_pass_that_breaks_the_model_is_named(stage: str) -> None:
    breaking, run_pass = PASSES[stage]
    with breaking(same_name), pytest.raises(InternalError) as caught:
        run_pass(small())
    assert caught.value.stage == stage
    assert "the name is taken by another node" in str(caught.value)
    run_pass(small())


@pytest.mark.parametrize("stage", PASSES)
def test_a_pass_that_breaks_a_fact_is_named_while_facts_are_checked(stage: str) -> None:
    breaking, run_pass = PASSES[stage]
    with breaking(wrong_dim), checking_facts(), pytest.raises(InternalError) as caught:
        run_pass(small())
    assert caught.value.stage == stage
    assert caught.value.node == "y"
    assert "is not the op's fact" in str(caught.value)
    with checking_facts():
        run_pass(small())


def test_every_pass_has_the_check() -> None:
    """A function of `passes/` that makes one model out of another is wrapped by `checked`."""
    unchecked = []
    for info in pkgutil.iter_modules(passes.__path__):
        module = importlib.import_module(f"{passes.__name__}.{info.name}")
        for name, found in inspect.getmembers(module, inspect.isfunction):
            own = found.__module__ == module.__name__ and not name.startswith("_")
            if own and found.__annotations__.get("return") == "Model":
                wrapper = inspect.getattr_static(found, "__wrapped__", None)
                unchecked += [] if wrapper is not None else [f"{info.name}.{name}"]
    assert unchecked == []


def test_facts_are_checked_inside_the_block_only() -> None:
    @checked("a pass")
    def run_pass() -> Model:
        model = small()
        wrong_dim(model)
        return model

    run_pass()
    with checking_facts(), pytest.raises(InternalError, match=r"^a pass: node "):
        run_pass()
    run_pass()


def test_a_pass_that_changes_nothing_returns_what_it_was_given() -> None:
    model = small()
    assert before_pulsify(model) is model


def test_bodies_are_checked_too() -> None:
    inner = small()

    class Holder(Neg):
        def bodies(self) -> tuple[Model, ...]:
            return (inner,)

    model = small()
    node = model.node_named("y")
    node.op = Holder()
    check_model(model)
    same_name(inner)
    with pytest.raises(InvalidModel, match="the name is taken"):
        check_model(model, facts=False)


def test_a_valid_model_passes_with_any_fact_that_may_be_the_same() -> None:
    model = small()
    node = model.node_named("y")
    node.outputs = (replace(node.outputs[0], shape=(2, sym("T"))),)
    check_model(model)
