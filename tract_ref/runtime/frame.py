"""Frame: buffers for one set of concrete shapes and one list of argument-less steps.

Buffers come from a pool by liveness: a block is reused once its last reader ran. A `Tape` kernel
owns the storage of its input, so that the producer writes new frames where the reader expects them.
A view shares the storage of its input, so the input lives as long as the view does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tract_ref.dim import TDim, solve_for, substitute
from tract_ref.errors import EvalError, InternalError, TractRefError
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import OpState, Turn
from tract_ref.runtime.kernels import Compute, Concrete, Step, Tape, View, build_kernel

Spec = tuple[tuple[int, ...], DType]


class _Pool:
    """Blocks of bytes, reused by best fit."""

    def __init__(self) -> None:
        self._free: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []

    def take(self, spec: Spec) -> tuple[Tensor, np.ndarray[tuple[int], np.dtype[np.uint8]]]:
        shape, dtype = spec
        size = max(1, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        fitting = [i for i, block in enumerate(self._free) if size <= block.size <= 4 * size]
        if fitting:
            block = self._free.pop(min(fitting, key=lambda i: self._free[i].size))
        else:
            block = np.zeros(size, np.uint8)
        return np.ndarray(shape, dtype, buffer=block.data), block

    def give(self, block: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        self._free.append(block)


class TapeBuffer:
    """Storage of one Tape: `kept` old frames, then the frames of the turn."""

    def __init__(self, tape: Tape, spec: Spec) -> None:
        shape, dtype = spec
        self.axis = tape.axis
        self.kept = tape.kept
        frames = shape[tape.axis]
        whole = (*shape[: tape.axis], tape.kept + frames, *shape[tape.axis + 1 :])
        self.data: Tensor = np.zeros(whole, dtype)
        lead = (slice(None),) * tape.axis
        self.tail: Tensor = self.data[(*lead, slice(tape.kept, None))]
        self.head: Tensor = self.data[(*lead, slice(0, tape.emitted))]
        self._old: Tensor = self.data[(*lead, slice(0, tape.kept))]
        self._last: Tensor = self.data[(*lead, slice(frames, None))]
        # A shift by less than what is kept overlaps itself: go through a copy.
        self._through = np.empty_like(self._old) if frames < tape.kept else None

    def shift(self) -> None:
        """Move the newest frames to the place of the old ones, before a turn writes."""
        if self._through is None:
            np.copyto(self._old, self._last)
        else:
            np.copyto(self._through, self._last)
            np.copyto(self._old, self._through)

    @property
    def history(self) -> Tensor:
        """The frames that the next turn will see as old."""
        return self._last


class Frame:
    """One laid-out evaluation of a model.

    Args:
        model: the model.
        nodes: nodes to run, in order.
        consts: constant wires.
        keep: inner wires to return.
        bindings: symbol values that make every shape concrete.

    Raises:
        EvalError: a shape is not concrete under the bindings, or is negative.
    """

    def __init__(
        self,
        model: Model,
        nodes: Sequence[Node],
        consts: Mapping[Outlet, Tensor],
        keep: Sequence[Outlet],
        bindings: Mapping[str, int],
    ) -> None:
        self.model = model
        self.turn = Turn()
        self.steps: list[Step] = []
        self.shifts: list[Step] = []
        self.states: dict[int, OpState] = {}
        self.tapes: dict[int, TapeBuffer] = {}
        self._nodes = nodes
        self._consts = consts
        self._bindings = bindings
        self._arrays: dict[Outlet, Tensor] = dict(consts)
        self._specs: dict[Outlet, Spec] = {}
        self._blocks: dict[Outlet, np.ndarray[tuple[int], np.dtype[np.uint8]]] = {}
        self._owner: dict[Outlet, Outlet] = {}
        self._pool = _Pool()
        self._pinned = {*model.outputs, *keep, *model.inputs}
        self._uses: dict[Outlet, int] = {}
        for node in nodes:
            for outlet in node.inputs:
                self._uses[outlet] = self._uses.get(outlet, 0) + 1
        self._claims = self._build_kernels()
        for outlet in model.inputs:
            self._arrays[outlet] = self._allocate(outlet)
        for node in nodes:
            self._lay(node)
        self.inputs: dict[str, Tensor] = {
            model.nodes[o.node].name: self._arrays[o] for o in model.inputs
        }
        names = zip(model.output_names, model.outputs, strict=True)
        self.outputs: dict[str, Tensor] = {name: self._arrays[o] for name, o in names}
        self.kept: dict[str, Tensor] = {model.wire_name(o): self._arrays[o] for o in keep}

    def _spec(self, outlet: Outlet) -> Spec:
        spec = self._specs.get(outlet)
        if spec is None:
            fact = self.model.fact(outlet)
            spec = (fact.concrete_shape(self._bindings), fact.dtype)
            self._specs[outlet] = spec
        return spec

    def _build_kernels(self) -> dict[Outlet, int]:
        """Choose kernels; returns which Tape node owns the storage of which wire."""
        self._kernels: dict[int, Compute | View | Tape | None] = {}
        claims: dict[Outlet, int] = {}
        views: set[Outlet] = set()
        for node in self._nodes:
            try:
                inputs = tuple(self._spec(o) for o in node.inputs)
                outputs = tuple(self._spec(Outlet(node.id, i)) for i in range(len(node.outputs)))
            except TractRefError as error:
                raise error.at(stage="run", node=node.name, op=node.op.name) from None
            consts = tuple(self._consts.get(o) for o in node.inputs)
            kernel = build_kernel(node.op, Concrete(inputs, outputs, consts))
            self._kernels[node.id] = kernel
            if isinstance(kernel, View):
                views.add(Outlet(node.id))
            if isinstance(kernel, Tape):
                source = node.inputs[0]
                free = source not in claims and source not in views and source not in self._consts
                if free and not self._is_tape(source):
                    claims[source] = node.id
        return claims

    def _is_tape(self, outlet: Outlet) -> bool:
        return isinstance(self._kernels.get(outlet.node), Tape)

    def _allocate(self, outlet: Outlet) -> Tensor:
        spec = self._spec(outlet)
        claimed = self._claims.get(outlet)
        if claimed is not None:
            kernel = self._kernels[claimed]
            if not isinstance(kernel, Tape):
                raise InternalError("a wire is claimed by a node that keeps no frames")
            tape = TapeBuffer(kernel, spec)
            self.tapes[claimed] = tape
            self.shifts.append(tape.shift)
            return tape.tail
        array, block = self._pool.take(spec)
        self._blocks[outlet] = block
        return array

    def _release(self, node: Node) -> None:
        for outlet in node.inputs:
            self._uses[outlet] -= 1
            self._drop(outlet)
        for slot in range(len(node.outputs)):
            self._drop(Outlet(node.id, slot))

    def _drop(self, outlet: Outlet) -> None:
        """Give a wire's block back once nothing reads it, nor a view of it."""
        if self._uses.get(outlet, 0) or outlet in self._pinned:
            return
        owner = self._owner.pop(outlet, None)
        if owner is not None:
            self._uses[owner] -= 1
            self._drop(owner)
        block = self._blocks.pop(outlet, None)
        if block is not None:
            self._pool.give(block)

    def _lay(self, node: Node) -> None:
        kernel = self._kernels[node.id]
        inputs = [self._arrays[o] for o in node.inputs]
        out = Outlet(node.id)
        if isinstance(kernel, View):
            viewed = kernel.view(inputs[0])
            if viewed.shape != self._spec(out)[0]:
                raise InternalError(f"view {viewed.shape} is not the fact", node=node.name)
            if node.inputs[0] not in self._consts and _shares(viewed, inputs[0]):
                self._arrays[out] = viewed
                self._owner[out] = node.inputs[0]
                self._uses[node.inputs[0]] += 1
                self._release(node)
                return
            view = kernel
            kernel = Compute(lambda ins, outs: _copy_view(view, ins[0], outs[0]))
        if isinstance(kernel, Tape):
            self._lay_tape(node, kernel, inputs[0])
            return
        outputs = self._output_arrays(node, kernel, inputs)
        if isinstance(kernel, Compute):
            self.steps.append(kernel.bind(inputs, outputs))
        else:
            self.steps.append(self._eval_step(node, tuple(inputs), outputs))
        self._release(node)

    def _output_arrays(
        self, node: Node, kernel: Compute | None, inputs: list[Tensor]
    ) -> list[Tensor]:
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        reused = kernel.in_place if kernel is not None else None
        if reused is not None and outlets[0] not in self._claims:
            source = node.inputs[reused]
            block = self._blocks.get(source)
            sole = self._uses.get(source) == 1 and source not in self._pinned
            fits = inputs[reused].shape == self._spec(outlets[0])[0]
            fits = fits and inputs[reused].dtype == self._spec(outlets[0])[1]
            if block is not None and sole and fits:
                del self._blocks[source]
                self._blocks[outlets[0]] = block
                self._arrays[outlets[0]] = inputs[reused]
                return [inputs[reused]]
        for outlet in outlets:
            self._arrays[outlet] = self._allocate(outlet)
        return [self._arrays[outlet] for outlet in outlets]

    def _lay_tape(self, node: Node, kernel: Tape, source: Tensor) -> None:
        out = Outlet(node.id)
        tape = self.tapes.get(node.id)
        if tape is None:
            tape = TapeBuffer(kernel, self._spec(node.inputs[0]))
            self.tapes[node.id] = tape
            self.shifts.append(tape.shift)
            tail = tape.tail
            self.steps.append(lambda: np.copyto(tail, source))
        self._arrays[out] = tape.head
        self._release(node)

    def _eval_step(self, node: Node, inputs: tuple[Tensor, ...], outputs: list[Tensor]) -> Step:
        op, turn = node.op, self.turn
        state = op.state()
        if state is not None:
            self.states[node.id] = state

        def step() -> None:
            turn.state = self.states.get(node.id)
            results = evaluate_node(node, turn, inputs)
            for result, output in zip(results, outputs, strict=True):
                if result.shape != output.shape:
                    raise _wrong_shape(node, result, output.shape)
                np.copyto(output, result)

        return step

    def run(self) -> None:
        """Run one turn over what the input arrays hold."""
        # NaN and infinities are legal values here (frames that do not exist, empty max windows).
        with np.errstate(all="ignore"):
            for step in self.steps:
                step()

    def adopt(self, states: dict[int, OpState], history: Mapping[int, Tensor]) -> None:
        """Work on the state of a session: its op states, and the frames that its tapes hold."""
        self.states = states
        for node_id, kept in history.items():
            np.copyto(self.tapes[node_id].history, kept)

    def shift(self) -> None:
        """Let the tapes forget their oldest frames; called before a turn's inputs are written."""
        for step in self.shifts:
            step()


