"""NNEF documents at random: what is printed is read back."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.errors import InvalidModel, MalformedFile
from tract_ref.nnef import ast
from tract_ref.nnef.parser import parse_document, parse_expression
from tract_ref.nnef.printer import print_document, print_expression

HEAD = "version 1.0;\n"


def parse(text: str) -> Any:
    return parse_expression(text)


def name(text):
    return ast.Identifier(text)


def num(value):
    return ast.Number(value)


OPERATORS = {2: "in", 3: "&& ||", 4: "== != <= >= < >", 5: "+ -", 6: "* /", 7: "^"}


FLAT = [(op, level) for level, ops in OPERATORS.items() for op in ops.split()]


NAMES = st.sampled_from(["x", "y", "in", "if", "for", "true", "infer", "a.b", 'q"', "é", "_0"])


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)


ATOMS = st.one_of(
    st.builds(ast.Number, NUMBERS),
    st.builds(ast.String, st.text(max_size=4)),
    st.builds(ast.Logical, st.booleans()),
    st.builds(ast.Identifier, NAMES),
)


TYPE_NAMES = st.sampled_from(["integer", "scalar", "logical", "string", "?"]).map(ast.TypeName)


def compound(inner):
    items = st.lists(inner, max_size=3).map(tuple)
    args = st.lists(st.builds(ast.Arg, st.none() | NAMES, inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(ast.ArrayExpr, items),
        st.builds(ast.TupleExpr, items.filter(lambda several: len(several) != 1)),
        st.builds(ast.Unary, st.sampled_from("+-!"), inner),
        st.builds(ast.Binary, st.sampled_from([op for op, _ in FLAT]), inner, inner),
        st.builds(ast.IfElse, inner, inner, inner),
        st.builds(ast.Subscript, inner, inner),
        st.builds(
            ast.Subscript, inner, st.none() | inner, st.none() | inner, is_range=st.just(True)
        ),
        st.builds(ast.Call, NAMES, st.none() | TYPE_NAMES, args),
        st.builds(ast.Comprehension, NAMES, inner, inner),
    )


# Levels are counted and not drawn: nodes without leaves would let a recursive strategy grow without
# bound, and hypothesis warns about values whose repr is long.
SHALLOW = ATOMS | compound(ATOMS)


EXPRESSIONS = ATOMS | compound(SHALLOW | compound(SHALLOW))


LEFTS = st.recursive(
    st.builds(ast.Identifier, NAMES),
    lambda inner: st.one_of(
        st.builds(ast.LTuple, st.lists(inner, max_size=3).map(tuple)),
        st.builds(ast.LArray, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=4,
)


BODIES = st.lists(st.builds(ast.Assignment, LEFTS, SHALLOW), max_size=3).map(tuple)


TYPES = st.recursive(
    TYPE_NAMES | st.builds(ast.TensorType, TYPE_NAMES),
    lambda inner: st.one_of(
        st.builds(ast.ArrayType, inner),
        st.builds(ast.TupleType, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=4,
)


DEFAULTS = st.none() | st.recursive(
    st.builds(ast.Number, NUMBERS), lambda i: st.builds(ast.ArrayExpr, st.tuples(i)), max_leaves=3
)


def unique(items):
    return st.lists(items, max_size=3, unique_by=lambda item: item.name).map(tuple)


FRAGMENTS = st.booleans().flatmap(
    lambda is_generic: st.builds(
        ast.Fragment,
        NAMES,
        unique(st.builds(ast.Param, NAMES, TYPES, DEFAULTS)),
        unique(st.builds(ast.Result, NAMES, TYPES)),
        st.none() | BODIES,
        st.just(is_generic),
        st.none() | TYPE_NAMES if is_generic else st.none(),
    )
)


WIRES = st.lists(st.builds(ast.Identifier, NAMES), max_size=2).map(tuple)


DOCUMENTS = st.builds(
    ast.Document,
    st.just("1.0"),
    st.lists(
        st.builds(
            ast.Extension, st.just("tract_assert"), st.sampled_from(["", "S>=1", "a: S < 2"])
        ),
        max_size=2,
    ).map(tuple),
    st.lists(FRAGMENTS, max_size=2).map(tuple),
    st.builds(ast.Graph, NAMES, WIRES, WIRES, BODIES),
)


@given(EXPRESSIONS)
def test_expression_survives_print_and_parse(expr):
    assert parse(print_expression(expr)) == expr


@pytest.mark.parametrize("second", FLAT)
@pytest.mark.parametrize("first", FLAT)
def test_both_groupings_of_two_operators_survive(first, second):
    a, b, c = map(name, "abc")
    for expr in (
        ast.Binary(second[0], ast.Binary(first[0], a, b), c),
        ast.Binary(first[0], a, ast.Binary(second[0], b, c)),
    ):
        assert parse(print_expression(expr)) == expr


@given(DOCUMENTS)
def test_document_survives_print_and_parse(document):
    text = print_document(document)
    assert parse_document(text) == document
    assert print_document(parse_document(text)) == text


@given(st.text(alphabet="ab1.e+-*/^()[]{}<>=!&|,;:?\"'\\ #if\n", max_size=30))
def test_any_text_parses_or_is_malformed(text):
    with suppress(MalformedFile):
        parse(text)


@given(st.floats(width=32, allow_nan=False))
def test_float_text_reads_back_to_the_same_bits(value):
    text = print_expression(num(value))
    assert any(mark in text for mark in (".", "e", "inf"))
    assert struct.pack("<d", parse(text).value) == struct.pack("<d", value)


def test_canonical_text():
    text = (
        HEAD
        + "extension a  b ;fragment f(x:scalar=1)->(y:scalar);graph g(x)->(y){y=(x+1)*2;x,y=f(x);}"
    )
    assert print_document(parse_document(text)) == (
        "version 1.0;\n\nextension a b;\n\nfragment f(x: scalar = 1) -> (y: scalar);\n\n"
        "graph g(x) -> (y)\n{\n    y = (x + 1) * 2;\n    (x, y) = f(x);\n}\n"
    )


def test_what_has_no_text_is_an_error():
    with pytest.raises(InvalidModel, match="NaN has no literal"):
        print_expression(num(math.nan))
    graph = ast.Graph("g", (), (), ())
    with pytest.raises(InvalidModel, match="extension a holds `;`"):
        print_document(ast.Document("1.0", (ast.Extension("a", "b;c"),), (), graph))
