"""Call: one invocation with bound arguments, as load rules see it (`table.Invocation`)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, cast

import numpy as np

from tract_ref.dim import Dim
from tract_ref.errors import InternalError, TractRefError
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor, dtype_name, dtype_named
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.nnef import ast
from tract_ref.nnef.table import REQUIRED
from tract_ref.nnef.values import Value, describe, is_array, is_dim, is_wire, literal_tensor

Invoke = Callable[[str, Mapping[str, Value], str, int], Outlet]
Submodel = Callable[[str, int], Model]

_SIGNED = ("i8", "i16", "i32", "i64")
_FLOATS = ("f16", "f32", "f64")


def bind_arguments(
    source: ast.Source, node: ast.Call, operands: Sequence[Value], parameters: Mapping[str, object]
) -> dict[str, Value]:
    """Bind the arguments of a call to parameters: by name, then by position, then by default.

    Raises:
        MalformedFile: unknown, repeated or surplus argument; a required one is missing.
    """
    bound: dict[str, Value] = {}
    names = list(parameters)
    for position, (argument, value) in enumerate(zip(node.args, operands, strict=True)):
        name = argument.name
        if name is None:
            if position >= len(names):
                raise source.error(
                    f"{node.name} takes {len(names)} arguments: {', '.join(names)}", argument.span
                )
            name = names[position]
        elif name not in parameters:
            close = difflib.get_close_matches(name, names, n=1)
            remedy = f"did you mean {close[0]}?" if close else "parameters are " + ", ".join(names)
            raise source.error(f"{node.name} has no parameter {name!r}", argument.span, remedy)
        if name in bound:
            raise source.error(f"the argument {name!r} is given twice", argument.span)
        bound[name] = value
    for name, default in parameters.items():
        if name in bound:
            continue
        if default is REQUIRED:
            raise source.error(f"{node.name}: the argument {name!r} is missing", node.span)
        bound[name] = _as_value(default)
    return bound


def _as_value(default: object) -> Value:
    if isinstance(default, list | tuple):
        return tuple(_as_value(item) for item in default)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return default  # pyright: ignore[reportReturnType]


class Call:
    """One call of the document.

    Args:
        source: the document, for carets.
        model: the model being built.
        operator: name of the operator.
        arguments: value per parameter.
        name: name of the node to build.
        span: offset of the call.
        invoke: calls another operator of the table (casts and axes that alignment needs).
        submodel: reads a graph of the archive, by its label and the offset of the call.
    """

    def __init__(
        self,
        source: ast.Source,
        model: Model,
        operator: str,
        arguments: Mapping[str, Value],
        name: str,
        span: int,
        invoke: Invoke,
        submodel: Submodel,
    ) -> None:
        self.source = source
        self.model = model
        self.operator = operator
        self.arguments = arguments
        self.name = name
        self.span = span
        self._invoke = invoke
        self._submodel = submodel
        self._literals: set[Outlet] = set()

    def _value(self, parameter: str) -> Value:
        return self.arguments[parameter]

    def _wrong(self, parameter: str, wanted: str) -> NoReturn:
        got = describe(self._value(parameter))
        self.malformed(f"{self.operator}: {parameter} is {got} where {wanted} is expected")

    def is_absent(self, parameter: str) -> bool:
        """Say whether an optional argument is `false` or an empty array."""
        value = self._value(parameter)
        return value is False or value == ()

    def tensor(self, parameter: str, *, like: Outlet | None = None) -> Outlet:
        """Return a wire; literals become constants."""
        value = self._value(parameter)
        if is_wire(value):
            return value
        if isinstance(value, str):
            self._wrong(parameter, "a tensor")
        tensor = self._literal(value)
        if like is not None:
            tensor = self._cast_literal(tensor, self.fact(like))
        outlet = self.const(tensor, parameter)
        self._literals.add(outlet)
        return outlet

    def _literal(self, value: Value) -> Tensor:
        try:
            return literal_tensor(value)
        except TractRefError as error:
            self.malformed(error.seen, remedy=error.remedy)

    def tensors(self, parameter: str) -> tuple[Outlet, ...]:
        """Return an array of one or more wires; literals among them become constants."""
        value = self._value(parameter)
        if not is_array(value) or not value:
            self._wrong(parameter, "an array of tensors")
        outlets: list[Outlet] = []
        for position, item in enumerate(value):
            if is_wire(item):
                outlets.append(item)
            else:
                outlet = self.const(self._literal(item), f"{parameter}{position}")
                self._literals.add(outlet)
                outlets.append(outlet)
        return tuple(outlets)

    def integer(self, parameter: str) -> int:
        """Return an integer known at load time."""
        value = self._plain(self._value(parameter))
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(parameter, "an integer")
        return value

    def integers(self, parameter: str) -> tuple[int, ...]:
        """Return an array of integers known at load time."""
        result: list[int] = []
        for dim in self.dims(parameter):
            if not isinstance(dim, int):
                self._wrong(parameter, "an array of integers")
            result.append(dim)
        return tuple(result)

    def pairs(self, parameter: str) -> tuple[tuple[int, int], ...]:
        """Return an array of pairs of integers."""
        value = self._value(parameter)
        if not is_array(value):
            self._wrong(parameter, "an array of pairs")
        result: list[tuple[int, int]] = []
        for item in value:
            if not is_array(item) or len(item) != 2:
                self._wrong(parameter, "an array of pairs")
            before, after = self._plain(item[0]), self._plain(item[1])
            if not isinstance(before, int) or not isinstance(after, int):
                self._wrong(parameter, "an array of pairs of integers")
            result.append((before, after))
        return tuple(result)

    def scalar(self, parameter: str, *, like: Outlet | None = None) -> float | int:
        """Return a number; one that the dtype of `like` holds."""
        value = self._plain(self._value(parameter))
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(parameter, "a number")
        if like is not None:
            number = np.asarray(value, np.float64 if isinstance(value, float) else object)
            self._require_held(number, self.fact(like).dtype)
        return value

    def string(self, parameter: str) -> str:
        """Return a string."""
        value = self._value(parameter)
        if not isinstance(value, str):
            self._wrong(parameter, "a string")
        return value

    def logical(self, parameter: str) -> bool:
        """Return a boolean; 0 and 1 are read as well."""
        value = self._value(parameter)
        if isinstance(value, bool):
            return value
        if value not in (0, 1):
            self._wrong(parameter, "true or false")
        return bool(value)

    def dim(self, parameter: str) -> Dim:
        """Return a dim."""
        value = self._plain(self._value(parameter))
        if not is_dim(value):
            self._wrong(parameter, "a dim")
        return value

    def dims(self, parameter: str) -> tuple[Dim, ...]:
        """Return dims; nested lists are flattened, constant wires are read."""
        result: list[Dim] = []
        for bound in self.bounds(parameter, may_be_late=False):
            if isinstance(bound, Outlet):
                raise InternalError(f"{parameter} holds a wire")
            result.append(bound)
        return tuple(result)

    def late(self, parameter: str) -> Outlet | None:
        """Return the argument when it is a wire known at run time only, else None."""
        value = self._value(parameter)
        return value if is_wire(value) and self.model.const_of(value) is None else None

    def bounds(self, parameter: str, *, may_be_late: bool = True) -> tuple[Dim | Outlet, ...]:
        """Return dims, or wires of one integer each where they are known at run time only."""
        result: list[Dim | Outlet] = []
        stack: list[Value] = [self._value(parameter)]
        while stack:
            value = stack.pop()
            if is_array(value):
                stack.extend(reversed(value))
                continue
            if is_wire(value):
                tensor, fact = self.model.const_of(value), self.fact(value)
                if tensor is None and may_be_late and fact.volume == 1 and fact.dtype.kind in "iuO":
                    result.append(value)
                    continue
                if tensor is None or tensor.ndim > 1 or tensor.dtype.kind not in "iuO":
                    self.refuse(
                        f"{parameter} is known only at run time",
                        remedy="compute it from shapes and constants",
                    )
                stack.extend(reversed([_python(item) for item in tensor.ravel()]))
                continue
            if not is_dim(value):
                self._wrong(parameter, "an array of dims")
            result.append(value)
        return tuple(result)

    def _plain(self, value: Value) -> Value:
        """Return the single element of a constant wire, any other value as it is."""
        if is_wire(value):
            tensor = self.model.const_of(value)
            if tensor is not None and tensor.size == 1:
                return _python(tensor.ravel()[0])
        return value

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        return self.model.fact(wire)

    def wire(self, op: Op, *inputs: Outlet, suffix: str = "") -> tuple[Outlet, ...]:
        """Add a node."""
        name = f"{self.name}.{suffix}" if suffix else self.name
        return self.model.wire(self.model.unique_name(name), op, inputs)

    def const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant called `<name>.<suffix>`."""
        return self.model.add_const(self.model.unique_name(f"{self.name}.{suffix}"), tensor)

    def align(self, *wires: Outlet) -> tuple[Outlet, ...]:
        """Bring wires to one dtype and one rank (axes appended at the end)."""
        dtypes = {self.fact(wire).dtype for wire in wires}
        if len(dtypes) > 1:
            wires = self._one_dtype(wires)
        rank = max(self.fact(wire).rank for wire in wires)
        return tuple(self._one_rank(wire, rank) for wire in wires)

    def _one_rank(self, wire: Outlet, rank: int) -> Outlet:
        fact = self.fact(wire)
        missing = rank - fact.rank
        if not missing:
            return wire
        if fact.const is not None:
            return self._changed(wire, fact.const.reshape(fact.const.shape + (1,) * missing))
        axes = tuple(range(fact.rank, rank))
        return self._invoke(
            "unsqueeze", {"input": wire, "axes": axes}, f"{self.name}.rank", self.span
        )

    def _changed(self, wire: Outlet, tensor: Tensor) -> Outlet:
        """Return a constant derived from `wire`; it stays as adaptable as `wire` is."""
        name = self.model.unique_name(f"{self.model.nodes[wire.node].name}.as")
        outlet = self.model.add_const(name, tensor)
        if wire in self._literals:
            self._literals.add(outlet)
        return outlet

    def _one_dtype(self, wires: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
        """Cast constants to the dtype of the others, else widen to the common super type."""
        fixed = [w for w in wires if not isinstance(self.model.nodes[w.node].op, Const)]
        leading = fixed or [w for w in wires if self.fact(w).dtype != TDIM] or list(wires)
        names = {dtype_name(self.fact(w).dtype) for w in leading}
        wanted = _super_type(names)
        if wanted is None:
            kinds = " and ".join(sorted(names))
            self.malformed(f"{self.operator}: no common type of {kinds}", remedy="cast one of them")
        result: list[Outlet] = []
        for wire in wires:
            fact = self.fact(wire)
            if dtype_name(fact.dtype) == wanted:
                result.append(wire)
            elif fact.const is not None:
                like = Fact(dtype_named(wanted), ())
                result.append(self._changed(wire, self._cast_literal(fact.const, like)))
            else:
                arguments: dict[str, Value] = {"input": wire, "to": wanted}
                name = f"{self.name}.cast"
                result.append(self._invoke("tract_core_cast", arguments, name, self.span))
        return tuple(result)

    def _cast_literal(self, tensor: Tensor, like: Fact) -> Tensor:
        if tensor.dtype == like.dtype:
            return tensor
        if like.dtype == TDIM:
            if tensor.dtype.kind not in "iu":
                self.malformed(f"{self.operator}: a {tensor.dtype} tensor meets dims")
            return tensor.astype(object)
        if tensor.dtype == TDIM:
            if like.dtype.kind not in "iu":
                # Differs from NumPy: as in tract an integer literal is a dim, and never a float.
                self.malformed(
                    f"{self.operator}: no common type of {dtype_name(like.dtype)} and an integer "
                    "literal",
                    remedy="write it with a point, as 2.0",
                )
            if not all(isinstance(item, int) for item in tensor.ravel()):
                self.refuse("a symbolic dim meets a tensor of numbers", remedy="cast it explicitly")
        self._require_held(tensor, like.dtype)
        with np.errstate(all="ignore"):
            return tensor.astype(like.dtype)

    def _require_held(self, tensor: Tensor, dtype: DType) -> None:
        """Refuse numbers that an integer type or bool would change; floats round.

        Differs from tract, which truncates and wraps: x < 1.5 is not x < 1.
        """
        if dtype.kind not in "iub" or tensor.dtype.kind == "b":
            return
        if dtype.kind == "b":
            low, high = 0, 1
        else:
            limits = np.iinfo(cast("np.dtype[np.integer]", dtype))
            low, high = int(limits.min), int(limits.max)
        is_float = tensor.dtype.kind == "f"
        # f64 holds any float; of the bounds it holds 2^63, and not 2^63 - 1.
        numbers = tensor.astype(np.float64) if is_float else tensor
        held = np.asarray((numbers >= low) & (numbers < high + 1), np.bool_)
        if is_float:
            held &= np.trunc(numbers) == numbers
        if not held.all():
            number = tensor[~held].ravel()[0]
            self.malformed(
                f"{self.operator}: the number {number} meets a tensor of {dtype_name(dtype)}, "
                "which does not hold it",
                remedy=f"write a number of {dtype_name(dtype)}, or cast the tensor",
            )

    def submodel(self, label: str) -> Model:
        """Return a graph of the archive."""
        return self._submodel(label, self.span)

    def malformed(self, seen: str, *, remedy: str = "") -> NoReturn:
        """Raise MalformedFile with a caret under the call."""
        raise self.source.error(seen, self.span, remedy)

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused for a legal call that is declined."""
        raise self.source.refused(f"{self.operator}: {reason}", self.span, remedy)


def _super_type(names: set[str]) -> str | None:
    """Return the common super type of spec/ir.md §2, None when there is none."""
    if len(names) == 1:
        return next(iter(names))
    for family in ((*_SIGNED, "tdim"), _FLOATS, ("u8", "u16", "u32", "u64")):
        if names <= set(family):
            return max(names, key=family.index)
    return None


def _python(item: object) -> Value:
    return int(cast("int", item)) if isinstance(item, np.integer) else item  # pyright: ignore[reportReturnType]
