"""Session: one run of a plan, with the memory of its stateful ops.

A session of a batch model answers whole inputs (`turn`). A session of a pulsified model also takes
chunks of any size: `push` cuts them into pulses, drops the delay and gives back the frames that are
certain; `finish` completes the last pulse with filler, binds the stream symbol and flushes the
rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tract_ref.approx import filler
from tract_ref.dim import evaluate, solve_for, substitute, symbols
from tract_ref.errors import EvalError
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import OpState, Turn
from tract_ref.runtime.frame import Frame, run_plain
from tract_ref.runtime.inputs import (
    broken_assertion,
    read_state,
    require_array,
    require_mapping,
    require_same_form,
    write_state,
)

if TYPE_CHECKING:
    from tract_ref.runtime.plan import Plan, PulseShape


class Session:
    """One run of a plan.

    Args:
        plan: the compiled model.
        known: symbol values known from the first turn on.
    """

    def __init__(self, plan: Plan, known: dict[str, int]) -> None:
        self.plan = plan
        self.symbols = known
        self.turns = 0
        self._states: dict[int, OpState] = {}
        layout = plan.streaming
        streams = plan.fast and layout is not None
        self._frame = plan.new_frame(self._sizes) if streams else None
        self._shapes: dict[str, int] = {}
        if self._frame is not None:
            self._states = self._frame.states
        else:
            for node in plan.stateful:
                state = node.op.state()
                if state is not None:
                    self._states[node.id] = state
        self._pending: dict[str, Tensor] = {}
        self._static: dict[str, Tensor] = {}
        self._ready: dict[str, list[Tensor]] = {name: [] for name in plan.model.output_names}
        self._raw: dict[str, int] = dict.fromkeys(plan.model.output_names, 0)
        self._given: dict[str, int] = dict.fromkeys(plan.model.output_names, 0)
        self.received = 0
        self._finished = False

    @property
    def _sizes(self) -> dict[str, int]:
        """Symbol values that shapes may rely on: all but the length of the stream."""
        layout = self.plan.streaming
        stream = layout.symbol if layout is not None else ""
        return {name: value for name, value in self.symbols.items() if name != stream}

    # One raw turn

    def turn(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run one turn and return outputs and kept wires by name.

        Args:
            inputs: whole inputs of a batch model, or one pulse per streaming input.

        Raises:
            EvalError: an input is missing, unknown, or does not match its fact.
        """
        plan = self.plan
        bindings = plan.bind(inputs, self.symbols)
        layout = plan.streaming
        if layout is not None:
            # A fixed-pulse input has concrete dims: only what the caller announced is bound.
            bindings = self.symbols
        self.turns += 1
        received = self._received_now(layout)
        if plan.fast:
            frame = self._frame_for(bindings)
            frame.shift()
            for name, array in frame.inputs.items():
                np.copyto(array, inputs[name])
            frame.turn.symbols = bindings
            frame.turn.received = received
            frame.turn.symbol = layout.symbol if layout is not None else ""
            frame.run()
            return {k: v.copy() for k, v in (*frame.outputs.items(), *frame.kept.items())}
        values: dict[Outlet, Tensor] = dict(plan.consts)
        model = plan.model
        for outlet in model.inputs:
            values[outlet] = inputs[model.nodes[outlet.node].name]
        symbol = layout.symbol if layout is not None else ""
        turn = Turn(bindings, received, symbol)
        run_plain(model, plan.nodes, values, self._states, turn)
        named = dict(zip(model.output_names, (values[o] for o in model.outputs), strict=True))
        return named | {model.wire_name(o): values[o] for o in plan.keep}

    def _frame_for(self, bindings: dict[str, int]) -> Frame:
        """Return the frame of this turn: shared by all sessions unless the model keeps a state."""
        plan = self.plan
        if plan.streaming is None and not plan.stateful:
            return plan.frame(bindings)
        if self._frame is None:
            self._frame = plan.new_frame(bindings)
            self._states = self._frame.states
            self._shapes = dict(bindings)
        elif plan.streaming is None and bindings != self._shapes:
            raise EvalError(
                f"a session of a model with state was started with {self._shapes}, now {bindings}",
                remedy="start a new session for other sizes",
            )
        return self._frame

    def _received_now(self, layout: PulseShape | None) -> int:
        """Source frames that this turn may rely on: none of them is filler until S is bound."""
        if layout is None:
            return 0
        fed = 0 if layout.symbol in self.symbols else self.turns * layout.pulse
        return max(self.received, fed, self._smallest(layout))

    # Chunks of any size

    def push(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Feed frames and return the frames of each output that are now certain.

        Args:
            inputs: any number of frames (0 included) for every streaming input, the same stretch of
                source time for all; non-streaming inputs whole, at the first push or whenever they
                change.

        Returns:
            For every streaming output the next frames of the batch output, possibly none; for the
            others the value of the last turn, absent before the first one.

        Raises:
            EvalError: the session is finished, or an input is missing or does not match.
        """
        layout = self._layout()
        if self._finished:
            raise EvalError("push after finish", remedy="start a new session")
        self._take(inputs, layout)
        while self._has_pulse(layout):
            self._pulse(layout, self._next_pulse(layout))
        return self._certain(layout, self.received, final=False)

    def finish(self) -> dict[str, Tensor]:
        """End the stream: complete the last pulse with filler, flush, and return the last frames.

        Raises:
            EvalError: the session is already finished, an input that does not stream was never fed,
                streaming inputs got unequal lengths, or the total breaks an assertion.
        """
        layout = self._layout()
        if self._finished:
            raise EvalError("finish after finish", remedy="start a new session")
        self._require_static(layout, {})
        total = self._total_length(layout)
        if self.plan.model.scope.holds({**self.symbols, layout.symbol: total}) is False:
            raise broken_assertion(self.plan.model.scope, {layout.symbol: total})
        announced = self.symbols.get(layout.symbol)
        if announced is not None and announced != total:
            raise EvalError(f"{layout.symbol}={announced} was announced but {total} frames arrived")
        self._finished = True
        self.symbols[layout.symbol] = total
        self.received = total
        left = any(p.shape[self._axis(layout, n)] for n, p in self._pending.items())
        while left or not self._is_complete(layout, total):
            self._pulse(layout, self._next_pulse(layout))
            left = any(p.shape[self._axis(layout, n)] for n, p in self._pending.items())
        return self._certain(layout, total, final=True)

    def raw_turns(
        self, inputs: Mapping[str, Tensor], total: int, turns: int
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield every output and kept wire of `turns` raw turns, uncut, the end discovered late.

        Args:
            inputs: whole inputs.
            total: length of the stream, in source frames.
            turns: number of turns, flush turns included.
        """
        layout = self._layout()
        self._take(inputs, layout)
        for turn in range(turns):
            if (turn + 1) * layout.pulse > total:
                self.symbols[layout.symbol] = total
                self.received = total
            else:
                self.received = (turn + 1) * layout.pulse
            yield from self.turn(self._next_pulse(layout)).items()

    def _layout(self) -> PulseShape:
        layout = self.plan.streaming
        if layout is None:
            raise EvalError("push needs a pulsified model", stage="run", remedy="pulsify it first")
        return layout

    def _axis(self, layout: PulseShape, name: str) -> int:
        return layout.input_axes[self.plan.model.input_names.index(name)]

    def _take(self, inputs: Mapping[str, Tensor], layout: PulseShape) -> None:
        names = self.plan.model.input_names
        self._check_fed(inputs, layout)
        for name, axis in zip(names, layout.input_axes, strict=True):
            if axis < 0:
                if name in inputs:
                    self._static[name] = inputs[name].copy()
                continue
            array = inputs[name]
            held = self._pending.get(name)
            self._pending[name] = (
                array.copy() if held is None else np.concatenate([held, array], axis)
            )
        self.received = self._lower_bound(layout, inputs)

    def _check_fed(self, inputs: Mapping[str, Tensor], layout: PulseShape) -> None:
        """Check all inputs of a push before any of them is taken."""
        require_mapping(inputs)
        names = self.plan.model.input_names
        for name in inputs:
            if name not in names:
                raise EvalError(
                    f"no input is called {name!r}", remedy="inputs: " + ", ".join(names)
                )
        self._require_static(layout, inputs)
        for name, axis in zip(names, layout.input_axes, strict=True):
            if name not in inputs:
                if axis < 0:
                    continue
                raise EvalError(
                    f"streaming input {name!r} is missing", remedy="feed it at every push"
                )
            fact = self.plan.input_facts[name]
            array = inputs[name]
            require_array(name, array)
            shape = list(array.shape)
            wanted = list(fact.concrete_shape(self._sizes))
            if axis >= 0 and len(shape) == len(wanted):
                wanted[axis] = shape[axis]
            if array.dtype != fact.dtype or shape != wanted:
                got = f"{shape} {array.dtype}"
                rule = f"its pulse is {fact}, any size on {axis}" if axis >= 0 else f"it is {fact}"
                raise EvalError(f"input {name!r} is {got}; {rule}")

    def _require_static(self, layout: PulseShape, inputs: Mapping[str, Tensor]) -> None:
        for name, axis in zip(self.plan.model.input_names, layout.input_axes, strict=True):
            if axis < 0 and name not in inputs and name not in self._static:
                raise EvalError(f"input {name!r} is missing", remedy="feed it at the first push")

    def _lower_bound(self, layout: PulseShape, inputs: Mapping[str, Tensor]) -> int:
        """Source frames that have arrived for certain, from the slowest streaming input."""
        counts: list[int] = []
        for name, axis in zip(self.plan.model.input_names, layout.input_axes, strict=True):
            if axis >= 0:
                per_turn = self.plan.input_facts[name].shape[axis]
                if isinstance(per_turn, int):
                    fed = self.turns * per_turn + self._pending[name].shape[axis]
                    counts.append(fed * layout.pulse // per_turn)
        return min(counts, default=0)

    def _has_pulse(self, layout: PulseShape) -> bool:
        names = self.plan.model.input_names
        return all(
            self._pending[name].shape[axis] >= self._per_turn(name, axis)
            for name, axis in zip(names, layout.input_axes, strict=True)
            if axis >= 0
        )

    def _per_turn(self, name: str, axis: int) -> int:
        return self.plan.input_facts[name].concrete_shape(self._sizes)[axis]

    def _next_pulse(self, layout: PulseShape) -> dict[str, Tensor]:
        feed = dict(self._static)
        for name, axis in zip(self.plan.model.input_names, layout.input_axes, strict=True):
            fact = self.plan.input_facts[name]
            shape = fact.concrete_shape(self._sizes)
            if axis < 0:
                continue
            frames = shape[axis]
            held = self._pending.get(name)
            if held is None:
                held = np.empty((*shape[:axis], 0, *shape[axis + 1 :]), fact.dtype)
            lead = (slice(None),) * axis
            part = held[(*lead, slice(0, frames))]
            self._pending[name] = held[(*lead, slice(frames, None))]
            missing = frames - part.shape[axis]
            if missing:
                tail = np.full(
                    (*shape[:axis], missing, *shape[axis + 1 :]), filler(fact.dtype), fact.dtype
                )
                part = np.concatenate([part, tail], axis)
            feed[name] = part
        return feed

    def _pulse(self, layout: PulseShape, feed: dict[str, Tensor]) -> None:
        outputs = self.turn(feed)
        names = self.plan.model.output_names
        for name, axis, delay in zip(names, layout.output_axes, layout.delays, strict=True):
            array = outputs[name]
            if axis < 0:
                self._ready[name] = [array]
                continue
            before = self._raw[name]
            self._raw[name] = before + array.shape[axis]
            start = min(max(0, delay - before), array.shape[axis])
            self._ready[name].append(array[(*(slice(None),) * axis, slice(start, None))])

    def _is_complete(self, layout: PulseShape, total: int) -> bool:
        names = self.plan.model.output_names
        bindings = {layout.symbol: total, **self.symbols}
        for name, axis, delay, length in zip(
            names, layout.output_axes, layout.delays, layout.output_lengths, strict=True
        ):
            frames = max(0, length if isinstance(length, int) else evaluate(length, bindings))
            if axis >= 0 and frames and self._raw[name] < delay + frames:
                return False
        return True

    def _certain(self, layout: PulseShape, source: int, *, final: bool) -> dict[str, Tensor]:
        """Give out what no later end of the stream can take back: batch length at S = received."""
        result: dict[str, Tensor] = {}
        bindings = {**self.symbols}
        bindings.setdefault(layout.symbol, max(source, self._smallest(layout)))
        model = self.plan.model
        rows = zip(
            model.output_names,
            model.outputs,
            layout.output_axes,
            layout.output_lengths,
            strict=True,
        )
        for name, outlet, axis, length in rows:
            if axis < 0:
                if self._ready[name]:
                    result[name] = self._ready[name][-1]
                continue
            total = max(0, length if isinstance(length, int) else evaluate(length, bindings))
            room = total - self._given[name]
            fact = model.fact(outlet)
            shape = fact.concrete_shape(self.symbols)
            parts = self._ready[name]
            if not parts:
                parts = [np.empty((*shape[:axis], 0, *shape[axis + 1 :]), fact.dtype)]
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
            lead = (slice(None),) * axis
            out = whole[(*lead, slice(0, max(0, room)))]
            self._ready[name] = [whole[(*lead, slice(out.shape[axis], None))]]
            self._given[name] += out.shape[axis]
            result[name] = out
        return result

    def _smallest(self, layout: PulseShape) -> int:
        return self.plan.model.scope.smallest(layout.symbol)

    def _total_length(self, layout: PulseShape) -> int:
        totals: dict[str, int] = {}
        for name, axis, length in zip(
            self.plan.model.input_names, layout.input_axes, layout.input_lengths, strict=True
        ):
            if axis < 0:
                continue
            per_turn = self.plan.input_facts[name].shape[axis]
            held = self._pending.get(name)
            frames = held.shape[axis] if held is not None else 0
            if isinstance(per_turn, int):
                frames += self.turns * per_turn
            length = substitute(length, self._sizes)
            solved = solve_for(layout.symbol, length, frames)
            if not isinstance(solved, int) or symbols(length) - {layout.symbol}:
                raise EvalError(
                    f"input {name!r} ended after {frames} frames, which is not a length {length}"
                )
            totals[name] = solved
        if len(set(totals.values())) > 1:
            raise EvalError(f"streaming inputs ended at different times: {totals}")
        return next(iter(totals.values()))

    # State as a value

    @property
    def state_bytes(self) -> int:
        """Bytes of samples that the ops keep between turns."""
        kept = sum(state.nbytes for state in self._states.values())
        if self._frame is not None:
            kept += sum(tape.history.nbytes for tape in self._frame.tapes.values())
        return kept

    def state_arrays(self) -> dict[str, Tensor]:
        """Return the whole state as named arrays: `node/field`."""
        arrays: dict[str, Tensor] = {}
        nodes = self.plan.model.nodes
        for node_id, state in self._states.items():
            for field, value in state.arrays().items():
                arrays[f"{nodes[node_id].name}/{field}"] = value.copy()
        if self._frame is not None:
            for node_id, tape in self._frame.tapes.items():
                arrays[f"{nodes[node_id].name}/buffer"] = tape.history.copy()
        return arrays

    def restore_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Set the whole state from what `state_arrays` gave.

        Raises:
            EvalError: a node of the state is not in this model.
        """
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            name, _, field = key.rpartition("/")
            grouped.setdefault(name, {})[field] = value
        for name, fields in grouped.items():
            node = self.plan.model.node_named(name)
            tape = self._frame.tapes.get(node.id) if self._frame is not None else None
            if tape is not None:
                np.copyto(tape.history, fields["buffer"])
            elif node.id in self._states:
                self._states[node.id].restore(fields)
            else:
                raise EvalError("saved state for a node that keeps none", node=name)

    def clone(self) -> Session:
        """Return an independent session in the same state, pending frames included."""
        other = Session(self.plan, dict(self.symbols))
        if self._shapes:
            other._frame_for(self._shapes)
        other.restore_arrays(self.state_arrays())
        other.turns = self.turns
        other.received = self.received
        other._finished = self._finished
        other._pending = {k: v.copy() for k, v in self._pending.items()}
        other._static = {k: v.copy() for k, v in self._static.items()}
        other._ready = {k: [a.copy() for a in v] for k, v in self._ready.items()}
        other._raw = dict(self._raw)
        other._given = dict(self._given)
        return other

    def save(self, path: Path) -> None:
        """Write the state to an `.npz` file, without pickle."""
        counters = np.asarray([self.turns, self.received, int(self._finished)], np.int64)
        arrays = {f"state/{k}": v for k, v in self.state_arrays().items()}
        arrays |= {f"pending/{k}": v for k, v in self._pending.items()}
        arrays |= {f"static/{k}": v for k, v in self._static.items()}
        for name, parts in self._ready.items():
            if parts:
                arrays[f"ready/{name}"] = parts[-1]  # `_certain` leaves one array at most
            arrays[f"count/{name}"] = np.asarray([self._raw[name], self._given[name]], np.int64)
        arrays |= {f"symbol/{k}": np.asarray(v, np.int64) for k, v in self.symbols.items()}
        arrays |= {f"size/{k}": np.asarray(v, np.int64) for k, v in self._shapes.items()}
        write_state(path, self.plan.signature, {"counters": counters, **arrays})

    def load(self, path: Path) -> None:
        """Continue from a file that `save` wrote; on an error the session stays as it was.

        Raises:
            MalformedFile: the file cannot be read.
            EvalError: the file belongs to another model, or is not what `save` wrote.
        """
        kinds = read_state(path, self.plan.signature)
        fresh = Session(self.plan, {k: int(v) for k, v in kinds.get("symbol", {}).items()})
        fresh._fill(kinds)
        vars(self).update(vars(fresh))

    def _fill(self, kinds: dict[str, dict[str, Tensor]]) -> None:
        """Set a fresh session from the arrays of a file, by kind and name."""
        sizes = {k: int(v) for k, v in kinds.get("size", {}).items()}
        if sizes:
            self._frame_for(sizes)
        self.plan.check_saved(kinds, self._sizes)
        states = kinds.get("state", {})
        for key, value in self.state_arrays().items():
            if key in states:
                require_same_form(f"state/{key}", states[key], value)
        self.restore_arrays(states)
        turns, received, finished = kinds["counters"][""]
        self.turns, self.received, self._finished = int(turns), int(received), bool(finished)
        for name, value in kinds.get("count", {}).items():
            self._raw[name], self._given[name] = int(value[0]), int(value[1])
        self._pending, self._static = kinds.get("pending", {}), kinds.get("static", {})
        self._ready.update({name: [value] for name, value in kinds.get("ready", {}).items()})