def evaluate_node(node: Node, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Run a node's `eval`, with errors that name it."""
    try:
        return node.op.eval(turn, inputs)
    except TractRefError as error:
        raise error.at(stage="run", node=node.name, op=node.op.name) from None


def _with_late_sizes(fact: Fact, result: Tensor, turn: Turn) -> Mapping[str, int]:
    """Return the symbols known once a result is there, with those that its sizes tell."""
    known: Mapping[str, int] = turn.symbols
    for dim, size in zip(fact.shape, result.shape, strict=False):
        unknown = dim.symbols.difference(known) if isinstance(dim, TDim) else ()
        if len(unknown) != 1:
            continue
        (name,) = unknown
        found = None if name == turn.symbol else solve_for(name, substitute(dim, known), size)
        if isinstance(found, int):
            known = {**known, name: found}
    return known


def _wrong_shape(node: Node, result: Tensor, shape: tuple[int, ...]) -> EvalError:
    return EvalError(
        f"computed {list(result.shape)} where its fact says {list(shape)}",
        stage="run",
        node=node.name,
        op=node.op.name,
    )


def _shares(view: Tensor, base: Tensor) -> bool:
    return view.size == 0 or np.shares_memory(view, base)


def _copy_view(view: View, source: Tensor, target: Tensor) -> Step:
    return lambda: np.copyto(target, view.view(source))


class PlainStep(NamedTuple):
    """A node to run by its `eval`, and the wires that it makes."""

    node: Node
    outlets: tuple[Outlet, ...]


def run_plain(
    steps: Sequence[PlainStep],
    values: dict[Outlet, Tensor],
    states: Mapping[int, OpState],
    turn: Turn,
) -> None:
    """Run every op's `eval` in order, adding the values of all wires to `values`.

    A symbol that has no value yet gets that of the first result whose size tells it.

    Raises:
        EvalError: an op fails, or its result is not what its fact says under the bound symbols.
    """
    # As in a frame, NaN and infinities are legal values.
    with np.errstate(all="ignore"):
        for node, outlets in steps:
            turn.state = states.get(node.id)
            results = evaluate_node(node, turn, tuple([values[wire] for wire in node.inputs]))
            for outlet, fact, result in zip(outlets, node.outputs, results, strict=True):
                if result.shape != fact.shape or result.dtype != fact.dtype:
                    turn.symbols = _with_late_sizes(fact, result, turn)
                    _require_fact(node, fact, result, turn)
                values[outlet] = result


def _require_fact(node: Node, fact: Fact, result: Tensor, turn: Turn) -> None:
    """Require that a result is what its fact says, as far as symbols are bound."""
    expected = [turn.known(dim) for dim in fact.shape]
    fits = all(e is None or e == got for e, got in zip(expected, result.shape, strict=True))
    if not fits or (result.dtype != fact.dtype and fact.dtype != TDIM):
        raise EvalError(
            f"computed {list(result.shape)} {result.dtype} where its fact says {fact}",
            stage="run",
            node=node.name,
            op=node.op.name,
        )
