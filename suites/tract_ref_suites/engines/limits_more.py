"""Predicates of known limits, continued: transposed convolutions, norms, lookups, resampling."""

from __future__ import annotations

import numpy as np

from tract_ref.dim import TDim, slope
from tract_ref.ir.fact import TDIM
from tract_ref.ir.model import Node
from tract_ref.ir.per_element import coordinate_axes
from tract_ref.ops.binary import And, Div, Gt, Mul, Or
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.dynamic import DynRange, DynSlice
from tract_ref.ops.fft import Stft
from tract_ref.ops.norm import ExpMeanNorm, ExpUnitNorm
from tract_ref.ops.padding import Pad
from tract_ref.ops.range import Range
from tract_ref.ops.resize import Resize
from tract_ref.ops.scatter import OneHot
from tract_ref.ops.select import Select
from tract_ref.ops.submodel import Submodel
from tract_ref_suites.engines.looking import (
    input_fact,
    model_of,
    nodes_of,
    overruns,
    pulsed_at,
    size_of,
    sizes_of,
    stream_axis_of,
)
from tract_ref_suites.problems.base import SYMBOL, Problem

# Transposed convolutions


def deconv_to_a_symbolic_shape(problem: Problem) -> bool:
    """Say whether a transposed convolution of a stream is written with its output shape."""
    return any(
        isinstance(node.op, Deconv)
        and any(node.op.adjustments)
        and input_fact(problem, node).mentions(SYMBOL)
        for node in nodes_of(problem)
    )


def _grown(problem: Problem, node: Node) -> list[int]:
    """Return the lengths that a transposed convolution has before they are clamped to 0."""
    if not isinstance(node.op, Deconv):
        return []
    along = (node.op.along(i) for i in range(node.op.window.rank))
    sizes = sizes_of(problem, node.inputs[0])[2:]
    return [n * axis.window.stride + axis.surplus for n, axis in zip(sizes, along, strict=True)]


def deconv_of_nothing(problem: Problem) -> bool:
    """Say whether a transposed convolution gets nothing, or its crops are longer than it."""
    return any(
        min(_grown(problem, node)) < 0 or 0 in sizes_of(problem, node.inputs[0])[2:]
        for node in nodes_of(problem)
        if isinstance(node.op, Deconv)
    )


def deconv_of_a_delayed_stream(problem: Problem) -> bool:
    """Say whether a transposed convolution with a stride gets a stream that has a delay."""
    for node in nodes_of(problem):
        axis = stream_axis_of(problem, node.inputs[0]) if node.inputs else None
        if not isinstance(node.op, Deconv) or axis is None or axis < 2:
            continue
        if node.op.along(axis - 2).window.stride > 1 and _is_delayed(problem, node):
            return True
    return False


def _is_delayed(problem: Problem, node: Node) -> bool:
    for pulse in problem.pulses:
        pulsed = pulsed_at(problem, pulse)
        for found in pulsed.batch.nodes.values():
            if found.name == node.name:
                info = pulsed.infos.get(pulsed.batch.wire_name(found.inputs[0]))
                if info is not None and info.stream is not None and info.stream.delay > 0:
                    return True
    return False


def fixed_axis_of_less_than_nothing(problem: Problem) -> bool:
    """Say whether crops or frames are longer than an axis whose size is known from the file."""
    for node in nodes_of(problem):
        match node.op:
            case Deconv():
                fixed = zip(input_fact(problem, node).shape[2:], _grown(problem, node), strict=True)
                if any(isinstance(dim, int) and grown < 0 for dim, grown in fixed):
                    return True
            case Stft(axis):
                if isinstance(input_fact(problem, node).shape[axis], int) and overruns(
                    problem, node
                ):
                    return True
            case _:
                pass
    return False


# Ranges, norms, transforms


def range_of_a_changed_length(problem: Problem) -> bool:
    """Say whether a range is as long as a stream that was cropped or sampled."""
    return any(
        isinstance(node.op, Range)
        and isinstance(node.op.end, TDim)
        and (_is_bent(node.op.end) or slope(node.op.length, SYMBOL) != 1)
        for node in nodes_of(problem)
    )


def _is_bent(dim: TDim) -> bool:
    return any(atom.kind != "symbol" for atom in dim.atoms)


def range_that_ends_before_its_start(problem: Problem) -> bool:
    """Say whether a range ends before its start."""
    for node in nodes_of(problem):
        if isinstance(node.op, Range):
            way = size_of(problem, node.op.end) - size_of(problem, node.op.start)
            if way * node.op.step < 0:
                return True
    return False


def running_norm_with_skip_or_without_state(problem: Problem) -> bool:
    """Say whether a running norm waits before its first update, or is written as stateless."""
    return any(
        isinstance(node.op, ExpUnitNorm | ExpMeanNorm) and (node.op.skip > 0 or node.op.stateless)
        for node in nodes_of(problem)
    )


def running_norm_beside_the_stream(problem: Problem) -> bool:
    """Say whether a running norm runs across a stream, from one number for all frames."""
    return any(
        isinstance(node.op, ExpUnitNorm | ExpMeanNorm)
        and stream_axis_of(problem, node.inputs[0]) not in (None, node.op.axis)
        for node in nodes_of(problem)
    )


def frames_with_gaps(problem: Problem) -> bool:
    """Say whether the frames of a transform leave positions of a stream out."""
    return any(
        isinstance(node.op, Stft)
        and node.op.frame < node.op.stride
        and stream_axis_of(problem, node.inputs[0]) == node.op.axis
        for node in nodes_of(problem)
    )


