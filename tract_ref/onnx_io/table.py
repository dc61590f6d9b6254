"""The ONNX import table: how each operator is read into nodes. This file does not import onnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from tract_ref.dim import Dim
from tract_ref.ir.fact import DType, Fact, Tensor
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.rules import RuleTable


class OnnxCall(Protocol):
    """One ONNX node with its inputs already built."""

    @property
    def operator(self) -> str:
        """The op_type."""
        ...

    @property
    def name(self) -> str:
        """Name of the node in our model."""
        ...

    @property
    def opset(self) -> int:
        """Version of the operator's domain that the model imports."""
        ...

    @property
    def model(self) -> Model:
        """The model being built."""
        ...

    @property
    def input_count(self) -> int:
        """Number of inputs as written, absent ones (empty names) included."""
        ...

    @property
    def output_count(self) -> int:
        """Number of outputs as written."""
        ...

    def wants_output(self, slot: int) -> bool:
        """Say whether output `slot` is named, that is used."""
        ...

    def optional(self, slot: int) -> Outlet | None:
        """Return an input, None when it is absent."""
        ...

    def input(self, slot: int) -> Outlet:
        """Return an input that must be there."""
        ...

    def inputs(self) -> tuple[Outlet, ...]:
        """Return all inputs, none of which may be absent."""
        ...

    def const(self, slot: int) -> Tensor | None:
        """Return the value of a constant input, None when absent or not constant."""
        ...

    def dims(self, slot: int) -> tuple[Dim, ...]:
        """Return a constant input of integers or dims; refuses one known only at run time."""
        ...

    def integer(self, attribute: str, default: int | None = None) -> int:
        """Return an INT attribute; without a default it must be there."""
        ...

    def integers(self, attribute: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return an INTS attribute."""
        ...

    def scalar(self, attribute: str, default: float | None = None) -> float:
        """Return a FLOAT attribute."""
        ...

    def string(self, attribute: str, default: str | None = None) -> str:
        """Return a STRING attribute."""
        ...

    def tensor(self, attribute: str) -> Tensor | None:
        """Return a TENSOR attribute, None when absent."""
        ...

    def dtype(self, attribute: str) -> DType:
        """Return an INT attribute that holds an element type, as a dtype."""
        ...

    def graph(self, attribute: str) -> tuple[Model, tuple[Outlet, ...]]:
        """Return a GRAPH attribute as a model, and the wires of this graph that its inputs are.

        It has one input per value that it takes from the graph around it; constants among these
        become its own.
        """
        ...

    def has(self, attribute: str) -> bool:
        """Say whether an attribute is there."""
        ...

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        ...

    def wire(self, op: Op, *inputs: Outlet, suffix: str = "") -> tuple[Outlet, ...]:
        """Add a node; without suffix it gets the ONNX node's name, with one `<name>.<suffix>`."""
        ...

    def add_const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant called `<name>.<suffix>`."""
        ...

    def align(self, *wires: Outlet) -> tuple[Outlet, ...]:
        """Bring wires to one rank, missing axes inserted at the FRONT."""
        ...

    def malformed(self, seen: str, *, remedy: str = "") -> NoReturn:
        """Raise MalformedFile that names the ONNX node."""
        ...

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused that names the ONNX node."""
        ...


OnnxRule = Callable[[OnnxCall], tuple[Outlet, ...]]
ONNX: RuleTable[str, OnnxRule] = RuleTable("ONNX import")
