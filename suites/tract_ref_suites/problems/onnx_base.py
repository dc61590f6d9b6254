"""OnnxProblem: a problem that is written as an ONNX model and answered by another road."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tract_ref.approx import Array
from tract_ref.ir.model import Model
from tract_ref.onnx_io.importer import read_onnx
from tract_ref_suites.onnx_graphs import model_of, output, value
from tract_ref_suites.problems.base import SYMBOL, Problem, Values
from tract_ref_suites.problems.conv import convolve
from tract_ref_suites.problems.onnx_oracles import ORACLES
from tract_ref_suites.problems.pool import pooled
from tract_ref_suites.strategies.windows import Along

Attribute: TypeAlias = int | float | str | tuple[int, ...]
ORDINARY = Values()
OPSETS = (17, 11, 13, 20)
_AUTO_PAD = {"valid": "VALID", "upper": "SAME_UPPER", "lower": "SAME_LOWER"}


@dataclass(frozen=True)
class Step:
    """One node.

    Attributes:
        operator: its op_type.
        inputs: names, empty for an absent one.
        attributes: by name.
        output: name of its only output.
    """

    operator: str
    inputs: tuple[str, ...]
    attributes: tuple[tuple[str, Attribute], ...] = ()
    output: str = "y"


@dataclass(frozen=True)
class Drawn:
    """A tensor of drawn values: a constant, or a second stream.

    Attributes:
        name: of the value.
        shape: with the stream's length where it streams.
        dtype: NumPy name, empty for that of x.
        axis: the stream axis of an input; None for a constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = ""
    axis: int | None = None


@dataclass(frozen=True, kw_only=True)
class OnnxProblem(Problem):
    """An ONNX graph from x to y; `expected` is what `onnx.reference` computes.

    Attributes:
        group: op of the cell: the operator, or the kind of operators.
        steps: the nodes, in order.
        shape: shape of x; what stands on the stream axis is the stream's length.
        axis: the stream axis of x.
        sizes: the pulses; empty when the model does not stream.
        drawn: constants and further streams.
        lists: constants of integers; a number is one of rank 0.
        opset: version of the default domain.
        values: values of x and of what is drawn.
        dtype: NumPy name of the dtype of x.
        least: smallest stream length that the ops admit.
    """

    family = "onnx_models"
    group: str
    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    axis: int
    sizes: tuple[int, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    lists: tuple[tuple[str, tuple[int, ...] | int], ...] = ()
    opset: int = 17
    values: Values = ORDINARY
    dtype: str = "f4"
    least: int = 0

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The group of operators."""
        return self.group

    @property
    def length(self) -> int:
        return self.shape[self.axis]

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    @property
    def shortest(self) -> int:
        return self.least

    @property
    def loose(self) -> str:
        return "the closed forms are held to by the families of the ops that the model becomes"

    @property
    def fast_approx(self) -> str:
        return "close"

    def nodes(self) -> tuple[Step, ...]:
        """Return the nodes, in order."""
        return self.steps

    def _tensors(self) -> list[tuple[Drawn, Array]]:
        x = Drawn("x", self.shape, self.dtype, self.axis)
        return [
            (d, self.values.array(d.shape, d.dtype or self.dtype, salt=salt))
            for salt, d in enumerate((x, *self.drawn))
        ]

    def proto(self) -> onnx.ModelProto:
        """Build the ONNX model, with the stream symbol as the `dim_param` of the stream axis."""
        inputs: list[onnx.ValueInfoProto] = []
        constants = [
            numpy_helper.from_array(np.array(numbers, np.int64), name)
            for name, numbers in self.lists
        ]
        for each, array in self._tensors():
            if each.axis is None:
                constants.append(numpy_helper.from_array(array, each.name))
                continue
            dims: list[int | str] = list(each.shape)
            dims[each.axis] = SYMBOL
            code = helper.np_dtype_to_tensor_dtype(array.dtype)
            inputs.append(value(each.name, *dims, dtype=code))
        nodes: list[onnx.NodeProto] = []
        for step in self.nodes():
            attributes: Any = dict(step.attributes)
            nodes.append(helper.make_node(step.operator, step.inputs, [step.output], **attributes))
        # Neither the type nor the shape of y is told: every reader has to find them.
        y = output("y")
        y.type.Clear()
        return model_of(nodes, inputs, [y], constants, opset=self.opset)

    def onnx(self) -> bytes:
        return self.proto().SerializeToString()

    def model(self) -> Model:
        """Read the ONNX model from a file."""
        with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
            path = Path(scratch) / "model.onnx"
            path.write_bytes(self.onnx())
            return read_onnx(path)

    def inputs(self) -> dict[str, Array]:
        return {each.name: array for each, array in self._tensors() if each.axis is not None}

    def expected(self) -> dict[str, Array]:
        """Run `onnx.reference`, or what stands in for an operator that it gets wrong."""
        if len(self.steps) == 1 and self.steps[0].operator in ORACLES:
            step, given = self.steps[0], {each.name: array for each, array in self._tensors()}
            given |= {name: np.array(numbers, np.int64) for name, numbers in self.lists}
            inputs = [given[name] if name else None for name in step.inputs]
            return {"y": ORACLES[step.operator](inputs, dict(step.attributes), self.opset)}
        with np.errstate(all="ignore"):
            (y,) = ReferenceEvaluator(self.proto()).run(None, self.inputs())
        return {"y": np.asarray(y)}


@dataclass(frozen=True, kw_only=True)
class OnnxWindows(OnnxProblem):
    """Conv, MaxPool or AveragePool; `expected` is computed window by window.

    `onnx.reference` is no judge of windows: it fails on some dilations, SAME pads and ceil modes.

    Attributes:
        along: windows per spatial axis; all of them have explicit pads, or one `auto_pad`.
        counted: AveragePool counts padding.
        groups: groups of channels.
    """

    along: tuple[Along, ...]
    counted: bool = False
    groups: int = 1

    def nodes(self) -> tuple[Step, ...]:
        """Return the node: x, and what is drawn."""
        found: dict[str, Attribute] = {
            "kernel_shape": tuple(a.kernel for a in self.along),
            "strides": tuple(a.stride for a in self.along),
        }
        dilations = tuple(a.dilation for a in self.along)
        if set(dilations) != {1}:
            found["dilations"] = dilations
        padding = self.along[0].padding
        if isinstance(padding, str):
            found["auto_pad"] = _AUTO_PAD[padding]
        else:
            pads = [a.pads(1) for a in self.along]
            found["pads"] = (*(before for before, _ in pads), *(after for _, after in pads))
        if self.groups > 1:
            found["group"] = self.groups
        if any(a.ceil for a in self.along):
            found["ceil_mode"] = 1
        if self.counted:
            found["count_include_pad"] = 1
        names = ("x", *(each.name for each in self.drawn))
        return (Step(self.group, names, tuple(found.items())),)

    def expected(self) -> dict[str, Array]:
        """Loop over the windows."""
        x, *weights = (array for _, array in self._tensors())
        if self.group == "Conv":
            bias = weights[1] if len(weights) > 1 else None
            return {"y": convolve(x, weights[0], bias, self.along, self.groups)}
        return {"y": pooled(x, self.along, self._fold)}

    def _fold(self, found: Sequence[float], counted: int, _: int) -> float:
        if self.group == "MaxPool":
            return max(found, default=-math.inf)
        divisor = counted if self.counted else len(found)
        return sum(found) / divisor if divisor else math.nan
