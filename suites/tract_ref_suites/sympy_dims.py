"""Dimensions to sympy and back: an independent road to values, signs and expanded forms.

A comparison is a Piecewise of 1 and 0. A broadcast has no counterpart in sympy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from math import lcm
from typing import Any, TypeAlias

import sympy

from tract_ref.dim import Dim, TDim, dim_max, dim_min, eq, ge, sym
from tract_ref.dim.tdim import Atom
from tract_ref_suites.dims_text import Node, tree_of

# sympy has no types of its own; its operators give whatever they simplify to.
Expr: TypeAlias = Any
Ratio: TypeAlias = tuple[Dim, int]


class NotExpressedError(Exception):
    """One side has no form for what the other says."""


def symbol(name: str, *, nonnegative: bool = False) -> Expr:
    """Return the sympy symbol of a dimension."""
    if nonnegative:
        return sympy.Symbol(name, integer=True, nonnegative=True)
    return sympy.Symbol(name, integer=True)


def to_sympy(dim: Dim, *, nonnegative: Iterable[str] = (), natural: bool = True) -> Expr:
    """Return a dimension as a sympy expression.

    Args:
        dim: the dimension.
        nonnegative: names of symbols that sympy may take as >= 0.
        natural: let sympy simplify quotients and clamps as they are made; comparisons always are.

    Raises:
        NotExpressedError: the dimension has a broadcast.
    """
    if not isinstance(dim, TDim):
        return sympy.Integer(dim)
    positive = frozenset(nonnegative)
    known: dict[Atom, Expr] = {}
    for atom in dim.atoms:
        known[atom] = (
            symbol(atom.name, nonnegative=atom.name in positive)
            if atom.kind == "symbol"
            else _atom(atom, [_sum(p, known) for p in atom.pieces], natural)
        )
    return _sum(dim, known)


def _sum(dim: Dim, known: Mapping[Atom, Expr]) -> Expr:
    if not isinstance(dim, TDim):
        return sympy.Integer(dim)
    terms = [c * sympy.Mul(*(known[a] for a in monomial)) for monomial, c in dim.terms]
    return sympy.Add(*terms, dim.constant)


def _atom(atom: Atom, pieces: Sequence[Expr], natural: bool) -> Expr:
    if atom.kind == "floor":
        return sympy.floor(pieces[0] / atom.divisor, evaluate=natural)
    if atom.kind == "max":
        return sympy.Max(*pieces, evaluate=natural)
    if atom.kind in ("ge", "eq"):
        relation = sympy.Ge if atom.kind == "ge" else sympy.Eq
        return _truth(relation(pieces[0], 0))
    raise NotExpressedError(f"{atom}: sympy has no broadcast")


def _truth(condition: Expr) -> Expr:
    if condition in (sympy.true, sympy.false):
        return sympy.Integer(int(condition == sympy.true))
    # Evaluated, some conditions between floors are rewritten back and forth without an end.
    return sympy.Piecewise((1, condition), (0, True), evaluate=False)


def from_sympy(expression: Expr) -> Dim:
    """Return a sympy expression as a dimension.

    Raises:
        NotExpressedError: it is no integer polynomial of symbols, floors, Min, Max and comparisons.
    """
    above, below = _ratio(expression)
    if below != 1:
        raise NotExpressedError(f"{expression} is no integer")
    return above


def _ratio(expression: Expr) -> Ratio:
    """Return an expression as a dimension over a positive integer."""
    if expression.is_Rational:
        return int(expression.p), int(expression.q)
    if expression.is_Symbol:
        return sym(expression.name), 1
    if isinstance(expression, sympy.Piecewise):
        return _comparison(expression), 1
    if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        above, below = _ratio(expression.base)
        return reduce(lambda a, b: a * b, [above] * int(expression.exp)), below ** int(
            expression.exp
        )
    parts = [_ratio(part) for part in expression.args]
    if expression.is_Mul:
        return reduce(lambda a, b: (a[0] * b[0], a[1] * b[1]), parts)
    if isinstance(expression, sympy.floor):
        return parts[0][0] // parts[0][1], 1
    common = lcm(*(below for _, below in parts))
    scaled = [above * (common // below) for above, below in parts]
    if expression.is_Add:
        return _reduced(reduce(lambda a, b: a + b, scaled), common)
    if isinstance(expression, sympy.Max):
        return dim_max(*scaled), common
    if isinstance(expression, sympy.Min):
        return dim_min(*scaled), common
    raise NotExpressedError(f"{type(expression).__name__}: {expression}")


def _reduced(above: Dim, below: int) -> Ratio:
    quotient = above // below
    return (quotient, 1) if quotient * below == above else (above, below)


def _comparison(expression: Expr) -> Dim:
    """Return Piecewise((a, c1), (b, c2), ...) as a sum of truths times values."""
    total: Dim = 0
    left: Dim = 1
    for value, condition in expression.args:
        truth = _condition(condition)
        total = total + left * truth * from_sympy(value)
        left = left * (1 - truth)
    return total


def _condition(condition: Expr) -> Dim:
    if condition in (sympy.true, sympy.false):
        return int(condition is sympy.true)
    if isinstance(condition, sympy.And):
        return reduce(lambda a, b: a * b, [_condition(part) for part in condition.args])
    if isinstance(condition, sympy.Or):
        return 1 - reduce(lambda a, b: a * b, [1 - _condition(part) for part in condition.args])
    if isinstance(condition, sympy.Not):
        return 1 - _condition(condition.args[0])
    if isinstance(condition, sympy.ITE):
        test, yes, no = (_condition(part) for part in condition.args)
        return test * yes + (1 - test) * no
    if not isinstance(condition, sympy.core.relational.Relational):
        raise NotExpressedError(f"the condition {condition}")
    (a, below_a), (b, below_b) = _ratio(condition.lhs), _ratio(condition.rhs)
    left, right = a * below_b, b * below_a
    by_kind: dict[type[object], Dim] = {
        sympy.Ge: ge(left, right),
        sympy.Gt: ge(left, right + 1),
        sympy.Le: ge(right, left),
        sympy.Lt: ge(right, left + 1),
        sympy.Eq: eq(left, right),
        sympy.Ne: 1 - eq(left, right),
    }
    return by_kind[type(condition)]


def text_to_sympy(text: str, *, nonnegative: Iterable[str] = ()) -> Expr:
    """Return a text as a sympy expression, without passing through `tract_ref.dim`.

    Raises:
        NotExpressedError: the text has a broadcast.
    """
    return _node(tree_of(text), frozenset(nonnegative))


def _node(node: Node, nonnegative: frozenset[str]) -> Expr:
    if not node.parts:
        is_number = node.kind.isdecimal()
        return (
            sympy.Integer(node.kind)
            if is_number
            else symbol(node.kind, nonnegative=node.kind in nonnegative)
        )
    parts = [_node(part, nonnegative) for part in node.parts]
    match node.kind:
        case "+":
            return sympy.Add(*parts)
        case "-":
            return parts[0] - parts[1]
        case "*":
            return sympy.Mul(*parts)
        case "/":
            return sympy.floor(parts[0] / parts[1])
        case "neg":
            return -parts[0]
        case "max":
            return sympy.Max(*parts)
        case "min":
            return sympy.Min(*parts)
        case "floor":
            return parts[0]
        case ">=":
            return _truth(sympy.Ge(*parts))
        case "==":
            return _truth(sympy.Eq(*parts))
        case _:
            raise NotExpressedError(f"sympy has no {node.kind}")


def value_by_sympy(expression: Expr, bindings: Mapping[str, int]) -> int:
    """Return the value of an expression at integers."""
    by_symbol = {s: sympy.Integer(bindings[s.name]) for s in expression.free_symbols}
    return int(expression.xreplace(by_symbol))
