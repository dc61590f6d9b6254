"""Where annotations end: what a type holds, and symbols that are named like coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tract_ref import Plan, set_symbols
from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import Fact, dims_tensor, dtype_named
from tract_ref.ir.model import Model
from tract_ref.ir.per_element import Domain, PerElement, ceil, coordinate, floor
from tract_ref.nnef.reader import parse_model
from tract_ref.passes.declutter import declutter

S = sym("S")
I = coordinate(0)  # noqa: E741
F32 = np.dtype(np.float32)
HEAD = """version 1.0;
extension tract_registry tract_core;
extension tract_symbol S;
"""
LIMITS = [
    ("f32", 1 << 22, -(1 << 23), 1 << 23),
    ("i32", 1 << 30, -(1 << 31), (1 << 31) - 1),
    ("f64", 1 << 40, -(1 << 52), 1 << 52),
    ("i64", 1 << 48, -(1 << 63), (1 << 63) - 1),
]
"""Per type: what lengths stay below, and the smallest and largest number that it holds."""


def parsed(body: str, *, head: str = HEAD, dim: str = "S") -> Model:
    source = f"x = tract_core_external(shape = [{dim}], datum_type = 'f32');"
    return parse_model(f"{head}graph case(x) -> (y) {{ {source} {body} }}")


@pytest.mark.parametrize(("dtype", "limit", "low", "high"), LIMITS)
@pytest.mark.parametrize(("what", "below"), [(I, 2), (S, 1)])
def test_a_value_is_told_up_to_the_last_number_that_its_type_holds(
    dtype: str, limit: int, low: int, high: int, what: Dim, below: int
) -> None:
    domain = Domain(dtype_named(dtype), (S,))
    most = limit - below
    assert domain.holds(what + (high - most))
    assert not domain.holds(what + (high - most + 1))
    assert domain.holds((low + most) - what)
    assert not domain.holds((low + most - 1) - what)


@pytest.mark.parametrize(
    ("dtype", "most"), [("f32", 2), ("i32", 2), ("u32", 4), ("f64", 1 << 12), ("i64", 1 << 15)]
)
def test_a_multiple_of_positions_is_told_where_no_length_overflows_it(
    dtype: str, most: int
) -> None:
    point = "." if dtype[0] == "f" else ""
    for factor, is_told in ((most, True), (most + 1, False)):
        number = f"{factor}.0" if point else f"[{factor}]"
        model = parsed(
            f"i = tract_core_cast(tract_core_range(0,S,1), to='{dtype}'); y = i*{number};"
        )
        told = model.fact(model.outputs[0]).per_element
        assert told == (PerElement(factor * I) if is_told else None)


def test_a_square_of_positions_is_told_of_dims_only() -> None:
    square = I * I
    assert Domain(np.dtype(object), (S,)).holds(square)
    assert not any(Domain(dtype_named(dtype), (S,)).holds(square) for dtype, *_ in LIMITS)
    assert Domain(F32, (2896,)).holds(square)
    assert Domain(F32, (2897,)).holds(square)
    assert not Domain(F32, (2898,)).holds(square)


def test_a_known_length_may_be_longer_than_an_unknown_one() -> None:
    assert Domain(F32, ((1 << 23) + 1,)).holds(I)
    assert not Domain(F32, ((1 << 23) + 2,)).holds(I)


@pytest.mark.parametrize("length", [5000, 9000, 50000])
@pytest.mark.parametrize(
    ("dtype", "condition", "computed"),
    [
        ("i32", "ge(i*[524287], [0])", lambda i: i * np.int32(524287) >= 0),
        ("i32", "ge(i*i, [0])", lambda i: i * i >= 0),
        (
            "f32",
            "eq(i*2047.0 - i*2046.0, i)",
            lambda i: i * np.float32(2047) - i * np.float32(2046) == i,
        ),
    ],
)
def test_a_mask_that_overflows_late_is_not_folded(
    dtype: str, condition: str, computed: Any, length: int
) -> None:
    model = declutter(
        parsed(
            f"i = tract_core_cast(tract_core_range(0, S, 1), to = '{dtype}');"
            f"y = select({condition}, x, [-7.0]);"
        )
    )
    x = np.arange(length, dtype=np.float32)
    (y,) = Plan(model).run({"x": x}).values()
    holds: Array = computed(np.arange(length).astype(dtype_named(dtype)))
    assert np.array_equal(y, np.where(holds, x, np.float32(-7)))


def test_divisors_that_leave_no_normal_quotient_are_not_told() -> None:
    domain = Domain(F32, (S,))
    assert domain.takes(PerElement(I, 1 << 126))
    assert not domain.takes(PerElement(I, 1 << 127))
    assert Domain(np.dtype(np.float64), (S,)).takes(PerElement(I, 1 << 1022))
    assert not Domain(np.dtype(np.int64), (S,)).takes(PerElement(I, 2))


def test_a_mask_of_quotients_that_round_to_zero_is_not_folded() -> None:
    """1 * 2^-149 / 2 is 0 in f32, and 3 * 2^-149 / 2 is not."""
    model = parsed(
        "i = tract_core_cast(tract_core_range(1, S + 1, 1), to = 'f32');"
        "y = select(gt(i * 1.4e-45 * 0.5, 0.0), x, [-7.0]);"
    )
    (y,) = Plan(declutter(model)).run({"x": np.asarray([4, 5, 6], np.float32)}).values()
    assert y.tolist() == [-7, 5, 6]


@pytest.mark.parametrize(("cut", "by_hand"), [(floor, np.floor), (ceil, np.ceil)])
def test_a_quotient_that_rounds_to_a_whole_number_is_not_cut(cut: Any, by_hand: Any) -> None:
    """1/3 above 2^24 and 1/3 below it are both 2^24 in f32."""
    domain, whole = Domain(F32, (1,)), 1 << 24
    for numerator in (3 * whole - 1, 3 * whole + 1):
        assert by_hand(np.float32(numerator / 3)) == whole
        assert cut(PerElement(numerator, 3), domain) is None
    assert cut(PerElement(5, 3), domain) == PerElement(int(by_hand(np.float32(5 / 3))))


DECLARED = HEAD + "extension tract_symbol 🎯0;\n"


def test_a_symbol_named_like_a_coordinate_may_be_declared() -> None:
    assert str(parsed("y = x + 1.0;", head=DECLARED).fact(parsed("y = x;").outputs[0])) == "S,f32"


@pytest.mark.parametrize(
    ("body", "dim"),
    [
        ("y = x + 1.0;", 'i"🎯0"'),
        ("y = x + 1.0;", 'i"🎯0" + 2'),
        ('y = slice(x, axes = [0], begin = [i"🎯0"], end = [S]);', "S"),
    ],
)
def test_a_symbol_named_like_a_coordinate_is_refused_where_it_is_used(body: str, dim: str) -> None:
    with pytest.raises(Refused, match=r"the symbol '🎯0' is named like the coordinate of an axis"):
        parsed(body, head=DECLARED, dim=dim)


def test_an_assertion_about_a_coordinate_is_refused() -> None:
    with pytest.raises(Refused, match=r"the symbol '🎯0' is named like the coordinate of an axis"):
        parsed("y = x;", head=DECLARED + "extension tract_assert S >= 🎯0;\n")


@pytest.mark.parametrize("values", [{"S": I}, {"S": coordinate(1) + 2}, {"S": 3, "🎯0": 3}])
def test_a_symbol_is_not_set_to_a_coordinate(values: dict[str, Dim]) -> None:
    model = parsed("y = tract_core_cast(tract_core_range(0, S, 1), to = 'f32') + x;")
    with pytest.raises(InvalidModel, match=r"named like the coordinate of an axis; rename it"):
        set_symbols(model, values)


def test_no_dim_of_a_model_is_a_coordinate() -> None:
    model = Model()
    with pytest.raises(InvalidModel, match=r'^node "x" \(Source\): the dim 🎯0\+1 has a symbol'):
        model.add_source("x", Fact(F32, (I + 1,)))
    with pytest.raises(InvalidModel, match=r'^node "k" \(Const\): the dim 🎯1 has a symbol'):
        model.add_const("k", dims_tensor((S, coordinate(1))))
