"""Call: one ONNX node with its inputs built, as import rules see it (`table.OnnxCall`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from onnx import AttributeProto, GraphProto

from tract_ref.dim import Dim, TDim
from tract_ref.errors import EvalError, Inconclusive, InternalError, MalformedFile, Refused
from tract_ref.ir.fact import DTYPES, TDIM, DType, Fact, Tensor, dtype_name
from tract_ref.ir.model import Const, Model, Outlet, infer
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.rules import Refusal
from tract_ref.onnx_io.table import ONNX
from tract_ref.onnx_io.tensors import (
    INT32,
    INT64,
    TensorReader,
    as_dims,
    element_dtype,
    plain_numbers,
)

GraphReader = Callable[[GraphProto, str], tuple[Model, tuple[Outlet, ...]]]

_SMALL = 64
_COMPARISONS = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


@dataclass(frozen=True, eq=False)
class Attribute:
    """One decoded attribute.

    Attributes:
        kind: ONNX's name of its type, such as `INTS`.
        value: int, float, str, a tuple of them, a tensor or a graph; None for kinds that no rule
            reads.
    """

    kind: str
    value: object

    def same_as(self, other: Attribute) -> bool:
        """Say whether both hold one value, which is not a tensor."""
        if isinstance(self.value, np.ndarray) or isinstance(other.value, np.ndarray):
            return False
        return self.value is not None and (self.kind, self.value) == (other.kind, other.value)


def read_attribute(proto: AttributeProto, tensors: TensorReader) -> Attribute:
    """Decode an attribute.

    Raises:
        MalformedFile: it has no type, refers to an attribute of a function, or is not UTF-8.
        Refused: a tensor of an element type that has no dtype.
    """
    what = f"the attribute {proto.name!r}"
    if proto.ref_attr_name:
        tensors.malformed(f"{what} refers to an attribute of a function")
    kind = AttributeProto.AttributeType.Name(proto.type)
    if kind == "UNDEFINED":
        tensors.malformed(f"{what} has no type")
    value: object = None
    try:
        match kind:
            case "INT":
                value = proto.i
            case "FLOAT":
                value = proto.f
            case "STRING":
                value = proto.s.decode()
            case "INTS":
                value = tuple(proto.ints)
            case "FLOATS":
                value = tuple(proto.floats)
            case "STRINGS":
                value = tuple(text.decode() for text in proto.strings)
            case "TENSOR":
                value = tensors.read(proto.t, what)
            case "GRAPH":
                value = proto.g
            case _:
                pass
    except UnicodeDecodeError:
        tensors.malformed(f"{what} is not UTF-8 text")
    return Attribute(kind, value)


_CONSTANT_FORMS = {
    "value": ("TENSOR", None),
    "value_float": ("FLOAT", DTYPES["f32"]),
    "value_floats": ("FLOATS", DTYPES["f32"]),
    "value_int": ("INT", DTYPES["i64"]),
    "value_ints": ("INTS", DTYPES["i64"]),
}


def constant_value(
    attributes: Mapping[str, Attribute], tensors: TensorReader
) -> dict[str, Attribute]:
    """Return the attributes of Constant with its number forms turned into a tensor `value`.

    Raises:
        MalformedFile: not exactly one attribute, or one of the wrong type.
        Refused: sparse tensors and strings.
    """
    if len(attributes) != 1:
        tensors.malformed(f"Constant has {len(attributes)} attributes; it has exactly one value")
    ((name, found),) = attributes.items()
    if name not in _CONSTANT_FORMS:
        raise Refused(
            f"the attribute {name!r} of Constant is not supported",
            stage="read",
            remedy="store a dense tensor of numbers in the attribute 'value'",
        )
    kind, dtype = _CONSTANT_FORMS[name]
    if found.kind != kind:
        tensors.malformed(f"the attribute {name!r} is {found.kind}; it must be {kind}")
    return {"value": found if dtype is None else Attribute("TENSOR", np.array(found.value, dtype))}


@dataclass(frozen=True)
class Place:
    """Where a node stands in its file.

    Attributes:
        file: path of the model.
        name: unique name of the node.
        operator: its op_type.
        opset: version of the operator's domain.
    """

    file: str
    name: str
    operator: str
    opset: int


class Call:
    """One ONNX node.

    Args:
        place: where the node stands.
        model: the model being built.
        inputs: a wire per input as written, None for absent ones.
        outputs: names of the outputs as written.
        attributes: by name.
        graphs: reads a graph that is an attribute, given the name that its nodes begin with.
    """

    def __init__(
        self,
        place: Place,
        model: Model,
        inputs: Sequence[Outlet | None],
        outputs: Sequence[str],
        attributes: Mapping[str, Attribute],
        graphs: GraphReader | None = None,
    ) -> None:
        self.place = place
        self.model = model
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._attributes = attributes
        self._graphs = graphs
        self._consulted: set[str] = set()

    @property
    def operator(self) -> str:
        """The op_type."""
        return self.place.operator

    @property
    def name(self) -> str:
        """Name of the node in our model."""
        return self.place.name

    @property
    def opset(self) -> int:
        """Version of the operator's domain that the model imports."""
        return self.place.opset

    # Inputs and outputs

    @property
    def input_count(self) -> int:
        """Number of inputs as written, absent ones included."""
        return len(self._inputs)

    @property
    def output_count(self) -> int:
        """Number of outputs as written."""
        return len(self._outputs)

    def wants_output(self, slot: int) -> bool:
        """Say whether output `slot` is named, that is used."""
        return slot < len(self._outputs) and bool(self._outputs[slot])

    def optional(self, slot: int) -> Outlet | None:
        """Return an input, None when it is absent."""
        return self._inputs[slot] if slot < len(self._inputs) else None

    def input(self, slot: int) -> Outlet:
        """Return an input that must be there."""
        wire = self.optional(slot)
        if wire is None:
            self.malformed(f"the input {slot} is missing")
        return wire

    def casts_dims(self) -> bool:
        """Say whether the node only casts constant dims to integers, which they are already.

        The i64 tensors that ONNX makes of shapes are tensors of dims here, so the cast keeps them;
        otherwise the value would be known only at run time.
        """
        if self.operator != "Cast" or not self.has("to"):
            return False
        tensor = self.const(0)
        of_dims = tensor is not None and tensor.dtype == TDIM
        return of_dims and self.integer("to") in (INT32, INT64)

    def inputs(self) -> tuple[Outlet, ...]:
        """Return all inputs, none of which may be absent."""
        if not self._inputs:
            self.malformed("the node has no inputs")
        return tuple(self.input(slot) for slot in range(len(self._inputs)))

    def const(self, slot: int) -> Tensor | None:
        """Return the value of a constant input, None when absent or not constant."""
        wire = self.optional(slot)
        return None if wire is None else self.model.const_of(wire)

    def dims(self, slot: int) -> tuple[Dim, ...]:
        """Return a constant input of integers or dims, of rank 0 or 1."""
        fact = self.fact(self.input(slot))
        if (fact.dtype.kind not in "iu" and fact.dtype != TDIM) or fact.rank > 1:
            self.malformed(f"the input {slot} is {fact}; it is a list of integers")
        if fact.const is None:
            self.refuse(
                f"the input {slot} is known only at run time",
                remedy="compute it from shapes and constants",
            )
        return tuple(
            dim if isinstance(dim, TDim) else int(dim)  # pyright: ignore[reportUnknownArgumentType]
            for dim in fact.const.ravel()
        )

    # Attributes

    def _value(self, attribute: str, kind: str) -> object:
        self._consulted.add(attribute)
        found = self._attributes.get(attribute)
        if found is None:
            return None
        if found.kind != kind:
            self.malformed(f"the attribute {attribute!r} is {found.kind}; it must be {kind}")
        return found.value

    def _missing(self, attribute: str) -> NoReturn:
        self.malformed(f"the attribute {attribute!r} is missing")

    def integer(self, attribute: str, default: int | None = None) -> int:
        """Return an INT attribute; without a default it must be there."""
        value = self._value(attribute, "INT")
        if isinstance(value, int):
            return value
        return self._missing(attribute) if default is None else default

    def integers(self, attribute: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return an INTS attribute."""
        value = self._value(attribute, "INTS")
        if isinstance(value, tuple):
            return value  # pyright: ignore[reportUnknownVariableType]
        return self._missing(attribute) if default is None else default

    def scalar(self, attribute: str, default: float | None = None) -> float:
        """Return a FLOAT attribute."""
        value = self._value(attribute, "FLOAT")
        if isinstance(value, float):
            return value
        return self._missing(attribute) if default is None else default

    def string(self, attribute: str, default: str | None = None) -> str:
        """Return a STRING attribute."""
        value = self._value(attribute, "STRING")
        if isinstance(value, str):
            return value
        return self._missing(attribute) if default is None else default

    def tensor(self, attribute: str) -> Tensor | None:
        """Return a TENSOR attribute, None when absent."""
        value = self._value(attribute, "TENSOR")
        return value if isinstance(value, np.ndarray) else None  # pyright: ignore[reportUnknownVariableType]

    def dtype(self, attribute: str) -> DType:
        """Return an INT attribute that holds an element type, as a dtype."""
        code = self.integer(attribute)
        try:
            return element_dtype(code, f"the attribute {attribute!r}")
        except MalformedFile:
            self.malformed(f"the attribute {attribute!r} is {code}, which is no element type")

    def graph(self, attribute: str) -> tuple[Model, tuple[Outlet, ...]]:
        """Return a GRAPH attribute as a model, and the wires of this graph that its inputs are."""
        value = self._value(attribute, "GRAPH")
        if self._graphs is None or not isinstance(value, GraphProto):
            return self._missing(attribute)
        return self._graphs(value, attribute)

    def has(self, attribute: str) -> bool:
        """Say whether an attribute is there; a rule that asks has seen it."""
        self._consulted.add(attribute)
        return attribute in self._attributes

    def unread(self) -> dict[str, Attribute]:
        """Return the attributes that no accessor was asked for."""
        return {k: v for k, v in self._attributes.items() if k not in self._consulted}

    # Building

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        return self.model.fact(wire)

    def wire(self, op: Op, *inputs: Outlet, suffix: str = "") -> tuple[Outlet, ...]:
        """Add a node, or constants when the op can be evaluated now.

        An op is evaluated while it is built when it has no state, every input is constant, and
        either an input is a tensor of dims or all is small: shape arithmetic ends as constants.
        """
        name = f"{self.name}.{suffix}" if suffix else self.name
        folded = self._fold(name, op, tuple(self.fact(wire) for wire in inputs))
        if folded is None:
            return self.model.wire(self.model.unique_name(name), op, inputs)
        names = [name, *(f"{name}.{slot}" for slot in range(1, len(folded)))]
        return tuple(
            self.model.add_const(self.model.unique_name(each), plain_numbers(tensor))
            for each, tensor in zip(names, folded, strict=True)
        )

    def _fold(self, name: str, op: Op, facts: tuple[Fact, ...]) -> tuple[Tensor, ...] | None:
        values = tuple(fact.const for fact in facts if fact.const is not None)
        if not values or len(values) < len(facts) or op.bodies() or op.state() is not None:
            return None
        outputs = infer(name, op, facts)
        if not all(fact.is_concrete for fact in outputs):
            return None
        of_dims = any(fact.dtype == TDIM for fact in facts)
        sizes = [value.size for value in values] + [fact.volume for fact in outputs]
        if not of_dims and any(not isinstance(size, int) or size > _SMALL for size in sizes):
            return None
        if of_dims and self.operator in _COMPARISONS:
            values = self._decided(*values)
        try:
            results = op.eval(Turn(), values)
        except (EvalError, Inconclusive):
            return None
        return tuple(
            _checked(result, fact, name, op) for fact, result in zip(outputs, results, strict=True)
        )

    def _decided(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Replace pairs of dims, whose order the assertions decide, by numbers in that order."""
        left, right = (side.copy() for side in np.broadcast_arrays(left, right))
        for index, first in np.ndenumerate(left):
            low, high = self.model.scope.bounds(first - right[index])
            if low is not None and low > 0:
                left[index], right[index] = 1, 0
            elif high is not None and high < 0:
                left[index], right[index] = 0, 1
        return left, right

    def add_const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant called `<name>.<suffix>`."""
        name = self.model.unique_name(f"{self.name}.{suffix}" if suffix else self.name)
        return self.model.add_const(name, plain_numbers(tensor))

    def align(self, *wires: Outlet) -> tuple[Outlet, ...]:
        """Bring wires to one rank, missing axes inserted at the front.

        Where dims meet integers, constants become dims; other integers turn the dims into integers.
        """
        if any(self.fact(wire).dtype == TDIM for wire in wires):
            wires = self._one_integer_type(wires)
        rank = max(self.fact(wire).rank for wire in wires)
        return tuple(self._one_rank(wire, rank) for wire in wires)

    def _one_integer_type(self, wires: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
        facts = [self.fact(wire) for wire in wires]
        numbers = [fact for fact in facts if fact.dtype.kind in "iu"]
        late = next((fact for fact in numbers if fact.const is None), None)
        if late is None:
            return tuple(
                self._derived(wire, as_dims(fact.const), "dims")
                if fact.const is not None and fact.dtype.kind in "iu"
                else wire
                for wire, fact in zip(wires, facts, strict=True)
            )
        to = {"to": Attribute("INT", INT32 if late.dtype == DTYPES["i32"] else INT64)}
        result: list[Outlet] = []
        for wire, fact in zip(wires, facts, strict=True):
            if fact.dtype == TDIM:
                (wire,) = self._invoke("Cast", wire, "cast", to)
                if self.fact(wire).dtype == TDIM:
                    self.refuse(
                        f"dims {fact} meet {late}, which is known only at run time",
                        remedy=f"cast the dims to {dtype_name(late.dtype)}",
                    )
            result.append(wire)
        return tuple(result)

    def _one_rank(self, wire: Outlet, rank: int) -> Outlet:
        fact = self.fact(wire)
        missing = rank - fact.rank
        if not missing:
            return wire
        if fact.const is not None:
            shape = (1,) * missing + fact.const.shape
            return self._derived(wire, fact.const.reshape(shape), "aligned")
        axes = Attribute("INTS", tuple(range(missing)))
        return self._invoke("Unsqueeze", wire, "aligned", {"axes": axes})[0]

    def _derived(self, wire: Outlet, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant made of the constant on `wire`."""
        node = self.model.nodes[wire.node]
        base = node.name if isinstance(node.op, Const) else self.name
        return self.model.add_const(self.model.unique_name(f"{base}.{suffix}"), tensor)

    def _invoke(
        self, operator: str, wire: Outlet, suffix: str, attributes: Mapping[str, Attribute]
    ) -> tuple[Outlet, ...]:
        """Apply the import rule of another operator to one wire."""
        place = Place(self.place.file, f"{self.name}.{suffix}", operator, self.opset)
        return apply(operator, Call(place, self.model, (wire,), ("",), attributes))

    # Errors

    def malformed(self, seen: str, *, remedy: str = "") -> NoReturn:
        """Raise MalformedFile that names the ONNX node."""
        raise MalformedFile(
            seen, file=self.place.file, node=self.name, op=self.operator, remedy=remedy
        )

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused that names the ONNX node."""
        raise Refused(reason, stage="read", node=self.name, op=self.operator, remedy=remedy)


def apply(operator: str, call: Call) -> tuple[Outlet, ...]:
    """Apply the import rule of an operator.

    Raises:
        Refused: the cell is a refusal.
    """
    rule = ONNX.lookup(operator)
    if isinstance(rule, Refusal):
        call.refuse(rule.reason, remedy=rule.remedy)
    return rule(call)


def _checked(result: Tensor, fact: Fact, name: str, op: Op) -> Tensor:
    """Return a folded value as an array that agrees with its fact."""
    # NumPy functions return the bare element where the rank is 0.
    array = np.asarray(result, TDIM if fact.dtype == TDIM else None)
    if array.dtype != fact.dtype or array.shape != fact.shape:
        seen = Fact(array.dtype, array.shape)
        raise InternalError(f"evaluates to {seen}; its fact is {fact}", node=name, op=op.name)
    return array
