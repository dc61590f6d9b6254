"""Symbols of the graph inputs: what the names of dims in an ONNX file stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tract_ref.dim import Dim, TDim, parse_dim, sym, symbols
from tract_ref.dim.build import is_name
from tract_ref.errors import InvalidModel, MalformedFile

_LONGEST_DIM = 200


class InputSymbols:
    """Dims of the graph inputs: one symbol per `dim_param`, expressions where they parse.

    An expression over several symbols is taken as one only if at most one of them is not the dim of
    an axis by itself: `past + seq` is arithmetic where `past` is a dim, `batch-size` is a name.
    """

    def __init__(self, params: Sequence[str]) -> None:
        self._params: dict[str, Dim] = {p: sym(p) for p in params if is_name(p)}
        alone = set(self._params)
        self._taken = set(alone)
        for param in params:
            dim = None if param in alone else _parsed(param)
            if dim is not None and len(symbols(dim) - alone) <= 1:
                self._params[param] = dim
                self._taken |= symbols(dim)

    def param(self, param: str, fallback: str) -> Dim:
        """Return the dim of a `dim_param`; one without letters and digits is anonymous."""
        if param not in self._params:
            if not any(c.isalnum() for c in param):
                return self.fresh(fallback)
            self._params[param] = self.fresh(param)
        return self._params[param]

    def fresh(self, name: str) -> TDim:
        """Return a new symbol, named as closely as the grammar of dims admits."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)
        base = base if base and not base[0].isdigit() else f"_{base}"
        found, number = base, 0
        while found in self._taken:
            number += 1
            found = f"{base}_{number}"
        self._taken.add(found)
        return sym(found)


def _parsed(text: str) -> Dim | None:
    """Return a dim expression, None for a name or what other grammars read otherwise."""
    # `2*T/3` is (2*T)/3 for some and 2*(T/3) for others.
    if len(text) > _LONGEST_DIM or ("*" in text and "/" in text):
        return None
    try:
        dim = parse_dim(text)
    except (MalformedFile, InvalidModel):
        return None
    return None if isinstance(dim, int) and dim < 0 else dim
