"""ONNX file to Model: checks the graph, sorts its nodes, applies the import rule of every operator.

Shapes come from our own facts: `value_info` is not read, and a declared output shape is only
compared. `metadata_props`, doc strings, training information and quantization annotations have no
meaning here and are ignored. An initialiser that is also a graph input is a constant, whatever the
IR version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import NoReturn

from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto, defs

import tract_ref.ops
from tract_ref.dim import Assertion, Dim, TDim
from tract_ref.errors import InvalidModel, MalformedFile, Refused, TractRefError
from tract_ref.ir.fact import TDIM, Fact, dtype_name
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.rules import Refusal
from tract_ref.onnx_io import recipes
from tract_ref.onnx_io.call import Attribute, Call, Place, apply, constant_value, read_attribute
from tract_ref.onnx_io.subgraphs import free_values, graphs_of, values_read
from tract_ref.onnx_io.symbols import InputSymbols
from tract_ref.onnx_io.table import ONNX, OnnxRule
from tract_ref.onnx_io.tensors import (
    INT32,
    INT64,
    TensorReader,
    element_dtype,
    plain_numbers,
    shape_text,
)

__all__ = ["read_onnx"]

# Importing them is what registers the import rules.
_RULES = (tract_ref.ops, recipes)

_OLDEST_OPSET = 9
_DEFAULT_DOMAINS = ("", "ai.onnx")


def read_onnx(path: str | Path) -> Model:
    """Read an ONNX model.

    Args:
        path: the file; external data is looked for in its folder.

    Returns:
        The model as written, shape arithmetic folded; it is not decluttered. Every ONNX value name
        is a label; inputs and outputs keep their names; dims of inputs are asserted to be >= 0.

    Raises:
        MalformedFile: the file cannot be read; names the file, and the node or tensor.
        InvalidModel: an op rejects its inputs, or an output contradicts its declaration.
        Refused: a legal file that this reader declines.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MalformedFile(f"cannot be read: {error.strerror}", file=str(path)) from None
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise MalformedFile("this is not an ONNX model", file=str(path)) from None
    if not proto.HasField("graph"):
        raise MalformedFile("this is not an ONNX model: it has no graph", file=str(path))
    names = _texts(proto.graph)
    domains = [entry.domain for entry in (*proto.opset_import, *proto.functions)]
    if not all(isinstance(text, str) for text in (*domains, *names)):
        raise MalformedFile("this is not an ONNX model: a name is not UTF-8", file=str(path))
    return _Importer(proto, file).read()


def _texts(graph: GraphProto) -> Iterator[object]:
    """Return the strings that are read; protobuf gives bytes for those that are not UTF-8."""
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        yield tensor.name
    for value in (*graph.input, *graph.output):
        yield value.name
        for dim in value.type.tensor_type.shape.dim:
            yield dim.dim_param
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
        for inner in graphs_of(node):
            yield from _texts(inner)


