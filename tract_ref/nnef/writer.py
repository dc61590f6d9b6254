"""Model to NNEF text, folder or archive: one call per node, through the NNEF dump table.

Writing what was read gives the same text from the second time on: names are those of the wires,
made into identifiers, and nodes stand in evaluation order.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np

from tract_ref import ops
from tract_ref.dim import TDim, symbols
from tract_ref.errors import Refused, TractRefError
from tract_ref.ir.fact import TDIM, Fact, Tensor, dtype_name
from tract_ref.ir.model import Const, Model, Node, Outlet, Source
from tract_ref.ir.rules import Refusal
from tract_ref.nnef import ast
from tract_ref.nnef.archive import GRAPH, PACKED, packed, write_folder, write_tar
from tract_ref.nnef.dims import dim_expression
from tract_ref.nnef.printer import print_document
from tract_ref.nnef.table import NNEF, DumpValue
from tract_ref.nnef.tensor import write_dat

STAGE = "write"
LOADED = (ops,)  # importing them registers every dump rule
_INLINE = 8
_REGISTRIES = ("tract_core", "tract_pulse", "tract_extra", "tract_onnx", "tract_transformers")


def write_nnef(model: Model, path: str | Path) -> None:
    """Write a model to a folder, or to a `.tar` or `.tgz` by the path's suffix.

    Raises:
        Refused: a node has no NNEF form, or the folder exists and is not empty.
    """
    files = model_files(model)
    target = Path(path)
    if target.suffix == ".tar":
        write_tar(target, files)
    elif target.suffix in (".tgz", ".gz"):
        write_tar(target, files, gzip=True)
    else:
        write_folder(target, files)


def model_files(model: Model) -> dict[str, bytes]:
    """Return the archive's entries: graph.nnef and one `.dat` per large constant."""
    writer = _Writer(model)
    document = writer.document()
    files = {"graph.nnef": print_document(document).encode()}
    files |= {f"{label}.dat": write_dat(tensor) for label, tensor in writer.tensors.items()}
    for label, body in writer.submodels.items():
        inner = model_files(body)
        if any(name.endswith((f"/{GRAPH}", PACKED)) for name in inner):
            # A folder holds no sub-model of its own for the real engine; a packed one does.
            files[f"{label}{PACKED}"] = packed(inner)
        else:
            files |= {f"{label}/{name}": data for name, data in inner.items()}
    return files


def model_text(model: Model) -> str:
    """Return the text of graph.nnef."""
    return print_document(_Writer(model).document())


