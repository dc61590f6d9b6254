"""Dims as NNEF expressions.

In NNEF text `/` and `*` are left associative with one priority, in a dim's own text `/` binds
tighter than `*`; so a dim is written from its structure, never by pasting its text.
"""

from __future__ import annotations

from tract_ref.dim import Dim, TDim
from tract_ref.dim.tdim import Atom
from tract_ref.errors import Refused
from tract_ref.nnef import ast


def dim_expression(dim: Dim) -> ast.Expr:
    """Return the expression that reads back as `dim`.

    Raises:
        Refused: the dim holds a broadcast or a comparison, which NNEF cannot say.
    """
    if isinstance(dim, int):
        return ast.Number(dim)
    result: ast.Expr | None = None
    for monomial, coefficient in dim.terms:
        term = _monomial(monomial, abs(coefficient))
        if result is None:
            result = term if coefficient > 0 else ast.Binary("-", ast.Number(0), term)
        else:
            result = ast.Binary("+" if coefficient > 0 else "-", result, term)
    if result is None:
        return ast.Number(dim.constant)
    if dim.constant:
        sign = "+" if dim.constant > 0 else "-"
        result = ast.Binary(sign, result, ast.Number(abs(dim.constant)))
    return result


def _monomial(monomial: tuple[Atom, ...], coefficient: int) -> ast.Expr:
    result: ast.Expr | None = ast.Number(coefficient) if coefficient != 1 else None
    for atom in monomial:
        factor = _atom(atom)
        result = factor if result is None else ast.Binary("*", result, factor)
    return result if result is not None else ast.Number(coefficient)


def _atom(atom: Atom) -> ast.Expr:
    if atom.kind == "symbol":
        return ast.Identifier(atom.name)
    if atom.kind == "floor":
        return ast.Binary("/", dim_expression(atom.pieces[0]), ast.Number(atom.divisor))
    if atom.kind == "max":
        args = tuple(ast.Arg(None, dim_expression(piece)) for piece in atom.pieces)
        return ast.Call("max", None, args)
    raise Refused(
        f"the dim {atom} has no NNEF form", stage="write", remedy="set the symbols that it compares"
    )


def symbols_of(dims: tuple[Dim, ...]) -> set[str]:
    """Return the symbols of several dims."""
    return {name for dim in dims if isinstance(dim, TDim) for name in dim.symbols}
