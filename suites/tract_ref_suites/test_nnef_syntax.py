"""The syntax half of NNEF: documents, tensors, archives. No operator is known here."""

from __future__ import annotations

import gzip
import io
import math
import struct
import tarfile
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.errors import InvalidModel, MalformedFile, Refused
from tract_ref.nnef import ast
from tract_ref.nnef.archive import Limits, read_archive, write_folder, write_tar
from tract_ref.nnef.lexer import Cursor
from tract_ref.nnef.parser import MAX_DEPTH, ExpressionReader, parse_document, parse_expression
from tract_ref.nnef.printer import print_document, print_expression
from tract_ref.nnef.tensor import read_dat, write_dat

HEAD = "version 1.0;\n"
GRAPH = b"version 1.0; graph g(x) -> (y) { y = x; }"


def parse(text: str) -> Any:
    return parse_expression(text)


def name(text):
    return ast.Identifier(text)


def num(value):
    return ast.Number(value)


# Literals and names.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("42", 42),
        ("-3", -3),
        ("007", 7),
        ("5.", 5.0),
        ("1.5", 1.5),
        ("-2.0", -2.0),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("1.e1", 10.0),
        ("1e+2", 100.0),
        ("25e-1", 2.5),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("1e400", math.inf),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_number_literal_has_its_value_and_type(text, value):
    number = parse(text)
    assert number == num(value)
    assert isinstance(number, ast.Number)
    assert number.is_float == isinstance(value, float)


@pytest.mark.parametrize("text", [".5", "1e", "1x", "1.2.3", "9" * 5000, "9223372036854775808"])
def test_what_only_looks_like_a_number_is_refused(text):
    with pytest.raises(MalformedFile):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a b"', "a b"),
        ("'a'", "a"),
        (r'"a\"b"', 'a"b'),
        (r"'it\'s'", "it's"),
        (r'"a\\"', "a\\"),
        ('"# no comment"', "# no comment"),
        ('""', ""),
    ],
)
def test_string_literal_has_its_value(text, value):
    assert parse(text) == ast.String(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_1", "a_1"),
        ("_", "_"),
        ('i"a.b é"', "a.b é"),
        (r"i'a\'b'", "a'b"),
        ("infx", "infx"),
        ("i", "i"),
        ("in", "in"),
        ("if", "if"),
        ("for", "for"),
        ("scalar", "scalar"),
        ("version", "version"),
        ('i"true"', "true"),
    ],
)
def test_identifier_has_its_name(text, expected):
    assert parse(text) == name(expected)


def test_logicals_arrays_and_tuples_nest():
    expected = ast.ArrayExpr(
        (
            ast.ArrayExpr(()),
            ast.TupleExpr((num(1), ast.Logical(True))),
            ast.ArrayExpr((ast.Logical(False),)),
        )
    )
    assert parse("[[], (1, true), [false]]") == expected
    assert parse("(1)") == num(1)
    assert parse("()") == ast.TupleExpr(())


def test_minus_is_a_sign_only_where_an_operand_starts():
    assert parse("x -1.0") == ast.Binary("-", name("x"), num(1.0))
    assert parse("x - -1.0") == ast.Binary("-", name("x"), num(-1.0))
    assert parse("- 1.0") == ast.Unary("-", num(1.0))
    assert parse("-x") == ast.Unary("-", name("x"))
    assert parse("s * 0.0 + -inf").right == num(-math.inf)


# Operators.

OPERATORS = {2: "in", 3: "&& ||", 4: "== != <= >= < >", 5: "+ -", 6: "* /", 7: "^"}
FLAT = [(op, level) for level, ops in OPERATORS.items() for op in ops.split()]


@pytest.mark.parametrize("second", FLAT)
@pytest.mark.parametrize("first", FLAT)
def test_precedence_and_left_associativity(first, second):
    a, b, c = name("a"), name("b"), name("c")
    parsed = parse(f"a {first[0]} b {second[0]} c")
    if first[1] >= second[1]:
        assert parsed == ast.Binary(second[0], ast.Binary(first[0], a, b), c)
    else:
        assert parsed == ast.Binary(first[0], a, ast.Binary(second[0], b, c))


