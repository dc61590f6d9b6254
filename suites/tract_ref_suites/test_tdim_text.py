"""Symbolic dimensions as text: printed, parsed, asserted."""

from __future__ import annotations

import pytest

from tract_ref.dim import (
    evaluate,
    parse_assertion,
    parse_dim,
    symbols,
)
from tract_ref.errors import MalformedFile


@pytest.mark.parametrize(
    ("text", "s", "value"),
    [
        ("3*S/2", 3, 3),
        ("S--1", 3, 4),
        ("S-1+2", 3, 4),
        ("S - 1 - 1", 3, 1),
        (" S\t+\n1 ", 3, 4),
        ("floor(S)", 3, 3),
        ("-S/2", 3, -2),
        ("1#S", 3, 3),
    ],
)
def test_parsed_value(text: str, s: int, value: int) -> None:
    assert evaluate(parse_dim(text), {"S": s}) == value


def test_a_slash_before_a_letter_belongs_to_the_name() -> None:
    assert symbols(parse_dim("S/T")) == {"S/T"}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("S / T", 5),
        ("S/-2", 3),
        ("S%2", 2),
        ("2S", 2),
        ("S/2/T", 5),
        ("S+", 3),
        ("max()", 5),
        ("(S", 3),
        ("S/0", 3),
        ("", 1),
    ],
)
def test_malformed_text_has_a_caret(text: str, column: int) -> None:
    with pytest.raises(MalformedFile) as caught:
        parse_dim(text)
    assert caught.value.column == column
    assert str(caught.value).startswith("read: dimension ")
    assert str(caught.value).endswith("\n    " + " " * (column - 1) + "^") or not text


def test_broadcast_of_two_numbers_in_text_is_malformed() -> None:
    with pytest.raises(MalformedFile, match="broadcast of 3 and 4"):
        parse_dim("3#4")


def test_deep_text_is_refused_before_the_stack_ends() -> None:
    with pytest.raises(MalformedFile, match="nested parentheses"):
        parse_dim("(" * 500 + "S" + ")" * 500)


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [("S == 3", 3, 4), ("S<=3", 3, 4), ("S >= 3", 3, 2), ("S<3", 2, 3), ("S > 3", 4, 3)],
)
def test_assertions(text: str, true: int, false: int) -> None:
    assertion = parse_assertion(text)
    assert assertion.holds({"S": true}) is True
    assert assertion.holds({"S": false}) is False
    assert assertion.holds({}) is None
    assert parse_assertion(str(assertion)) == assertion


def test_malformed_assertions() -> None:
    for text in ("S", "S=>1", "S >= ", "S >= 1 2"):
        with pytest.raises(MalformedFile):
            parse_assertion(text)
