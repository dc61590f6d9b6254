"""Work grows slowly with depth: counted in proof steps and in function calls, never in seconds."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import tract_ref.dim
from tract_ref.dim import (
    Dim,
    Scope,
    TDim,
    dim_max,
    dim_min,
    evaluate,
    parse_dim,
    substitute,
    sym,
)

S, T, P = sym("S"), sym("T"), sym("P")
DEPTHS = (8, 16, 32, 64)
QUADRATIC = 2.0
CUBIC = 3.0


def nested_windows(depth: int) -> tuple[Scope, Dim]:
    """E(k) = max(0, E(k-1) + H_k - 2) with 0 <= H_k <= 2."""
    names = [f"H{i}" for i in range(depth)]
    scope = Scope(["S>=0", *(f"{n}>=0" for n in names), *(f"{n}<=2" for n in names)])
    dim: Dim = S
    for name in names:
        dim = dim_max(0, dim + sym(name) - 2)
    return scope, dim


def nested_ramps(depth: int) -> tuple[Scope, Dim]:
    """E(k) = max(0, E(k-1) + min(T*P, 2*k) - 2*k)."""
    dim: Dim = P
    for i in range(1, depth + 1):
        dim = dim_max(0, dim + dim_min(T * P, 2 * i) - 2 * i)
    return Scope(["P>=1", "T>=0"]), dim


def doubling_ramps(depth: int) -> tuple[Scope, Dim]:
    """E(k) = max(0, E(k-1) + min(T*P, 2^k) - 2^k), of spec/pulse.md 5.6."""
    dim: Dim = P
    for i in range(1, depth + 1):
        dim = dim_max(0, dim + dim_min(T * P, 2**i) - 2**i)
    return Scope(["P>=1", "T>=0"]), dim


FAMILIES = [nested_windows, nested_ramps, doubling_ramps]
Family = Callable[[int], tuple[Scope, Dim]]


def nodes(dim: Dim) -> int:
    """Count the atoms and terms of a dimension, each shared atom once."""
    if not isinstance(dim, TDim):
        return 1
    inner = sum(len(p.terms) for a in dim.atoms for p in a.pieces if isinstance(p, TDim))
    return len(dim.terms) + len(dim.atoms) + inner


def calls(work: Callable[[], object]) -> int:
    """Count the function calls that a piece of work makes inside `tract_ref.dim`."""
    folder = str(Path(tract_ref.dim.__file__).parent)
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(folder):  # type: ignore[attr-defined]
            count += 1

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return count


def exponent(sizes: Sequence[int], counts: Sequence[int]) -> float:
    """Return the slope of log(count) over log(size) by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(count) for count in counts]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def test_the_exponent_of_a_power_is_found() -> None:
    assert exponent(DEPTHS, [n**3 for n in DEPTHS]) == pytest.approx(3)
    assert exponent(DEPTHS, [4**n for n in DEPTHS]) > 2 * CUBIC


@dataclass(frozen=True)
class Work:
    """Counts per depth: calls to build, calls to simplify and bound, proof steps of that."""

    built: tuple[int, ...]
    simplified: tuple[int, ...]
    steps: tuple[int, ...]


@cache
def work(family: Family) -> Work:
    counts: list[tuple[int, int, int]] = []
    for depth in DEPTHS:
        scope, dim = family(depth)
        built = calls(lambda n=depth: family(n))
        # Bounds are searched for; a simplification that a counter-example rules out is not.
        counts.append((built, calls(lambda s=scope, d=dim: s.bounds(d)), scope.steps))
    return Work(*zip(*counts, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_proof_steps_of_nested_clamps_grow_at_most_quadratically(family: Family) -> None:
    steps = work(family).steps
    assert exponent(DEPTHS[-2:], steps[-2:]) <= QUADRATIC, steps
    for depth, count in zip(DEPTHS, steps, strict=True):
        assert count <= 16 * depth**2, steps


@pytest.mark.parametrize("family", FAMILIES)
def test_simplifying_nested_clamps_takes_at_most_quadratic_work(family: Family) -> None:
    counts = work(family).simplified
    assert exponent(DEPTHS, counts) <= QUADRATIC, counts
    assert exponent(DEPTHS[-2:], counts[-2:]) <= QUADRATIC, counts


@pytest.mark.parametrize("family", FAMILIES)
def test_building_nested_clamps_takes_at_most_cubic_work(family: Family) -> None:
    """A clamp of k windows holds k sums of k symbols, so the k-th costs its size, k squared."""
    counts = work(family).built
    assert exponent(DEPTHS, counts) <= CUBIC, counts
    assert nodes(family(64)[1]) <= 64 * 64 * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_second_simplification_takes_no_steps(family: Family) -> None:
    scope, dim = family(16)
    simple, steps = scope.simplify(dim), scope.steps
    assert scope.simplify(dim) is simple
    assert scope.steps == steps


@pytest.mark.parametrize("family", FAMILIES)
def test_nested_clamps_keep_their_value(family: Family) -> None:
    scope, dim = family(8)
    simple = scope.simplify(dim)
    for seed in range(60):
        bindings = {f"H{i}": (seed * 7 + i * 5) % 3 for i in range(8)}
        bindings |= {"S": seed % 17, "T": seed % 5, "P": 1 + seed // 5}
        assert scope.holds({name: bindings[name] for name in scope.symbols}) is True
        assert evaluate(simple, bindings) == evaluate(dim, bindings)


def window_chain(layers: int) -> Dim:
    """Return the length after a chain of strided windows with paddings."""
    length: Dim = S
    for i in range(layers):
        before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
        length = dim_max(0, (length + before - field) // stride + 1)
        assert nodes(length) <= 8, f"layer {i}: {length}"
    return length


def test_a_thousand_windows_keep_their_size() -> None:
    length = window_chain(1000)
    for s in (0, 5, 10**4, 10**9):
        expected = s
        for i in range(1000):
            before, field, stride = i % 3, 2 + i % 4, 1 + (i % 50 == 0)
            expected = max(0, (expected + before - field) // stride + 1)
        assert evaluate(length, {"S": s}) == expected


def test_a_thousand_windows_take_linear_work() -> None:
    sizes = (250, 500, 1000)
    built = [calls(lambda n=size: window_chain(n)) for size in sizes]
    assert exponent(sizes, built) <= 1.1, built


def shape_chain(layers: int) -> int:
    """Simplify and prove every length of a chain under one scope; return the steps."""
    scope = Scope(["S>=0"])
    length: Dim = S
    for i in range(layers):
        length = scope.simplify(dim_max(0, (length + i % 3 - 2 - i % 4) // (1 + (i % 50 == 0)) + 1))
        assert scope.proves_ge(length, 0) is True
    return scope.steps


def test_proofs_along_a_thousand_layers_take_linear_steps() -> None:
    sizes = (250, 500, 1000)
    short, middle, long = (shape_chain(size) for size in sizes)
    # Twice as many more layers take twice as many more steps.
    assert long - middle <= 2.1 * (middle - short), (short, middle, long)
    assert long <= 10 * sizes[-1]


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    _, dim = nested_ramps(400)
    assert evaluate(dim, {"T": 3, "P": 4}) == 0
    assert substitute(dim, {"T": 3, "P": 4}) == 0
    assert len(str(dim)) < 400 * 60
    assert Scope(["P>=1", "T>=0"]).bounds(dim)[0] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_of_nested_clamps(family: Family) -> None:
    dim = family(24)[1]
    assert parse_dim(str(dim)) is dim
