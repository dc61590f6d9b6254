"""Fast kernels of the element-wise functions: NumPy writes where the result belongs.

Bit-equal to `eval` over dense arrays, but for Sigmoid, Silu, and Erf and Gelu of f32, which state a
bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np

from tract_ref.ir.fact import TDIM, Tensor
from tract_ref.ops.unary import (
    Erf,
    Gelu,
    LeakyRelu,
    Rsqrt,
    Sigmoid,
    Silu,
    Unary,
)
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step

# erf(x) = x P(x^2) / Q(x^2) on [-4, 4], beyond which it is 1 in f32: the coefficients are Eigen's.
_ERF_ABOVE = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_BELOW = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)

ERF_BOUND = 5e-7
"""Largest absolute error of the fast Erf of f32 against `eval`."""

SIGMOID_ULPS = 4
"""Largest absolute error of the fast Sigmoid against `eval`, in units of eps of the dtype."""


def _is_plain(facts: Concrete) -> bool:
    return all(dtype != TDIM for _, dtype in (*facts.inputs, *facts.outputs))


def _ufunc_kernel(function: Callable[..., object], *, in_place: bool = True) -> Compute:
    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        return cast("Step", partial(function, inputs[0], outputs[0]))

    return Compute(bind, in_place=0 if in_place else None)


def fast_ufunc(op: Unary, facts: Concrete) -> Compute | None:
    """One ufunc call."""
    function = op.formula
    if not isinstance(function, np.ufunc) or not _is_plain(facts):
        return None
    return _ufunc_kernel(function, in_place=not op.is_predicate)


FAST.use(fast_ufunc, *(op for op in Unary.__subclasses__() if isinstance(op.formula, np.ufunc)))


@FAST.rule(Sigmoid)
def fast_sigmoid(op: Unary, facts: Concrete) -> Compute:
    """0.5 * tanh(0.5 * x) + 0.5; absolute error at most SIGMOID_ULPS * eps."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs
        half = np.asarray(0.5, out.dtype)
        return lambda: _sigmoid_into(x, half, out)

    return Compute(bind, in_place=0)


def _sigmoid_into(x: Tensor, half: Tensor, out: Tensor) -> None:
    np.multiply(x, half, out)
    np.tanh(out, out)
    np.multiply(out, half, out)
    np.add(out, half, out)


@FAST.rule(Silu)
def fast_silu(op: Unary, facts: Concrete) -> Compute:
    """Product of x and the fast sigmoid; absolute error at most |x| * SIGMOID_ULPS * eps."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs
        half, gate = np.asarray(0.5, out.dtype), np.empty_like(out)

        def step() -> None:
            _sigmoid_into(x, half, gate)
            np.multiply(x, gate, out)

        return step

    return Compute(bind, in_place=0)


@FAST.rule(Rsqrt)
def fast_rsqrt(op: Unary, facts: Concrete) -> Compute:
    """1 / sqrt(x)."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs
        one = np.asarray(1, out.dtype)

        def step() -> None:
            np.sqrt(x, out)
            np.divide(one, out, out)

        return step

    return Compute(bind, in_place=0)


@FAST.rule(LeakyRelu)
def fast_leaky_relu(op: LeakyRelu, facts: Concrete) -> Compute:
    """Scale a copy, then take x back where it is not negative."""

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs
        alpha, zero = np.asarray(op.alpha, out.dtype), np.zeros((), out.dtype)
        below, scaled = np.empty(out.shape, np.bool_), np.empty_like(out)

        def step() -> None:
            np.less(x, zero, below)
            np.multiply(x, alpha, scaled)
            np.copyto(out, x)
            np.copyto(out, scaled, where=below)

        return step

    return Compute(bind, in_place=0)


def _horner(square: Tensor, coefficients: tuple[float, ...], out: Tensor) -> None:
    out.fill(coefficients[0])
    for coefficient in coefficients[1:]:
        np.multiply(out, square, out)
        np.add(out, np.float32(coefficient), out)


class _Erf:
    """Scratch of one f32 erf."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.x, self.square, self.above, self.below = np.empty((4, *shape), np.float32)

    def into(self, x: Tensor, out: Tensor) -> None:
        """Write erf(x) to `out`, which may be x."""
        np.clip(x, np.float32(-4), np.float32(4), out=self.x)
        np.multiply(self.x, self.x, self.square)
        _horner(self.square, _ERF_ABOVE, self.above)
        _horner(self.square, _ERF_BELOW, self.below)
        np.multiply(self.above, self.x, self.above)
        np.divide(self.above, self.below, out)


@FAST.rule(Erf)
def fast_erf(op: Unary, facts: Concrete) -> Compute | None:
    """A rational approximation of f32; absolute error at most ERF_BOUND."""
    if facts.inputs[0][1] != np.float32:
        return None

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        return partial(_Erf(outputs[0].shape).into, inputs[0], outputs[0])

    return Compute(bind, in_place=0)


@FAST.rule(Gelu)
def fast_gelu(op: Gelu, facts: Concrete) -> Compute | None:
    """The exact formula over the fast erf; absolute error at most |x| * ERF_BOUND."""
    if facts.inputs[0][1] != np.float32 or op.approximate:
        return None

    def bind(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Step:
        (x,), (out,) = inputs, outputs
        error, gate = _Erf(out.shape), np.empty_like(out)
        root, half, one = np.float32(math.sqrt(2)), np.float32(0.5), np.float32(1)

        def step() -> None:
            np.divide(x, root, gate)
            error.into(gate, gate)
            np.add(gate, one, gate)
            np.multiply(x, half, out)
            np.multiply(out, gate, out)

        return step

    return Compute(bind, in_place=0)
