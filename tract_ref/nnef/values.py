"""Values that the reader computes while it loads: numbers, dims, strings, wires, arrays.

Arithmetic on values follows spec/nnef.md 1.1 to 1.5: a number with `.`, `e` or `inf` is an f32
scalar, any other a dim; `/` on dims is the floor quotient; everything is left associative.
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from tract_ref.dim import Dim, TDim
from tract_ref.errors import InvalidModel
from tract_ref.ir.fact import Tensor, dims_tensor
from tract_ref.ir.model import Outlet

Value = int | float | str | bool | TDim | Outlet | tuple["Value", ...]

OPERATORS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "^": "pow",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "==": "eq",
    "!=": "ne",
}


def is_wire(value: Value) -> TypeGuard[Outlet]:
    """Say whether a value is a wire."""
    return isinstance(value, Outlet)


def is_array(value: Value) -> TypeGuard[tuple[Value, ...]]:
    """Say whether a value is an array or a tuple of values."""
    return isinstance(value, tuple) and not isinstance(value, Outlet)


def is_dim(value: Value) -> TypeGuard[Dim]:
    """Say whether a value is a dim: an integer or a symbolic expression."""
    return isinstance(value, TDim) or (isinstance(value, int) and not isinstance(value, bool))


def describe(value: Value) -> str:
    """Name the kind of a value for messages."""
    if is_wire(value):
        return "a wire"
    if is_array(value):
        return f"an array of {len(value)}"
    if isinstance(value, str):
        return f"the string {value!r}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the number {value}" if not isinstance(value, TDim) else f"the dim {value}"


def fold_binary(operator: str, left: Value, right: Value) -> Value | None:
    """Compute `left operator right` for numbers and dims; None when it needs a node."""
    if is_dim(left) and is_dim(right):
        return _fold_dims(operator, left, right)
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return None
    if isinstance(left, bool) or isinstance(right, bool):
        return None
    a, b = np.float32(left), np.float32(right)
    with np.errstate(all="ignore"):
        match operator:
            case "+":
                return float(a + b)
            case "-":
                return float(a - b)
            case "*":
                return float(a * b)
            case "/":
                return float(a / b)
            case "^":
                return float(a**b)
            case _:
                return None


def _fold_dims(operator: str, left: Dim, right: Dim) -> Value | None:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if not isinstance(right, int) or right <= 0:
                raise InvalidModel(
                    f"the dim {left} is divided by {right}",
                    remedy="divide dims by a positive integer",
                )
            return left // right
        case "^":
            if isinstance(left, int) and isinstance(right, int) and right >= 0:
                return left**right
            return None
        case _:
            if isinstance(left, int) and isinstance(right, int):
                return _compare(operator, left, right)
            return None


def _compare(operator: str, left: int, right: int) -> bool | None:
    outcomes = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
    }
    return outcomes.get(operator)


def literal_tensor(value: Value) -> Tensor:
    """Return the tensor of a number, a dim, a boolean, or a nested array of one kind of these.

    Raises:
        InvalidModel: kinds are mixed, rows are ragged, or it holds strings or wires.
    """
    flat, shape = _flatten(value)
    kinds = {_kind(item) for item in flat}
    if len(kinds) > 1 or not kinds <= {"f", "d", "b"}:
        raise InvalidModel(
            "an array literal mixes kinds of values", remedy="write every number as 1.0, or cast"
        )
    if kinds == {"f"} or not kinds:
        return np.asarray(flat, np.float32).reshape(shape)
    if kinds == {"b"}:
        return np.asarray(flat, np.bool_).reshape(shape)
    return dims_tensor(tuple(item for item in flat if is_dim(item))).reshape(shape)


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "b"
    if is_dim(value):
        return "d"
    return "f" if isinstance(value, float) else "?"


def _flatten(value: Value) -> tuple[list[Value], tuple[int, ...]]:
    if not is_array(value):
        return [value], ()
    parts = [_flatten(item) for item in value]
    shapes = {shape for _, shape in parts}
    if len(shapes) > 1:
        raise InvalidModel("rows of an array literal have different lengths")
    inner = next(iter(shapes)) if shapes else ()
    return [item for flat, _ in parts for item in flat], (len(value), *inner)
