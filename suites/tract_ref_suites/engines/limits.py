"""Predicates of the known limits: is a problem inside what an engine is known not to do?

They look at the model that a problem builds and at its lengths, never at the engine's answer. Each
is as narrow as the fault that it stands for, so that an engine is tested right up to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tract_ref.dim import evaluate, symbols
from tract_ref.ir.model import Node
from tract_ref.ops.axes import Reshape
from tract_ref.ops.buffer import PulsePad
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.fft import Fft
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.repeat import Broadcast, Tile
from tract_ref.ops.resize import Resize
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.stream.window import Explicit, SameLower, SameUpper
from tract_ref_suites.engines.looking import (
    input_fact,
    model_of,
    nodes_of,
    overruns,
    pulsed_at,
    size_of,
    sizes_of,
    stream_axis_of,
    windows_of,
)
from tract_ref_suites.problems.base import SYMBOL, Problem

_PULSES = 64
"""Pulses looked at when the worst end of a stream is searched."""


def reads_past_the_end(problem: Problem) -> bool:
    """Say whether a slice, a crop or a window reads past the end of an axis this short."""
    return any(overruns(problem, node) for node in nodes_of(problem))


def empty_tensor_in_a_kernel(problem: Problem) -> bool:
    """Say whether a kernel that divides by its number of elements has none at all."""
    for node in nodes_of(problem):
        match node.op:
            case MaxPool(window) if window.rank > 1:
                pass
            case Softmax(axes) if len(axes) > 1:
                pass
            case Fft() | Resize():
                pass
            case Reduce(axes):
                sizes = sizes_of(problem, node.inputs[0])
                if any(sizes[axis] == 0 for axis in axes):
                    return True
                continue
            case _:
                continue
        facts = (input_fact(problem, node), *node.outputs)
        if any(size_of(problem, dim) == 0 for fact in facts for dim in fact.shape):
            return True
    return False


def window_longer_than_a_fixed_axis(problem: Problem) -> bool:
    """Say whether a window does not fit an axis whose size is known when the file is read."""
    return any(
        isinstance(input_fact(problem, node).shape[axis], int)
        and n + sum(window.pads(n)) <= window.field
        for node, axis, window, n in windows_of(problem)
    )


# Streams


def _pads_after(problem: Problem, node: Node) -> bool:
    """Say whether a node writes something after the last frame of its stream."""
    wire = node.inputs[0] if node.inputs else None
    if wire is None:
        return False
    match node.op:
        case Pad(pads):
            axis = stream_axis_of(problem, wire)
            return axis is not None and pads[axis][1] > 0
        case Concat(axis):
            streams = [i for i, w in enumerate(node.inputs) if stream_axis_of(problem, w) == axis]
            return bool(streams) and streams[0] < len(node.inputs) - 1
        case Conv(window) | MaxPool(window) | SumPool(window):
            axis = stream_axis_of(problem, wire)
            if axis is None or axis < window.FIRST:
                return False
            _, after = window.axis(axis - window.FIRST).fixed_pads()
            return bool(after)
        case Deconv():
            axis = stream_axis_of(problem, wire) or 0
            return axis > 1 and node.op.along(axis - 2).surplus > -node.op.window.stride[axis - 2]
        case _:
            return False


def _comes_too_early(problem: Problem, node: Node, pulse: int) -> bool:
    """Say whether a frame after the end of a node's stream passes before the end is known.

    After k pulses k*q frames of the wire have passed while the stream may end now, with d + L(k*P)
    frames of it that count (spec/pulse.md 8.20).
    """
    pulsed = pulsed_at(problem, pulse)
    batch = pulsed.batch
    found = [n for n in batch.nodes.values() if n.name == node.name]
    wires = found[0].inputs if found else ()
    for wire in wires:
        info = pulsed.infos.get(batch.wire_name(wire))
        if info is None or info.stream is None:
            continue
        stream = info.stream
        for k in range(_PULSES):
            length = max(0, evaluate(stream.length, {SYMBOL: k * pulse}))
            if k * int(stream.rate * pulse) > length + stream.delay:
                return True
    return False


def end_is_needed_before_it_is_known(problem: Problem) -> bool:
    """Say whether something follows the last frame of a stream that was cropped at its end."""
    ends = [node for node in nodes_of(problem) if _pads_after(problem, node)]
    return any(_comes_too_early(problem, node, pulse) for node in ends for pulse in problem.pulses)


def something_follows_a_stream_that_ran_out(problem: Problem) -> bool:
    """Say whether frames are put around a stream of which a crop left less than nothing."""
    around = any(isinstance(node.op, Pad | Concat) for node in nodes_of(problem))
    around = around or any(
        isinstance(window.padding, Explicit) and (window.padding.before or window.padding.after)
        for _, _, window, _ in windows_of(problem)
    )
    return around and (_has_an_empty_stream(problem) or reads_past_the_end(problem))


def _has_an_empty_stream(problem: Problem) -> bool:
    """Say whether a wire that grows with the stream has no frame: its formula may be below zero."""
    dims = (dim for node in nodes_of(problem) for fact in node.outputs for dim in fact.shape)
    return any(SYMBOL in symbols(dim) and size_of(problem, dim) == 0 for dim in dims)


def same_padding_with_a_stride(problem: Problem) -> bool:
    """Say whether SAME padding is written for a strided window on the stream axis."""
    return any(
        window.stride > 1
        and isinstance(window.padding, SameUpper | SameLower)
        and stream_axis_of(problem, node.inputs[0]) == axis
        for node, axis, window, _ in windows_of(problem)
    )


def _edge_pads(problem: Problem) -> Iterator[tuple[Node, int, tuple[tuple[int, int], ...]]]:
    for node in nodes_of(problem):
        if isinstance(node.op, Pad) and node.op.mode == "edge":
            axis = stream_axis_of(problem, node.inputs[0])
            if axis is not None:
                yield node, axis, node.op.pads


def edge_padding_of_a_pulse(problem: Problem) -> bool:
    """Say whether the front of a stream is padded by its edge as far as a pulse reaches."""
    return any(
        pads[axis][0] >= pulse
        for _, axis, pads in _edge_pads(problem)
        for pulse in problem.pulses
        if pads[axis][0]
    )


def edge_padding_of_two_axes(problem: Problem) -> bool:
    """Say whether an edge pad of the stream axis pads another axis too."""
    return any(
        max(pads[axis]) > 0 and any(max(p) > 0 for a, p in enumerate(pads) if a != axis)
        for _, axis, pads in _edge_pads(problem)
    )


def reflect_padding_of_a_stream(problem: Problem) -> bool:
    """Say whether a stream is padded by its mirror image."""
    for node in nodes_of(problem):
        if isinstance(node.op, Pad) and node.op.mode == "reflect":
            axis = stream_axis_of(problem, node.inputs[0])
            if axis is not None and max(node.op.pads[axis]):
                return True
    return False


def padded_average_of_a_stream(problem: Problem) -> bool:
    """Say whether a sum or average pool is padded on the stream axis."""
    return any(
        isinstance(node.op, SumPool)
        and stream_axis_of(problem, node.inputs[0]) == axis
        and window.fixed_pads() != (0, 0)
        for node, axis, window, _ in windows_of(problem)
    )


def stream_is_not_spatial(problem: Problem) -> bool:
    """Say whether a pool works beside a stream on its batch or channel axis."""
    return any(
        isinstance(node.op, MaxPool | SumPool)
        and (stream_axis_of(problem, node.inputs[0]) or 0) < 2
        for node in nodes_of(problem)
    )


def stream_is_the_channel(problem: Problem) -> bool:
    """Say whether the channels of a pool are the stream."""
    return any(
        isinstance(node.op, MaxPool | SumPool) and stream_axis_of(problem, node.inputs[0]) == 1
        for node in nodes_of(problem)
    )


def table_cut_to_the_stream(problem: Problem) -> bool:
    """Say whether a constant is cut to the length of the stream."""
    return any(
        isinstance(node.op, Slice)
        and not input_fact(problem, node).mentions(SYMBOL)
        and node.op.mentions(SYMBOL)
        for node in nodes_of(problem)
    )


def stream_cut_to_a_fixed_end(problem: Problem) -> bool:
    """Say whether a stream is sliced up to a position that is a number, and goes on from there."""
    outputs = {outlet.node for outlet in model_of(problem).outputs}
    return any(
        isinstance(node.op, Slice)
        and isinstance(node.op.end, int)
        and stream_axis_of(problem, node.inputs[0]) == node.op.axis
        and node.id not in outputs
        for node in nodes_of(problem)
    )


def sampled_beside_the_stream(problem: Problem) -> bool:
    """Say whether every n-th position of an axis other than the stream's is kept.

    A convolution that never reads the positions between becomes such a sampling.
    """
    for node in nodes_of(problem):
        if not node.inputs:
            continue
        axis = stream_axis_of(problem, node.inputs[0])
        if isinstance(node.op, Downsample) and axis is not None and node.op.axis != axis:
            return node.op.stride != 1
        if isinstance(node.op, Conv):
            windows = [node.op.window.axis(i) for i in range(node.op.window.rank)]
            beside = [w for i, w in enumerate(windows) if i + 2 != axis]
            if any(
                w.stride > 1
                and w.fixed_pads() == (0, 0)
                and (w.kernel == 1 or w.dilation % w.stride == 0)
                for w in beside
            ):
                return True
    return False


def every_position_from_a_phase(problem: Problem) -> bool:
    """Say whether a Downsample of stride 1 starts after position 0."""
    return any(
        isinstance(n.op, Downsample) and n.op.stride == 1 and n.op.modulo > 0
        for n in nodes_of(problem)
    )


def repeated_along_or_beside_a_stream(problem: Problem) -> bool:
    """Say whether a cropped stream, or a constant as long as it, is repeated to a shape."""
    return any(
        isinstance(node.op, Broadcast)
        and any(str(dim) != SYMBOL for dim in node.outputs[0].shape if not isinstance(dim, int))
        for node in nodes_of(problem)
    )


def tiled_stream(problem: Problem) -> bool:
    """Say whether a stream, or a constant as long as it, is tiled."""
    return any(
        isinstance(node.op, Tile)
        and node.outputs[0].mentions(SYMBOL)
        and any(times != 1 for times in node.op.multipliers)
        for node in nodes_of(problem)
    )


def reshaped_after_a_crop(problem: Problem) -> bool:
    """Say whether a stream whose length has a clamp is reshaped."""
    return any(
        isinstance(node.op, Reshape) and "max(" in str(input_fact(problem, node))
        for node in nodes_of(problem)
    )


def conjunction_after_a_crop_of_a_pulse(problem: Problem) -> bool:
    """Say whether bools meet a constant after a crop of more frames than a pulse has."""
    model = model_of(problem)
    meets = any(
        node.op.name in ("And", "Or") and any(model.const_of(w) is not None for w in node.inputs)
        for node in nodes_of(problem)
    )
    return meets and any(
        overruns(problem, node, pulse) for node in nodes_of(problem) for pulse in problem.pulses
    )


def front_of_another_size(problem: Problem) -> bool:
    """Say whether what stands before `begin` is not what a PulsePad pads in front."""
    return any(
        isinstance(node.op, PulsePad)
        and (node.op.before == 0 < node.op.begin or node.op.begin < node.op.before)
        for node in nodes_of(problem)
    )


_NO_PULSIFIER = frozenset(
    {"GatherElements", "GatherNd", "ScatterElements", "ScatterNd", "Resize", "TopK", "Trilu"}
)


def op_without_a_pulsifier(problem: Problem) -> bool:
    """Say whether a stream meets an op that is neither pulsified nor maps its axes."""
    return any(
        node.op.name in _NO_PULSIFIER and node.outputs[0].mentions(SYMBOL)
        for node in nodes_of(problem)
    )
