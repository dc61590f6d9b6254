"""Symbolic dimensions: `Dim = int | TDim`, their constructors, questions, text and scopes."""

from __future__ import annotations

from tract_ref.dim.build import broadcast, ceil_div, eq, ge, product, sym, symbols
from tract_ref.dim.parse import Assertion, parse_assertion, parse_dim
from tract_ref.dim.query import evaluate, maybe_div, period, slope, solve_for, substitute
from tract_ref.dim.scope import Scenario, Scope
from tract_ref.dim.tdim import Dim, TDim, dim_max, dim_min, is_concrete

__all__ = [
    "Assertion",
    "Dim",
    "Scenario",
    "Scope",
    "TDim",
    "broadcast",
    "ceil_div",
    "dim_max",
    "dim_min",
    "eq",
    "evaluate",
    "ge",
    "is_concrete",
    "maybe_div",
    "parse_assertion",
    "parse_dim",
    "period",
    "product",
    "slope",
    "solve_for",
    "substitute",
    "sym",
    "symbols",
]
