"""Recognitions that round differently, each within a stated bound; `passes.codegen` runs them.

    rms_norm    x * rsqrt(mean(x^2) + eps)                     at most 2 units of the last place
    gelu        x/2 * (1 + tanh(sqrt(2/pi) * (x + c * x^3)))   within 4 eps * max(1, |x|)

Source: spec/ir.md 7.
"""

from __future__ import annotations

import math

from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DeclutterRule, Rewrite, RuleTable
from tract_ref.ops.binary import Add, Mul, Pow
from tract_ref.ops.unary import Gelu, PowConst, Rsqrt, Tanh
from tract_ref.passes.rewrites.patterns import either_way, made_by, number_of
from tract_ref.passes.rewrites.rms_norm import mean_square

FUSE: RuleTable[type[Op], DeclutterRule] = RuleTable("FUSE", many=True)
_CUBIC = 0.044715
# Exporters print these numbers with a few digits, and round them to f16 or f32.
_CLOSE = 1e-3


@FUSE.rule(Mul)
def fuse_rms_norm(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """The product of x and rsqrt(mean(x^2) + eps) is RmsNorm."""
    for x, factor in either_way(node):
        root = made_by(ctx.model, factor, Rsqrt)
        found = None if root is None else mean_square(ctx.model, root[1][0], x)
        if found is not None:
            return ModelPatch.replace(ctx.model, node, found, (x,))
    return None


@FUSE.rule(Mul)
def fuse_gelu(op: Op, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """The product of x, 1/2 and 1 + tanh(..), in any order, is the approximate Gelu."""
    factors = _factors(ctx.model, Outlet(node.id))
    halves = [wire for wire in factors if _is(number_of(ctx.model, wire), 0.5)]
    sums = [wire for wire in factors if made_by(ctx.model, wire, Add) is not None]
    if len(factors) != 3 or len(halves) != 1:
        return None
    for gate in sums:
        rest = [wire for wire in factors if wire not in (gate, halves[0])]
        if len(rest) != 1 or ctx.model.fact(rest[0]).shape != node.outputs[0].shape:
            continue
        if _is_gate(ctx.model, gate, rest[0]):
            return ModelPatch.replace(ctx.model, node, Gelu(approximate=True), rest)
    return None


def _is(number: float | None, wanted: float) -> bool:
    return number is not None and math.isclose(number, wanted, rel_tol=_CLOSE)


def _factors(model: Model, wire: Outlet) -> list[Outlet]:
    """Return the factors of a product of up to three, products inside it taken apart once."""
    product = made_by(model, wire, Mul)
    if product is None:
        return [wire]
    first, second = product[1]
    for inner, other in ((first, second), (second, first)):
        nested = made_by(model, inner, Mul)
        if nested is not None:
            return [*nested[1], other]
    return [first, second]


def _split(model: Model, wire: Outlet, kind: type[Op], wanted: float) -> Outlet | None:
    """Return what a number is added to, or multiplied with, on a wire."""
    found = made_by(model, wire, kind)
    for value, number in () if found is None else (found[1], found[1][::-1]):
        if _is(number_of(model, number), wanted):
            return value
    return None


def _is_gate(model: Model, gate: Outlet, x: Outlet) -> bool:
    """Say whether a wire is 1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))."""
    bent = _split(model, gate, Add, 1.0)
    tanh = None if bent is None else made_by(model, bent, Tanh)
    inner = None if tanh is None else _split(model, tanh[1][0], Mul, math.sqrt(2 / math.pi))
    total = None if inner is None else made_by(model, inner, Add)
    for plain, cubic in () if total is None else (total[1], total[1][::-1]):
        cube = _split(model, cubic, Mul, _CUBIC)
        if plain == x and cube is not None and _is_cube(model, cube, x):
            return True
    return False


def _is_cube(model: Model, wire: Outlet, x: Outlet) -> bool:
    constant = made_by(model, wire, PowConst)
    if constant is not None:
        return constant[0].exponent == 3 and constant[1] == (x,)
    power = made_by(model, wire, Pow)
    if power is not None:
        return power[1][0] == x and number_of(model, power[1][1]) == 3
    return _factors(model, wire) == [x, x, x]