def test_chains_group_to_the_left():
    def value(expr):
        if isinstance(expr, ast.Number):
            return expr.value
        left, right = value(expr.left), value(expr.right)
        return {"-": left - right, "/": left / right, "*": left * right, "^": left**right}[expr.op]

    assert value(parse("10-4-3")) == 3
    assert value(parse("8/2*4")) == 16
    assert value(parse("2^3^2")) == 64


def test_unary_binds_before_subscript_and_power():
    x, y = name("x"), name("y")
    assert parse("-x^y") == ast.Binary("^", ast.Unary("-", x), y)
    assert parse("-x[0]") == ast.Subscript(ast.Unary("-", x), num(0))
    assert parse("!-x") == ast.Unary("!", ast.Unary("-", x))
    assert parse("f(x)[0]*2").left == ast.Subscript(parse("f(x)"), num(0))


def test_if_else_is_loosest_and_groups_to_the_right():
    a, b, c, d, e = map(name, "abcde")
    assert parse("a if b else c") == ast.IfElse(a, b, c)
    assert parse("a if b else c if d else e") == ast.IfElse(a, b, ast.IfElse(c, d, e))
    assert parse("a if b if c else d else e") == ast.IfElse(a, ast.IfElse(b, c, d), e)
    assert parse("a + b if c else d").then == ast.Binary("+", a, b)


def test_subscripts_and_ranges():
    x = name("x")
    assert parse("x[1:2]") == ast.Subscript(x, num(1), num(2), True)
    assert parse("x[:2]") == ast.Subscript(x, None, num(2), True)
    assert parse("x[1:]") == ast.Subscript(x, num(1), None, True)
    assert parse("x[:]") == ast.Subscript(x, None, None, True)
    assert parse("(x[0])[1]") == ast.Subscript(ast.Subscript(x, num(0)), num(1))


def test_calls_keep_names_and_generic_type():
    call = parse("external<scalar>(shape = [1, S], 2)")
    shape = ast.ArrayExpr((num(1), name("S")))
    args = (ast.Arg("shape", shape), ast.Arg(None, num(2)))
    assert call == ast.Call("external", ast.TypeName("scalar"), args)
    assert parse("f()") == ast.Call("f", None, ())
    assert parse("f < b > (c)").op == ">"


def test_comprehension():
    expected = ast.Comprehension("i", name("e"), ast.Binary("*", name("i"), num(2)))
    assert parse("[for i in e yield i * 2]") == expected
    assert parse("[for, i]") == ast.ArrayExpr((name("for"), name("i")))


# Documents.


def test_whole_document():
    document = parse_document(
        """# head
        version 1.0;
        extension tract_registry tract_core;
        extension tract_assert S>=14 # not a comment;
        extension KHR_enable_fragment_definitions;
        fragment f<? = scalar>( x: tensor<?>, k: scalar[] = [1.0, -2.0], o: tensor<scalar>= 1.0 )
            -> ( y: tensor<?>, z: (string, tensor<scalar>)[] ) { (y, z) = g(x); }
        fragment declared( x: logical ) -> ( y: integer );
        graph net( a, i"b.c" ) -> ( y )
        {
            a = external(shape = [1]);  # comment to the end
            [p, (q, r)] = f(a);
            s, y = f(a);
            y = a;
        }"""
    )
    assert [(e.name, e.text) for e in document.extensions] == [
        ("tract_registry", "tract_core"),
        ("tract_assert", "S>=14 # not a comment"),
        ("KHR_enable_fragment_definitions", ""),
    ]
    first, second = document.fragments
    assert (first.is_generic, first.generic_default) == (True, ast.TypeName("scalar"))
    assert [param.default is None for param in first.params] == [True, False, False]
    pairs = ast.TupleType((ast.TypeName("string"), ast.TensorType(ast.TypeName("scalar"))))
    assert first.results[1].type == ast.ArrayType(pairs)
    assert second.body is None
    assert [item.name for item in document.graph.inputs] == ["a", "b.c"]
    assigned = [ast.assigned_names(line.left) for line in document.graph.body]
    assert assigned == [("a",), ("p", "q", "r"), ("s", "y"), ("y",)]


