"""What the predicates of the known limits ask about a problem: its model, sizes and windows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tract_ref import Pulsed, pulsify
from tract_ref.dim import Dim, evaluate
from tract_ref.ir.bodies import bound_symbols, splice
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ops.conv import Conv
from tract_ref.ops.crop import Crop
from tract_ref.ops.fft import Stft
from tract_ref.ops.pool import MaxPool, SumPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.submodel import Submodel
from tract_ref.stream.window import AxisWindow, WindowSpec
from tract_ref_suites.problems.base import SYMBOL, Problem


@lru_cache(maxsize=512)
def model_of(problem: Problem) -> Model:
    return flat(problem.model())


def flat(model: Model) -> Model:
    """Return a model with the nodes of its sub-models in their places."""
    while any(isinstance(node.op, Submodel) for node in model.nodes.values()):
        result, moved = Model(model.scope), dict[Outlet, Outlet]()
        for node in model.order():
            inputs = tuple(moved[outlet] for outlet in node.inputs)
            if isinstance(node.op, Submodel):
                mapping = bound_symbols(node.op.body, [result.fact(wire) for wire in inputs])
                lead = f"{node.name}."
                outlets = splice(
                    node.op.body,
                    inputs,
                    lambda name, op, wires, lead=lead, to=result: to.wire(lead + name, op, wires),
                    mapping,
                )
            else:
                outlets = result.wire(node.name, node.op, inputs)
            moved |= {Outlet(node.id, slot): outlet for slot, outlet in enumerate(outlets)}
        result.inputs = [moved[outlet] for outlet in model.inputs]
        result.set_outputs([moved[outlet] for outlet in model.outputs], model.output_names)
        model = result
    return model


@lru_cache(maxsize=512)
def pulsed_at(problem: Problem, pulse: int) -> Pulsed:
    return pulsify(model_of(problem), pulse, symbol=SYMBOL)


def nodes_of(problem: Problem) -> list[Node]:
    return model_of(problem).order()


def size_of(problem: Problem, dim: Dim, length: int | None = None) -> int:
    return evaluate(
        dim, {SYMBOL: problem.length if length is None else length, **problem.sizes_found}
    )


def sizes_of(problem: Problem, wire: Outlet, length: int | None = None) -> tuple[int, ...]:
    return tuple(size_of(problem, dim, length) for dim in model_of(problem).fact(wire).shape)


def stream_axis_of(problem: Problem, wire: Outlet) -> int | None:
    """Return the axis of a wire that grows with the stream."""
    axes = model_of(problem).fact(wire).axes_with(SYMBOL)
    return axes[0] if axes else None


def window_of(node: Node) -> WindowSpec | None:
    return node.op.window if isinstance(node.op, Conv | MaxPool | SumPool) else None


def windows_of(problem: Problem) -> Iterator[tuple[Node, int, AxisWindow, int]]:
    """Yield every windowed node with each of its axes, the windows there, and the size there."""
    for node in nodes_of(problem):
        spec = window_of(node)
        if spec is not None:
            sizes = sizes_of(problem, node.inputs[0])
            for spatial in range(spec.rank):
                axis = spec.FIRST + spatial
                yield node, axis, spec.axis(spatial), sizes[axis]


def overruns(problem: Problem, node: Node, length: int | None = None) -> bool:
    """Say whether a node asks for positions that the axis does not have."""
    if not node.inputs:
        return False
    sizes = sizes_of(problem, node.inputs[0], length)
    match node.op:
        case Slice(axis, int(start), int(end)) if end <= start:
            # It is written as [start:start], or cut back to the axis.
            return start > sizes[axis]
        case Slice(axis, start, end):
            first, last = size_of(problem, start, length), size_of(problem, end, length)
            return not first <= last <= sizes[axis]
        case Crop(crops):
            return any(b + a > n for (b, a), n in zip(crops, sizes, strict=True))
        case Conv(window) if sizes[0]:
            along = enumerate(sizes[window.FIRST :])
            return any(n + sum(window.axis(i).pads(n)) < window.axis(i).field for i, n in along)
        case Stft(axis, frame):
            return sizes[axis] < frame
        case Downsample(axis, _, modulo):
            return modulo > sizes[axis]
        case _:
            return False


def input_fact(problem: Problem, node: Node) -> Fact:
    return model_of(problem).fact(node.inputs[0])
