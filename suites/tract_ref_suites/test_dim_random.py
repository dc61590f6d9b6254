"""Symbolic dimensions at random: grids of integers, sympy, and bounded work.

The oracle of a value is plain Python arithmetic on the expression as written, or sympy.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import tract_ref.dim
from tract_ref.dim import (
    Dim,
    Scope,
    TDim,
    dim_max,
    dim_min,
    evaluate,
    maybe_div,
    parse_dim,
    period,
    slope,
    substitute,
    sym,
)
from tract_ref.errors import Inconclusive
from tract_ref_suites.strategies.dims import NAMES, Written, tdims

S, T, P = sym("S"), sym("T"), sym("P")


GRID: list[dict[str, int]] = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product((-3, -1, 0, 1, 2, 5, 8), (-2, 0, 1, 7), (-1, 1, 4))
]


WIDE: list[dict[str, int]] = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product(range(-3, 9, 2), range(-4, 9, 3), range(-2, 7, 2))
]


ASSERTIONS = (
    "S >= 0",
    "S <= 7",
    "S < T",
    "T >= 1",
    "P == 2",
    "S == T + 1",
    "2*S <= T + P",
    "S + T <= 9",
    "max(S,T) >= 3",
    "min(S,P) >= 1",
    "S*T >= P",
    "S/2 >= P",
)


def _nodes(dim: Dim) -> int:
    """Count the atoms and terms of a dimension, each shared atom once."""
    if not isinstance(dim, TDim):
        return 1
    inner = sum(len(p.terms) for a in dim.atoms for p in a.pieces if isinstance(p, TDim))
    return len(dim.terms) + len(dim.atoms) + inner


def _calls(work: Callable[[], object]) -> int:
    """Count the function calls a piece of work makes inside `tract_ref.dim`."""
    folder = str(Path(tract_ref.dim.__file__).parent)
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(folder):  # type: ignore[attr-defined]
            count += 1

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return count


@given(written=tdims())
def test_normal_form_keeps_the_value(written: Written) -> None:
    for bindings in GRID:
        assert evaluate(written.dim, bindings) == written.raw(bindings), bindings


@given(written=tdims())
def test_text_round_trip(written: Written) -> None:
    assert parse_dim(str(written.dim)) == written.dim
    assert parse_dim(written.text) == written.dim


@given(written=tdims(), other=tdims(max_leaves=4))
def test_substitution_keeps_the_value(written: Written, other: Written) -> None:
    replaced = substitute(written.dim, {"S": other.dim})
    for bindings in GRID[::3]:
        inner = {**bindings, "S": other.raw(bindings)}
        assert evaluate(replaced, bindings) == written.raw(inner), bindings


@given(left=tdims(max_leaves=5), right=tdims(max_leaves=5))
def test_sums_and_products_are_canonical(left: Written, right: Written) -> None:
    a, b = left.dim, right.dim
    assert a + b - b == a
    assert a * b == b * a
    assert a - b == -(b - a)
    assert dim_max(a, b) == dim_max(b, a)
    assert dim_max(a, b, a) == dim_max(a, dim_max(a, b))
    assert (7 * a) // 7 == a


@given(written=tdims(), known=st.lists(st.sampled_from(ASSERTIONS), max_size=4, unique=True))
def test_scope_answers_are_true(written: Written, known: list[str]) -> None:
    scope = Scope(known)
    simple = scope.simplify(written.dim)
    low, high = scope.bounds(written.dim)
    equal = scope.decide_equal(written.dim, 3)
    for bindings in WIDE:
        if scope.holds(bindings):
            value = written.raw(bindings)
            assert evaluate(simple, bindings) == value
            assert low is None or low <= value
            assert high is None or value <= high
            assert equal is None or equal == (value == 3)


@given(written=tdims(comparisons=False, names=("S",)))
def test_rate_and_period_describe_large_values(written: Written) -> None:
    try:
        rate, step = slope(written.dim, "S"), period(written.dim, "S")
    except Inconclusive:
        return
    start = 10**9
    for s in range(start, start + 3):
        moved = written.raw({"S": s + step}) - written.raw({"S": s})
        assert moved == rate * step


@given(left=tdims(max_leaves=5, comparisons=False), right=tdims(max_leaves=4, comparisons=False))
def test_a_product_divides_back(left: Written, right: Written) -> None:
    if right.dim == 0:
        return
    quotient, divisor = maybe_div(left.dim * right.dim, right.dim)
    assert quotient == left.dim * divisor


@given(written=tdims(comparisons=False, max_leaves=5))
def test_sympy_agrees(written: Written) -> None:
    names = {name: sympy.Symbol(name, integer=True) for name in NAMES}
    text = written.text.replace("max(", "Max(").replace("min(", "Min(")
    expression = _sympy_of(text, names)
    for bindings in GRID[::17]:
        expected = expression.subs({names[name]: v for name, v in bindings.items()})
        assert sympy.Integer(evaluate(written.dim, bindings)) == expected


class _Floored:
    """A sympy expression whose `/` is floor, so that Python reads the written text."""

    def __init__(self, expression: sympy.Expr) -> None:
        self.expression = expression

    def __add__(self, other: object) -> _Floored:
        return _Floored(self.expression + _plain(other))

    def __sub__(self, other: object) -> _Floored:
        return _Floored(self.expression - _plain(other))

    def __mul__(self, other: object) -> _Floored:
        return _Floored(self.expression * _plain(other))

    def __truediv__(self, other: object) -> _Floored:
        return _Floored(sympy.floor(self.expression / _plain(other)))

    def __neg__(self) -> _Floored:
        return _Floored(-self.expression)


def _plain(value: object) -> sympy.Expr:
    return value.expression if isinstance(value, _Floored) else sympy.Integer(value)


def _sympy_of(text: str, names: dict[str, sympy.Symbol]) -> sympy.Expr:
    scope: dict[str, object] = {name: _Floored(s) for name, s in names.items()}
    scope["N"] = lambda n: _Floored(sympy.Integer(n))
    scope["Max"] = lambda a, b: _Floored(sympy.Max(_plain(a), _plain(b)))
    scope["Min"] = lambda a, b: _Floored(sympy.Min(_plain(a), _plain(b)))
    # Wrap numbers, because Python's own 7/2 is a float.
    tokens = ["N(" + t + ")" if t.isdigit() else t for t in _split(text)]
    return _plain(eval("".join(tokens), {"__builtins__": {}}, scope))


def _split(text: str) -> list[str]:
    parts: list[str] = []
    for letter in text:
        if parts and letter.isdigit() and parts[-1].isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


def test_a_thousand_windows_keep_their_size() -> None:
    def chain(layers: int) -> Dim:
        length: Dim = S
        for i in range(layers):
            before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
            length = dim_max(0, (length + before - field) // stride + 1)
            assert _nodes(length) <= 8, f"layer {i}: {length}"
        return length

    short, long = _calls(lambda: chain(100)), _calls(lambda: chain(1000))
    assert long <= 12 * short
    length = chain(1000)
    for s in (0, 5, 10**4, 10**9):
        expected = s
        for i in range(1000):
            before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
            expected = max(0, (expected + before - field) // stride + 1)
        assert evaluate(length, {"S": s}) == expected


def _nested_windows(depth: int) -> tuple[Scope, Dim]:
    names = [f"H{i}" for i in range(depth)]
    scope = Scope(["S>=0", *(f"{n}>=0" for n in names), *(f"{n}<=2" for n in names)])
    dim: Dim = S
    for name in names:
        dim = dim_max(0, dim + sym(name) - 2)
    return scope, dim


def _nested_ramps(depth: int) -> tuple[Scope, Dim]:
    dim: Dim = P
    for i in range(1, depth + 1):
        dim = dim_max(0, dim + dim_min(T * P, 2 * i) - 2 * i)
    return Scope(["P>=1", "T>=0"]), dim


@pytest.mark.parametrize("family", [_nested_windows, _nested_ramps])
def test_nested_clamps_take_bounded_work(family: Callable[[int], tuple[Scope, Dim]]) -> None:
    def work(depth: int) -> int:
        def run() -> None:
            scope, dim = family(depth)
            scope.simplify(dim)

        return _calls(run)

    shallow, deep = work(8), work(64)
    # Eight times the depth, at most cubic growth; tract's growth is 4-fold per level.
    assert deep <= 8**3 * shallow
    scope, dim = family(64)
    scope.simplify(dim)
    assert scope.steps <= 64 * 1000
    assert _nodes(dim) <= 64 * 64 * 3


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    _, dim = _nested_ramps(400)
    assert evaluate(dim, {"T": 3, "P": 4}) == 0
    assert substitute(dim, {"T": 3, "P": 4}) == 0
    assert len(str(dim)) < 400 * 60
    assert Scope(["P>=1", "T>=0"]).bounds(dim)[0] == 0


def test_round_trip_of_nested_clamps() -> None:
    for family in (_nested_windows, _nested_ramps):
        dim = family(24)[1]
        assert parse_dim(str(dim)) is dim