MALFORMED = [
    ("graph g() -> () {}", "expected `version NUMBER;`", 1, 1),
    (HEAD + "graph g(x) -> (y) {\n  y = x + ;\n}", "expected an expression, found `;`", 3, 11),
    (HEAD + "graph g(x) -> (y) {\n\ty = add(x x);\n}", "expected an operator, `,` or `)`", 3, 12),
    (HEAD + "graph g(x) -> (y) { y = .5; }", "`.5` is not a number", 2, 25),
    (HEAD + 'graph g(x) -> (y) { y = "abc; }', "this string is not closed", 2, 25),
    (HEAD + 'graph g(x) -> (y) { y = "it\'s"; }', "a raw ' inside a string", 2, 28),
    (HEAD + "graph g(x) -> (y) { y.1 = x; }", "`.1` is not a number", 2, 22),
    (HEAD + "graph g(x) -> (y) { é = x; }", "character 'é' is not part", 2, 21),
    (HEAD + "graph g(x) -> (y) { y = x", "expected an operator or `;`, found end of", 2, 26),
    (HEAD + "graph g(x) -> (y) {", "expected an assignment or `}`, found end of", 2, 20),
    (HEAD + "graph g(x) -> (y) {}\nextension a;", "expected nothing after the graph", 3, 1),
    (HEAD + "graph g(x) -> (y) {}\ngraph h(x) -> (y) {}", "expected nothing after", 3, 1),
    (HEAD + "fragment f(x: scalar, x: scalar) -> (y: scalar);", "two parameters are called", 2, 23),
    (HEAD + "fragment f() -> (y: scalar, y: scalar);", "two results are called `y`", 2, 29),
    (HEAD + "fragment f(x: float) -> (y: scalar);", "expected a type: integer", 2, 15),
    (HEAD + "fragment f(x: scalar = 1 + 2) -> (y: scalar);", "the default of `x` is", 2, 24),
    (HEAD + "graph g(x) -> (y) { y = x[0][1]; }", "a second subscript", 2, 29),
    (HEAD + "graph g(x) -> (y) { y = x if x; }", "expected an operator or the `else`", 2, 31),
    (HEAD + "graph g(x) -> (y) { y = [1, ]; }", "expected an expression, found `]`", 2, 29),
    (HEAD + "extension tract_symbol S", "expected `extension NAME ...;`", 2, 1),
    (HEAD + "extension ;graph g(x) -> (y) {}", "expected `extension NAME ...;`", 2, 1),
    (HEAD + "graph g(x) -> (y) { y = {{ a }}; }", "expected an expression, found `{`", 2, 25),
]


@pytest.mark.parametrize(("text", "starts", "line", "column"), MALFORMED)
def test_malformed_document_is_pointed_at(text, starts, line, column):
    with pytest.raises(MalformedFile) as caught:
        parse_document(text, "m/graph.nnef")
    error = caught.value
    assert error.seen.startswith(starts)
    assert (error.file, error.line, error.column) == ("m/graph.nnef", line, column)
    shown, caret = str(error).splitlines()[-2:]
    assert caret.index("^") - 4 == column - 1
    assert shown[4:] == text.splitlines()[line - 1].replace("\t", " ")


def test_caret_ignores_carriage_returns_and_very_long_lines():
    with pytest.raises(MalformedFile) as caught:
        parse_document("version 1.0;\r\ngraph g(x) -> (y) {\r\n y = ;\r\n}")
    assert (caught.value.line, caught.value.column, caught.value.text) == (3, 6, " y = ;")
    with pytest.raises(MalformedFile) as caught:
        parse_document(HEAD + "graph g(x) -> (y) { y = " + "x + " * 99 + ";}")
    assert len(str(caught.value)) < 200


