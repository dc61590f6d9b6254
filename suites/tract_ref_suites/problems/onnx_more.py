"""Imported models, continued: windows of channels, blocks of pixels, graphs inside, late sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, MalformedFile, Refused
from tract_ref_suites.onnx_graphs import model_of, node, output, value
from tract_ref_suites.problems.base import SYMBOL, ErrorCase, Problem, Values
from tract_ref_suites.problems.onnx_base import OnnxProblem, Step
from tract_ref_suites.problems.onnx_models import reading
from tract_ref_suites.strategies.onnx_nodes import problem, shaped

FORMATS = frozenset({"nnef", "onnx"})


@dataclass(frozen=True, kw_only=True)
class MoreOnnxProblem(OnnxProblem):
    """A problem of this file."""

    family = "onnx_more"


def _renamed(drawn: OnnxProblem) -> MoreOnnxProblem:
    return MoreOnnxProblem(**_fields(drawn))


def _fields(drawn: OnnxProblem) -> dict[str, Any]:
    return {field.name: getattr(drawn, field.name) for field in fields(drawn)}


@dataclass(frozen=True, kw_only=True)
class LrnProblem(MoreOnnxProblem):
    """LRN; `onnx.reference` reads four axes only."""

    def expected(self) -> dict[str, Array]:
        x = self.inputs()["x"]
        given = dict(self.steps[0].attributes)
        size: Any = given["size"]
        alpha, beta, bias = (given.get(k, d) for k, d in _LRN)
        y = np.zeros(x.shape)
        for at in np.ndindex(*x.shape):
            low, high = at[1] - (size - 1) // 2, at[1] + size // 2
            near = [
                float(x[(at[0], c, *at[2:])]) ** 2
                for c in range(max(0, low), min(x.shape[1] - 1, high) + 1)
            ]
            y[at] = float(x[at]) / (bias + alpha / size * sum(near)) ** beta
        return {"y": y.astype(x.dtype)}


_LRN = (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))


@st.composite
def lrn(draw: st.DrawFn) -> LrnProblem:
    """Draw windows of an odd number of channels, of four axes: onnxruntime has no others."""
    channels = draw(st.integers(1, 5))
    found: dict[str, Any] = {"size": 1 + 2 * draw(st.integers(0, 2))}
    for name, number in (("alpha", 0.5), ("beta", 0.5), ("bias", 2.0)):
        if draw(st.booleans()):
            found[name] = number
    axis = draw(st.sampled_from([0, 2, 3]))
    step = Step("LRN", ("x",), tuple(found.items()))
    drawn = draw(problem("LRN", (step,), (2, channels, 2, 2), axis, least=1))
    return LrnProblem(**_fields(drawn))


@st.composite
def blocks(draw: st.DrawFn, operator: str) -> OnnxProblem:
    """Draw blocks of pixels of a stream of images, or of rows that blocks are made of."""
    size = draw(st.integers(1, 3))
    axis = draw(st.sampled_from([0, 2] if operator == "DepthToSpace" else [0]))
    attributes: list[tuple[str, Any]] = [("blocksize", size)]
    if operator == "DepthToSpace":
        shape = (2, draw(st.integers(1, 2)) * size * size, 2, 3)
        if draw(st.booleans()):
            attributes.append(("mode", draw(st.sampled_from(["DCR", "CRD"]))))
    else:
        shape = (2, 2, size * draw(st.integers(1, 2)), size)
    step = Step(operator, ("x",), tuple(attributes))
    # Rows become several frames each, which a Reshape of the stream axis refuses.
    streams = axis == 0
    return _renamed(draw(problem(operator, (step,), shape, axis, least=1, streams=streams)))


@dataclass(frozen=True, kw_only=True)
class IfProblem(MoreOnnxProblem):
    """If, by a flag that is an input; both graphs read x from the graph around them.

    Attributes:
        taken: the flag.
    """

    taken: bool

    def proto(self) -> onnx.ModelProto:
        code = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        dims: list[int | str] = list(self.shape)
        dims[self.axis] = SYMBOL
        x = value("x", *dims, dtype=code)
        flag = value("flag", dtype=TensorProto.BOOL)
        untyped = [output("t"), output("e")]
        for each in untyped:
            each.type.Clear()
        yes = helper.make_graph([helper.make_node("Neg", ["x"], ["t"])], "yes", [], untyped[:1])
        steps = [helper.make_node("Exp", ["h"], ["a"]), helper.make_node("Add", ["a", "x"], ["e"])]
        no = helper.make_graph(steps, "no", [], untyped[1:])
        nodes = [
            helper.make_node("Tanh", ["x"], ["h"]),
            helper.make_node("If", ["flag"], ["y"], then_branch=yes, else_branch=no),
        ]
        y = output("y")
        y.type.Clear()
        return model_of(nodes, [x, flag], [y], [], opset=self.opset)

    def inputs(self) -> dict[str, Array]:
        return {**super().inputs(), "flag": np.asarray(self.taken)}

    def expected(self) -> dict[str, Array]:
        x = self.inputs()["x"]
        return {"y": -x if self.taken else np.exp(np.tanh(x)) + x}


@st.composite
def ifs(draw: st.DrawFn) -> IfProblem:
    """Draw a flag and what both graphs read."""
    shape, axis = draw(shaped())
    drawn = draw(problem("If", (), shape, axis, streams=False))
    return IfProblem(**_fields(drawn), taken=draw(st.booleans()))


@st.composite
def non_zero(draw: st.DrawFn) -> OnnxProblem:
    """Draw the coordinates of what is larger than a number, and twice these."""
    shape, axis = draw(shaped(most=3))
    steps = (
        Step("Relu", ("x",), (), "r"),
        Step("NonZero", ("r",), (), "found"),
        Step("Add", ("found", "found")),
    )
    return _renamed(draw(problem("NonZero", steps, shape, axis, streams=False)))


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Problem]]] = {
    "LRN": lrn,
    "DepthToSpace": lambda: blocks("DepthToSpace"),
    "SpaceToDepth": lambda: blocks("SpaceToDepth"),
    "If": ifs,
    "NonZero": non_zero,
}
_X = {"shape": (2, 4, 2, 2), "axis": 0, "values": Values(1, "normal")}
HAND: dict[str, Problem] = {
    "LRN-two-channels-back": LrnProblem(
        group="LRN", steps=(Step("LRN", ("x",), (("size", 3),)),), sizes=(1, 3), **_X
    ),
    "DepthToSpace-columns-first": MoreOnnxProblem(
        group="DepthToSpace",
        steps=(Step("DepthToSpace", ("x",), (("blocksize", 2), ("mode", "CRD"))),),
        sizes=(2,),
        **_X,
    ),
    "If-true": IfProblem(group="If", steps=(), taken=True, **_X),
    "If-false": IfProblem(group="If", steps=(), taken=False, **_X),
    "NonZero-none": MoreOnnxProblem(
        group="NonZero", steps=(Step("NonZero", ("x",)),), shape=(0, 3), axis=0
    ),
}
_READ, _FILE = "read: node ", "model.onnx: read: node "


def _graph(*inputs: str) -> onnx.GraphProto:
    given = [value(name, 1) for name in inputs]
    return helper.make_graph([node("Neg", ["x"], ["t"])], "inner", given, [output("t")])


ERRORS: dict[str, ErrorCase] = {
    "LRN-size": ErrorCase(
        reading("LRN", size=0), MalformedFile, f'{_FILE}"n" (LRN): size=0; a window has 1'
    ),
    "DepthToSpace-rank": ErrorCase(
        reading("DepthToSpace", blocksize=2),
        MalformedFile,
        f'{_FILE}"n" (DepthToSpace): blocksize=2 of data 1,2,S,f32; it is [N, C, H, W]',
    ),
    "Celu-of-zero": ErrorCase(
        reading("Celu", alpha=0.0), MalformedFile, f'{_FILE}"n" (Celu): alpha=0; x is divided'
    ),
    "If-without-a-branch": ErrorCase(
        reading("If", then_branch=_graph()),
        MalformedFile,
        f"{_FILE}\"n\" (If): the attribute 'else_branch' is missing",
    ),
    "If-with-inputs": ErrorCase(
        reading("If", then_branch=_graph("a"), else_branch=_graph()),
        MalformedFile,
        f"{_FILE}\"n\" (If): the graph 'then_branch' has inputs; it has none",
    ),
    "If-condition": ErrorCase(
        reading("If", then_branch=_graph(), else_branch=_graph()),
        InvalidModel,
        f'{_READ}"n" (IfThenElse): condition 1,2,S,f32; it is a bool of one element',
    ),
    "Loop-not-read": ErrorCase(
        reading("Loop"), Refused, f"{_READ}\"n\" (Loop): operator 'Loop' of the domain 'ai.onnx'"
    ),
}
