"""Numbers beside tensors of integers: what the type does not hold is pointed at, never changed."""

from __future__ import annotations

import numpy as np
import pytest

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.errors import MalformedFile
from tract_ref.ir.fact import dtype_named
from tract_ref.ir.model import Model
from tract_ref.nnef.reader import parse_model

HEAD = """version 1.0;
extension tract_registry tract_core;
extension tract_registry tract_pulse;
extension tract_symbol S;
graph case(x) -> (y) {
"""


def parsed(expression: str, dtype: str) -> Model:
    source = f"x = tract_core_external(shape = [S], datum_type = '{dtype}');"
    return parse_model(f"{HEAD}{source}\ny = {expression};\n}}")


def ran(expression: str, dtype: str) -> Array:
    x = np.asarray([0, 1, 2]).astype(dtype_named(dtype))
    return next(iter(Plan(parsed(expression, dtype)).run({"x": x}).values()))


PAD = "pad(x, padding = [(0, 1)], border = 'constant', value = {})"
MASK = "tract_pulse_mask(x, 0, 1, 2, {})"


@pytest.mark.parametrize(
    ("expression", "dtype", "number", "column"),
    [
        ("lt(x, 1.5)", "i64", "1.5", 5),
        ("x + 1.5", "i64", "1.5", 7),
        ("[1.5] - x", "i32", "1.5", 11),
        ("max(x, 0.5)", "u8", "0.5", 5),
        ("clamp(x, 0.0, 2.5)", "i64", "2.5", 5),
        ("x < 1e30", "i64", "1.0000000150474662e+30", 7),
        ("x < 9223372036854775808.0", "i64", "9.223372036854776e+18", 7),
        ("x + inf", "i8", "inf", 7),
        ("x + -inf", "i64", "-inf", 7),
        ("x + 300", "u8", "300", 7),
        ("x + 256.0", "u8", "256.0", 7),
        ("lt(x, -1)", "u8", "-1", 5),
        ("x < [-1]", "u64", "-1", 7),
        ("x + 300", "i8", "300", 7),
        ("x + 128", "i8", "128", 7),
        ("x - -129", "i8", "-129", 7),
        (PAD.format("1.5"), "i64", "1.5", 5),
        (PAD.format("300"), "u8", "300", 5),
        (PAD.format("2.0"), "bool", "2.0", 5),
        (MASK.format("1.5"), "i64", "1.5", 5),
        (MASK.format("-1"), "u8", "-1", 5),
    ],
)
def test_a_number_that_the_type_does_not_hold_is_pointed_at(
    expression: str, dtype: str, number: str, column: int
) -> None:
    with pytest.raises(MalformedFile) as caught:
        parsed(expression, dtype)
    error = caught.value
    assert error.seen.endswith(
        f": the number {number} meets a tensor of {dtype}, which does not hold it"
    )
    assert error.remedy == f"write a number of {dtype}, or cast the tensor"
    assert (error.line, error.column) == (7, column)


@pytest.mark.parametrize(
    ("expression", "dtype", "values"),
    [
        ("lt(x, 2.0)", "i64", [True, True, False]),
        ("x + 2.0", "i64", [2, 3, 4]),
        ("x + 253", "u8", [253, 254, 255]),
        ("x + [255.0]", "u8", [255, 0, 1]),
        ("x + -128", "i8", [-128, -127, -126]),
        ("x < true", "i64", [True, False, False]),
        ("x < -9223372036854775808.0", "i64", [False, False, False]),
        (PAD.format("-1.0"), "i8", [0, 1, 2, -1]),
        (PAD.format("1.0"), "bool", [False, True, True, True]),
        ("tract_core_cast(1.5, to = 'i64') + x", "i64", [1, 2, 3]),
    ],
)
def test_a_number_that_the_type_holds_is_that_number(
    expression: str, dtype: str, values: list[int | bool]
) -> None:
    assert ran(expression, dtype).tolist() == values


def test_a_cast_makes_room_for_a_number() -> None:
    assert ran("tract_core_cast(x, to = 'f32') < 1.5", "i64").tolist() == [True, True, False]
