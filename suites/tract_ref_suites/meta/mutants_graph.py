"""Wrong rules about single elements, and the laws that must catch each.

Each is seen by law P7, which holds every annotation to the values of its wire; where a mask is then
folded away, the values of the decluttered model are wrong as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tract_ref.dim import Dim
from tract_ref.ir import annotate, fact, per_element
from tract_ref.ir.fact import Fact, Shape
from tract_ref.ir.per_element import Domain, PerElement, coordinate
from tract_ref.ops import padding, slicing
from tract_ref.ops.binary import Div, Gt, Or
from tract_ref_suites.meta import broken
from tract_ref_suites.meta.mutant import Mutant, mutant


def _rule(op: type[Any], rule: Callable[..., PerElement | None]) -> AbstractContextManager[None]:
    """Give an op another rule for values per element."""
    return broken.patched(op, "exact", lambda _: staticmethod(rule))


def _floored(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    """Divide floats as dims are divided."""
    number = b.whole
    if not isinstance(number, int) or not number or domain.dtype.kind != "f":
        return per_element.divide(a, b, domain)
    return PerElement(a.numerator * (1 if number > 0 else -1) // abs(number))


def _reversed_slice() -> AbstractContextManager[None]:
    def make(old: Callable[..., Fact]) -> Callable[..., Fact]:
        def carried(out: Fact, data: Fact, places: Mapping[int, Dim]) -> Fact:
            back = {axis: 2 * coordinate(axis) - place for axis, place in places.items()}
            return old(out, data, back)

        return carried

    return broken.patched(slicing, "carried", make)


def _reversed_pad() -> AbstractContextManager[None]:
    def make(old: Callable[..., Fact]) -> Callable[..., Fact]:
        def padded(out: Fact, data: Fact, pads: Any, mode: str, fill: Any) -> Fact:
            return old(out, data, [(-before, after) for before, after in pads], mode, fill)

        return padded

    return broken.patched(padding, "padded", make)


@contextmanager
def _repeated_coordinate() -> Iterator[None]:
    """Keep the coordinate of an axis of one position, also where the axis is repeated."""

    def annotated(out: Fact, value: PerElement | None, *, moved: bool = False) -> Fact:
        return replace(out, per_element=value)

    def operand(data: Fact, shape: Shape) -> PerElement | None:
        return data.per_element

    with ExitStack() as stack:
        stack.enter_context(broken.patched(annotate, "annotated", lambda _: annotated))
        stack.enter_context(broken.patched(annotate, "operand", lambda _: operand))
        yield


def _one_by_one() -> AbstractContextManager[None]:
    def remap(self: PerElement, places: Mapping[int, Dim]) -> PerElement:
        numerator = self.numerator
        for axis, place in places.items():
            numerator = per_element.remap(numerator, {axis: place})
        return PerElement(numerator, self.divisor)

    return broken.patched(PerElement, "remap", lambda _: remap)


def _near_numbers() -> AbstractContextManager[None]:
    """Take a float next to a whole number for it."""

    def make(old: Callable[[object], PerElement | None]) -> Callable[..., PerElement | None]:
        def of_number(value: object) -> PerElement | None:
            near = isinstance(value, float) and abs(value - round(value)) < 1e-6
            return old(round(value)) if near and isinstance(value, float) else old(value)

        return of_number

    return broken.patched(fact, "of_number", make)


def _sum(a: PerElement, b: PerElement, domain: Domain) -> PerElement | None:
    return PerElement(a.numerator + b.numerator)


GRAPH_MUTANTS: dict[str, Mutant] = {
    "annotate-above-as-at-least": mutant(
        "rule", "a > b is annotated as a >= b",
        lambda: _rule(Gt, per_element.at_least), "P4 P7",
        "masks/Mask-strictly-above", "masks/Mask-one-frame",
    ),
    "annotate-quotient-floored": mutant(
        "rule", "a float quotient is annotated as a floored one",
        lambda: _rule(Div, _floored), "P7",
        "masks/Mask-unfloored-quotient", "masks/Mask-square",
    ),
    "annotate-slice-reversed": mutant(
        "rule", "the coordinate of a slice is shifted the other way",
        _reversed_slice, "P7", "masks/Mask-slice-shift", "masks/Mask-square",
    ),
    "annotate-pad-reversed": mutant(
        "rule", "the coordinate of a pad is shifted the other way",
        _reversed_pad, "P7", "masks/Mask-pad-shift", "masks/Mask-edge-shift",
    ),
    "annotate-repeated-coordinate": mutant(
        "rule", "a repeated axis of one position keeps its coordinate",
        _repeated_coordinate, "P7", "masks/Mask-one-position", "masks/Mask-square",
    ),
    "annotate-cut-by-floor": mutant(
        "rule", "negative quotients are floored where they are truncated",
        lambda: broken.patched(per_element, "truncate", lambda _: per_element.floor), "P7",
        "masks/Mask-negative-quotient", "masks/Mask-negative-floats-cut",
    ),
    "annotate-moved-one-by-one": mutant(
        "rule", "coordinates are renamed one after the other",
        _one_by_one, "P7", "masks/Mask-turned", "masks/Mask-square",
    ),
    "annotate-near-numbers": mutant(
        "rule", "a float constant next to a whole number counts as that number",
        _near_numbers, "P4 P7", "masks/Mask-tiny-constant", "masks/Mask-tiny-negative-constant",
    ),
    "annotate-or-as-sum": mutant(
        "rule", "both of two true conditions count twice",
        lambda: _rule(Or, _sum), "P7", "masks/Mask-either", "masks/Mask-square",
    ),
}  # fmt: skip
