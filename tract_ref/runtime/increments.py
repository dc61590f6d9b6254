"""Exact increments: every push gives the output frames that became computable, and only them.

Frames are kept per wire, once, from the first one that a reader still needs; that is the only
buffer. For every op, with n_i frames of input i there and `slow` the smallest length that the
stream can still have:

    frames of the output = min(L(slow), count_i(n_i) for every input i that is not complete)
    complete             = L(slow) can no longer change, and all of it is there

Source: spec/pulse.md 9.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tract_ref.dim import Dim, evaluate, substitute, sym
from tract_ref.errors import EvalError, InternalError, TractRefError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Const, Model, Node, Outlet, Source
from tract_ref.ir.op import Op, Turn
from tract_ref.runtime.frame import evaluate_node
from tract_ref.runtime.inputs import (
    broken_assertion,
    least_length,
    read_state,
    require_array,
    require_mapping,
    stream_length,
    write_state,
)
from tract_ref.runtime.memory import History, Memory
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.reach import Increment, Reach, RegionPlan

_FAR = 1 << 60


@dataclass(frozen=True)
class Program:
    """A batch model with what its streaming nodes need.

    Attributes:
        model: the batch model.
        symbol: the stream symbol.
        plans: what each streaming node needs, by its id; the other nodes do not stream.
    """

    model: Model
    symbol: str
    plans: Mapping[int, RegionPlan]

    def readers(self) -> dict[Outlet, list[tuple[int, int]]]:
        """Return, per wire, the streaming nodes and slots that read it as a stream."""
        found: dict[Outlet, list[tuple[int, int]]] = {}
        for number, plan in self.plans.items():
            for slot, wire in enumerate(self.model.nodes[number].inputs):
                if plan.inputs[slot] is not None:
                    found.setdefault(wire, []).append((number, slot))
        return found

    @cached_property
    def signature(self) -> str:
        """What a saved state must agree on: the stream symbol, and all that a plan tells."""
        return f"increments of {self.symbol}, {Plan(self.model, fast=False).signature}"


class IncrementSession:
    """One run in exact increments.

    Args:
        program: what runs.
        known: symbol values known from the start; that of the stream symbol announces the end.
    """

    def __init__(self, program: Program, known: Mapping[str, int]) -> None:
        self.program = program
        self._order = program.model.order()
        self._readers = program.readers()
        self._memory = Memory(dict(known))
        self._bound = program.model.scope.bounds(sym(program.symbol))[1]
        for node in self._order:
            plan = program.plans.get(node.id)
            if plan is None:
                continue
            for slot, fact in enumerate(node.outputs):
                shape = self._sizes_of(fact, plan.axis)
                empty = np.empty(shape, fact.dtype)
                self._memory.wires[Outlet(node.id, slot)] = History(plan.axis, 0, empty)

    def _sizes_of(self, fact: Fact, axis: int) -> tuple[int, ...]:
        sizes = (0 if i == axis else self._size(dim) for i, dim in enumerate(fact.shape))
        return tuple(sizes)

    def _size(self, dim: Dim) -> int:
        known = {k: v for k, v in self._memory.symbols.items() if k != self.program.symbol}
        return dim if isinstance(dim, int) else evaluate(dim, known)

    # What has come

    @property
    def received(self) -> int:
        """Smallest stream length with the frames that have come."""
        return self._memory.received

    @property
    def counts(self) -> dict[Outlet, int]:
        """Frames of every streaming wire that were computed so far."""
        return {wire: history.count for wire, history in self._memory.wires.items()}

    @property
    def state_bytes(self) -> int:
        """Bytes of samples that are kept: frames that are still needed, and states of ops."""
        return self._memory.nbytes

    def clone(self) -> IncrementSession:
        """Return an independent session in the same state."""
        other = IncrementSession(self.program, self._memory.symbols)
        other._memory = self._memory.clone()
        return other

    def save(self, path: Path) -> None:
        """Write the state to an `.npz` file, without pickle."""
        write_state(path, self.program.signature, self._memory.arrays(self.program.model))

    def load(self, path: Path) -> None:
        """Continue from a file that `save` wrote; on an error the session stays as it was.

        Raises:
            MalformedFile: the file cannot be read.
            EvalError: the file belongs to another model, or is not what `save` wrote.
        """
        kinds = read_state(path, self.program.signature)
        symbols = {k: int(v) for k, v in kinds.get("symbol", {}).items()}
        fresh = IncrementSession(self.program, symbols)
        fresh._memory.restore(kinds, self.program.model)
        fresh._restore_states(kinds.get("state", {}))
        self._memory = fresh._memory

    def _restore_states(self, arrays: Mapping[str, Tensor]) -> None:
        grouped: dict[tuple[str, str], dict[str, Tensor]] = {}
        for key, value in arrays.items():
            node, _, name = key.rpartition("/")
            label, _, place = node.rpartition(":")
            grouped.setdefault((label, place), {})[name] = value
        stateful = {
            (self.program.model.nodes[number].name, str(place)): (number, place, op)
            for number, plan in self.program.plans.items()
            for place, op in enumerate(plan.ops())
            if op.state() is not None
        }
        for (label, place), fields in grouped.items():
            if (label, place) not in stateful:
                raise EvalError("saved state for a node that keeps none", node=label)
            number, index, op = stateful[label, place]
            state = op.state()
            if state is not None:
                state.restore(fields)
                self._memory.states[number, index] = state

    # Pushes

    def push(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Feed frames and return the frames of each output that became computable.

        Args:
            inputs: any number of frames (0 included) of every streaming input, the same stretch of
                source time for all; the others whole, at the first push.

        Returns:
            For every streaming output its next frames, possibly none; for the others their value.

        Raises:
            EvalError: the session is finished, or an input is missing or does not match.
        """
        if self._memory.finished:
            raise EvalError("push after finish", remedy="start a new session")
        self._take(inputs)
        self._memory.received = self._least_length()
        return self._advance()

    def finish(self) -> dict[str, Tensor]:
        """End the stream and return the last frames.

        Raises:
            EvalError: the session is already finished, an input that does not stream was never fed,
                streaming inputs got unequal lengths, or the total breaks an assertion.
        """
        memory, symbol = self._memory, self.program.symbol
        if memory.finished:
            raise EvalError("finish after finish", remedy="start a new session")
        self._require_static({})
        total = stream_length(self._lengths(), symbol)
        scope = self.program.model.scope
        if scope.holds({**memory.symbols, symbol: total}) is False:
            raise broken_assertion(scope, {symbol: total})
        announced = memory.symbols.get(symbol)
        if announced is not None and announced != total:
            raise EvalError(f"{symbol}={announced} was announced but {total} frames arrived")
        memory.symbols[symbol] = total
        memory.received = total
        memory.finished = True
        return self._advance()

    def _sources(self) -> list[tuple[str, Outlet, RegionPlan | None]]:
        model, plans = self.program.model, self.program.plans
        return [(model.nodes[o.node].name, o, plans.get(o.node)) for o in model.inputs]

    def _take(self, inputs: Mapping[str, Tensor]) -> None:
        require_mapping(inputs)
        names = [name for name, _, _ in self._sources()]
        for name in inputs:
            if name not in names:
                raise EvalError(
                    f"no input is called {name!r}", remedy=f"inputs: {', '.join(names)}"
                )
        self._require_static(inputs)
        for name, wire, plan in self._sources():
            if name in inputs:
                self._check(name, self.program.model.fact(wire), plan, inputs[name])
            elif plan is not None:
                raise EvalError(
                    f"streaming input {name!r} is missing", remedy="feed it at every push"
                )
        self._require_room(inputs)
        for name, wire, plan in self._sources():
            if plan is not None:
                self._memory.wires[wire].extend(inputs[name])
            elif name in inputs:
                # What is computed from it is computed again.
                self._memory.static = {wire: inputs[name].copy()} | {
                    other: self._memory.static[other]
                    for _, other, _ in self._sources()
                    if other != wire and other in self._memory.static
                }

    def _require_room(self, inputs: Mapping[str, Tensor]) -> None:
        """Require that no input gets more frames than the longest stream that is possible has."""
        symbol, longest = self.program.symbol, self._longest()
        if longest is None:
            return
        for name, wire, plan in self._sources():
            if plan is None:
                continue
            frames = self._memory.wires[wire].count + inputs[name].shape[plan.axis]
            most = max(0, evaluate(plan.length, {**self._memory.symbols, symbol: longest}))
            if frames > most:
                said = "was announced" if symbol in self._memory.symbols else "is the most asserted"
                raise EvalError(
                    f"input {name!r} would have {frames} frames, of at most {most}: "
                    f"{symbol}={longest} {said}",
                    remedy="finish the stream, or start a session that announces its length",
                )

    def _check(self, name: str, fact: Fact, plan: RegionPlan | None, array: Tensor) -> None:
        require_array(name, array)
        wanted = [
            self._size(d) if plan is None or i != plan.axis else -1
            for i, d in enumerate(fact.shape)
        ]
        shape = list(array.shape)
        if plan is not None and len(shape) == len(wanted):
            wanted[plan.axis] = shape[plan.axis]
        if array.dtype != fact.dtype or shape != wanted:
            rule = f"any number of frames on axis {plan.axis} of {fact}" if plan else str(fact)
            raise EvalError(f"input {name!r} is {shape} {array.dtype}; it is {rule}")

    def _require_static(self, inputs: Mapping[str, Tensor]) -> None:
        for name, wire, plan in self._sources():
            if plan is None and name not in inputs and wire not in self._memory.static:
                raise EvalError(f"input {name!r} is missing", remedy="feed it at the first push")

    def _lengths(self) -> dict[str, tuple[Dim, int]]:
        """Return length and frames so far of every input that streams."""
        memory, symbol = self._memory, self.program.symbol
        known = {k: v for k, v in memory.symbols.items() if k != symbol}
        return {
            name: (substitute(plan.length, known), memory.wires[wire].count)
            for name, wire, plan in self._sources()
            if plan is not None
        }

    def _least_length(self) -> int:
        """Return the smallest stream length with the frames that have come."""
        symbol = self.program.symbol
        lengths = self._lengths().values()
        return max(least_length(length, symbol, frames) for length, frames in lengths)

    # Evaluation

    def _slow(self) -> int:
        """Return the smallest length that the stream can still have."""
        symbol = self.program.symbol
        known = self._memory.symbols.get(symbol)
        least = self.program.model.scope.smallest(symbol)
        return known if known is not None else max(self._memory.received, least)

    def _longest(self) -> int | None:
        """Return the largest length that the stream can have, None where there is no end."""
        announced = self._memory.symbols.get(self.program.symbol)
        return self._bound if announced is None else announced

    def _length(self, length: Dim) -> tuple[int, bool]:
        """Return the smallest length that a wire can still have, and whether it is certain."""
        symbol, slow, longest = self.program.symbol, self._slow(), self._longest()
        known = self._memory.symbols
        least = max(0, evaluate(length, {**known, symbol: slow}))
        # Lengths never shrink when the stream grows.
        most = evaluate(length, {**known, symbol: _FAR if longest is None else longest})
        return least, least == max(0, most)

    def _advance(self) -> dict[str, Tensor]:
        """Compute what became computable, node by node; return it for the outputs."""
        memory, model = self._memory, self.program.model
        # NaN and infinities are legal values, as in a plan.
        with np.errstate(all="ignore"):
            for node in self._order:
                self._advance_node(node)
        results: dict[str, Tensor] = {}
        for slot, (name, wire) in enumerate(zip(model.output_names, model.outputs, strict=True)):
            history = memory.wires.get(wire)
            if history is None:
                results[name] = memory.static[wire].copy()
                continue
            results[name] = history.window(memory.given.get(slot, 0), history.count).copy()
            memory.given[slot] = history.count
        self._forget()
        return results

    def _advance_node(self, node: Node) -> None:
        plan = self.program.plans.get(node.id)
        if plan is None:
            self._evaluate_static(node)
        elif isinstance(node.op, Source):
            history = self._memory.wires[Outlet(node.id)]
            least, certain = self._length(plan.length)
            history.complete = certain and history.count == least
        else:
            self._extend(node, plan)

    def _evaluate_static(self, node: Node) -> None:
        memory = self._memory
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        if isinstance(node.op, Source) or all(outlet in memory.static for outlet in outlets):
            return
        if isinstance(node.op, Const):
            memory.static[outlets[0]] = node.op.tensor
            return
        inputs = tuple(memory.static[wire] for wire in node.inputs)
        results = evaluate_node(node, self._turn(), inputs)
        memory.static.update(zip(outlets, results, strict=True))

    def _turn(self) -> Turn:
        return Turn(self._memory.symbols, self._memory.received, self.program.symbol)

    def _extend(self, node: Node, plan: RegionPlan) -> None:
        """Make the next frames of a node's outputs."""
        outlets = [Outlet(node.id, slot) for slot in range(len(node.outputs))]
        histories = [self._memory.wires[outlet] for outlet in outlets]
        frames, certain = self._length(plan.length)
        sources = [
            (self._memory.wires[wire], reach) if reach is not None else None
            for wire, reach in zip(node.inputs, plan.inputs, strict=True)
        ]
        total = frames
        for source in sources:
            if source is not None and not source[0].complete:
                frames = min(frames, source[1].count(source[0].count))
        start = histories[0].count
        if frames < start:
            raise InternalError(
                f"{start} frames were given and {frames} are certain",
                stage="run",
                node=node.name,
                op=node.op.name,
            )
        if frames > start:
            results = self._made(node, plan, start, frames - start, sources)
            for history, result in zip(histories, results, strict=True):
                made = result.shape[plan.axis]
                if made != frames - start:
                    raise InternalError(
                        f"made {made} frames where {frames - start} became computable",
                        stage="run",
                        node=node.name,
                        op=node.op.name,
                    )
                history.extend(result)
        for history in histories:
            history.complete = certain and frames == total

    def _made(
        self,
        node: Node,
        plan: RegionPlan,
        start: int,
        frames: int,
        sources: list[tuple[History, Reach] | None],
    ) -> tuple[Tensor, ...]:
        """Evaluate a node's main ops on the windows that output frames read."""
        windows: list[tuple[int, int]] = []
        lengths: list[int | None] = []
        tensors: list[Tensor] = []
        for wire, source in zip(node.inputs, sources, strict=True):
            if source is None:
                windows.append((0, 0))
                lengths.append(None)
                tensors.append(self._memory.static[wire])
                continue
            history, reach = source
            window = reach.window(start, frames, history.count)
            windows.append(window)
            lengths.append(history.count if history.complete else None)
            tensors.append(history.window(*window))
        if plan.main is None:
            return (tensors[0],)
        increment = Increment(start, frames, tuple(windows), tuple(lengths))
        results = tuple(tensors)
        for number, op in enumerate(plan.main(increment)):
            results = self._evaluated(node, number, op, results)
        return results

    def _evaluated(
        self, node: Node, number: int, op: Op, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        turn, key = self._turn(), (node.id, number)
        if key not in self._memory.states:
            state = op.state()
            if state is not None:
                self._memory.states[key] = state
        turn.state = self._memory.states.get(key)
        try:
            return op.eval(turn, inputs)
        except TractRefError as error:
            raise error.at(stage="run", node=node.name, op=op.name) from None

    def _forget(self) -> None:
        """Drop the frames that nobody needs any more."""
        memory, model = self._memory, self.program.model
        for wire, history in memory.wires.items():
            needed = history.count
            for number, slot in self._readers.get(wire, ()):
                plan = self.program.plans[number]
                reach = plan.inputs[slot]
                made = memory.wires[Outlet(number)]
                if reach is not None and not made.complete:
                    needed = min(needed, reach.keeps(made.count, history.count))
            for slot, outlet in enumerate(model.outputs):
                if outlet == wire:
                    needed = min(needed, memory.given.get(slot, 0))
            history.forget(max(0, needed))