# Resampling


def resize_by_another_rounding(problem: Problem) -> bool:
    """Say whether a resize has a rounding that the reader of tract has no word for."""
    return any(
        isinstance(node.op, Resize) and node.op.nearest_mode in ("ceil", "round_prefer_floor")
        for node in nodes_of(problem)
    )


def resize_to_a_symbolic_size(problem: Problem) -> bool:
    """Say whether a resize has the stream among its sizes, or gives a part of its frames."""
    for node in nodes_of(problem):
        if isinstance(node.op, Resize):
            axis = stream_axis_of(problem, node.inputs[0])
            if any(isinstance(dim, TDim) for dim in node.op.sizes or ()):
                return True
            if axis is not None and node.op.scales is not None and node.op.scales[axis] < 1:
                return True
    return False


def resize_of_doubles(problem: Problem) -> bool:
    """Say whether numbers that f32 does not have are resampled."""
    resized = any(isinstance(node.op, Resize) for node in nodes_of(problem))
    doubles = [v for v in problem.inputs().values() if v.dtype == np.float64]
    return resized and any(bool((v.astype(np.float32) != v).any()) for v in doubles)


# Lookups


def index_from_the_end(problem: Problem) -> bool:
    """Say whether GatherNd or ScatterNd gets an index that counts from the end."""
    model, given = model_of(problem), problem.inputs()
    for node in nodes_of(problem):
        if node.op.name in ("GatherNd", "ScatterNd"):
            const = model.const_of(node.inputs[1])
            integers = [v for v in given.values() if v.dtype.kind == "i"]
            indices = integers if const is None else [const]
            if any(bool((v < 0).any()) for v in indices):
                return True
    return False


def line_for_no_position(problem: Problem) -> bool:
    """Say whether OneHot gets a number that is no position of its axis."""
    values = list(problem.inputs().values())
    for node in nodes_of(problem):
        if isinstance(node.op, OneHot):
            depth = node.op.depth
            if not depth or any(bool(((v < -depth) | (v >= depth)).any()) for v in values):
                return True
    return False


def quotient(problem: Problem) -> bool:
    """Say whether a quotient of floats is asked for to the last bit."""
    return problem.oracle_approx == "exact" and any(
        isinstance(node.op, Div) and node.outputs[0].dtype.kind == "f" for node in nodes_of(problem)
    )


# Masks of positions


def positions_strictly_above(problem: Problem) -> bool:
    """Say whether positions are compared by `greater`."""
    return any(isinstance(node.op, Gt) and _compares_positions(node) for node in nodes_of(problem))


def _compares_positions(node: Node) -> bool:
    value = node.outputs[0].per_element
    return value is not None and bool(value.axes)


def constant_next_to_a_whole_number(problem: Problem) -> bool:
    """Say whether positions meet a float that is within 1e-6 of a whole number, and is none."""
    model = model_of(problem)
    for node in nodes_of(problem):
        for slot, outlet in enumerate(node.inputs):
            constant = model.const_of(outlet)
            if constant is None or constant.dtype.kind != "f" or len(node.inputs) != 2:
                continue
            distance = np.abs(constant - np.rint(constant))
            other = model.fact(node.inputs[1 - slot]).per_element
            if other is not None and bool(((distance > 0) & (distance < 1e-6)).any()):
                return True
    return False


def positions_of_two_axes_compared(problem: Problem) -> bool:
    """Say whether the positions of two axes are compared with each other."""
    for node in nodes_of(problem):
        value = node.outputs[0].per_element
        atoms = value.numerator.atoms if value and isinstance(value.numerator, TDim) else ()
        if any(
            len(coordinate_axes(piece)) > 1
            for atom in atoms
            if atom.kind in ("ge", "eq")
            for piece in atom.pieces
        ):
            return True
    return False


def mask_wider_than_values(problem: Problem) -> bool:
    """Say whether a mask of positions lets a value through along an axis where it has one only."""
    model = model_of(problem)
    for node in nodes_of(problem):
        if not isinstance(node.op, Select | And | Or | Mul):
            continue
        facts = [model.fact(outlet) for outlet in node.inputs]
        masked = any(fact.per_element is not None for fact in facts)
        if masked and any(fact.shape != node.outputs[0].shape for fact in facts):
            return True
    return False


def padded_bools(problem: Problem) -> bool:
    """Say whether bools are padded."""
    return any(
        isinstance(node.op, Pad) and node.outputs[0].dtype.kind == "b" for node in nodes_of(problem)
    )


# Graphs inside, bounds known at run time


def submodel_along_a_stream(problem: Problem) -> bool:
    """Say whether a stream goes through a graph of its own."""
    return any(isinstance(node.op, Submodel) for node in problem.model().nodes.values())


def dyn_slice_of_nothing(problem: Problem) -> bool:
    """Say whether bounds known at run time keep no position."""
    return any(
        isinstance(node.op, DynSlice) and size_of(problem, node.op.len) == 0
        for node in nodes_of(problem)
    )


def late_range_of_dims_that_ends_before_its_start(problem: Problem) -> bool:
    """Say whether a range between dims of run time has its end on the other side of its start."""
    model = problem.model()
    late = any(
        isinstance(node.op, DynRange) and model.fact(node.inputs[0]).dtype == TDIM
        for node in model.nodes.values()
    )
    given = problem.inputs()
    bounds = [given[name] for name in ("first", "last", "step") if name in given]
    return late and len(bounds) == 3 and bool((bounds[1] - bounds[0]) * bounds[2] < 0)
