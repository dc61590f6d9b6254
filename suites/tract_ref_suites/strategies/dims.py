"""Random dimensions, each with an evaluator that shares no code with `tract_ref.dim`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tract_ref.dim import Dim, broadcast, ceil_div, dim_max, dim_min, eq, ge, sym
from tract_ref.errors import InvalidModel
from tract_ref_suites.dims_text import NoValueError

Raw = Callable[[Mapping[str, int]], int]

NAMES: tuple[str, ...] = ("S", "T", "P")
MAX_LEAVES = 8


@dataclass(frozen=True)
class Written:
    """A dimension, the text it was written as, and its value by plain Python."""

    text: str
    dim: Dim
    raw: Raw = field(repr=False)


def _number(n: int) -> Written:
    return Written(str(n), n, lambda _: n)


def _symbol(name: str) -> Written:
    return Written(name, sym(name), lambda b: b[name])


def _add(a: Written, b: Written) -> Written:
    return Written(f"({a.text} + {b.text})", a.dim + b.dim, lambda e: a.raw(e) + b.raw(e))


def _sub(a: Written, b: Written) -> Written:
    return Written(f"({a.text} - {b.text})", a.dim - b.dim, lambda e: a.raw(e) - b.raw(e))


def _mul(a: Written, b: Written) -> Written:
    return Written(f"({a.text} * {b.text})", a.dim * b.dim, lambda e: a.raw(e) * b.raw(e))


def _max(a: Written, b: Written) -> Written:
    return Written(
        f"max({a.text}, {b.text})", dim_max(a.dim, b.dim), lambda e: max(a.raw(e), b.raw(e))
    )


def _min(a: Written, b: Written) -> Written:
    return Written(
        f"min({a.text}, {b.text})", dim_min(a.dim, b.dim), lambda e: min(a.raw(e), b.raw(e))
    )


def _ge(a: Written, b: Written) -> Written:
    return Written(f"({a.text} >= {b.text})", ge(a.dim, b.dim), lambda e: int(a.raw(e) >= b.raw(e)))


def _eq(a: Written, b: Written) -> Written:
    return Written(f"({a.text} == {b.text})", eq(a.dim, b.dim), lambda e: int(a.raw(e) == b.raw(e)))


def _broadcast(a: Written, b: Written) -> Written:
    """Two numbers that cannot stretch to each other are no dimension: the first stays alone."""
    try:
        dim = broadcast(a.dim, b.dim)
    except InvalidModel:
        return a

    def raw(bindings: Mapping[str, int]) -> int:
        longer = {a.raw(bindings), b.raw(bindings)} - {1}
        if len(longer) > 1:
            raise NoValueError(f"broadcast of {sorted(longer)}")
        return longer.pop() if longer else 1

    return Written(f"({a.text} # {b.text})", dim, raw)


def _div(a: Written, q: int) -> Written:
    return Written(f"({a.text} / {q})", a.dim // q, lambda e: a.raw(e) // q)


def _ceil(a: Written, q: int) -> Written:
    return Written(f"(({a.text} + {q - 1}) / {q})", ceil_div(a.dim, q), lambda e: -(-a.raw(e) // q))


def tdims(
    *,
    names: tuple[str, ...] = NAMES,
    comparisons: bool = True,
    clamps: bool = True,
    quotients: bool = True,
    broadcasts: bool = False,
    max_leaves: int = MAX_LEAVES,
) -> st.SearchStrategy[Written]:
    """Draw a dimension over the named symbols.

    With broadcasts, `raw` raises NoValueError where one is not defined.
    """
    leaves = st.integers(-6, 9).map(_number) | st.sampled_from(names).map(_symbol)
    pairs = [_add, _sub, _add, _sub, _mul]
    pairs += [_max, _min, _max, _min] if clamps else []
    pairs += [_ge, _eq] if comparisons else []
    pairs += [_broadcast, _broadcast, _broadcast] if broadcasts else []

    def extend(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
        binary = st.builds(lambda f, a, b: f(a, b), st.sampled_from(pairs), inner, inner)
        quotient = st.builds(
            lambda f, a, q: f(a, q), st.sampled_from([_div, _ceil]), inner, st.integers(1, 6)
        )
        return binary | quotient if quotients else binary

    return st.recursive(leaves, extend, max_leaves=max_leaves)
