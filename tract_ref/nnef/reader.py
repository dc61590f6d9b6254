"""NNEF folder or archive to Model: walks the document, calls the load rule of every operator.

Differs from tract: an unknown or surplus argument, an undeclared symbol and a name assigned twice
are errors with a caret, because a typo that falls back to a default is a wrong model. An unknown
operator is refused: the file is legal, and another engine may know it.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tract_ref import ops
from tract_ref.dim import Dim, Scope, dim_max, dim_min, parse_assertion, sym
from tract_ref.errors import MalformedFile, Refused, TractRefError
from tract_ref.ir.fact import Fact, dtype_named
from tract_ref.ir.model import Model, Outlet, Source
from tract_ref.ir.per_element import is_coordinate
from tract_ref.ir.rules import Refusal
from tract_ref.nnef import ast, recipes
from tract_ref.nnef.archive import GRAPH, Archive, read_archive
from tract_ref.nnef.invocation import Call, bind_arguments
from tract_ref.nnef.parser import parse_document
from tract_ref.nnef.table import NNEF, REQUIRED, Load
from tract_ref.nnef.values import (
    OPERATORS,
    Value,
    describe,
    fold_binary,
    is_array,
    is_dim,
    is_wire,
    literal_tensor,
)

_REGISTRIES = {
    "tract_nnef",
    "tract_core",
    "tract_pulse",
    "tract_extra",
    "tract_onnx",
    "tract_transformers",
    "tract_resource",
}
_KNOWN_EXTENSIONS = {"KHR_enable_fragment_definitions", "KHR_enable_operator_expressions"}
_SOURCES = {"external": "f32", "tract_core_external": ""}
_GENERIC = {"scalar": "f32", "logical": "bool", "integer": "i64"}


def read_nnef(path: str | Path) -> Model:
    """Read an NNEF model.

    Args:
        path: a folder, a `.tar` or a gzip-compressed tar.

    Returns:
        The model as written; it is not decluttered. Every assigned identifier is a label.

    Raises:
        MalformedFile: the document or a tensor cannot be read; has file, line and caret.
        InvalidModel: an op rejects its inputs; names the node.
        Refused: a legal document that this reader declines.
    """
    archive = read_archive(path)
    return parse_model(archive.graph_text(), archive)


def parse_model(text: str, archive: Archive | None = None) -> Model:
    """Build the model of a document text, with tensors from an archive."""
    file = GRAPH if archive is None else f"{archive.name}/{GRAPH}"
    return _Reader(parse_document(text, file), ast.Source(file, text), archive).read()


# Importing them registers every load rule.
LOADED = (ops, recipes)


class _Reader:
    def __init__(self, document: ast.Document, source: ast.Source, archive: Archive | None) -> None:
        self.document = document
        self.source = source
        self.archive = archive
        self.model = Model(Scope())
        self.symbols: set[str] = set()
        self.registries: set[str] = {"tract_nnef"}
        self.fragments = {fragment.name: fragment for fragment in document.fragments}
        self.inputs: dict[str, Outlet] = {}

    def read(self) -> Model:
        for extension in self.document.extensions:
            self._extension(extension)
        self.model.scope.require_possible(stage="read")
        graph = self.document.graph
        names = [i.name for i in graph.inputs]
        for identifier in (*graph.inputs, *graph.outputs):
            group = graph.inputs if identifier in graph.inputs else graph.outputs
            if sum(other.name == identifier.name for other in group) > 1:
                raise self.source.error(f"{identifier.name!r} is listed twice", identifier.span)
        env: dict[str, Value] = {}
        for assignment in graph.body:
            self._assign(assignment, env, "")
        for identifier in graph.inputs:
            if identifier.name not in self.inputs:
                raise self.source.error(
                    f"the input {identifier.name!r} is never defined",
                    identifier.span,
                    f"add {identifier.name} = external(...)",
                )
        for name in self.inputs:
            if name not in names:
                raise self.source.error(
                    f"the external {name!r} is not among the graph's inputs", graph.span
                )
        self.model.inputs = [self.inputs[name] for name in names]
        outlets = [self._output(identifier, env) for identifier in graph.outputs]
        self.model.set_outputs(outlets, [identifier.name for identifier in graph.outputs])
        self._properties()
        return self.model

    def _output(self, identifier: ast.Identifier, env: Mapping[str, Value]) -> Outlet:
        value = env.get(identifier.name)
        if value is None:
            raise self.source.error(
                f"the output {identifier.name!r} is never assigned", identifier.span
            )
        if not is_wire(value):
            raise self.source.error(
                f"the output {identifier.name!r} is not a wire", identifier.span
            )
        return value

    def _extension(self, extension: ast.Extension) -> None:
        name, text = extension.name, extension.text
        if name == "tract_registry":
            if text not in _REGISTRIES:
                known = ", ".join(sorted(_REGISTRIES))
                raise self.source.refused(
                    f"registry {text!r} is not known", extension.span, f"known are {known}"
                )
            self.registries.add(text)
        elif name == "tract_symbol":
            self.symbols.add(text)
        elif name == "tract_assert":
            self._assertion(text, extension.span)
        elif name == "tract_pulse_streaming_symbol":
            if text:
                self.symbols.add(text)
        elif name not in _KNOWN_EXTENSIONS:
            warnings.warn(f"{self.source.file}: extension {name!r} is ignored", stacklevel=2)

    def _assertion(self, text: str, span: int) -> None:
        """Read `EXPR`, or `NAME: EXPR` for one scenario."""
        head, separator, tail = text.partition(":")
        scenario = head.strip() if separator else ""
        if separator and not scenario:
            raise self.source.error(f"assertion {text!r} names no scenario", span, "NAME: EXPR")
        try:
            relation = parse_assertion(tail if separator else text)
        except TractRefError as error:
            seen = f"assertion {text!r}: {error.seen}"
            raise self.source.error(seen, span, error.remedy) from None
        for name in sorted(filter(is_coordinate, relation.symbols)):
            raise self._coordinate(name, span)
        self.model.scope = self.model.scope.asserting(relation, scenario=scenario)

    def _properties(self) -> None:
        fragment = self.fragments.get("tract_core_properties")
        if fragment is None or fragment.body is None:
            return
        env: dict[str, Value] = {}
        for assignment in fragment.body:
            self._assign(assignment, env, "tract_core_properties.")
        entries = env.get(fragment.results[0].name, ())
        for entry in entries if is_array(entries) else ():
            name, value = entry if is_array(entry) and len(entry) == 2 else ("", "")
            if not isinstance(name, str) or not name:
                raise self.source.error("a property is a tuple (name, value)", fragment.span)
            if isinstance(value, str):
                self.model.properties[name] = np.asarray(value)
                continue
            tensor = self.model.const_of(value) if is_wire(value) else literal_tensor(value)
            if tensor is None:
                raise self.source.error(f"property {name!r} is not constant", fragment.span)
            self.model.properties[name] = tensor

    # Assignments and expressions

    def _assign(self, assignment: ast.Assignment, env: dict[str, Value], prefix: str) -> None:
        names = ast.assigned_names(assignment.left)
        value = self._evaluate(assignment.right, env, prefix + names[0])
        self._unpack(assignment.left, value, env, prefix)

    def _unpack(self, left: ast.LValue, value: Value, env: dict[str, Value], prefix: str) -> None:
        if isinstance(left, ast.Identifier):
            if left.name in env:
                raise self.source.error(
                    f"{left.name!r} is assigned twice", left.span, "give each value its own name"
                )
            if is_array(value) and len(value) == 1 and is_wire(value[0]):
                value = value[0]
            env[left.name] = value
            if is_wire(value):
                self.model.label(value, prefix + left.name)
            return
        if not is_array(value) or len(value) != len(left.items):
            raise self.source.error(
                f"{describe(value)} is assigned to {len(left.items)} names", left.span
            )
        for item, part in zip(left.items, value, strict=True):
            self._unpack(item, part, env, prefix)

    def _evaluate(self, expression: ast.Expr, env: Mapping[str, Value], name: str) -> Value:
        """Evaluate an expression; post order, so that depth is not bounded by the call stack."""
        values: list[Value] = []
        whole = expression
        for node in ast.post_order(expression):
            count = len(ast.children(node))
            operands = values[len(values) - count :]
            del values[len(values) - count :]
            node_name = name if node is whole else f"{name}.{len(values)}"
            try:
                values.append(self._apply(node, operands, env, node_name))
            except (MalformedFile, Refused):
                raise
            except TractRefError as error:
                raise error.at(stage="read", node=node_name) from None
        return values[0]

    def _apply(
        self, node: ast.Expr, operands: list[Value], env: Mapping[str, Value], name: str
    ) -> Value:
        match node:
            case ast.Number(value) | ast.String(value) | ast.Logical(value):
                return value
            case ast.Identifier():
                return self._identifier(node, env)
            case ast.ArrayExpr() | ast.TupleExpr():
                return tuple(operands)
            case ast.Unary():
                return self._unary(node, operands[0])
            case ast.Binary():
                return self._binary(node, operands[0], operands[1], name)
            case ast.Subscript():
                return self._subscript(node, operands)
            case ast.Call():
                return self._call(node, operands, name)
            case ast.IfElse() | ast.Comprehension():
                what = "if-else" if isinstance(node, ast.IfElse) else "comprehension"
                raise self.source.refused(f"{what} expressions are not evaluated", node.span)

    def _identifier(self, node: ast.Identifier, env: Mapping[str, Value]) -> Value:
        if node.name in env:
            return env[node.name]
        if node.name in self.symbols:
            if is_coordinate(node.name):
                raise self._coordinate(node.name, node.span)
            return sym(node.name)
        close = difflib.get_close_matches(node.name, [*env, *self.symbols], n=1)
        remedy = (
            f"did you mean {close[0]}?"
            if close
            else (f"assign it first, or declare a symbol: extension tract_symbol {node.name};")
        )
        raise self.source.error(f"{node.name!r} is not defined", node.span, remedy)

    def _coordinate(self, name: str, span: int) -> Refused:
        """A symbol named like a coordinate: tract declares its own in headers, and uses none."""
        seen = f"the symbol {name!r} is named like the coordinate of an axis"
        return self.source.refused(seen, span, "rename it; it may be declared, but not used")

    def _unary(self, node: ast.Unary, operand: Value) -> Value:
        if isinstance(operand, tuple | str):
            raise self.source.refused(
                f"unary {node.op} of {describe(operand)}", node.span, "use neg(x) or not(x)"
            )
        if node.op == "!":
            return not operand
        return operand if node.op == "+" else -operand

    def _binary(self, node: ast.Binary, left: Value, right: Value, name: str) -> Value:
        operator = OPERATORS.get(node.op)
        if operator is None:
            raise self.source.refused(
                f"the operator {node.op!r}", node.span, "use and(x, y) or or(x, y)"
            )
        folded = fold_binary(node.op, left, right)
        if folded is not None:
            return folded
        return self._invoke(operator, {"x": left, "y": right}, name, node.span)

    def _subscript(self, node: ast.Subscript, operands: list[Value]) -> Value:
        base, index = operands[0], operands[1] if len(operands) > 1 else 0
        if node.is_range or not isinstance(index, int):
            raise self.source.refused("only x[i] with an integer is read", node.span)
        if is_wire(base):
            tensor = self.model.const_of(base)
            if tensor is None:
                raise self.source.refused(
                    "indexing a wire known only at run time", node.span, "use slice"
                )
            items: tuple[Value, ...] = tuple(tensor.ravel().tolist()) if tensor.ndim == 1 else ()
        elif is_array(base):
            items = base
        else:
            raise self.source.error(f"{describe(base)} cannot be indexed", node.span)
        if not 0 <= index < len(items):
            raise self.source.error(f"index {index} of {len(items)} items", node.span)
        return items[index]

    # Calls

    def _call(self, node: ast.Call, operands: list[Value], name: str) -> Value:
        if node.name in _SOURCES:
            return self._external(node, operands, name)
        if node.name == "variable":
            return self._variable(node, operands, name)
        if node.name in ("min", "max") and len(operands) > 1 and all(map(is_dim, operands)):
            fold = dim_min if node.name == "min" else dim_max
            return fold(*(d for d in operands if is_dim(d)))
        fragment = self.fragments.get(node.name)
        if fragment is not None and fragment.body is not None:
            return self._fragment(node, fragment, operands, name)
        self._check_registry(node)
        entry = self._entry(node.name, node.span)
        arguments = bind_arguments(self.source, node, operands, entry.parameters)
        return self._invoke(node.name, arguments, name, node.span)

    def _entry(self, operator: str, span: int) -> Load:
        if operator not in NNEF.loads:
            close = difflib.get_close_matches(operator, NNEF.loads.keys(), n=1)
            remedy = f"did you mean {close[0]}?" if close else "define it as a fragment"
            raise self.source.refused(f"the operator {operator!r} is not known", span, remedy)
        entry = NNEF.loads.lookup(operator)
        if isinstance(entry, Refusal):
            raise self.source.refused(f"{operator}: {entry.reason}", span, entry.remedy)
        return entry

    def _check_registry(self, node: ast.Call) -> None:
        for registry in _REGISTRIES - self.registries:
            if registry != "tract_nnef" and node.name.startswith(registry + "_"):
                raise self.source.error(
                    f"the operator {node.name!r} needs the registry {registry}",
                    node.span,
                    f"add: extension tract_registry {registry};",
                )

    def _invoke(self, operator: str, arguments: Mapping[str, Value], name: str, span: int) -> Value:
        entry = self._entry(operator, span)
        call = Call(
            self.source,
            self.model,
            operator,
            arguments,
            name,
            span,
            self._invoke_wires,
            self._submodel,
        )
        results = entry.rule(call)
        return results[0] if len(results) == 1 else results

    def _invoke_wires(
        self, operator: str, arguments: Mapping[str, Value], name: str, span: int
    ) -> Outlet:
        value = self._invoke(operator, arguments, name, span)
        if not is_wire(value):
            raise self.source.error(f"{operator} does not give one wire", span)
        return value

    def _submodel(self, label: str, span: int) -> Model:
        inner = self.archive.submodel(label) if self.archive is not None else None
        if inner is None:
            raise self.source.error(
                f"the archive has no sub-model {label!r}", span, f"add {label}/graph.nnef"
            )
        return parse_model(inner.graph_text(), inner)

    def _fragment(
        self, node: ast.Call, fragment: ast.Fragment, operands: list[Value], name: str
    ) -> Value:
        defaults: dict[str, object] = {}
        for param in fragment.params:
            default = param.default
            defaults[param.name] = (
                REQUIRED if default is None else self._evaluate(default, {}, param.name)
            )
        env = dict(bind_arguments(self.source, node, operands, defaults))
        for assignment in fragment.body or ():
            self._assign(assignment, env, f"{name}.")
        results: list[Value] = []
        for result in fragment.results:
            if result.name not in env:
                raise self.source.error(f"result {result.name!r} is never assigned", result.span)
            results.append(env[result.name])
        return results[0] if len(results) == 1 else tuple(results)

    def _external(self, node: ast.Call, operands: list[Value], name: str) -> Value:
        parameters: dict[str, object] = {"shape": REQUIRED}
        if node.name == "tract_core_external":
            self._check_registry(node)
            parameters["datum_type"] = REQUIRED
        bound = bind_arguments(self.source, node, operands, parameters)
        shape = bound["shape"]
        if not is_array(shape) or not all(map(is_dim, shape)):
            raise self.source.error("the shape of an input is an array of dims", node.span)
        if any(isinstance(dim, int) and dim < 0 for dim in shape):
            raise self.source.error(
                f"the shape [{', '.join(map(str, shape))}] of an input; a dim is never negative",
                node.span,
            )
        kind = bound.get(
            "datum_type", _GENERIC.get(node.generic.name if node.generic else "", "f32")
        )
        if name in self.inputs:
            raise self.source.error(f"the input {name!r} is defined twice", node.span)
        dims: tuple[Dim, ...] = tuple(d for d in shape if is_dim(d))
        outlet = self.model.wire(name, Source(Fact(dtype_named(str(kind)), dims)), ())[0]
        self.inputs[name] = outlet
        return outlet

    def _variable(self, node: ast.Call, operands: list[Value], name: str) -> Value:
        bound = bind_arguments(self.source, node, operands, {"label": REQUIRED, "shape": REQUIRED})
        label, shape = bound["label"], bound["shape"]
        if not isinstance(label, str) or not is_array(shape):
            raise self.source.error('variable needs label = "..." and shape = [...]', node.span)
        tensor = self.archive.tensor(label) if self.archive is not None else None
        if tensor is None:
            raise self.source.error(
                f"the archive has no tensor {label!r}", node.span, f"add {label}.dat"
            )
        if tuple(shape) != tensor.shape:
            raise self.source.error(
                f"{label}.dat has shape {list(tensor.shape)} where the document says {list(shape)}",
                node.span,
            )
        return self.model.add_const(self.model.unique_name(name), tensor)
