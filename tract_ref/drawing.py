"""Whole inputs of a batch model: drawn ones, and the stream length that given ones announce."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tract_ref.dim import Scope, evaluate, sym, symbols
from tract_ref.errors import EvalError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model
from tract_ref.runtime.plan import Plan

# Longest gap between the lengths of two scenarios that is looked across.
_GAP = 1 << 12


def inputs_for(model: Model, symbol: str, length: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw whole inputs of a batch model: normal floats, small integers, random booleans.

    Raises:
        EvalError: an input mentions a symbol other than the stream symbol.
    """
    require_bound(model, symbol)
    rng = np.random.default_rng(seed)
    drawn: dict[str, Tensor] = {}
    for outlet in model.inputs:
        fact = model.fact(outlet)
        name = model.nodes[outlet.node].name
        shape = tuple(max(0, evaluate(dim, {symbol: length})) for dim in fact.shape)
        drawn[name] = _draw(rng, fact, shape)
    return drawn


def require_bound(model: Model, symbol: str) -> None:
    """Require that the inputs mention no symbol but that of the stream.

    Raises:
        EvalError: an input does.
    """
    for outlet in model.inputs:
        fact = model.fact(outlet)
        others = sorted({s for dim in fact.shape for s in symbols(dim)} - {symbol})
        if others:
            raise EvalError(
                f"input {model.nodes[outlet.node].name!r} of fact {fact} has the free symbol "
                f"{others[0]}",
                stage="run",
                remedy=f"set it with --set {others[0]}=1",
            )


def _draw(rng: np.random.Generator, fact: Fact, shape: tuple[int, ...]) -> Tensor:
    if fact.dtype.kind == "f":
        return rng.standard_normal(shape).astype(fact.dtype)
    if fact.dtype.kind == "b":
        return rng.random(shape) < 0.5
    low = -8 if fact.dtype.kind == "i" else 0
    return rng.integers(low, 9, shape).astype(fact.dtype)


def admitted_length(scope: Scope, symbol: str, size: int) -> int:
    """Return the stream length closest to `size` that the assertions about the symbol admit."""
    low, high = scope.bounds(sym(symbol))
    size = max(size, low or 0)
    size = size if high is None else min(size, high)
    # Two scenarios may leave a gap between them.
    for length in (*range(size, size + _GAP), *range(size - 1, -1, -1)):
        if scope.holds({symbol: length}) is not False:
            return length
    return size


def source_frames(batch: Model, symbol: str, inputs: Mapping[str, Tensor]) -> int:
    """Return the stream length that whole inputs announce.

    Raises:
        EvalError: they do not tell it.
    """
    bound = Plan(batch, fast=False).bind(inputs, {})
    if symbol not in bound:
        raise EvalError(f"the inputs do not tell the stream length {symbol}")
    return bound[symbol]
