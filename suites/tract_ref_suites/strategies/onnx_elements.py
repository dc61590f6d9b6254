"""ONNX models of element-wise operators, and small chains."""

from __future__ import annotations

from hypothesis import strategies as st
from onnx import TensorProto, defs

from tract_ref_suites.problems.onnx_base import OPSETS, Attribute, Drawn, OnnxProblem, Step
from tract_ref_suites.strategies.onnx_nodes import Lists, problem, shaped
from tract_ref_suites.strategies.shapes import sizes

UNARY: dict[str, tuple[tuple[tuple[str, Attribute], ...], ...]] = {
    **dict.fromkeys(("Relu", "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Floor"), ((),)),
    **dict.fromkeys(("Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh"), ((),)),
    **dict.fromkeys(("Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh", "Sigmoid"), ((),)),
    **dict.fromkeys(("Erf", "Softplus", "HardSwish", "IsNaN", "IsInf"), ((),)),
    "HardSigmoid": ((), (("alpha", 0.5), ("beta", 0.25))),
    "LeakyRelu": ((), (("alpha", 0.5),)),
    "Elu": ((), (("alpha", 0.5),)),
    "Selu": ((), (("alpha", 0.5), ("gamma", 2.0))),
    "Gelu": ((), (("approximate", "tanh"),)),
    **dict.fromkeys(("Softsign", "Mish"), ((),)),
    "Celu": ((), (("alpha", 0.5),)),
    "ThresholdedRelu": ((), (("alpha", -0.5),)),
    "Shrink": ((), (("bias", 0.25), ("lambd", 1.5))),
}

FLOATS, INTEGERS = ("f4", "f8"), ("i4", "i8")
# onnx.reference floors the quotient of integers, where ONNX cuts it off: Div is for floats.
BINARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min"), FLOATS + INTEGERS),
    **dict.fromkeys(("Less", "Greater", "LessOrEqual", "GreaterOrEqual"), FLOATS + INTEGERS),
    **dict.fromkeys(("And", "Or", "Xor"), ("?",)),
    "Equal": ("?", *FLOATS, *INTEGERS),
    "Div": FLOATS,
    "Pow": ("f4",),
    "Mod": INTEGERS,
    "Sum": ("f4",),
    # onnxruntime has Mean for f32 only.
    "Mean": ("f4",),
}
CASTS = (("f4", "i4"), ("i4", "f4"), ("f4", "f8"), ("i8", "i4"), ("f4", "?"), ("?", "f4"))
CASTS += (("u1", "f4"), ("f4", "i8"), ("f8", "f4"), ("i4", "i8"), ("i8", "f4"), ("f4", "f2"))
_TYPES = {
    "f4": "tensor(float)",
    "f8": "tensor(double)",
    "i4": "tensor(int32)",
    "i8": "tensor(int64)",
    "?": "tensor(bool)",
}
_CODES = {
    "f2": TensorProto.FLOAT16,
    "f4": TensorProto.FLOAT,
    "f8": TensorProto.DOUBLE,
    "i4": TensorProto.INT32,
    "i8": TensorProto.INT64,
    "?": TensorProto.BOOL,
}


def opsets(operator: str) -> st.SearchStrategy[int]:
    """Draw an opset that has the operator."""
    return st.sampled_from([opset for opset in OPSETS if defs.has(operator, opset, "")])


@st.composite
def unary(draw: st.DrawFn) -> OnnxProblem:
    """Draw a function of one number, with its parameters."""
    operator = draw(st.sampled_from(list(UNARY)))
    shape, axis = draw(shaped())
    step = Step(operator, ("x",), draw(st.sampled_from(UNARY[operator])))
    return draw(problem("Unary", (step,), shape, axis, opset=draw(opsets(operator))))


@st.composite
def beside(draw: st.DrawFn, shape: tuple[int, ...], axis: int, name: str, dtype: str = "") -> Drawn:
    """Draw what is broadcast against x: another stream, or a constant of any rank."""
    if draw(st.booleans()):
        return Drawn(name, shape, dtype, axis)
    dims = tuple(1 if k == axis else draw(st.sampled_from([1, n])) for k, n in enumerate(shape))
    dims = draw(st.sampled_from([dims[k:] for k in range(len(dims) + 1)] + [(2, *dims)]))
    return Drawn(name, dims, dtype)


@st.composite
def binary(draw: st.DrawFn) -> OnnxProblem:
    """Draw a function of two tensors, either of which may be the one that is broadcast."""
    operator = draw(st.sampled_from(list(BINARY)))
    shape, axis = draw(shaped(most=3))
    other = draw(beside(shape, axis, "z"))
    names = draw(st.sampled_from([("x", "z"), ("z", "x")]))
    step, dtypes = Step(operator, names), BINARY[operator]
    opset = draw(opsets(operator))
    allowed = defs.get_schema(operator, opset, "").type_constraints[0].allowed_type_strs
    dtypes = tuple(dtype for dtype in dtypes if _TYPES[dtype] in allowed)
    return draw(problem("Binary", (step,), shape, axis, drawn=(other,), dtypes=dtypes, opset=opset))


