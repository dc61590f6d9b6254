"""Submodel and IfThenElse: graphs inside a graph, judged by NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.nnef.writer import model_files
from tract_ref.ops.binary import Add
from tract_ref.ops.slicing import Slice
from tract_ref.ops.submodel import IfThenElse, Submodel
from tract_ref.ops.unary import Abs, Neg
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    Values,
    cropped,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

ORDINARY = Values()
_STEPS = {"Abs": Abs(), "Neg": Neg()}


def body_of(fact: Fact, steps: tuple[str, ...], crop: tuple[int, int], axis: int) -> Model:
    """Return a graph: the steps, then the sum of its input and what they make, then a crop."""
    body = Model()
    start = body.add_source("a", fact)
    wire = start
    for number, step in enumerate(steps):
        (wire,) = body.wire(f"step{number}", _STEPS[step], [wire])
    (wire,) = body.wire("sum", Add(), [start, wire])
    dim = body.fact(wire).shape[axis]
    (wire,) = body.wire("cut", Slice(axis, crop[0], dim - crop[1]), [wire])
    body.set_outputs([wire], ["b"])
    return body


def computed(data: Array, steps: tuple[str, ...], crop: tuple[int, int], axis: int) -> Array:
    """Return what such a graph computes."""
    found = data
    for step in steps:
        found = np.abs(found) if step == "Abs" else -found
    return cropped(data + found, axis, crop)


@dataclass(frozen=True, kw_only=True)
class SubmodelProblem(Streamed):
    """A stream goes through a graph of its own.

    Attributes:
        steps: functions of one input in the inner graph.
        cut: what the inner graph crops.
        symbol: how the inner graph calls the stream's length.
        depth: graphs inside each other.
    """

    family = "submodel"
    op = "Submodel"
    steps: tuple[str, ...] = ("Neg",)
    cut: tuple[int, int] = (0, 0)
    symbol: str = "T"
    depth: int = 1

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        shape = list(self.fact.shape)
        shape[self.axis] = sym(self.symbol)
        body = body_of(Fact(np.dtype(self.dtype), tuple(shape)), self.steps, self.cut, self.axis)
        for level in range(1, self.depth):
            outer = Model()
            inner = outer.add_source("a", Fact(np.dtype(self.dtype), tuple(shape)))
            outlets = outer.wire("inner", Submodel(f"level{level}", body), [inner])
            outer.set_outputs(outlets, ["b"])
            body = outer
        return model.wire("net", Submodel("net", body), [wire])[0]

    def oracle(self, data: Array) -> Array:
        return computed(data, self.steps, self.cut, self.axis)

    @property
    def loose(self) -> str:
        return "functions of one sign hide their input"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] + self.cut[0]


@st.composite
def submodel_problems(draw: st.DrawFn) -> SubmodelProblem:
    """Draw a stream of any rank, one or two graphs deep."""
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(0, rank - 1))
    pulse, crop, cut = draw(pulses()), draw(crops()), draw(crops())
    field = sum(crop) + sum(cut)
    return SubmodelProblem(
        shape=placed(draw(sizes(rank)), axis, draw(lengths(pulse[0], field=field))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        cut=cut,
        steps=tuple(draw(st.lists(st.sampled_from(sorted(_STEPS)), max_size=3))),
        symbol=draw(st.sampled_from([SYMBOL, "T"])),
        depth=draw(st.integers(1, 2)),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "f8", "i4", "i8"])),
    )


@dataclass(frozen=True, kw_only=True)
class IfProblem(Problem):
    """A flag chooses one of two graphs.

    Attributes:
        shape: shape of x; the last axis has the length.
        taken: the flag.
        then_steps: functions of the graph for true.
        else_steps: functions of the other one.
        is_constant: the flag is a constant of the model.
        values: values of x.
    """

    family = "submodel"
    op = "IfThenElse"
    shape: tuple[int, ...]
    taken: bool
    then_steps: tuple[str, ...]
    else_steps: tuple[str, ...]
    is_constant: bool = False
    values: Values = ORDINARY

    @property
    def length(self) -> int:
        return self.shape[-1]

    @property
    def pulses(self) -> tuple[int, ...]:
        return (2,) if self.is_constant else ()

    @property
    def loose(self) -> str:
        return "functions of one sign hide their input"

    def model(self) -> Model:
        model, axis = Model(), len(self.shape) - 1
        fact = Fact(np.dtype(np.float32), (*self.shape[:-1], sym(SYMBOL)))
        x = model.add_source("x", fact)
        flag = np.asarray(self.taken)
        if self.is_constant:
            condition = model.add_const("flag", flag)
        else:
            condition = model.add_source("flag", Fact(flag.dtype, ()))
        yes, no = (body_of(fact, s, (0, 0), axis) for s in (self.then_steps, self.else_steps))
        op = IfThenElse(yes, no, (0,), (0,))
        model.set_outputs(model.wire("choice", op, [condition, x]), ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        given = {"x": self.values.array(self.shape)}
        return given if self.is_constant else {**given, "flag": np.asarray(self.taken)}

    def expected(self) -> dict[str, Array]:
        steps = self.then_steps if self.taken else self.else_steps
        return {"y": computed(self.inputs()["x"], steps, (0, 0), len(self.shape) - 1)}

    @property
    def oracle_approx(self) -> str:
        return "exact"


@st.composite
def if_problems(draw: st.DrawFn) -> IfProblem:
    """Draw two graphs and a flag."""
    rank = draw(st.integers(1, 3))
    steps = st.lists(st.sampled_from(sorted(_STEPS)), max_size=3).map(tuple)
    return IfProblem(
        shape=(*draw(sizes(rank - 1)), draw(st.integers(0, 6))),
        taken=draw(st.booleans()),
        then_steps=draw(steps),
        else_steps=draw(steps),
        is_constant=draw(st.booleans()),
        values=draw(values()),
    )


STRATEGIES = {"Submodel": submodel_problems, "IfThenElse": if_problems}


def _line(length: int, sizes_: tuple[int, ...], **rest: object) -> SubmodelProblem:
    return SubmodelProblem(shape=(2, length), axis=1, sizes=sizes_, **rest)  # pyright: ignore[reportArgumentType]


HAND: dict[str, Problem] = {
    "Submodel-whole-axis": _line(8, (8,)),
    "Submodel-empty-stream": _line(0, (1, 4), cut=(1, 1)),
    "Submodel-crops-on-both-sides": _line(9, (4, 2), crop=(2, 1), cut=(1, 2)),
    "Submodel-two-levels": _line(9, (4,), depth=2, steps=("Abs", "Neg")),
    "IfThenElse-true": IfProblem(shape=(2, 5), taken=True, then_steps=("Neg",), else_steps=()),
    "IfThenElse-false": IfProblem(
        shape=(2, 5), taken=False, then_steps=("Neg",), else_steps=("Abs",)
    ),
    "IfThenElse-constant": IfProblem(
        shape=(2, 5), taken=False, then_steps=(), else_steps=("Abs",), is_constant=True
    ),
}


def _choice(*texts: str, then_fact: str = "2,S,f32", else_fact: str = "2,S,f32") -> Model:
    yes, no = (body_of(fact, (), (0, 0), 0) for fact in facts(then_fact, else_fact))
    return single(IfThenElse(yes, no, (0,), (0,)), *facts(*texts))


def _invalid(attempt: object, op: str, starts: str) -> ErrorCase:
    return ErrorCase(attempt, InvalidModel, f'node "op" ({op}): {starts}')  # pyright: ignore[reportArgumentType]


_BODY = body_of(facts("2,T,f32")[0], (), (0, 0), 0)

ERRORS: dict[str, ErrorCase] = {
    "Submodel-dtype": _invalid(
        wiring(Submodel("net", _BODY), *facts("2,S,f64")),
        "Submodel",
        "the input 'a' of a sub-model is 2,T,f32, the wire that feeds it 2,S,f64",
    ),
    "Submodel-arity": _invalid(
        wiring(Submodel("net", _BODY), *facts("2,S,f32", "2,S,f32")),
        "Submodel",
        "2 wires for the 1 inputs of a sub-model",
    ),
    "IfThenElse-condition": _invalid(
        lambda: _choice("2,f32", "2,S,f32"), "IfThenElse", "condition 2,f32; it is a bool of one"
    ),
    "IfThenElse-results": _invalid(
        lambda: single(
            IfThenElse(_BODY, body_of(facts("2,T,f32")[0], (), (1, 0), 1), (0,), (0,)),
            *facts("bool", "2,S,f32"),
        ),
        "IfThenElse",
        "the sub-models give 2,S,f32 and 2,max(0,S+-1),f32; they must give the same",
    ),
    "IfThenElse-places": _invalid(
        wiring(IfThenElse(_BODY, _BODY, (0,), (1,)), *facts("bool", "2,S,f32")),
        "IfThenElse",
        "the sub-models read wires [0, 1] of 1",
    ),
    "IfThenElse-streams": ErrorCase(
        pulsing(lambda: _choice("bool", "2,S,f32")),
        Refused,
        'pulsify v1: node "op" (IfThenElse): runs a sub-model that is chosen anew',
        refusal="PULSIFY_V1:IfThenElse",
    ),
    "IfThenElse-nnef": ErrorCase(
        lambda: model_files(_choice("bool", "2,S,f32")),
        Refused,
        'write: node "op" (IfThenElse): has no NNEF operator',
        refusal="NNEF dump:IfThenElse",
    ),
}
