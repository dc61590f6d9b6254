"""Named tolerances and the comparison of two arrays.

Four names and no others: `exact` (bits), `ulp:N`, `close` (1e-5 + 1e-5·|b| for f32 and f64,
1e-3 + 1e-3·|b| for f16) and `bound` (contraction bound, from reduction length and dtype). `b` is
always the trusted side. NaN equals NaN and equal infinities are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tract_ref.errors import InvalidModel

Array = np.ndarray[Any, np.dtype[Any]]

_CLOSE = {2: 1e-3, 4: 1e-5, 8: 1e-5}
_UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Difference:
    """Where two arrays part.

    Attributes:
        index: position of the first differing element, in row-major order.
        got: value on the judged side.
        expected: value on the trusted side.
        ulps: distance of the two in units of the last place, 0 for non-floats.
    """

    index: tuple[int, ...]
    got: object
    expected: object
    ulps: int


@dataclass(frozen=True)
class Comparison:
    """Outcome of one comparison.

    Attributes:
        equal_bits: the two arrays are the same bit for bit (every NaN counts as one value).
        within: the two agree within the named tolerance, shapes and dtypes included.
        max_ulp: largest distance in units of the last place over finite elements.
        first: the first element outside the tolerance, None when `within` or when shapes differ.
        reason: why shapes or dtypes alone already differ, else empty.
    """

    equal_bits: bool
    within: bool
    max_ulp: int
    first: Difference | None
    reason: str = ""


def is_tolerance(name: str) -> bool:
    """Say whether `name` is one of the four named tolerances."""
    return name in ("exact", "close", "bound") or (name.startswith("ulp:") and name[4:].isdigit())


def ulp_distance(a: Array, b: Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Element-wise distance of two float arrays of one dtype, in units of the last place.

    Args:
        a: any shape, f16, f32 or f64.
        b: same shape and dtype.

    Returns:
        Unsigned distances; 0 where both are NaN, the largest u64 where only one is.
    """
    unsigned = _UNSIGNED[a.dtype.itemsize]
    sign = np.uint64(1 << (8 * a.dtype.itemsize - 1))

    def ordered(x: Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
        bits = np.ascontiguousarray(x).view(unsigned).astype(np.uint64)
        # Sign-magnitude to offset binary, so that -0.0 and +0.0 are neighbours of distance 0.
        return np.where(bits & sign, sign - (bits & ~sign), bits + sign)

    left, right = ordered(a), ordered(b)
    distance = np.where(left > right, left - right, right - left)
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    distance[nan_a & nan_b] = 0
    distance[nan_a ^ nan_b] = np.iinfo(np.uint64).max
    return distance


def _outside(a: Array, b: Array, approx: str, bound: Array | float | None) -> Array:
    both_nan = np.isnan(a) & np.isnan(b)
    same = both_nan | (a == b)
    if approx.startswith("ulp:"):
        return ~same & (ulp_distance(a, b) > np.uint64(int(approx[4:])))
    if approx == "bound":
        if bound is None:
            raise InvalidModel("tolerance 'bound' needs the bound of the contraction")
        allowed = np.broadcast_to(np.asarray(bound, np.float64), b.shape)
    else:
        unit = _CLOSE[b.dtype.itemsize]
        allowed = unit + unit * np.abs(b.astype(np.float64))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
        # `not <=` rather than `>`: a NaN distance (one NaN, opposite infinities) is a difference.
        return ~same & ~((distance <= allowed) & np.isfinite(b) & np.isfinite(a))


def compare(
    got: Array, expected: Array, *, approx: str = "close", bound: Array | float | None = None
) -> Comparison:
    """Compare a judged array with the trusted one.

    Args:
        got: the judged array.
        expected: the trusted array.
        approx: a named tolerance; integers and bools are always compared exactly.
        bound: largest absolute error, needed by (and only used with) `bound`.

    Returns:
        The comparison; differing shapes or dtypes are a difference with a reason.

    Raises:
        InvalidModel: `approx` is not a named tolerance.
    """
    if not is_tolerance(approx):
        raise InvalidModel(f"unknown tolerance {approx!r}; use exact, ulp:N, close or bound")
    if got.shape != expected.shape:
        reason = f"shape {list(got.shape)} where {list(expected.shape)} is expected"
        return Comparison(False, False, 0, None, reason)
    if got.dtype != expected.dtype:
        reason = f"dtype {got.dtype} where {expected.dtype} is expected"
        return Comparison(False, False, 0, None, reason)
    if got.dtype.kind != "f":
        wrong = np.asarray(got != expected)
        return Comparison(not wrong.any(), not wrong.any(), 0, _first(wrong, got, expected, None))
    if approx != "bound" and got.tobytes() == expected.tobytes():
        return Comparison(True, True, 0, None)
    ulps = ulp_distance(got, expected)
    finite = np.isfinite(got) & np.isfinite(expected)
    max_ulp = int(ulps[finite].max()) if finite.any() else 0
    # The two zeros are 0 ULP apart but are not the same bits; every NaN counts as one value.
    signs = ~np.isnan(got) & (np.signbit(got) != np.signbit(expected))
    differs = np.asarray((ulps != 0) | signs)
    equal_bits = not differs.any()
    wrong = differs if approx == "exact" else _outside(got, expected, approx, bound)
    return Comparison(equal_bits, not wrong.any(), max_ulp, _first(wrong, got, expected, ulps))


def _first(wrong: Array, got: Array, expected: Array, ulps: Array | None) -> Difference | None:
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    ulp = int(ulps[index]) if ulps is not None else 0
    return Difference(index, got[index].item(), expected[index].item(), ulp)


def contraction_bound(
    length: int, magnitudes: Array, dtype: np.dtype[Any], *, factor: float = 2.0
) -> Array:
    """Absolute error bound of a contraction: factor · length · eps · Σ|a||b|.

    Args:
        length: number of summed products.
        magnitudes: Σ|a||b| for every output element.
        dtype: accumulation dtype.
        factor: 2 covers two implementations that each round in their own order.
    """
    return factor * length * float(np.finfo(dtype).eps) * np.abs(magnitudes.astype(np.float64))


def filler(dtype: np.dtype[Any]) -> Any:
    """Value for frames that do not exist: NaN for floats, an extreme of the type otherwise."""
    if dtype.kind == "f":
        return dtype.type(np.nan)
    if dtype.kind == "b":
        return dtype.type(True)
    return dtype.type(np.iinfo(dtype).max)


def worst(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the first comparison outside its tolerance, else the one with the most ULPs."""
    ordered = list(comparisons)
    for comparison in ordered:
        if not comparison.within:
            return comparison
    return max(ordered, key=lambda c: c.max_ulp)
