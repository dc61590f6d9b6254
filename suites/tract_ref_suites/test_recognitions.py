"""Well-known formulas are recognised; values stay bit for bit, or within the stated bound."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref import Plan, declutter
from tract_ref.dim import sym
from tract_ref.errors import InvalidModel
from tract_ref.ir.check import check_model
from tract_ref.ir.dump import dump
from tract_ref.ir.fact import DTYPES, Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Add, Div, Mul, Pow
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.unary import Rsqrt, Sigmoid, Sqrt, Square, Tanh
from tract_ref.passes.codegen import codegen, fusions

Build = Callable[[Model, Outlet], Outlet]
X = np.array([[-3.5, -1.0, -0.0, 0.0], [0.25, 1.0, 7.0, 40.0]])


def model_of(build: Build, dtype: str = "f32") -> Model:
    model = Model()
    x = model.add_source("x", Fact(DTYPES[dtype], (sym("S"), 4)))
    model.set_outputs([build(model, x)], ["y"])
    return model


def number(model: Model, like: Outlet, value: float) -> Outlet:
    name = model.unique_name("number")
    return model.add_const(name, np.full((1, 1), value, model.fact(like).dtype))


def chain(model: Model, op: object, *wires: Outlet) -> Outlet:
    return model.wire(model.unique_name("node"), op, wires)[0]  # pyright: ignore[reportArgumentType]


def values(model: Model, x: np.ndarray, *, fast: bool = False) -> np.ndarray:
    return Plan(model, fast=fast).run({"x": x})["y"]


def silu(model: Model, x: Outlet) -> Outlet:
    return chain(model, Mul(), x, chain(model, Sigmoid(), x))


def silu_reversed(model: Model, x: Outlet) -> Outlet:
    return chain(model, Mul(), chain(model, Sigmoid(), x), x)


def mean_square(model: Model, x: Outlet, *, eps: float = 1e-5, composed: bool = False) -> Outlet:
    if composed:
        mean = chain(model, Reduce((1,), "mean"), chain(model, Square(), x))
    else:
        mean = chain(model, Reduce((1,), "mean_of_squares"), x)
    return chain(model, Add(), mean, number(model, x, eps))


def rms_by_root(model: Model, x: Outlet) -> Outlet:
    return chain(model, Div(), x, chain(model, Sqrt(), mean_square(model, x)))


def rms_by_mean_of_square(model: Model, x: Outlet) -> Outlet:
    return chain(model, Div(), x, chain(model, Sqrt(), mean_square(model, x, composed=True)))


def rms_by_rsqrt(model: Model, x: Outlet) -> Outlet:
    return chain(model, Mul(), chain(model, Rsqrt(), mean_square(model, x)), x)


def power(exponent: float) -> Build:
    return lambda model, x: chain(model, Pow(), x, number(model, x, exponent))


EXACT: dict[str, tuple[Build, str]] = {
    "silu": (silu, "Silu"),
    "silu-reversed": (silu_reversed, "Silu"),
    "rms-norm": (rms_by_root, "RmsNorm"),
    "rms-norm-of-a-square": (rms_by_mean_of_square, "RmsNorm"),
    "pow-2": (power(2.0), "PowConst"),
    "pow-half": (power(0.5), "PowConst"),
    "pow-minus-3": (power(-3.0), "PowConst"),
}


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("build", "op"), EXACT.values(), ids=EXACT.keys())
def test_declutter_recognises_it_and_keeps_every_bit(build: Build, op: str, dtype: str) -> None:
    model = model_of(build, dtype)
    if op == "RmsNorm" and dtype == "f64":
        # 1e-5 is another number in f64; only what a file can hold is recognised.
        assert op not in declutter(model).op_counts()
        return
    simple = declutter(model)
    assert simple.op_counts() == {op: 1}
    check_model(simple)
    assert dump(declutter(simple)) == dump(simple)
    x = X.astype(DTYPES[dtype])
    assert values(simple, x).tobytes() == values(model, x).tobytes()


@given(name=st.sampled_from(sorted(EXACT)), seed=st.integers(0, 999), frames=st.integers(0, 5))
def test_random_values_keep_every_bit(name: str, seed: int, frames: int) -> None:
    model = model_of(EXACT[name][0])
    x = (np.random.default_rng(seed).standard_normal((frames, 4)) * 8).astype(np.float32)
    assert values(declutter(model), x).tobytes() == values(model, x).tobytes()


NOT_RECOGNISED: dict[str, Build] = {
    "sigmoid-of-another-wire": lambda m, x: chain(
        m, Mul(), x, chain(m, Sigmoid(), chain(m, Add(), x, number(m, x, 1.0)))
    ),
    "norm-of-another-wire": lambda m, x: chain(
        m, Div(), chain(m, Add(), x, number(m, x, 1.0)), chain(m, Sqrt(), mean_square(m, x))
    ),
    "exponents-that-differ": lambda m, x: chain(
        m, Pow(), x, m.add_const("two", np.array([[2, 2, 3, 2]], np.float32))
    ),
    "exponent-that-repeats-the-base": lambda m, x: chain(
        m, Pow(), m.add_const("base", np.ones((1, 1), np.float32)), x
    ),
    "float-times-zero": lambda m, x: chain(m, Mul(), x, number(m, x, 0.0)),
}


@pytest.mark.parametrize("build", NOT_RECOGNISED.values(), ids=NOT_RECOGNISED.keys())
def test_what_looks_alike_is_left_alone(build: Build) -> None:
    model = model_of(build)
    assert declutter(model).op_counts() == model.op_counts()


def test_a_sigmoid_that_is_read_elsewhere_stays() -> None:
    model = model_of(silu)
    gate = next(node for node in model.nodes.values() if isinstance(node.op, Sigmoid))
    model.set_outputs([*model.outputs, Outlet(gate.id)], ["y", "gate"])
    assert declutter(model).op_counts() == {"Sigmoid": 1, "Silu": 1}


def test_a_norm_of_f16_is_left_alone() -> None:
    assert "RmsNorm" not in declutter(model_of(rms_by_root, "f16")).op_counts()


@pytest.mark.parametrize("flipped", [False, True])
def test_an_integer_times_zero_is_zero(flipped: bool) -> None:
    def build(model: Model, x: Outlet) -> Outlet:
        wires = [x, number(model, x, 0)]
        return chain(model, Mul(), *(wires[::-1] if flipped else wires))

    model = model_of(build, "i32")
    simple = declutter(model)
    assert simple.op_counts() == {"Broadcast": 1}
    np.testing.assert_array_equal(values(simple, X.astype(np.int32)), np.zeros((2, 4), np.int32))


def test_a_float_times_zero_keeps_nan() -> None:
    model = model_of(NOT_RECOGNISED["float-times-zero"])
    x = np.array([[np.nan, np.inf, -1.0, 1.0]], np.float32)
    found = values(declutter(model), x)
    assert np.isnan(found[0, :2]).all()
    assert np.signbit(found[0, 2:]).tolist() == [True, False]


def gelu(order: int, cube: str) -> Build:
    def build(model: Model, x: Outlet) -> Outlet:
        if cube == "pow":
            third = chain(model, Pow(), x, number(model, x, 3.0))
        else:
            third = chain(model, Mul(), chain(model, Mul(), x, x), x)
        bent = chain(model, Mul(), third, number(model, x, 0.044715))
        inner = chain(model, Mul(), chain(model, Add(), x, bent), number(model, x, 0.7978846))
        gate = chain(model, Add(), chain(model, Tanh(), inner), number(model, x, 1.0))
        half = number(model, x, 0.5)
        first, second, third_ = [(x, half, gate), (gate, x, half), (half, gate, x)][order]
        return chain(model, Mul(), chain(model, Mul(), first, second), third_)

    return build


FUSED: dict[str, tuple[Build, str]] = {
    "rms-norm": (rms_by_rsqrt, "RmsNorm"),
    **{
        f"gelu-{order}-{cube}": (gelu(order, cube), "Gelu")
        for order in range(3)
        for cube in ("pow", "product")
    },
}


def bound(op: str, x: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if op == "RmsNorm":
        return 2 * np.spacing(np.abs(expected))
    return 4 * np.finfo(x.dtype).eps * np.maximum(1, np.abs(x))


@pytest.mark.parametrize(("build", "op"), FUSED.values(), ids=FUSED.keys())
def test_codegen_fuses_within_the_stated_bound(build: Build, op: str) -> None:
    model = declutter(model_of(build))
    fused = codegen(model)
    assert fused.op_counts() == {op: 1}
    check_model(fused)
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((500, 4)) * rng.choice([0.01, 1, 8], (500, 1))).astype(np.float32)
    found, expected = values(fused, x), values(model, x)
    assert (np.abs(found - expected) <= bound(op, x, expected)).all()


@pytest.mark.parametrize(("build", "op"), FUSED.values(), ids=FUSED.keys())
def test_declutter_does_not_round_differently(build: Build, op: str) -> None:
    assert op not in declutter(model_of(build)).op_counts()


def test_every_fusion_has_a_switch() -> None:
    assert sorted(fusions()) == ["gelu", "rms_norm"]
    model = declutter(model_of(rms_by_rsqrt))
    assert dump(codegen(model, without=["rms_norm"])) == dump(model)
    assert codegen(model, without=["gelu"]).op_counts() == {"RmsNorm": 1}
    with pytest.raises(InvalidModel, match="codegen: no fusion is called 'silly'; use gelu, rms"):
        codegen(model, without=["silly"])


def test_a_gelu_of_other_numbers_is_left_alone() -> None:
    def build(model: Model, x: Outlet) -> Outlet:
        inner = chain(model, Mul(), x, number(model, x, math.sqrt(2 / math.pi)))
        gate = chain(model, Add(), chain(model, Tanh(), inner), number(model, x, 1.0))
        return chain(model, Mul(), chain(model, Mul(), x, number(model, x, 0.5)), gate)

    model = declutter(model_of(build))
    assert dump(codegen(model)) == dump(model)
