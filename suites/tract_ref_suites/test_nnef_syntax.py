"""NNEF documents: literals, expressions, errors with a caret, linear work."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import pytest

from tract_ref.errors import MalformedFile, Refused
from tract_ref.nnef import ast
from tract_ref.nnef.lexer import Cursor
from tract_ref.nnef.parser import MAX_DEPTH, ExpressionReader, parse_document, parse_expression
from tract_ref.nnef.printer import print_expression

HEAD = "version 1.0;\n"


def parse(text: str) -> Any:
    return parse_expression(text)


def name(text):
    return ast.Identifier(text)


def num(value):
    return ast.Number(value)


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