class _Writer:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.names: dict[Outlet, str] = {}
        self.taken: set[str] = set()
        self.assignments: list[ast.Assignment] = []
        self.tensors: dict[str, Tensor] = {}
        self.inline: dict[Outlet, ast.Expr] = {}
        self.symbols: set[str] = set()
        self.submodels: dict[str, Model] = {}

    def document(self) -> ast.Document:
        model = self.model
        # Outputs first: whatever else asks for their name gets another one.
        wanted = dict(zip(model.outputs, model.output_names, strict=True))
        for outlet in model.inputs:
            self.name(outlet, model.nodes[outlet.node].name)
        for outlet, name in wanted.items():
            if outlet not in self.names:
                self.name(outlet, name)
        # An identifier that is also a symbol would hide it from there on.
        self.taken |= _symbols_of(model)
        for node in model.order():
            try:
                self._node(node)
            except TractRefError as error:
                raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
        outputs = tuple(
            ast.Identifier(self._output(outlet, name))
            for outlet, name in zip(model.outputs, model.output_names, strict=True)
        )
        graph = ast.Graph(
            "network",
            tuple(ast.Identifier(self.names[outlet]) for outlet in model.inputs),
            outputs,
            tuple(self.assignments),
        )
        # Properties may name symbols, so they are written before the symbols are declared.
        properties = self._properties()
        return ast.Document("1.0", self._extensions(), properties, graph)

    def name(self, outlet: Outlet, wanted: str) -> str:
        """Return the identifier of a wire, chosen once."""
        found = self.names.get(outlet)
        if found is None:
            found = self.free(wanted)
            self.names[outlet] = found
        return found

    def free(self, wanted: str) -> str:
        """Return an identifier like `wanted` that nothing else has."""
        base = self._identifier(wanted)
        name, number = base, 1
        while name in self.taken:
            name, number = f"{base}_{number}", number + 1
        self.taken.add(name)
        return name

    @staticmethod
    def _identifier(wanted: str) -> str:
        base = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in wanted)
        return base if base and (base[0].isalpha() or base[0] == "_") else f"_{base}"

    def _output(self, outlet: Outlet, name: str) -> str:
        """Return the identifier of an output; a second name of one wire is a copy."""
        known = self.names[outlet]
        if outlet in self.inline:
            expression = self.inline.pop(outlet)
            arguments = (ast.Arg(None, expression),)
            self.assign((known,), ast.Call("copy", None, arguments))
        elif known in {self.names[o] for o in self.model.inputs} and known != name:
            copied = self.free(name)
            arguments = (ast.Arg(None, ast.Identifier(known)),)
            self.assign((copied,), ast.Call("copy", None, arguments))
            return copied
        return known

    def assign(self, names: tuple[str, ...], expression: ast.Expr) -> None:
        """Add an assignment."""
        identifiers = tuple(ast.Identifier(name) for name in names)
        left = identifiers[0] if len(identifiers) == 1 else ast.LTuple(identifiers)
        self.assignments.append(ast.Assignment(left, expression))

    def _node(self, node: Node) -> None:
        outlet = Outlet(node.id)
        if isinstance(node.op, Source):
            self._source(node.op.fact, outlet)
        elif isinstance(node.op, Const):
            self._const(node, node.op.tensor, outlet)
        else:
            rule = NNEF.dumps.lookup(type(node.op))
            if isinstance(rule, Refusal):
                rule.raise_for(STAGE, node)
                return
            rule(node.op, node, _NodeDump(self, node))

    def _source(self, fact: Fact, outlet: Outlet) -> None:
        arguments = (
            ast.Arg("shape", ast.ArrayExpr(tuple(self.dim(d) for d in fact.shape))),
            ast.Arg("datum_type", ast.String(dtype_name(fact.dtype))),
        )
        self.assign((self.names[outlet],), ast.Call("tract_core_external", None, arguments))

    def _const(self, node: Node, tensor: Tensor, outlet: Outlet) -> None:
        # A literal is an f32 number or a dim: NaN, f64 and the largest u64 would not come back.
        literal = tensor.dtype.kind != "b" and tensor.dtype.name not in ("float64", "uint64")
        literal = literal and not (tensor.dtype.kind == "f" and np.isnan(tensor).any())
        if tensor.dtype == TDIM or (literal and 0 < tensor.size <= _INLINE):
            self.inline[outlet] = self._inline(tensor)
            if outlet in self.model.outputs:
                self.name(outlet, self.model.wire_name(outlet))
            return
        name = self.name(outlet, self.model.wire_name(outlet))
        self.tensors[name] = tensor
        arguments = (
            ast.Arg("label", ast.String(name)),
            ast.Arg("shape", ast.ArrayExpr(tuple(ast.Number(d) for d in tensor.shape))),
        )
        self.assign((name,), ast.Call("variable", ast.TypeName("scalar"), arguments))

    def _inline(self, tensor: Tensor) -> ast.Expr:
        literal = self._nested(tensor)
        if tensor.dtype in (np.dtype(np.float32), TDIM):
            return literal
        arguments = (ast.Arg(None, literal), ast.Arg("to", ast.String(dtype_name(tensor.dtype))))
        return ast.Call("tract_core_cast", None, arguments)

    def _nested(self, tensor: Tensor) -> ast.Expr:
        if tensor.ndim:
            return ast.ArrayExpr(
                tuple(self._nested(np.asarray(row, tensor.dtype)) for row in tensor)
            )
        item = tensor.item()
        if isinstance(item, float):
            return ast.Number(item)
        return self.dim(item)

    def dim(self, dim: int | TDim) -> ast.Expr:
        """Return the expression of a dim, and remember its symbols."""
        if isinstance(dim, TDim):
            self.symbols |= dim.symbols
        return dim_expression(dim)

    def value(self, value: DumpValue) -> ast.Expr:
        """Return the expression of an argument."""
        if isinstance(value, Outlet):
            return self.inline.get(value) or ast.Identifier(
                self.name(value, self.model.wire_name(value))
            )
        if isinstance(value, _Result):
            return ast.Identifier(value)
        if isinstance(value, bool):
            return ast.Logical(value)
        if isinstance(value, str):
            return ast.String(value)
        if isinstance(value, float):
            return ast.Number(value)
        if isinstance(value, tuple):
            return ast.ArrayExpr(tuple(self.value(item) for item in value))
        return self.dim(value)

    def _extensions(self) -> tuple[ast.Extension, ...]:
        called = {
            call.name
            for a in self.assignments
            for call in ast.post_order(a.right)
            if isinstance(call, ast.Call)
        }
        registries = [
            registry
            for registry in _REGISTRIES
            if registry == "tract_core" or any(name.startswith(registry) for name in called)
        ]
        scope = self.model.scope
        symbols = sorted(self.symbols | set(scope.symbols))
        return (
            *(ast.Extension("tract_registry", name) for name in registries),
            *(ast.Extension("tract_symbol", name) for name in symbols),
            *(ast.Extension("tract_assert", line) for line in scope.lines),
        )

    def _properties(self) -> tuple[ast.Fragment, ...]:
        """Write numeric properties and strings; lengths are dims, which graph text can hold too."""
        entries: list[ast.Expr] = []
        for name, tensor in sorted(self.model.properties.items()):
            if tensor.dtype.kind == "U":
                value: ast.Expr = ast.String(str(tensor))
            elif tensor.dtype.kind in "iO" and tensor.ndim <= 1:
                value = self._nested(tensor)
            else:
                continue
            entries.append(ast.TupleExpr((ast.String(name), value)))
        if not entries:
            return ()
        kind = ast.ArrayType(
            ast.TupleType((ast.TypeName("string"), ast.TensorType(ast.TypeName("scalar"))))
        )
        body = ast.Assignment(ast.Identifier("properties"), ast.ArrayExpr(tuple(entries)))
        result = ast.Result("properties", kind)
        return (ast.Fragment("tract_core_properties", (), (result,), (body,)),)

    def add_submodel(self, label: str, body: Model) -> str:
        """Remember a graph of the archive and return its label."""
        base = self._identifier(label)
        found, number = base, 1
        while self.submodels.get(found, body) is not body:
            found, number = f"{base}_{number}", number + 1
        self.submodels[found] = body
        return found


