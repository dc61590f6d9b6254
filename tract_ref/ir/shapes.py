"""Pure functions of shapes: broadcasting, and what a reshape changes."""

from __future__ import annotations

from tract_ref.dim import Dim, broadcast, maybe_div, product
from tract_ref.errors import Inconclusive, InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import Fact, Shape


def shape_text(dims: Shape) -> str:
    """Return dims as [a,b,..]."""
    return "[" + ",".join(str(dim) for dim in dims) + "]"


def require_axis(axis: int, rank: int, data: Fact, what: str = "axis") -> None:
    """Raise InvalidModel unless `axis`, which the op calls `what`, is one of `rank` axes."""
    if not 0 <= axis < rank:
        raise InvalidModel(
            f"{what}={axis} for an input {data}", remedy=f"use an axis from 0 to {rank - 1}"
        )


def contradicts(seen: Shape, said: Shape) -> bool:
    """Say whether two shapes of one rank have different numbers on one axis."""
    pairs = zip(seen, said, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)


def broadcast_shapes(facts: tuple[Fact, ...]) -> Shape:
    """Return the shape that inputs of equal ranks take together.

    Raises:
        InvalidModel: ranks differ, or two different sizes, neither of them 1, meet on one axis.
    """
    shown = " and ".join(str(fact) for fact in facts)
    if len({fact.rank for fact in facts}) > 1:
        raise InvalidModel(
            f"inputs {shown} have different ranks; ranks must be equal",
            remedy="insert axes of size 1",
        )
    shape: list[Dim] = []
    for axis, dims in enumerate(zip(*(fact.shape for fact in facts), strict=True)):
        try:
            shape.append(broadcast(*dims))
        except InvalidModel:
            sizes = " and ".join(str(dim) for dim in dims)
            raise InvalidModel(
                f"inputs {shown} have {sizes} positions on axis {axis}; sizes must be equal or 1",
                remedy="give them one size, or repeat one of them",
            ) from None
    return tuple(shape)


def broadcast_axes(inputs: tuple[Fact, ...], output: Fact) -> AxesMapping:
    """Axis k is axis k, except in an input that is repeated along it."""
    return AxesMapping(
        tuple(
            Track(tuple(axis if f.shape[axis] == dim else None for f in inputs), (axis,))
            for axis, dim in enumerate(output.shape)
        )
    )


def reshape_groups(shape: Shape, wanted: Shape) -> list[tuple[int, Shape, Shape]]:
    """Return the smallest windows that differ between two shapes of the same volume.

    Returns:
        Per window, from left to right, the axis of the output where it starts, the dims before and
        the dims after. Equal dims are in no window; a 1 alone is one, before or after.
    """
    if 0 in shape or 0 in wanted:
        return [] if shape == wanted else [(0, shape, wanted)]
    groups: list[tuple[int, Shape, Shape]] = []
    at = 0
    while shape or wanted:
        if shape and wanted and shape[0] == wanted[0]:
            taken, made = 1, 1
        else:
            taken, made = _smallest_group(shape, wanted)
            groups.append((at, shape[:taken], wanted[:made]))
        shape, wanted, at = shape[taken:], wanted[made:], at + made
    return groups


def _smallest_group(shape: Shape, wanted: Shape) -> tuple[int, int]:
    for total in range(1, len(shape) + len(wanted)):
        for taken in range(max(0, total - len(wanted)), min(total, len(shape)) + 1):
            if product(shape[:taken]) == product(wanted[: total - taken]):
                return taken, total - taken
    return len(shape), len(wanted)


def inferred_shape(shape: Shape, wanted: Shape, *, zero_copies: bool) -> Shape:
    """Return what a reshape asks for, with 0 and -1 replaced by the dims that they stand for.

    Args:
        shape: the dims that are there.
        wanted: the dims asked for; one of them may be -1: what remains of the volume.
        zero_copies: a 0 stands for the dim of the same index; otherwise it is a dim of 0.

    Raises:
        InvalidModel: the -1 cannot be found, or there are several.
    """
    dims: list[Dim] = [
        shape[i] if zero_copies and isinstance(d, int) and d == 0 and i < len(shape) else d
        for i, d in enumerate(wanted)
    ]
    unknown = [i for i, d in enumerate(dims) if isinstance(d, int) and d == -1]
    if not unknown:
        return tuple(dims)
    known = product(tuple(d for d in dims if not (isinstance(d, int) and d == -1)))
    found = _quotient(product(shape), known) if len(unknown) == 1 else None
    if found is None:
        raise InvalidModel(
            f"{shape_text(shape)} does not reshape to {shape_text(wanted)}: a -1 cannot be found",
            remedy="write the dim itself",
        )
    dims[unknown[0]] = found
    return tuple(dims)


def _quotient(volume: Dim, known: Dim) -> Dim | None:
    if isinstance(known, int) and known == 0:
        return 0 if volume == 0 else None
    try:
        quotient, divisor = maybe_div(volume, known)
    except Inconclusive:
        return None
    return quotient if divisor == 1 else None
