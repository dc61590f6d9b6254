"""Predicates of known limits, continued: what an engine cannot do with a symbolic pulse."""

from __future__ import annotations

from tract_ref.dim import symbols
from tract_ref.ops.axes import Reshape
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.slicing import Downsample
from tract_ref_suites.engines.looking import (
    model_of,
    nodes_of,
    size_of,
    stream_axis_of,
    windows_of,
)
from tract_ref_suites.problems.base import SYMBOL, Problem


def edge_padded_stream(problem: Problem) -> bool:
    """Say whether a stream is padded by its first or last frame."""
    for node in nodes_of(problem):
        if isinstance(node.op, Pad) and node.op.mode == "edge":
            axis = stream_axis_of(problem, node.inputs[0])
            if axis is not None and any(node.op.pads[axis]):
                return True
    return False


def range_along_the_stream(problem: Problem) -> bool:
    """Say whether numbers are counted as long as the stream."""
    return any(
        isinstance(node.op, Range) and SYMBOL in symbols(node.op.length)
        for node in nodes_of(problem)
    )


def reshape_of_the_stream(problem: Problem) -> bool:
    """Say whether frames are split or merged."""
    return any(
        isinstance(node.op, Reshape) and any(SYMBOL in symbols(dim) for dim in node.op.before)
        for node in nodes_of(problem)
    )


def stream_with_a_rest(problem: Problem) -> bool:
    """Say whether frames belong to no source frame, as in 2*S+3, or may after a second stride.

    Behind one stride a turn has (6*P+1)/3 frames there, which no second stride is proved to divide.
    """
    strided = sum(window.stride > 1 for _, _, window, _ in windows_of(problem))
    strided += sum(isinstance(node.op, Downsample) for node in nodes_of(problem))
    if strided > 1:
        return True
    model = model_of(problem)
    dims = (dim for wire in model.inputs for dim in model.fact(wire).shape)
    return any(SYMBOL in symbols(dim) and size_of(problem, dim, 0) != 0 for dim in dims)