@st.composite
def where(draw: st.DrawFn) -> OnnxProblem:
    """Draw a choice by a constant, by a stream of booleans, or by a comparison."""
    shape, axis = draw(shaped(most=3))
    other = draw(beside(shape, axis, "z"))
    names = draw(st.sampled_from([("x", "z"), ("z", "x")]))
    if draw(st.booleans()):
        drawn = (draw(beside(shape, axis, "c", "?")), other)
        steps: tuple[Step, ...] = (Step("Where", ("c", *names)),)
    else:
        drawn = (other,)
        steps = (Step("Greater", ("x", "z"), (), "c"), Step("Where", ("c", *names)))
    dtypes = ("f4", "i4", "i8")
    return draw(problem("Where", steps, shape, axis, drawn=drawn, dtypes=dtypes))


@st.composite
def clip(draw: st.DrawFn) -> OnnxProblem:
    """Draw both, one or none of the bounds."""
    shape, axis = draw(shaped())
    bounds = draw(st.sampled_from([("low", "high"), ("low",), ("", "high"), ()]))
    drawn = tuple(Drawn(name, ()) for name in bounds if name)
    step = Step("Clip", ("x", *bounds))
    return draw(problem("Clip", (step,), shape, axis, drawn=drawn))


@st.composite
def cast(draw: st.DrawFn) -> OnnxProblem:
    """Draw a cast between floats, integers and booleans."""
    source, to = draw(st.sampled_from(CASTS))
    shape, axis = draw(shaped())
    step = Step("Cast", ("x",), (("to", _CODES[to]),))
    return draw(problem("Cast", (step,), shape, axis, dtypes=(source,)))


@st.composite
def conv_relu_pool(draw: st.DrawFn) -> OnnxProblem:
    """Draw a convolution, an activation and a pool, all along the stream."""
    kernel, pool = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    strides = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    pad, channels = draw(st.integers(0, kernel - 1)), draw(sizes(2))
    padded = (("pads", (pad, kernel - 1 - pad)), ("strides", (strides[0],)))
    pooled: tuple[tuple[str, Attribute], ...] = (
        ("kernel_shape", (pool,)),
        ("strides", (strides[1],)),
    )
    operator = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    steps = (
        Step("Conv", ("x", "w", "b"), padded, "conv"),
        Step(draw(st.sampled_from(["Relu", "Sigmoid", "Tanh"])), ("conv",), (), "active"),
        Step(operator, ("active",), pooled),
    )
    drawn = (Drawn("w", (channels[1], channels[0], kernel)), Drawn("b", (channels[1],)))
    return draw(
        problem(
            "ConvReluPool",
            steps,
            (1, channels[0], 1),
            2,
            stride=strides[0] * strides[1],
            field=kernel + pool * strides[0],
            # At least one window of the pool, as for the pools alone.
            least=(pool - 1) * strides[0] + 1,
            drawn=drawn,
        )
    )


@st.composite
def shape_arithmetic(draw: st.DrawFn) -> OnnxProblem:
    """Draw Shape, Gather and Concat that compute what a Reshape of a stream needs."""
    front, inner = draw(st.integers(1, 3)), draw(sizes(2))
    # The stream's own dim is gathered; the rest is merged, or split again.
    steps = (
        Step("Shape", ("x",), (), "all"),
        Step("Gather", ("all", "at"), (("axis", 0),), "two"),
        Step("Concat", ("two", "rest"), (("axis", 0),), "wanted"),
        Step("Reshape", ("x", "wanted")),
    )
    merged = inner[0] * inner[1]
    rest = draw(st.sampled_from([(merged,), (-1,), (inner[1], inner[0]), (1, -1)]))
    lists: Lists = (("at", (0, 1)), ("rest", rest))
    return draw(problem("ShapeArithmetic", steps, (front, 1, *inner), 1, least=1, lists=lists))


@st.composite
def residual(draw: st.DrawFn) -> OnnxProblem:
    """Draw a convolution beside a shortcut that is sliced to its length, and a norm by Softmax."""
    kernel, channels = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    start = draw(st.integers(0, kernel - 1))
    steps = (
        Step("Conv", ("x", "w"), (), "conv"),
        Step("Slice", ("x", "starts", "ends", "axes"), (), "short"),
        Step("Add", ("conv", "short"), (), "sum"),
        Step("Softmax", ("sum",), (("axis", 1),)),
    )
    end = start - kernel + 1
    ends = (end if end else (1 << 63) - 1,)
    lists: Lists = (("starts", (start,)), ("ends", ends), ("axes", (2,)))
    return draw(
        problem(
            "Residual",
            steps,
            (1, channels, 1),
            2,
            field=kernel,
            least=kernel,
            drawn=(Drawn("w", (channels, channels, kernel)),),
            lists=lists,
            opset=draw(st.sampled_from([13, 17, 20])),
        )
    )