def test_complex_is_refused_by_name():
    with pytest.raises(Refused, match=r"graph.nnef:2:15: the type complex"):
        parse_document(HEAD + "fragment f(x: complex) -> (y: scalar);")


# Depth and work.


def steps(text):
    reader = ExpressionReader(Cursor(ast.Source("e", text)))
    reader.read()
    assert reader.cursor.kind == "end of file"
    return reader.steps


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("f(", ")"), ("[", "]"), ("f(a=", ",1)"), ("-", ""), ("1+(", ")"), ("x[", "]")],
)
def test_work_is_linear_in_the_depth(opening, closing):
    counts = [steps(opening * depth + "x" + closing * depth) for depth in (50, 100, 150, 200)]
    assert len({late - early for early, late in pairwise(counts)}) <= 1
    assert counts[-1] <= 200 * 4 + 4


def test_depth_is_bounded_with_a_message():
    assert isinstance(parse("(" * 5000 + "x" + ")" * 5000), ast.Identifier)
    deepest = "f(" * (MAX_DEPTH - 1) + "x" + ")" * (MAX_DEPTH - 1)
    assert print_expression(parse(deepest)) == deepest
    for text in ("f(" + deepest + ")", "x" + "+x" * MAX_DEPTH, "-" * 99999 + "x"):
        with pytest.raises(MalformedFile, match=f"more than {MAX_DEPTH} levels deep"):
            parse(text)
    for text in ("((" * 50, "[" * 50):
        with pytest.raises(MalformedFile, match="more than 32 levels deep"):
            parse_document(HEAD + "graph g(x) -> (y) {" + text)
    with pytest.raises(MalformedFile, match="more than 32 levels deep"):
        parse_document(HEAD + "fragment f(x: scalar" + "[]" * 40)


def test_long_damaged_texts_are_rejected_quickly():
    start = time.process_time()
    for text in ("#" * 99999, '"' + "\\a" * 99999, "1" * 99999 + "x", "x<" * 200, " " * 99999):
        with pytest.raises(MalformedFile):
            parse(text)
    assert time.process_time() - start < 5


# Printing.

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


# Tensors.


def dat(*, magic=b"\x4e\xef", version=(1, 0), shape=(2,), bits=32, item=0, vendor=0, **more):
    size = more.get("size", (math.prod(shape) * bits + 7) // 8)
    rank = more.get("rank", len(shape))
    dims = (*shape, *[0] * (8 - len(shape)))
    header = struct.pack("<2s2BII8IIHH", magic, *version, size, rank, *dims, bits, item, vendor)
    return header.ljust(128, b"\0") + more.get("data", bytes(size))


WRITTEN = {"f2": 0, "f4": 0, "f8": 0, "u1": 2, "u2": 2, "u4": 2, "u8": 2}
WRITTEN |= {"i1": 3, "i2": 3, "i4": 3, "i8": 3, "?": 5}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", WRITTEN)
def test_tensor_survives_write_and_read(dtype, order):
    array = np.arange(-3, 3).astype(np.dtype(dtype).newbyteorder(order)).reshape(2, 3).T
    data = write_dat(array)
    assert struct.unpack_from("<HH", data, 48) == (WRITTEN[dtype], 0)
    back = read_dat(data, "w.dat")
    assert back.dtype == np.dtype(dtype)
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,) * 8])
def test_tensor_of_any_rank_survives(shape):
    assert read_dat(write_dat(np.ones(shape, np.float32)), "w.dat").shape == shape