class _Importer:
    def __init__(self, proto: ModelProto, path: Path) -> None:
        self.proto = proto
        self.graph: GraphProto = proto.graph
        self.file = str(path)
        self.tensors = TensorReader(path)
        self.model = Model()
        self.values: dict[str, Outlet] = {}
        self.opsets = self._read_opsets()
        self.functions = {(f.domain, f.name) for f in proto.functions}

    def malformed(self, seen: str, *, node: str = "", op: str = "") -> NoReturn:
        raise MalformedFile(seen, file=self.file, node=node, op=op)

    def read(self) -> Model:
        self._constants()
        self._inputs()
        names = self._node_names()
        for index in self._order(names):
            self._node(self.graph.node[index], names[index])
        self._outputs()
        return self.model

    def _read_opsets(self) -> dict[str, int]:
        opsets: dict[str, int] = {}
        for entry in self.proto.opset_import:
            domain = "" if entry.domain in _DEFAULT_DOMAINS else entry.domain
            if opsets.setdefault(domain, entry.version) != entry.version:
                self.malformed(f"the domain {entry.domain!r} is imported in two versions")
        version, newest = opsets.get(""), defs.onnx_opset_version()
        if version is None:
            raise Refused(
                "the model imports no opset of the default domain",
                stage="read",
                remedy=f"export it with opset {_OLDEST_OPSET} or newer",
            )
        if not _OLDEST_OPSET <= version <= newest:
            raise Refused(
                f"opset {version}; opsets {_OLDEST_OPSET} to {newest} are read",
                stage="read",
                remedy="convert the model with onnx.version_converter, or export it again",
            )
        return opsets

    # Inputs and constants

    def _constants(self) -> None:
        if self.graph.sparse_initializer:
            name = self.graph.sparse_initializer[0].values.name
            raise Refused(
                f"the initialiser {name!r} is sparse", stage="read", remedy="store it dense"
            )
        declared = {value.name for value in self.graph.input}
        self._reserved = declared | {proto.name for proto in self.graph.initializer}
        for proto in self.graph.initializer:
            name = proto.name
            if not name or name in self.values:
                self.malformed(f"the initialiser name {name!r} is empty or used twice")
            tensor = self.tensors.read(proto, f"the initialiser {name!r}")
            self._define(name, self.model.add_const(name, tensor))

    def _define(self, name: str, outlet: Outlet) -> None:
        self.values[name] = outlet
        self.model.label(outlet, name)

    def _inputs(self) -> None:
        inputs = [value for value in self.graph.input if value.name not in self.values]
        known = InputSymbols(
            [
                dim.dim_param
                for value in inputs
                for dim in value.type.tensor_type.shape.dim
                if dim.dim_param
            ]
        )
        for value in inputs:
            if not value.name or value.name in self.values:
                self.malformed(f"the input name {value.name!r} is empty or used twice")
            fact = self._declared(value, known)
            for dim in fact.shape:
                if isinstance(dim, TDim):
                    self.model.scope = self.model.scope.asserting(Assertion(dim, ">=", 0))
            self._define(value.name, self.model.add_source(value.name, fact))

    def _declared(self, value: ValueInfoProto, known: InputSymbols) -> Fact:
        what = f"the input {value.name!r}"
        kind = value.type.WhichOneof("value")
        if kind is None:
            self.malformed(f"{what} has no type")
        if kind != "tensor_type":
            raise Refused(
                f"{what} is a {kind.removesuffix('_type')}",
                stage="read",
                remedy="export a model whose inputs are tensors",
            )
        tensor = value.type.tensor_type
        try:
            dtype = element_dtype(tensor.elem_type, what)
        except MalformedFile as error:
            self.malformed(error.seen)
        if not tensor.HasField("shape"):
            raise Refused(
                f"{what} has no shape", stage="read", remedy="declare its rank; dims may be symbols"
            )
        return Fact(dtype, tuple(self._declared_dims(value.name, value.type, known)))

    def _declared_dims(self, name: str, kind: TypeProto, known: InputSymbols) -> Iterable[Dim]:
        for axis, dim in enumerate(kind.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                if dim.dim_value < 0:
                    self.malformed(
                        f"the input {name!r} has {dim.dim_value} positions on axis {axis}; "
                        "a dim is never negative"
                    )
                yield dim.dim_value
            elif dim.dim_param:
                yield known.param(dim.dim_param, f"{name}_{axis}")
            else:
                yield known.fresh(f"{name}_{axis}")

    # Nodes

    def _node_names(self) -> list[str]:
        """Return a unique name per node: its own, else `<op_type>_<index>`."""
        counts = Counter(node.name for node in self.graph.node)
        own = [
            node.name if counts[node.name] == 1 and node.name not in self._reserved else ""
            for node in self.graph.node
        ]
        taken = {*own, *self._reserved}
        for index, node in enumerate(self.graph.node):
            if not own[index]:
                name = f"{node.op_type}_{index}"
                while name in taken:
                    name += "_"
                own[index] = name
                taken.add(name)
        return own

    def _order(self, names: list[str]) -> list[int]:
        """Return the indices of the nodes, each after what it reads."""
        nodes = self.graph.node
        producer: dict[str, int] = {}
        for index, node in enumerate(nodes):
            for output in node.output:
                if output and (output in producer or output in self.values):
                    self.malformed(
                        f"the value {output!r} is produced twice",
                        node=names[index],
                        op=node.op_type,
                    )
                producer[output] = index
        producer.pop("", None)
        below: list[list[int]] = []
        for index, node in enumerate(nodes):
            for value in values_read(node):
                if value not in producer and value not in self.values:
                    self.malformed(
                        f"it reads {value!r}, which nothing produces",
                        node=names[index],
                        op=node.op_type,
                    )
            below.append([producer[value] for value in values_read(node) if value in producer])
        return self._sorted(below, names)

    def _sorted(self, below: Sequence[Sequence[int]], names: list[str]) -> list[int]:
        done: dict[int, None] = {}
        open_: set[int] = set()
        for root in range(len(below)):
            stack = [root]
            while stack:
                index = stack[-1]
                waiting = next((i for i in below[index] if i not in done), None)
                if index in done:
                    stack.pop()
                elif waiting is None:
                    done[stack.pop()] = None
                    open_.discard(index)
                elif waiting in open_ or waiting == index:
                    self.malformed(
                        "the graph has a cycle through this node",
                        node=names[index],
                        op=self.graph.node[index].op_type,
                    )
                else:
                    open_.add(index)
                    stack.append(waiting)
        return list(done)

    def _node(self, node: NodeProto, name: str) -> None:
        rule, opset = self._rule(node, name)
        place = Place(self.file, name, node.op_type, opset)
        inputs = [self.values[value] if value else None for value in node.input]
        attributes: dict[str, Attribute] = {}
        try:
            self._check_arity(node, opset)
            for proto in node.attribute:
                if proto.name in attributes:
                    self.malformed(f"the attribute {proto.name!r} is given twice")
                attributes[proto.name] = read_attribute(proto, self.tensors)
            if node.op_type == "Constant":
                attributes = constant_value(attributes, self.tensors)
            graphs = partial(self._subgraph, name)
            call = Call(place, self.model, inputs, node.output, attributes, graphs)
            results = (call.input(0),) if call.casts_dims() else rule(call)
            self._check_read(node, call)
        except TractRefError as error:
            raise error.at(stage="read", node=name, op=node.op_type) from None
        for slot, value in enumerate(node.output):
            if not value:
                continue
            if slot >= len(results):
                call.refuse(
                    f"the output {slot}, {value!r}, is not provided",
                    remedy="export the model for inference, without it",
                )
            self._define(value, self._plain(results[slot], name))

    def _subgraph(
        self, node: str, graph: GraphProto, attribute: str
    ) -> tuple[Model, tuple[Outlet, ...]]:
        """Read a graph that is an attribute; returns it and the wires of this one that it reads."""
        inner = copy(self)
        inner.graph = graph
        inner.model = Model(self.model.scope)
        inner.values = {}
        if graph.input:
            self.malformed(f"the graph {attribute!r} has inputs; it has none", node=node)
        taken: list[Outlet] = []
        for name in free_values(graph):
            outlet = self.values[name]
            fact = self.model.fact(outlet)
            if fact.const is not None:
                inner._define(name, inner.model.add_const(name, fact.const))
                continue
            inner._define(name, inner.model.add_source(name, Fact(fact.dtype, fact.shape)))
            taken.append(outlet)
        return inner.read(), tuple(taken)

    def _rule(self, node: NodeProto, name: str) -> tuple[OnnxRule, int]:
        domain = "" if node.domain in _DEFAULT_DOMAINS else node.domain
        opset = self.opsets.get(domain, 0)
        key = f"{domain}.{node.op_type}" if domain else node.op_type
        shown = f"operator {node.op_type!r} of the domain {domain or 'ai.onnx'!r}, opset {opset}"
        if (node.domain, node.op_type) in self.functions:
            raise Refused(
                f"{shown}, is a function of the model",
                stage="read",
                node=name,
                op=node.op_type,
                remedy="inline the functions with onnx.inliner.inline_local_functions",
            )
        if key not in ONNX:
            raise Refused(
                f"{shown}, is not read",
                stage="read",
                node=name,
                op=node.op_type,
                remedy="export the model with standard operators, or replace the node",
            )
        rule = ONNX.lookup(key)
        if isinstance(rule, Refusal):
            raise Refused(rule.reason, stage="read", node=name, op=node.op_type, remedy=rule.remedy)
        return rule, opset

    def _check_arity(self, node: NodeProto, opset: int) -> None:
        """Check the number of inputs and outputs against the standard, if it has the operator."""
        schema = self._schema(node, opset)
        if schema is None:
            return
        for what, seen, least, most in (
            ("inputs", len(node.input), schema.min_input, schema.max_input),
            ("outputs", len(node.output), schema.min_output, schema.max_output),
        ):
            if not least <= seen <= most:
                wanted = str(least) if least == most else f"{least} to {most}"
                self.malformed(f"it has {seen} {what}; the operator has {wanted}")

    def _plain(self, outlet: Outlet, name: str) -> Outlet:
        """Replace a constant tensor of dims without symbols by integers."""
        tensor = self.model.const_of(outlet)
        if tensor is None or tensor.dtype != TDIM:
            return outlet
        plain = plain_numbers(tensor)
        if plain is tensor:
            return outlet
        return self.model.add_const(self.model.unique_name(f"{name}.i64"), plain)

    # Attributes that no rule read

    def _check_read(self, node: NodeProto, call: Call) -> None:
        """Refuse attributes that the rule did not look at, unless they hold the default."""
        for name, attribute in call.unread().items():
            default = self._default(node, call.opset, name)
            if default is None or not default.same_as(attribute):
                value = attribute.value
                shown = f"={value!r}" if isinstance(value, int | float | str | tuple) else ""
                call.refuse(
                    f"the attribute {name!r}{shown} is not supported",
                    remedy="export the model without it",
                )

    def _default(self, node: NodeProto, opset: int, name: str) -> Attribute | None:
        """Return the default that the standard gives an attribute, if any."""
        schema = self._schema(node, opset)
        found = None if schema is None else schema.attributes.get(name)
        if found is None or not found.default_value.name:
            return None
        return read_attribute(found.default_value, self.tensors)

    def _schema(self, node: NodeProto, opset: int) -> defs.OpSchema | None:
        domain = "" if node.domain in _DEFAULT_DOMAINS else node.domain
        known = defs.has(node.op_type, opset, domain)
        return defs.get_schema(node.op_type, opset, domain) if known else None

    # Outputs

    def _outputs(self) -> None:
        if not self.graph.output:
            self.malformed("the graph has no outputs")
        names = [value.name for value in self.graph.output]
        for value in self.graph.output:
            if value.name not in self.values:
                self.malformed(f"the output {value.name!r} is produced by nothing")
            if names.count(value.name) > 1:
                self.malformed(f"the output {value.name!r} is listed twice")
            self._as_integers(value)
            self._compare(value, self.model.fact(self.values[value.name]))
        self.model.set_outputs([self.values[name] for name in names], names)

    def _as_integers(self, value: ValueInfoProto) -> None:
        """Cast an output of dims to the integers that ONNX takes them for."""
        outlet = self.values[value.name]
        if self.model.fact(outlet).dtype != TDIM:
            return
        is_i32 = value.type.tensor_type.elem_type == INT32
        place = Place(self.file, f"{value.name}.cast", "Cast", self.opsets[""])
        to = Attribute("INT", INT32 if is_i32 else INT64)
        (cast,) = apply("Cast", Call(place, self.model, (outlet,), ("",), {"to": to}))
        self._define(value.name, cast)

    def _compare(self, value: ValueInfoProto, fact: Fact) -> None:
        """Check an output against its declaration; a declared symbol is never a contradiction."""
        if value.type.WhichOneof("value") != "tensor_type":
            return
        tensor = value.type.tensor_type
        if tensor.elem_type:
            declared = element_dtype(tensor.elem_type, f"the output {value.name!r}")
            if declared != fact.dtype:
                self._contradiction(value, fact, dtype_name(declared))
        if not tensor.HasField("shape"):
            return
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        scope = self.model.scope
        if len(dims) != fact.rank or any(
            dim is not None and scope.decide_equal(dim, seen) is False
            for dim, seen in zip(dims, fact.shape, strict=True)
        ):
            shown = [d.dim_param if d.dim_param else d.dim_value for d in tensor.shape.dim]
            self._contradiction(value, fact, shape_text(tuple(shown)))  # pyright: ignore[reportArgumentType]

    def _contradiction(self, value: ValueInfoProto, fact: Fact, declared: str) -> NoReturn:
        raise InvalidModel(
            f"the output {value.name!r} is {fact}; it is declared as {declared}",
            stage="read",
            remedy="correct the declaration, or remove its shape",
        )
