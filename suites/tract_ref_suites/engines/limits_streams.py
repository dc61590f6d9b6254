"""Predicates of known limits: models that do not stream, and what a pulse does not carry."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tract_ref.dim import Dim, TDim, slope
from tract_ref.errors import Inconclusive
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ops.axes import Reshape
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.fft import Stft
from tract_ref.ops.norm import RmsNorm
from tract_ref.ops.pool import MaxPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.stream.window import Explicit
from tract_ref_suites.engines.looking import (
    model_of,
    nodes_of,
    size_of,
    stream_axis_of,
    windows_of,
)
from tract_ref_suites.problems.base import SYMBOL, Problem


def softmax_over_the_stream(problem: Problem) -> bool:
    """Say whether a softmax works over the stream."""
    for node in nodes_of(problem):
        match node.op:
            case Softmax(over) if stream_axis_of(problem, node.inputs[0]) in over:
                return True
            case _:
                pass
    return False


def rms_norm_over_the_stream(problem: Problem) -> bool:
    """Say whether an RmsNorm works over the stream."""
    return any(
        isinstance(node.op, RmsNorm) and stream_axis_of(problem, node.inputs[0]) == node.op.axis
        for node in nodes_of(problem)
    )


def slice_from_the_end(problem: Problem) -> bool:
    """Say whether a slice of a stream begins at a position that its length tells."""
    return any(
        isinstance(node.op, Slice)
        and isinstance(node.op.start, TDim)
        and stream_axis_of(problem, node.inputs[0]) == node.op.axis
        for node in nodes_of(problem)
    )


def two_axes_that_grow(problem: Problem) -> bool:
    """Say whether a wire has two axes that grow with the stream."""
    return any(
        len(fact.axes_with(SYMBOL)) > 1 for node in nodes_of(problem) for fact in node.outputs
    )


def pieces_of_a_stream_joined(problem: Problem) -> bool:
    """Say whether pieces of one stream are joined along it."""
    model = model_of(problem)
    for node in nodes_of(problem):
        if not isinstance(node.op, Concat):
            continue
        pieces = 0
        for wire in node.inputs:
            above = model.nodes[wire.node]
            cut = isinstance(above.op, Slice) and above.op.axis == node.op.axis
            streams = stream_axis_of(problem, wire) == node.op.axis
            if streams or (cut and stream_axis_of(problem, above.inputs[0]) == node.op.axis):
                pieces += 1
        if pieces > 1:
            return True
    return False


def reshape_of_an_inner_stream(problem: Problem) -> bool:
    """Say whether a reshape puts rows of a stream one behind the other."""
    return any(
        isinstance(node.op, Reshape) and any(map(_is_inner, (node.op.before, node.op.after)))
        for node in nodes_of(problem)
    )


def _is_inner(dims: tuple[Dim, ...]) -> bool:
    at = [k for k, dim in enumerate(dims) if isinstance(dim, TDim)]
    return bool(at) and any(dim != 1 for dim in dims[: at[0]])


def input_with_a_rest(problem: Problem) -> bool:
    """Say whether the length of an input is a number of frames and a multiple of the symbol."""
    return any(rate is not None and rest != 0 for rate, rest in _inputs(problem))


def input_of_a_square(problem: Problem) -> bool:
    """Say whether the length of an input has no constant rate."""
    return any(rate is None for rate, _ in _inputs(problem))


def _inputs(problem: Problem) -> Iterator[tuple[Fraction | None, int]]:
    """Yield the rate of each stream that comes in, and what it has when the symbol is 0."""
    model = model_of(problem)
    for wire in model.inputs:
        fact = model.fact(wire)
        for axis in fact.axes_with(SYMBOL):
            rest = size_of(problem, fact.shape[axis], 0)
            try:
                yield slope(fact.shape[axis], SYMBOL), rest
            except Inconclusive:
                yield None, rest


def uneven_hop(problem: Problem) -> bool:
    """Say whether a pulse is no multiple of the distance of two frames of a transform."""
    asked = (*problem.pulses, *problem.refused_at)
    return any(
        isinstance(node.op, Stft)
        and stream_axis_of(problem, node.inputs[0]) == node.op.axis
        and any(pulse % node.op.stride for pulse in asked)
        for node in nodes_of(problem)
    )


def last_window_hangs_over(problem: Problem) -> bool:
    """Say whether the last window of a max pool of a stream may hang over its end."""
    return any(
        isinstance(node.op, MaxPool)
        and isinstance(window.padding, Explicit)
        and window.padding.ceil
        and window.stride > 1
        and stream_axis_of(problem, node.inputs[0]) == axis
        for node, axis, window, _ in windows_of(problem)
    )


def sampled_after_a_convolution(problem: Problem) -> bool:
    """Say whether every n-th frame is kept from a later one than the first of a convolution."""
    model = model_of(problem)
    below: dict[Outlet, bool] = {}
    for node in nodes_of(problem):
        reads = any(below.get(wire, False) for wire in node.inputs)
        is_sampled = isinstance(node.op, Downsample) and abs(node.op.stride) > 1
        if is_sampled and reads and _starts_late(model, node):
            return True
        convolves = isinstance(node.op, Conv)
        below |= {Outlet(node.id, slot): reads or convolves for slot in range(len(node.outputs))}
    return False


def _starts_late(model: Model, node: Node) -> bool:
    """Say whether a sampling, or anything that it reads, drops frames in front."""
    waiting, seen = [node], set[int]()
    while waiting:
        node = waiting.pop()
        if isinstance(node.op, Downsample) and node.op.modulo:
            return True
        if isinstance(node.op, Slice) and node.op.start != 0:
            return True
        if isinstance(node.op, Conv) or node.id in seen:
            continue
        seen.add(node.id)
        waiting += [model.nodes[wire.node] for wire in node.inputs]
    return False