@pytest.mark.parametrize(("item", "dtype"), [(1, "u"), (2, "u"), (3, "i"), (4, "i")])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_both_codes_of_an_integer_type_are_read(item, dtype, bits):
    data = dat(item=item, bits=bits, data=b"\xff" * (bits // 4))
    array = read_dat(data, "w.dat")
    assert array.dtype == np.dtype(f"{dtype}{bits // 8}")
    assert array.tolist() == [-1 if dtype == "i" else 2**bits - 1] * 2


def test_logicals_of_one_and_eight_bits():
    packed = dat(shape=(10,), bits=1, item=5, data=b"\xa0\x7f")
    assert read_dat(packed, "w").tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert read_dat(dat(shape=(3,), bits=8, item=5, data=b"\0\x01\x80"), "w").tolist() == [0, 1, 1]
    assert read_dat(dat(shape=(0,), bits=1, item=5), "w").shape == (0,)


@pytest.mark.parametrize(
    ("data", "starts"),
    [
        (b"", "0 bytes, but the header"),
        (dat()[:127], "127 bytes, but the header"),
        (dat(magic=b"\x4e\xee"), "the magic is 4e ee"),
        (dat(version=(1, 7)), "version 1.7"),
        (dat(version=(2, 0)), "version 2.0"),
        (dat(rank=9), "rank 9 is more than 8"),
        (dat(rank=2**32 - 1), "rank 4294967295 is more than 8"),
        (dat(item=6), "item type 0x0006 of vendor 0x0000"),
        (dat(vendor=7), "item type 0x0000 of vendor 0x0007"),
        (dat(vendor=0x5452, item=9), "item type 0x0009 of vendor 0x5452"),
        (dat(bits=8), "item type 0 with 8 bits"),
        (dat(item=3, bits=1), "item type 3 with 1 bits"),
        (dat(item=5, bits=32), "item type 5 with 32 bits"),
        (dat(bits=0), "item type 0 with 0 bits"),
        (dat(size=4, data=bytes(8)), "shape [2] of 32-bit items needs 8 bytes, not 4"),
        (dat(data=bytes(7)), "truncated: 7 bytes of data"),
        (dat(data=bytes(9)), "oversized: 9 bytes of data"),
        (dat(shape=(0, *[2**32 - 1] * 7), size=0), "shape [0, 4294967295"),
        (dat(shape=(2**32 - 1,) * 8, size=8), "shape [4294967295"),
    ],
)
def test_malformed_tensor_says_what_is_wrong(data, starts):
    with pytest.raises(MalformedFile) as caught:
        read_dat(data, "m/w.dat")
    assert caught.value.seen.startswith(starts)
    assert caught.value.file == "m/w.dat"


@pytest.mark.parametrize("item", [0, 4, 0x1000, 0x2040, 0x3040, 0x3080, 0x3081])
def test_tensor_types_of_tract_are_refused_by_name(item):
    with pytest.raises(Refused, match=r"w.dat: item type .* of tract, "):
        read_dat(dat(vendor=0x5452, item=item, bits=2**32 - 1, size=0), "w.dat")


@pytest.mark.parametrize("array", [np.zeros(1, "c8"), np.array(["a"]), np.zeros((1,) * 9)])
def test_arrays_without_file_form_are_refused(array):
    with pytest.raises(Refused, match=r"^write: "):
        write_dat(array)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_damage_to_a_tensor_is_an_error_or_an_array(junk, at):
    data = bytearray(dat(shape=(2, 3), bits=16, item=3))
    data[at : at + len(junk)] = junk
    with suppress(MalformedFile, Refused):
        read_dat(bytes(data), "w.dat")


# Archives.

FILES = {"b/w.dat": write_dat(np.arange(3.0)), "graph.nnef": GRAPH, "a.dat": dat()}


@pytest.fixture(params=["folder", "tar", "gzip"])
def stored(request, tmp_path):
    def store(files):
        path = tmp_path / "model"
        if request.param == "folder":
            for entry, data in files.items():
                (path / entry).parent.mkdir(parents=True, exist_ok=True)
                (path / entry).write_bytes(data)
        else:
            path.write_bytes(tar_of(*((entry, data) for entry, data in files.items())))
            if request.param == "gzip":
                path.write_bytes(gzip.compress(path.read_bytes()))
        return path

    return store


def tar_of(*entries, **changes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            member = tarfile.TarInfo(entry)
            member.size = len(data)
            for field, value in changes.items() if entry != "graph.nnef" else ():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_archive_is_read_from_any_container(stored):
    archive = read_archive(stored({**FILES, ".git/x": b"1", "sub/.hidden": b"2", "n.txt": b""}))
    assert list(archive.files) == ["a.dat", "b/w.dat", "graph.nnef", "n.txt"]
    assert dict(archive.files) == {**FILES, "n.txt": b""}
    assert archive.labels() == ("a", "b/w")
    assert archive.graph_text() == GRAPH.decode()
    for label in ("b/w", "/b/w"):
        tensor = archive.tensor(label)
        assert tensor is not None
        assert tensor.tolist() == [0, 1, 2]
    assert archive.tensor("../b/w") is None


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("graph.quant", "quantisation table"),
        ("sub.nnef.tgz", "sub-model"),
        ("sub.nnef.tar", "sub-model"),
        ("sub/graph.nnef", "sub-model"),
        ("w.safetensors", "safetensors"),
    ],
)
def test_entries_that_change_the_model_are_refused_by_name(stored, entry, word):
    with pytest.raises(Refused, match=rf"{entry}: {word}"):
        read_archive(stored({**FILES, entry: b"1"}))


@pytest.mark.parametrize("mark", [b"{{ name }}", b"{% if x %}"])
def test_template_is_refused(stored, mark):
    with pytest.raises(Refused, match=r"graph.nnef: template; render it first"):
        read_archive(stored({"graph.nnef": GRAPH + mark}))


def test_missing_graph_is_explained(stored):
    with pytest.raises(MalformedFile, match=r"no graph.nnef at the root; m/graph.nnef is there"):
        read_archive(stored({"m/graph.nnef": GRAPH}))


def test_graph_must_be_utf8(stored):
    with pytest.raises(MalformedFile, match=r"byte 0 of graph.nnef is not UTF-8"):
        read_archive(stored({"graph.nnef": b"\xff"})).graph_text()


def test_archive_that_is_not_there_or_is_none(tmp_path):
    with pytest.raises(MalformedFile, match="no such file or folder; check the path"):
        read_archive(tmp_path / "absent")
    for data in (b"", b"hello" * 200, b"\x1f\x8bjunk", gzip.compress(tar_of(("a", b"")))[:-9]):
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(MalformedFile):
            read_archive(tmp_path / "m")


@pytest.mark.parametrize("entry", ["../x", "../../etc/x", "/etc/x", "a/../../x", "./../x"])
def test_tar_entry_that_leaves_is_named(tmp_path, entry):
    (tmp_path / "m.tar").write_bytes(tar_of(("graph.nnef", GRAPH), (entry, b"")))
    with pytest.raises(MalformedFile, match=f"{entry}: read: this entry leaves the archive"):
        read_archive(tmp_path / "m.tar")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a link to "),
        (tarfile.LNKTYPE, "a link to "),
        (tarfile.CHRTYPE, "neither a plain file"),
        (tarfile.BLKTYPE, "neither a plain file"),
        (tarfile.FIFOTYPE, "neither a plain file"),
    ],
)
def test_tar_links_and_devices_are_named(tmp_path, kind, word):
    data = tar_of(("graph.nnef", GRAPH), ("w.dat", b""), type=kind, linkname="/etc/passwd")
    (tmp_path / "m.tar").write_bytes(data)
    with pytest.raises(MalformedFile, match=f"w.dat: read: {word}"):
        read_archive(tmp_path / "m.tar")


