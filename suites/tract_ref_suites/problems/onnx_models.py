"""Imported models: ONNX operators with their attributes, run by the importer and by engines.

Left out, because engines other than ours are judged by the same problems: axes shorter than a
window, pool windows in padding only, counted padding in ceil mode, reductions of nothing (each at
its strategy); f16 arithmetic, which onnxruntime lacks on CPUs. The families of the ops have them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy
from onnx import NodeProto

from tract_ref.errors import InvalidModel, MalformedFile, Refused, TractRefError
from tract_ref.onnx_io.importer import read_onnx
from tract_ref_suites.onnx_graphs import floats, ints, model_of, node, output, value
from tract_ref_suites.problems.base import ErrorCase, Problem, Values
from tract_ref_suites.problems.onnx_base import Attribute, Drawn, OnnxProblem, OnnxWindows, Step
from tract_ref_suites.strategies import onnx_elements as elements
from tract_ref_suites.strategies import onnx_nodes as nodes
from tract_ref_suites.strategies.onnx_windows import window_problems
from tract_ref_suites.strategies.windows import Along

FORMATS = frozenset({"nnef", "onnx"})

_PADDING = {"valid": "VALID", "upper": "SAME_UPPER", "lower": "SAME_LOWER"}
_WINDOWED = ("Conv", "MaxPool", "AveragePool")

STRATEGIES: dict[str, Callable[[], SearchStrategy[Problem]]] = {
    **{f"{op}-1d": partial(window_problems, op) for op in _WINDOWED},
    **{f"{op}-2d": partial(window_problems, op, spatial=2) for op in _WINDOWED},
    **{
        f"{op}-{name}": partial(window_problems, op, padding=padding)
        for op in _WINDOWED
        for padding, name in _PADDING.items()
    },
    "Gemm": nodes.gemm,
    "MatMul": nodes.matmul,
    "Slice-forwards": nodes.slices,
    "Slice-from-the-end": partial(nodes.slices, backwards=True),
    **{f"Pad-{mode}": partial(nodes.pads, mode=mode) for mode in ("constant", "edge", "reflect")},
    "Concat": nodes.concat,
    "Transpose": nodes.transpose,
    "Reshape": nodes.reshape,
    "Squeeze": partial(nodes.squeeze, "Squeeze"),
    "Unsqueeze": partial(nodes.squeeze, "Unsqueeze"),
    "Reduce": nodes.reduce,
    "Softmax": partial(nodes.softmax, "Softmax"),
    "LogSoftmax": partial(nodes.softmax, "LogSoftmax"),
    "Unary": elements.unary,
    "Binary": elements.binary,
    "Where": elements.where,
    "Clip": elements.clip,
    "Cast": elements.cast,
    "ConvReluPool": elements.conv_relu_pool,
    "ShapeArithmetic": elements.shape_arithmetic,
    "Residual": elements.residual,
}


def _windows(operator: str, length: int, pulse: int, along: Along, **rest: int) -> OnnxWindows:
    drawn = (Drawn("w", (1, 1, along.kernel)),) if operator == "Conv" else ()
    return OnnxWindows(
        group=operator,
        steps=(),
        shape=(1, 1, length),
        axis=2,
        sizes=(pulse,),
        drawn=drawn,
        along=(along,),
        **rest,  # pyright: ignore[reportArgumentType]
    )


def _one(operator: str, length: int, opset: int = 17, **attributes: Attribute) -> OnnxProblem:
    """Return an operator on a stream of [2, S, 3]."""
    return OnnxProblem(
        group=operator,
        steps=(Step(operator, ("x",), tuple(attributes.items())),),
        shape=(2, length, 3),
        axis=1,
        sizes=(1, 4),
        opset=opset,
        values=Values(1, "normal"),
    )


HAND: dict[str, Problem] = {
    "Conv-whole-axis": _windows("Conv", 8, 8, Along(3)),
    "Conv-opset-11": _windows("Conv", 9, 4, Along(3, 1, 2, (2, 2)), opset=11),
    "Conv-same-lower-even": _windows("Conv", 9, 2, Along(4, 1, 1, "lower")),
    "MaxPool-ceil": _windows("MaxPool", 8, 6, Along(3, 3, 1, (0, 0), True)),
    "AveragePool-counted": _windows("AveragePool", 9, 4, Along(3, 1, 1, (1, 1)), counted=1),
    "AveragePool-not-counted": _windows("AveragePool", 9, 4, Along(3, 1, 1, (1, 1))),
    "Softmax-opset-11": _one("Softmax", 5, 11, axis=2),
    "Softmax-opset-13": _one("Softmax", 5, 13),
    "Transpose-empty-stream": _one("Transpose", 0, perm=(1, 0, 2)),
    "Transpose-one-frame": _one("Transpose", 1),
    "ReduceMean-attribute": _one("ReduceMean", 6, 13, axes=(0, -1), keepdims=0),
    "Relu-shorter-than-pulse": _one("Relu", 3),
}


def reading(operator: str, *rest: str, opset: int = 17, **attributes: Any) -> Callable[[], object]:
    """Return the attempt to read one node `n` of x [1, 2, S] and constants."""
    made = node(operator, ["x", *rest], ["y"], name="n", **attributes)
    return lambda: _read(made, opset)


def _read(made: NodeProto, opset: int) -> object:
    constants = [floats("w", 4, 2, 3), floats("b", 3), ints("i", 9)]
    proto = model_of([made], [value("x", 1, 2, "S")], [output("y")], constants, opset=opset)
    with tempfile.TemporaryDirectory(prefix="tract_ref-") as scratch:
        path = Path(scratch) / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        try:
            return read_onnx(path)
        except MalformedFile as error:
            # Its message begins with the path, which has another folder every time.
            raise MalformedFile(
                error.seen, file=path.name, stage=error.stage, node=error.node, op=error.op
            ) from error


def _error(error: type[TractRefError], attempt: Callable[[], object], starts: str) -> ErrorCase:
    return ErrorCase(attempt, error, starts)


_QUANTISED = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"),
    *("QLinearMatMul", "ConvInteger", "MatMulInteger"),
)
_REFUSED = "read: node "
_BROKEN = "model.onnx: read: node "

ERRORS: dict[str, ErrorCase] = {
    "Det-not-read": _error(
        Refused, reading("Det"), f"{_REFUSED}\"n\" (Det): operator 'Det' of the domain 'ai.onnx'"
    ),
    "Unknown-not-read": _error(
        Refused,
        reading("NoSuchOp"),
        f"{_REFUSED}\"n\" (NoSuchOp): operator 'NoSuchOp' of the domain 'ai.onnx', opset 17, is",
    ),
    "LpPool-refused": ErrorCase(
        reading("LpPool", kernel_shape=[2]),
        Refused,
        f'{_REFUSED}"n" (LpPool): pools by a p-norm',
        refusal="ONNX import:LpPool",
    ),
    "Hardmax-refused": ErrorCase(
        reading("Hardmax"),
        Refused,
        f'{_REFUSED}"n" (Hardmax): Hardmax is not read',
        refusal="ONNX import:Hardmax",
    ),
    **{
        f"{operator}-quantised": ErrorCase(
            reading(operator),
            Refused,
            f'{_REFUSED}"n" ({operator}): is quantised arithmetic, which is not read; export the',
            refusal=f"ONNX import:{operator}",
        )
        for operator in _QUANTISED
    },
    "Relu-attribute": _error(
        Refused, reading("Relu", slope=0.5), f"{_REFUSED}\"n\" (Relu): the attribute 'slope'=0.5"
    ),
    "MaxPool-storage-order": _error(
        Refused,
        reading("MaxPool", kernel_shape=[2], storage_order=1),
        f'{_REFUSED}"n" (MaxPool): storage_order=1',
    ),
    "Pad-wrap": _error(
        Refused,
        reading("Pad", "i", mode="wrap", opset=20),
        f"{_REFUSED}\"n\" (Pad): mode='wrap'; use one of",
    ),
    "Conv-auto-pad": _error(
        MalformedFile,
        reading("Conv", "w", auto_pad="SAME"),
        f"{_BROKEN}\"n\" (Conv): auto_pad='SAME'",
    ),
    "Conv-auto-pad-kind": _error(
        MalformedFile,
        reading("Conv", "w", auto_pad=3),
        f"{_BROKEN}\"n\" (Conv): the attribute 'auto_pad' is INT; it must be STRING",
    ),
    "Conv-kernel-shape": _error(
        MalformedFile,
        reading("Conv", "w", kernel_shape=[5]),
        f'{_BROKEN}"n" (Conv): kernel_shape=[5] where W is 4,2,3,f32',
    ),
    "Conv-pads": _error(
        MalformedFile, reading("Conv", "w", pads=[1]), f'{_BROKEN}"n" (Conv): pads=[1], strides='
    ),
    "Conv-group": _error(
        InvalidModel, reading("Conv", "w", group=2), f'{_REFUSED}"n" (Conv): 2 channels where'
    ),
    "MaxPool-no-kernel": _error(
        MalformedFile,
        reading("MaxPool"),
        f"{_BROKEN}\"n\" (MaxPool): the attribute 'kernel_shape' is missing",
    ),
    "Transpose-perm": _error(
        MalformedFile,
        reading("Transpose", perm=[0, 0, 1]),
        f'{_BROKEN}"n" (Transpose): perm=[0, 0, 1] is not a permutation of 3 axes',
    ),
    "Softmax-axis": _error(
        MalformedFile,
        reading("Softmax", axis=3),
        f'{_BROKEN}"n" (Softmax): axis=3 of a tensor of 3 axes',
    ),
    "Squeeze-axes": _error(
        MalformedFile, reading("Squeeze", "i"), f'{_BROKEN}"n" (Squeeze): axes=[9] for a rank of 3'
    ),
    "Gemm-rank": _error(
        MalformedFile,
        reading("Gemm", "b"),
        f'{_BROKEN}"n" (Gemm): Gemm of 1,2,S,f32 and 3,f32; both are matrices',
    ),
    "Mod-floats": _error(MalformedFile, reading("Mod", "b"), f'{_BROKEN}"n" (Mod): fmod=0 of f32'),
    "Relu-arity": _error(
        MalformedFile, reading("Relu", "w"), f'{_BROKEN}"n" (Relu): it has 2 inputs; the operator'
    ),
}
