"""What output_facts says about single elements: the glue between facts and per-element values.

An annotation is a claim about every element, so an op that is not asked makes none. Coordinates of
an axis of one position are written as 0, which is what lets a broadcast operand keep its value.

Source: spec/attention.md 1.4. Differs from tract: shifts of slices and pads, strict comparisons,
float constants and float quotients are exact, or there is no annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tract_ref.dim import Dim, Scope, TDim, dim_max, dim_min, ge, product
from tract_ref.ir.fact import Fact, Shape, Tensor
from tract_ref.ir.per_element import (
    Domain,
    PerElement,
    choose,
    coordinate,
    of_number,
    within,
)

OneInput = Callable[[PerElement, Domain], PerElement | None]
TwoInputs = Callable[[PerElement, PerElement, Domain], PerElement | None]
# Terms and atoms of an expression that is worth keeping; masks of real models have a dozen.
_MOST_TERMS = 64


def annotated(out: Fact, value: PerElement | None, *, moved: bool = False) -> Fact:
    """Return a fact with a value per element, without one where the dtype might not hold it.

    Args:
        out: the fact of an output.
        value: what its elements are, over its own coordinates.
        moved: elements only change place, nothing was computed.
    """
    if value is None:
        return out
    ones = {axis: 0 for axis in value.axes if out.shape[axis] == 1}
    value = value.remap(ones)
    numerator = value.numerator
    if isinstance(numerator, TDim) and _is_large(numerator):
        return out
    if not moved and not Domain(out.dtype, out.shape).takes(value):
        return out
    return replace(out, per_element=value)


def _is_large(dim: TDim) -> bool:
    return max(len(dim.terms), len(dim.atoms)) > _MOST_TERMS


def operand(data: Fact, shape: Shape) -> PerElement | None:
    """Return the value of an operand at the coordinates of an output of the same rank.

    None where the operand may turn out to be repeated along an axis that its value varies on.
    """
    value = data.per_element
    if value is None or any(data.shape[axis] != shape[axis] for axis in value.axes):
        return None
    return value


def mapped(out: Fact, data: Fact, rule: OneInput | None) -> Fact:
    """Annotate an element-wise op of one input."""
    value = data.per_element
    if rule is None or value is None:
        return out
    return annotated(out, rule(value, Domain(data.dtype, data.shape)))


def combined(out: Fact, inputs: Sequence[Fact], rule: TwoInputs | None) -> Fact:
    """Annotate an element-wise op of two inputs."""
    if rule is None:
        return out
    a, b = (operand(fact, out.shape) for fact in inputs)
    if a is None or b is None:
        return out
    return annotated(out, rule(a, b, Domain(inputs[0].dtype, out.shape)))


def selected(out: Fact, inputs: Sequence[Fact]) -> Fact:
    """Annotate a choice; one that is proved has the value that is taken."""
    condition, a, b = (operand(fact, out.shape) for fact in inputs)
    domain = Domain(out.dtype, out.shape)
    if condition is None:
        return out
    if a is not None and b is not None:
        return annotated(out, choose(condition, a, b, domain), moved=True)
    if domain.proves_ge(condition.numerator, 1):
        return annotated(out, a, moved=True)
    return annotated(out, b, moved=True) if domain.proves_ge(0, condition.numerator) else out


def carried(out: Fact, data: Fact, places: Mapping[int, Dim] | None) -> Fact:
    """Annotate an op that takes every element of its output from one element of an input.

    Args:
        out: the fact of the output.
        data: the fact of the input.
        places: per input axis, the position that is read; axes that are not named keep their
            number. None: not known, so that only a value without coordinates is kept.
    """
    out = replace(out, uniform=data.uniform)
    value = data.per_element
    if value is None or (places is None and value.axes):
        return out
    return annotated(out, value.remap(places or {}), moved=True)


def permuted(order: Sequence[int]) -> dict[int, Dim]:
    """Return the places of a transposition: per output axis, the input axis."""
    return {source: coordinate(target) for target, source in enumerate(order)}


def shifted(first: int, rank: int, by: int) -> dict[int, Dim]:
    """Return the places of axes that come to stand `by` further from `first` on."""
    return {axis: coordinate(axis + by) for axis in range(first, rank)}


def respread(out: Fact, data: Fact, at: int, before: Shape, after: Shape) -> Fact:
    """Annotate a reshape: the row-major index, split by the dims that were there.

    Exact where all inner dims are numbers; otherwise only axes outside of the window may matter.
    """
    end = at + len(before)
    places = shifted(end, data.rank, len(after) - len(before))
    value = data.per_element
    if value is None or not any(at <= axis < end for axis in value.axes):
        return carried(out, data, places)
    index: Dim = 0
    for place, dim in enumerate(after):
        index = index * dim + coordinate(at + place)
    scope = within(out.shape, Scope())
    for place, dim in enumerate(before):
        inner = product(before[place + 1 :])
        if isinstance(inner, TDim) or not inner:
            return carried(out, data, None)
        position = scope.simplify(index // inner)
        if place:
            if isinstance(dim, TDim):
                return carried(out, data, None)
            position = scope.simplify(position - dim * (position // dim))
        places[at + place] = position
    return carried(out, data, places)


def padded(out: Fact, data: Fact, pads: Sequence[tuple[int, int]], mode: str, fill: Tensor) -> Fact:
    """Annotate a pad: the nearest, the mirrored, or the constant value outside."""
    axes = [axis for axis, pair in enumerate(pads) if max(pair)]
    places: dict[int, Dim] = {}
    inside: Dim = 1
    for axis in axes:
        position, last = coordinate(axis) - pads[axis][0], data.shape[axis] - 1
        if mode == "edge":
            position = dim_min(dim_max(position, 0), last)
        elif mode == "reflect":
            position = dim_min(dim_max(position, -position), 2 * last - position)
        else:
            inside = inside * (ge(position, 0) if pads[axis][0] else 1)
            inside = inside * (ge(last, position) if pads[axis][1] else 1)
        places[axis] = position
    kept = carried(out, data, places)
    if mode != "constant" or not axes:
        return kept
    same = data.uniform is not None and data.uniform.tobytes() == fill.tobytes()
    kept = replace(kept, uniform=data.uniform if same else None, per_element=None)
    value, outside = data.per_element, of_number(fill.item())
    if value is None or outside is None:
        return kept
    domain = Domain(out.dtype, out.shape)
    chosen = choose(PerElement(inside), value.remap(places), outside, domain)
    return annotated(kept, chosen, moved=True)


def gathered(out: Fact, data: Fact, indices: Fact, axis: int) -> Fact:
    """Annotate a look-up by indices that are proved to lie inside the axis, counted from 0.

    An index outside stands for filler in a streamed model, whose value is no element's.
    """
    value, index = data.per_element, indices.per_element
    if value is None or index is None or index.whole is None:
        return out
    domain = Domain(indices.dtype, indices.shape)
    dim = data.shape[axis]
    if not (domain.proves_ge(index.whole, 0) and domain.proves_ge(dim - 1, index.whole)):
        return out
    places = shifted(axis + 1, data.rank, indices.rank - 1)
    moved = index.remap({k: coordinate(axis + k) for k in range(indices.rank)})
    return carried(out, data, {**places, axis: moved.numerator})


def joined(out: Fact, inputs: Sequence[Fact], axis: int) -> Fact:
    """Annotate a concatenation whose parts all have one value that does not vary along the axis."""
    first = inputs[0]
    uniforms = {None if f.uniform is None else f.uniform.tobytes() for f in inputs}
    uniform = first.uniform if len(uniforms) == 1 and out.dtype.kind != "O" else None
    out = replace(out, uniform=uniform)
    value = first.per_element
    if value is None or axis in value.axes or any(f.per_element != value for f in inputs):
        return out
    return annotated(out, value, moved=True)


def ranged(out: Fact, start: Dim, step: int) -> Fact:
    """Annotate a range: start + step * position."""
    return annotated(out, PerElement(start + step * coordinate(0)))


def proves_all(fact: Fact, scope: Scope, number: int) -> bool:
    """Say whether every element of a wire is proved to be 0 or 1, under a model's scope."""
    value = fact.per_element
    if value is None or value.whole is None:
        return False
    known = within(fact.shape, scope)
    low, high = known.bounds(value.whole)
    return low == number == high