def test_damaged_tar_is_not_half_read(tmp_path):
    good = tar_of(("graph.nnef", GRAPH), ("w.dat", dat()))
    for bad in (good[:1700], good[:1024] + b"x" * 512 + good[1536:]):
        (tmp_path / "m.tar").write_bytes(bad)
        with pytest.raises(MalformedFile):
            read_archive(tmp_path / "m.tar")
    (tmp_path / "m.tar").write_bytes(tar_of(("graph.nnef", GRAPH), ("./graph.nnef", GRAPH)))
    with pytest.raises(MalformedFile, match="this entry is there twice"):
        read_archive(tmp_path / "m.tar")


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=80))
def test_any_damage_to_a_tar_is_an_error_or_an_archive(tmp_path_factory, at, junk):
    data = bytearray(tar_of(("graph.nnef", GRAPH), ("x" * 120, b"1"), ("w.dat", dat())))
    data[at : at + len(junk)] = junk
    path = tmp_path_factory.mktemp("tar") / "m.tar"
    path.write_bytes(data)
    with suppress(MalformedFile, Refused):
        read_archive(path)


def test_folder_links_may_not_leave(tmp_path):
    outside = tmp_path / "secret.dat"
    outside.write_bytes(b"1")
    root = tmp_path / "m"
    write_folder(root, FILES)
    (root / "inner.dat").symlink_to("a.dat")
    assert read_archive(root).files["inner.dat"] == FILES["a.dat"]
    for target, word in [
        (outside, "a symbolic link out of the folder"),
        (tmp_path, "a symbolic link out of the folder"),
        (root / "b", "neither a plain file nor a folder"),
        (root / "absent", "a symbolic link to nothing"),
        (root / "z.dat", "a symbolic link to nothing"),
    ]:
        (root / "z.dat").symlink_to(target)
        with pytest.raises(MalformedFile, match=f"z.dat: read: {word}"):
            read_archive(root)
        (root / "z.dat").unlink()


