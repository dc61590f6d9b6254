"""Axes: the text of a mapping, and the one form of each axis op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref import declutter
from tract_ref.dim import parse_dim, sym
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.model import Model
from tract_ref.ir.op import Op
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis, reshape_ops
from tract_ref.ops.transpose import MoveAxis
from tract_ref_suites.problems.base import facts, single

S = sym("S")


@pytest.mark.parametrize(
    ("text", "tracks"),
    [
        ("id,jd->ij", [((0, None), (0,)), ((1, 1), (None,)), ((None, 0), (1,))]),
        (" a b -> b a ", [((0,), (1,)), ((1,), (0,))]),
        ("i,i", [((0, 0), (None,))]),
        ("i,i->", [((0, 0), (None,))]),
        ("ij->i,j", [((0,), (0, None)), ((1,), (None, 0))]),
        ("->", []),
        ("", []),
        (",a->a", [((None, 0), (0,))]),
    ],
)
def test_text_says_which_axis_is_which(
    text: str, tracks: list[tuple[tuple[int | None, ...], tuple[int | None, ...]]]
) -> None:
    assert AxesMapping.parse(text) == AxesMapping(tuple(Track(*track) for track in tracks))


def test_a_missing_arrow_and_an_empty_right_side_are_the_same() -> None:
    assert AxesMapping.parse("i,i") == AxesMapping.parse("i,i->")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("ii->i", "axes 'ii->i': 'i' stands twice in 'ii'; a diagonal is not an axis"),
        ("i->ii", "axes 'i->ii': 'i' stands twice in 'ii'"),
        ("...i->i", "axes '...i->i': '.' is not a letter"),
        ("i->j->k", "axes 'i->j->k': '-' is not a letter"),
        ("i1->i", "axes 'i1->i': '1' is not a letter"),
    ],
)
def test_what_no_track_can_hold_is_invalid(text: str, seen: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        AxesMapping.parse(text)
    assert str(caught.value).startswith(seen)


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (AxesMapping.natural(2, 1, 3), "abc,abc->abc"),
        (AxesMapping.natural(1, 1, 3, skip=(1,)), "abc->adc"),
        (AxesMapping.disconnected(), "->"),
        (AxesMapping.parse("id,jd->ij"), "ab,cb->ac"),
        (AxesMapping((Track((2,), (0,)),)), "abc->c"),
    ],
)
def test_a_mapping_prints_its_letters_in_order(mapping: AxesMapping, text: str) -> None:
    assert str(mapping) == text


@pytest.mark.parametrize(
    ("op", "texts", "printed"),
    [
        (AddAxis(1), ["2,S,f32"], "ab->acb"),
        (RmAxis(1), ["2,1,S,f32"], "abc->ac"),
        (MoveAxis(0, 2), ["2,3,S,f32"], "abc->bca"),
        (Reshape(1, (2, 3), (6,)), ["S,2,3,4,f32"], "abcd->aed"),
    ],
)
def test_axis_ops_print_what_they_keep(op: Op, texts: list[str], printed: str) -> None:
    inputs = facts(*texts)
    assert str(op.axes(inputs, op.output_facts(inputs))) == printed


OPERANDS = st.lists(st.permutations("abcd").map("".join).map(lambda s: s[:3]), max_size=3)


@given(left=OPERANDS, right=OPERANDS)
def test_text_comes_back(left: list[str], right: list[str]) -> None:
    mapping = AxesMapping.parse(f"{','.join(left)}->{','.join(right)}")
    printed = str(mapping)
    assert AxesMapping.parse(printed) == mapping
    assert str(AxesMapping.parse(printed)) == printed
    for slot, operand in enumerate(left):
        for axis, letter in enumerate(operand):
            expected = right[0].find(letter) if right else -1
            found = mapping.output_axis(slot, axis)
            assert found == (None if expected < 0 else expected)


# Canonical forms


def ops_of(model: Model) -> list[Op]:
    kinds = (AddAxis, RmAxis, MoveAxis, Reshape)
    return [node.op for node in declutter(model).order() if isinstance(node.op, kinds)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_swap_of_neighbours_has_one_form(axis: int) -> None:
    up = single(MoveAxis(axis, axis + 1), *facts("2,3,S,5,f32"))
    down = single(MoveAxis(axis + 1, axis), *facts("2,3,S,5,f32"))
    assert ops_of(up) == ops_of(down) == [MoveAxis(axis, axis + 1)]


def test_a_longer_move_keeps_its_form() -> None:
    assert ops_of(single(MoveAxis(2, 0), *facts("2,3,S,f32"))) == [MoveAxis(2, 0)]
    assert ops_of(single(MoveAxis(0, 2), *facts("2,3,S,f32"))) == [MoveAxis(0, 2)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((S,), (S, 1), [AddAxis(1)]),
        ((S,), (1, S), [AddAxis(0)]),
        ((S, 1), (S,), [RmAxis(1)]),
        ((2, 3), (2, 1, 3), [AddAxis(1)]),
        ((2, 1, 3), (2, 3), [RmAxis(1)]),
    ],
)
def test_a_reshape_by_ones_adds_or_removes_axes(
    before: tuple[int, ...], after: tuple[int, ...], expected: list[Op]
) -> None:
    text = ",".join([*map(str, before), "f32"])
    assert ops_of(single(Reshape(0, before, after), *facts(text))) == expected


def test_equal_leading_and_trailing_dims_are_trimmed() -> None:
    reshape = Reshape(0, (7, S, 6, 5), (7, S, 2, 3, 5))
    assert ops_of(single(reshape, *facts("7,S,6,5,f32"))) == [Reshape(2, (6,), (2, 3))]
    assert reshape_ops((7, S, 6, 5), (7, S, 2, 3, 5)) == [Reshape(2, (6,), (2, 3))]


def test_a_reshape_to_the_same_dims_is_nothing() -> None:
    assert ops_of(single(Reshape(0, (2, S), (2, S)), *facts("2,S,f32"))) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["S+1", "T+1"], ["S*T+S+T+1"]),
        (["2*S+2", "3"], ["S+1", "6"]),
        (["S*S+-1*1"], ["S+1", "S-1"]),
    ],
)
def test_volumes_are_compared_after_full_expansion(before: list[str], after: list[str]) -> None:
    old = tuple(parse_dim(text) for text in before)
    new = tuple(parse_dim(text) for text in after)
    (fact,) = Reshape(0, old, new).output_facts((facts("1,f32")[0].with_shape(old),))
    assert fact.shape == new


def test_an_axis_op_and_its_inverse_vanish() -> None:
    model = Model()
    wire = model.add_source("x", facts("2,S,3,f32")[0])
    for number, op in enumerate([MoveAxis(0, 2), AddAxis(1), RmAxis(1), MoveAxis(2, 0)]):
        (wire,) = model.wire(f"op{number}", op, (wire,))
    model.set_outputs([wire], ["y"])
    assert ops_of(model) == []
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    assert np.array_equal(declutter(model).fact(model.inputs[0]).concrete_shape({"S": 4}), x.shape)
