"""Symbols for sizes that are known only when an op has run."""

from __future__ import annotations

import re

from tract_ref.dim import Assertion, TDim, sym
from tract_ref.ir.model import Model


def fresh_symbol(model: Model, name: str) -> TDim:
    """Return a symbol that no wire of a model mentions, asserted to be 0 or more.

    Args:
        model: the model; its scope learns the assertion.
        name: what the symbol is to be called, as closely as the grammar of dims admits.
    """
    base = re.sub(r"[^A-Za-z0-9_]", "_", name)
    base = base if base and not base[0].isdigit() else f"_{base}"
    facts = [fact for node in model.nodes.values() for fact in node.outputs]
    found, number = base, 0
    while any(fact.mentions(found) for fact in facts):
        number += 1
        found = f"{base}_{number}"
    symbol = sym(found)
    model.scope = model.scope.asserting(Assertion(symbol, ">=", 0))
    return symbol