def test_folder_tensors_are_read_when_asked_for(tmp_path):
    write_folder(tmp_path / "m", FILES)
    archive = read_archive(tmp_path / "m")
    (tmp_path / "m/a.dat").unlink()
    assert "a.dat" in archive.files
    with pytest.raises(MalformedFile, match=r"m/a.dat: read: cannot be read"):
        archive.tensor("a")


def test_bombs_are_stopped(tmp_path):
    write_tar(tmp_path / "m", {**FILES, "zero.dat": bytes(1 << 20)}, gzip=True)
    assert len(read_archive(tmp_path / "m").files) == 4
    with pytest.raises(MalformedFile, match=r"more than 1000 bytes, .*unpack it"):
        read_archive(tmp_path / "m", limits=Limits(total_bytes=1000))
    with pytest.raises(MalformedFile, match="the most allowed for a file of this size"):
        read_archive(tmp_path / "m", limits=Limits(free_bytes=1000))
    with pytest.raises(MalformedFile, match="more than 3 entries"):
        read_archive(tmp_path / "m", limits=Limits(members=3))
    write_folder(tmp_path / "f", FILES)
    with pytest.raises(MalformedFile, match="more than 2 entries"):
        read_archive(tmp_path / "f", limits=Limits(members=2))
    with pytest.raises(MalformedFile, match="41 bytes, more than 9"):
        read_archive(tmp_path / "f", limits=Limits(graph_bytes=9))


@pytest.mark.parametrize("is_gzip", [False, True])
def test_written_archives_are_the_same_bytes(tmp_path, is_gzip):
    shuffled = dict(reversed(FILES.items()))
    write_tar(tmp_path / "a", FILES, gzip=is_gzip)
    write_tar(tmp_path / "b", shuffled, gzip=is_gzip)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as tar:
        assert tar.getnames() == ["graph.nnef", "a.dat", "b/w.dat"]
        assert {member.mtime for member in tar} == {315532800}
    assert dict(read_archive(tmp_path / "a").files) == FILES


def test_writers_refuse_to_overwrite_or_to_leave(tmp_path):
    write_folder(tmp_path / "m", FILES)
    for path in (tmp_path / "m", tmp_path / "m/a.dat"):
        with pytest.raises(Refused, match="exists and is not an empty folder"):
            write_folder(path, FILES)
    for entry in ("../x.dat", "/x.dat", ".x.dat", "a//b.dat", ""):
        with pytest.raises(Refused, match="has an empty component or one that begins with a dot"):
            write_folder(tmp_path / "n", {entry: b""})
        with pytest.raises(Refused, match="has an empty component or one that begins with a dot"):
            write_tar(tmp_path / "n", {entry: b""})
    assert not (tmp_path / "n").exists()
