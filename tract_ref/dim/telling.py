"""Which law a constructor applied, found from what went in and what came out.

Called while somebody records only; it reads dimensions and makes no new kind of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from tract_ref.dim import trace
from tract_ref.dim.order import piece_key

if TYPE_CHECKING:
    from tract_ref.dim.tdim import Dim

Stage: TypeAlias = "tuple[trace.Law, Sequence[Dim], Sequence[Dim]]"


def tell_sum(name: Literal["add", "subtract"], operands: tuple[Dim, ...], result: Dim) -> None:
    """Name what a sum did to clamps, where it has any, since that is what its text shows."""
    before, after = sum(_clamps(d) for d in operands), _clamps(result)
    law = trace.COLLECT
    if after < before:
        law = trace.CANCEL_CLAMPS
    elif after > 1:
        law = trace.RELATIVE_CLAMP
    elif after:
        law = trace.SHIFT_CLAMP
    if all(isinstance(d, int) for d in operands):
        law = trace.NUMBERS
    trace.tell(law, name, operands, result)


def _clamps(dim: Dim) -> int:
    terms = () if isinstance(dim, int) else dim.terms
    return sum(len(m) == 1 and m[0].kind == "max" for m, _ in terms)


def tell_product(
    name: Literal["negate", "multiply"], operands: tuple[Dim, ...], result: Dim
) -> None:
    """Name what a product did: multiplied terms, a clamp, or a comparison with itself."""
    law = trace.SCALE
    if isinstance(operands[-1], int):
        # 3*S arrives as S*3.
        operands = operands[::-1]
    if all(not isinstance(d, int) for d in operands) and len(operands) == 2:
        law = trace.DISTRIBUTE if _degree(result) == sum(map(_degree, operands)) else trace.ZERO_ONE
    elif any(_clamps(d) for d in operands):
        law = trace.SCALE_CLAMP
    trace.tell(law, name, operands, result)


def _degree(dim: Dim) -> int:
    return 0 if isinstance(dim, int) else max(len(m) for m, _ in dim.terms)


def tell_quotient(
    numerators: tuple[Dim, Dim], divisor: int, common: int, found: tuple[Dim, Dim]
) -> None:
    """Tell which of the two laws of a quotient did something.

    Args:
        numerators: as given, and with each coefficient reduced into [0, divisor).
        divisor: of both.
        common: factor that was cancelled.
        found: the quotient of the reduced numerator, and of the given one.
    """
    given, reduced = numerators
    if common > 1:
        trace.tell(trace.COMMON, "floor", (reduced,), found[0], divisor=divisor)
    if reduced is not given:
        trace.tell(trace.REMAINDER, "floor", (given,), found[1], divisor=divisor)


def tell_clamp(sign: int, result: Dim, *stages: Stage) -> None:
    """Tell each stage of a maximum that changed its pieces.

    Args:
        sign: -1 when the maximum stands for a negated minimum, which is told instead.
        result: what the maximum became.
        stages: law, pieces before, pieces after; the last stage first.
    """
    name: Literal["max", "min"] = "max" if sign > 0 else "min"
    with trace.silent():
        after = sign * result
        told = [(law, [sign * d for d in a]) for law, a, b in stages if list(a) != list(b)]
    for law, operands in told:
        if law in (trace.RELATIVE_CLAMP, trace.CLAMP_FACTOR):
            # Of how a clamp is kept its text shows nothing but this order.
            operands.sort(key=piece_key)
        trace.tell(law, name, tuple(operands), after)