def _symbols_of(model: Model) -> set[str]:
    dims = [dim for node in model.order() for fact in node.outputs for dim in fact.shape]
    return set(model.scope.symbols).union(*(symbols(dim) for dim in dims))


class _Result(str):
    """Identifier of an intermediate result, as an argument of a later call."""

    __slots__ = ()


class _NodeDump:
    """What a dump rule says about one node (`table.Dump`)."""

    def __init__(self, writer: _Writer, node: Node) -> None:
        self._writer = writer
        self._node = node

    def _expression(
        self, operator: str, inputs: tuple[DumpValue, ...], named: dict[str, DumpValue]
    ) -> ast.Expr:
        arguments = [ast.Arg(None, self._writer.value(value)) for value in inputs]
        arguments += [ast.Arg(name, self._writer.value(value)) for name, value in named.items()]
        return ast.Call(operator, None, tuple(arguments))

    def call(
        self, operator: str, *, inputs: tuple[DumpValue, ...] | None = None, **named: DumpValue
    ) -> None:
        """Write `<results> = operator(inputs.., name = value..)`."""
        node, writer = self._node, self._writer
        expression = self._expression(operator, node.inputs if inputs is None else inputs, named)
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        names = tuple(writer.name(o, writer.model.wire_name(o)) for o in outlets)
        writer.assign(names, expression)

    def step(
        self, operator: str, *, inputs: tuple[DumpValue, ...], **named: DumpValue
    ) -> DumpValue:
        """Write one intermediate call and return its result."""
        name = self._writer.free(f"{self._node.name}_{operator}")
        self._writer.assign((name,), self._expression(operator, inputs, named))
        return _Result(name)

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        return self._writer.model.fact(wire)

    def add_submodel(self, label: str, body: Model) -> str:
        """Write a graph into the archive and return its label."""
        return self._writer.add_submodel(label, body)

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused: this node has no NNEF form."""
        raise Refused(
            reason, stage=STAGE, node=self._node.name, op=self._node.op.name, remedy=remedy
        )
