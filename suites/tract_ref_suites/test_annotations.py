"""What is known of single elements: named spots where an annotation is easily wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref import Plan
from tract_ref.approx import Array
from tract_ref.dim import Dim, dim_max, dim_min, eq, ge, sym
from tract_ref.errors import InvalidModel
from tract_ref.ir.check import check_model
from tract_ref.ir.fact import Fact, dims_tensor, uniform_of
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.per_element import Domain, PerElement, coordinate, divide, floor, of_number
from tract_ref.ops.axes import AddAxis, Reshape
from tract_ref.ops.binary import Add, And, Div, Ge, Gt, Le, Lt, Mul, Or, Sub
from tract_ref.ops.buffer import Delay
from tract_ref.ops.cast import Cast
from tract_ref.ops.concat import Concat
from tract_ref.ops.gather import Gather
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import PositionalRange, Range
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.ops.select import Select
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.structure import Identity
from tract_ref.ops.transpose import MoveAxis
from tract_ref.ops.unary import Floor, Neg, Not, Round
from tract_ref.passes.declutter import declutter
from tract_ref.passes.set_symbols import set_symbols

S = sym("S")
I, J = coordinate(0), coordinate(1)  # noqa: E741
F32, I64, U8 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)


class Wires:
    """A model under construction, whose wires are asked for what is known of their elements."""

    def __init__(self) -> None:
        self.model = Model()

    def add(self, op: Op, *inputs: Outlet) -> Outlet:
        name = self.model.unique_name(op.name)
        return self.model.wire(name, op, inputs)[0]

    def const(self, value: Any, dtype: Any = np.int64) -> Outlet:
        name = self.model.unique_name("const")
        return self.model.add_const(name, np.asarray(value, dtype))

    def positions(self, length: Dim = S) -> Outlet:
        return self.add(Range(0, length, 1))

    def floats(self) -> Outlet:
        return self.add(Cast(F32), self.positions())

    def square(self) -> tuple[Outlet, Outlet]:
        line = self.positions()
        return self.add(AddAxis(1), line), self.add(AddAxis(0), line)

    def told(self, wire: Outlet) -> PerElement | None:
        return self.model.fact(wire).per_element

    def whole(self, wire: Outlet) -> object:
        told = self.told(wire)
        return None if told is None else told.whole

    def folded(self, wire: Outlet, x: Outlet) -> Model:
        """Return the decluttered model that shows x where a mask holds, and -1 elsewhere."""
        dtype = self.model.fact(x).dtype
        ones = (1,) * self.model.fact(wire).rank
        other = self.const(np.full(ones, -1), dtype)
        self.model.set_outputs([self.add(Select(), wire, x, other)], ["y"])
        return declutter(self.model)


def test_a_range_is_its_start_and_steps() -> None:
    w = Wires()
    assert w.whole(w.add(Range(3, 2 * S, 2))) == 3 + 2 * I


def test_constants_are_numbers_dims_and_exact_fractions() -> None:
    assert Fact.of(np.full((2, 2), 7)).per_element == PerElement(7)
    assert Fact.of(np.asarray([True, True])).per_element == PerElement(1)
    assert Fact.of(dims_tensor((S, S))).per_element == PerElement(S)
    assert Fact.of(np.asarray([2.5], np.float32)).per_element == PerElement(5, 2)
    tiny = Fact.of(np.asarray([1e-7], np.float32)).per_element
    assert tiny == PerElement(14073749, 1 << 47)


@pytest.mark.parametrize("values", [[0, 1], [], [0.0, -0.0], [1.0, np.nan]])
def test_what_differs_bit_for_bit_is_not_uniform(values: list[float]) -> None:
    assert uniform_of(np.asarray(values)) is None


def test_a_uniform_nan_is_uniform_and_no_number() -> None:
    fact = Fact.of(np.asarray([np.nan, np.nan]))
    assert fact.uniform is not None
    assert fact.per_element is None


def test_substitution_carries_what_is_known() -> None:
    fact = Fact.of(dims_tensor((S, S))).substitute({"S": 4})
    assert fact.per_element == PerElement(4)
    assert fact.uniform is not None
    assert fact.uniform.item() == 4


def test_set_symbols_computes_annotations_again() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S,)))
    last = w.add(Sub(), w.add(Range(S, 2 * S, 1)), x)
    w.model.set_outputs([last], ["y"])
    halved = set_symbols(w.model, {"S": 2 * sym("T")})
    told = halved.nodes[halved.node_named("Range").id].outputs[0].per_element
    assert told == PerElement(2 * sym("T") + I)


def test_strictly_above_zero_is_not_everywhere() -> None:
    """select(gt(range(0,S),0), x, -1) keeps index 0 = -1."""
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S,)))
    above = w.add(Gt(), w.positions(), w.const([0]))
    assert w.whole(above) == ge(I, 1)
    model = w.folded(above, x)
    (y,) = Plan(model).run({"x": np.arange(5, 8)}, symbols={"S": 3}).values()
    assert y.tolist() == [-1, 6, 7]


def test_a_small_constant_is_not_zero() -> None:
    """lt(pos_f32, 1e-7) is true at 0."""
    w = Wires()
    x = w.model.add_source("x", Fact(F32, (S,)))
    below = w.add(Lt(), w.floats(), w.const([1e-7], np.float32))
    assert w.whole(below) == ge(0, I)
    (y,) = (
        Plan(w.folded(below, x))
        .run({"x": np.asarray([5, 6], np.float32)}, symbols={"S": 2})
        .values()
    )
    assert y.tolist() == [5, -1]


def test_a_float_quotient_is_no_whole_number_before_it_is_floored() -> None:
    w = Wires()
    halves = w.add(Div(), w.floats(), w.const([2], np.float32))
    assert w.told(halves) == PerElement(I, 2)
    assert w.whole(w.add(Le(), halves, w.const([0], np.float32))) == ge(0, I)
    assert w.whole(w.add(Floor(), halves)) == I // 2


def test_a_rounded_quotient_is_not_computed_with() -> None:
    w = Wires()
    thirds = w.add(Div(), w.floats(), w.const([3], np.float32))
    assert w.told(thirds) == PerElement(I, 3)
    assert w.told(w.add(Add(), thirds, thirds)) is None
    assert w.told(w.add(Mul(), thirds, thirds)) is None
    assert w.whole(w.add(Floor(), thirds)) == I // 3


def test_a_product_with_a_rounded_third_is_no_quotient() -> None:
    w = Wires()
    assert w.told(w.add(Mul(), w.floats(), w.const([1 / 3], np.float32))) is None


def test_truncation_is_floor_only_where_a_sign_is_proved() -> None:
    w = Wires()
    line, two = w.positions(), w.const([2])
    assert w.whole(w.add(Div(), line, two)) == I // 2
    assert w.whole(w.add(Div(), w.add(Neg(), line), two)) == -(I // 2)
    assert w.told(w.add(Div(), w.add(Sub(), line, two), two)) is None
    assert w.whole(w.add(Div(), w.add(Mul(), line, two), two)) == I


def test_dims_are_divided_by_floor() -> None:
    domain = Domain(np.dtype(object), (S,))
    assert divide(PerElement(I - 3), PerElement(2), domain) == PerElement((I - 3) // 2)


def test_halves_round_away_from_zero() -> None:
    w = Wires()
    halves = w.add(Div(), w.floats(), w.const([2], np.float32))
    assert w.whole(w.add(Round(), halves)) == (2 * I + 2) // 4


def test_a_slice_shifts_its_coordinate_forward() -> None:
    w = Wires()
    line = w.positions()
    assert w.whole(w.add(Slice(0, 3, S), line)) == I + 3
    assert w.whole(w.add(Slice(0, sym("a"), S), line)) == I + sym("a")


def test_a_sample_reads_every_other_position() -> None:
    w = Wires()
    line = w.positions()
    assert w.whole(w.add(Downsample(0, 3, 1), line)) == 3 * I + 1
    assert w.whole(w.add(Downsample(0, -1), line)) == S - 1 - I


def test_a_pad_shifts_its_coordinate_back() -> None:
    w = Wires()
    line = w.positions()
    padded = w.add(Pad(((2, 0),), "constant", 7), line)
    assert w.whole(padded) == ge(I, 2) * (I - 9) + 7
    assert w.whole(w.add(Pad(((2, 0),), "edge", 0), line)) == dim_min(dim_max(I - 2, 0), S - 1)


def test_axes_are_renamed_all_at_once() -> None:
    w = Wires()
    rows, columns = w.square()
    distance = w.add(Sub(), rows, columns)
    assert w.whole(distance) == I - J
    assert w.whole(w.add(MoveAxis(0, 1), distance)) == J - I


def test_the_coordinate_of_a_repeated_axis_is_zero() -> None:
    w = Wires()
    one = w.add(AddAxis(1), w.add(Range(2, 3, 1)))
    assert w.whole(one) == 2
    rows, columns = w.square()
    assert w.whole(w.add(Broadcast((S, S)), one)) == 2
    assert w.whole(w.add(Add(), w.add(Add(), one, rows), columns)) == 2 + I + J


def test_an_axis_that_may_be_repeated_is_not_annotated() -> None:
    w = Wires()
    line, other = w.add(Range(0, sym("N"), 1)), w.positions()
    assert w.told(w.add(Add(), line, other)) is None


def test_a_reshape_by_numbers_divides_the_row_major_index() -> None:
    w = Wires()
    line = w.add(Range(0, 4 * S, 1))
    parted = w.add(Reshape(0, (4 * S,), (S, 4)), line)
    assert w.whole(parted) == 4 * I + J
    joined = w.add(Reshape(0, (S, 4), (4 * S,)), w.add(Add(), parted, parted))
    assert w.whole(joined) == 2 * I


def test_a_reshape_by_symbols_is_not_annotated() -> None:
    w = Wires()
    wide = w.add(Broadcast((S, S)), w.square()[0])
    assert w.told(w.add(Reshape(0, (S, S), (S * S,)), wide)) is None


def test_a_tile_of_positions_is_not_annotated() -> None:
    w = Wires()
    assert w.told(w.add(Tile((2,)), w.positions())) is None
    assert w.whole(w.add(Tile((S,)), w.const([3]))) == 3


def test_parts_of_one_value_keep_it() -> None:
    w = Wires()
    three, four = w.const([3]), w.const([4])
    assert w.whole(w.add(Concat(0), three, three)) == 3
    assert w.told(w.add(Concat(0), three, four)) is None
    assert w.told(w.add(Concat(0), w.positions(), w.positions())) is None


def test_a_look_up_needs_indices_that_are_proved_to_be_inside() -> None:
    w = Wires()
    table = w.add(Range(5, 5 + S, 1))
    assert w.whole(w.add(Gather(0), table, w.positions())) == 5 + I
    assert w.told(w.add(Gather(0), table, w.add(Sub(), w.positions(), w.const([1])))) is None
    assert w.told(w.add(Gather(0), table, w.positions(S + 1))) is None


def test_small_types_are_annotated_only_where_the_value_is_proved_to_fit() -> None:
    w = Wires()
    assert w.told(w.add(Cast(U8), w.positions())) is None
    assert w.whole(w.add(Cast(U8), w.positions(200))) == I
    assert w.told(w.add(Cast(U8), w.positions(300))) is None
    assert w.told(w.add(Cast(U8), w.add(Neg(), w.positions(9)))) is None


def test_floats_hold_whole_numbers_up_to_their_precision() -> None:
    narrow, wide = Domain(F32, (1 << 12,)), Domain(F32, (1 << 25,))
    assert narrow.holds(I)
    assert not wide.holds(I)
    assert not Domain(np.dtype(np.float16), (S,)).holds(I)


def test_stateful_ops_tell_nothing() -> None:
    w = Wires()
    line = w.positions(4)
    assert w.told(line) is not None
    assert w.told(w.add(Delay(0, 2, 0), line)) is None
    assert w.told(w.add(PositionalRange(0, 1, 4))) is None


def test_a_copy_tells_what_its_input_tells() -> None:
    w = Wires()
    assert w.whole(w.add(Identity(), w.positions())) == I


def test_a_choice_that_is_proved_is_the_value_taken() -> None:
    w = Wires()
    line = w.positions()
    full = w.add(Ge(), line, w.const([0]))
    x = w.model.add_source("x", Fact(I64, (S,)))
    assert w.whole(w.add(Select(), full, line, x)) == I
    assert w.told(w.add(Select(), full, x, line)) is None
    late = w.add(Ge(), line, w.const([4]))
    assert w.whole(w.add(Select(), late, line, w.const([9]))) == ge(I, 4) * (I - 9) + 9


def test_logic_is_arithmetic_of_zero_and_one() -> None:
    w = Wires()
    rows, columns = w.square()
    a, b = w.add(Ge(), rows, columns), w.add(Lt(), rows, w.const([[3]]))
    p, q = ge(I, J), ge(2, I)
    assert w.whole(w.add(And(), a, b)) == p * q
    assert w.whole(w.add(Or(), a, b)) == p + q - p * q
    assert w.whole(w.add(Not(), a)) == 1 - p
    assert w.whole(w.add(Cast(np.dtype(np.bool_)), rows)) == 1 - eq(I, 0)


def test_a_strict_bound_of_a_distance_is_the_bound_before_it() -> None:
    """Where d < L + 1, there d <= L."""
    w = Wires()
    distance = w.add(Sub(), *w.square())
    strict = w.add(Lt(), distance, w.const([[3]]))
    assert w.whole(strict) == w.whole(w.add(Le(), distance, w.const([[2]]))) == ge(2, I - J)


def test_a_bound_with_another_coordinate_decides_nothing() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S, S)))
    model = w.folded(w.add(Ge(), *w.square()), x)
    assert model.op_counts()["Select"] == 1
    values: Array = np.arange(9).reshape(3, 3)
    (y,) = Plan(model).run({"x": values}, symbols={"S": 3}).values()
    assert y.tolist() == np.where(np.tri(3, dtype=bool), values, -1).tolist()


def test_a_full_mask_is_folded_and_its_value_is_repeated() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S, 1)))
    full = w.add(Ge(), w.square()[1], w.const([[0]]))
    model = w.folded(full, x)
    assert model.op_counts() == {"Broadcast": 1}
    (y,) = Plan(model).run({"x": np.asarray([[4], [5]])}, symbols={"S": 2}).values()
    assert y.tolist() == [[4, 4], [5, 5]]


def test_an_empty_mask_is_folded() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S,)))
    model = w.folded(w.add(Lt(), w.positions(), w.const([0])), x)
    assert model.op_counts() == {"Broadcast": 1}


def test_an_assertion_of_the_model_may_fold_a_mask() -> None:
    w = Wires()
    w.model.scope = w.model.scope.asserting("S <= 8")
    x = w.model.add_source("x", Fact(I64, (S,)))
    model = w.folded(w.add(Lt(), w.positions(), w.const([8])), x)
    assert model.op_counts() == {}


@pytest.mark.parametrize(("op", "bound", "left"), [(And(), 0, {}), (Or(), 0, {"Broadcast": 1})])
def test_a_full_operand_of_and_changes_nothing_and_one_of_or_decides(
    op: Op, bound: int, left: dict[str, int]
) -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(np.dtype(np.bool_), (S,)))
    w.model.set_outputs([w.add(op, x, w.add(Ge(), w.positions(), w.const([bound])))], ["y"])
    assert declutter(w.model).op_counts() == left


def _masked(bound: int, dtype: np.dtype[np.generic]) -> Model:
    w = Wires()
    x = w.model.add_source("x", Fact(dtype, (S,)))
    mask = w.add(Cast(dtype), w.add(Ge(), w.positions(), w.const([bound])))
    w.model.set_outputs([w.add(Mul(), x, mask)], ["y"])
    return w.model


def test_a_product_with_ones_is_folded() -> None:
    assert declutter(_masked(0, F32)).op_counts() == {}


def test_a_float_product_with_zeros_keeps_nan() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(F32, (S,)))
    zeros = w.add(Cast(F32), w.add(Lt(), w.positions(), w.const([0])))
    w.model.set_outputs([w.add(Mul(), x, zeros)], ["y"])
    model = declutter(w.model)
    assert model.op_counts()["Mul"] == 1
    (y,) = Plan(model).run({"x": np.asarray([np.nan, 1], np.float32)}, symbols={"S": 2}).values()
    assert np.isnan(y).tolist() == [True, False]


def test_an_integer_product_with_zeros_is_folded() -> None:
    w = Wires()
    x = w.model.add_source("x", Fact(I64, (S,)))
    zeros = w.add(Cast(I64), w.add(Lt(), w.positions(), w.const([0])))
    w.model.set_outputs([w.add(Mul(), x, zeros)], ["y"])
    assert declutter(w.model).op_counts() == {"Broadcast": 1}


def test_a_declared_annotation_is_the_ops_or_none() -> None:
    w = Wires()
    line = w.positions()
    w.model.set_outputs([line], ["y"])
    node = w.model.nodes[line.node]
    fact = node.outputs[0]
    node.outputs = (fact.without_const(),)
    check_model(w.model)
    node.outputs = (Fact(fact.dtype, fact.shape, per_element=PerElement(I + 1)),)
    with pytest.raises(InvalidModel, match=r'^node "Range" \(Range\): elements are declared to be'):
        check_model(w.model)


def test_a_patch_tells_the_readers_of_what_it_replaces() -> None:
    w = Wires()
    line = w.positions()
    later = w.add(Add(), line, w.const([1]))
    x = w.model.add_source("x", Fact(I64, (S,)))
    w.model.set_outputs([later], ["y"])
    patch = ModelPatch(w.model)
    patch.shunt(line, x)
    patch.apply()
    assert w.told(later) is None
    check_model(w.model)


@given(st.integers(0, 1 << 20), st.integers(2, 1 << 10))
def test_rounded_quotients_floor_as_whole_numbers_do(numerator: int, divisor: int) -> None:
    domain = Domain(F32, (1,))
    quotient = divide(PerElement(numerator), PerElement(divisor), domain)
    assert quotient is not None
    told = floor(quotient, domain)
    assert told == PerElement(numerator // divisor)
    assert int(np.floor(np.float32(numerator) / np.float32(divisor))) == numerator // divisor


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_constant_is_told_exactly(number: float) -> None:
    told = of_number(number)
    assert told is not None
    assert isinstance(told.numerator, int)
    assert told.numerator / told.divisor == number
