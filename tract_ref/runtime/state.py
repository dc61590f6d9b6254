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

from tract_ref.dim import evaluate
from tract_ref.errors import EvalError, InternalError
from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import OpState, Turn
from tract_ref.runtime.frame import Frame, run_plain
from tract_ref.runtime.inputs import (
    broken_assertion,
    read_state,
    require_same_form,
    write_state,
)
from tract_ref.runtime.intake import Intake

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
        varies = layout is not None and layout.chunk != ""
        self._frame = plan.new_frame(self._sizes) if streams and not varies else None
        self._shapes: dict[str, int] = {}
        # What the tapes hold between turns of any size, where frames are shared by sessions.
        self._history: dict[int, Tensor] = {}
        if self._frame is not None:
            self._states = self._frame.states
        elif streams and layout is not None:
            shared = plan.frame({**self._sizes, **layout.chunk_of(1)})
            self._history = {k: np.zeros_like(t.history) for k, t in shared.tapes.items()}
            for node_id in shared.states:
                state = plan.model.nodes[node_id].op.state()
                if state is not None:
                    self._states[node_id] = state
        else:
            for node in plan.stateful:
                state = node.op.state()
                if state is not None:
                    self._states[node.id] = state
        self._intake = None if layout is None else Intake(plan.input_facts, layout, self._sizes)
        self._ready: dict[str, list[Tensor]] = {name: [] for name in plan.model.output_names}
        self._raw: dict[str, int] = dict.fromkeys(plan.model.output_names, 0)
        self._given: dict[str, int] = dict.fromkeys(plan.model.output_names, 0)
        self.received = 0
        self._fed = 0
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
            # Only what the caller announced is bound, and the size of the turn.
            units = self._units_of(layout, bindings)
            bindings = {**self.symbols, **layout.chunk_of(units)}
            self._fed += units * layout.pulse
        self.turns += 1
        received = self._received_now(layout)
        if plan.fast and not plan.has_late_sizes(bindings):
            frame = self._frame_for(bindings)
            frame.shift()
            for name, array in frame.inputs.items():
                np.copyto(array, inputs[name])
            frame.turn.symbols = bindings
            frame.turn.received = received
            frame.turn.symbol = layout.symbol if layout is not None else ""
            frame.run()
            for node_id in self._history:
                self._history[node_id] = frame.tapes[node_id].history.copy()
            return {k: v.copy() for k, v in (*frame.outputs.items(), *frame.kept.items())}
        values: dict[Outlet, Tensor] = dict(plan.consts)
        model = plan.model
        for outlet, name in zip(model.inputs, plan.input_facts, strict=True):
            values[outlet] = inputs[name]
        symbol = layout.symbol if layout is not None else ""
        turn = Turn(bindings, received, symbol)
        run_plain(plan.plain_steps, values, self._states, turn)
        rows = zip(model.output_names, model.outputs, strict=True)
        named = {name: values[outlet] for name, outlet in rows}
        for outlet in plan.keep:
            named[model.wire_name(outlet)] = values[outlet]
        return named

    def _frame_for(self, bindings: dict[str, int]) -> Frame:
        """Return the frame of this turn: shared by all sessions unless the model keeps a state."""
        plan, layout = self.plan, self.plan.streaming
        if layout is None and not plan.stateful:
            return plan.frame(bindings)
        if layout is not None and layout.chunk:
            known = {name: value for name, value in bindings.items() if name != layout.symbol}
            frame = plan.frame(known)
            frame.adopt(self._states, self._history)
            return frame
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

    def _units_of(self, layout: PulseShape, bindings: Mapping[str, int]) -> int:
        """Return how many times the pulse a turn brings: 1 when the pulse is fixed."""
        if not layout.chunk:
            return 1
        units = bindings.get(layout.chunk)
        if units is None or units < 1:
            rates = ", ".join(f"{name}: {fact}" for name, fact in self.plan.input_facts.items())
            raise EvalError(
                f"a turn is not a whole number {layout.chunk}>=1 of pulses ({rates})",
                remedy=f"feed a multiple of {layout.pulse} source frames, or use push",
            )
        return units

    def _received_now(self, layout: PulseShape | None) -> int:
        """Source frames that this turn may rely on: none of them is filler until S is bound."""
        if layout is None:
            return 0
        certain = 0 if layout.symbol in self.symbols else self._waiting().fed(self._fed)
        return max(self.received, certain, self.plan.least_length)

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
        intake = self._take(inputs)
        while units := intake.ready_units():
            self._pulse(layout, intake.next_turn(units))
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
        intake = self._waiting()
        intake.require_static({})
        total = intake.total(self._fed)
        if self.plan.model.scope.holds({**self.symbols, layout.symbol: total}) is False:
            raise broken_assertion(self.plan.model.scope, {layout.symbol: total})
        announced = self.symbols.get(layout.symbol)
        if announced is not None and announced != total:
            raise EvalError(f"{layout.symbol}={announced} was announced but {total} frames arrived")
        self._finished = True
        self.symbols[layout.symbol] = total
        self.received = total
        while intake.has_frames or not self._is_complete(layout, total):
            self._pulse(layout, intake.next_turn(self._missing_units(layout, total)))
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
        intake = self._take(inputs)
        # All of it is at hand, but turn by turn.
        self.received = 0
        for turn in range(turns):
            if not intake.is_complete(turn + 1, total):
                self.symbols[layout.symbol] = total
                self.received = total
            yield from self.turn(intake.next_turn()).items()

    def _layout(self) -> PulseShape:
        layout = self.plan.streaming
        if layout is None:
            raise EvalError("push needs a pulsified model", stage="run", remedy="pulsify it first")
        return layout

    def _waiting(self) -> Intake:
        if self._intake is None:
            raise InternalError("a session of a batch model has no intake")
        return self._intake

    def _take(self, inputs: Mapping[str, Tensor]) -> Intake:
        intake = self._waiting()
        intake.take(inputs)
        self.received = intake.received(self._fed)
        return intake

    def _missing_units(self, layout: PulseShape, total: int) -> int:
        """Return how many pulses one turn takes to bring everything that is still to come."""
        if not layout.chunk:
            return 1
        units = [1, self._waiting().waiting_units()]
        model, known = self.plan.model, {**self.symbols, layout.symbol: total}
        rows = zip(model.output_names, model.outputs, layout.output_lengths, strict=True)
        for (name, outlet, length), axis, delay in zip(
            rows, layout.output_axes, layout.delays, strict=True
        ):
            wanted = max(0, length if isinstance(length, int) else evaluate(length, known))
            if axis >= 0 and wanted:
                shape = model.fact(outlet).concrete_shape({**known, **layout.chunk_of(1)})
                units.append(-(-(delay + wanted - self._raw[name]) // shape[axis]))
        return max(units)

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
            if axis < 0:
                # An empty stream has no turn of its own; what does not stream needs one.
                if not self._ready[name]:
                    return False
                continue
            frames = max(0, length if isinstance(length, int) else evaluate(length, bindings))
            if frames and self._raw[name] < delay + frames:
                return False
        return True

    def _certain(self, layout: PulseShape, source: int, *, final: bool) -> dict[str, Tensor]:
        """Give out what no later end of the stream can take back: batch length at S = received."""
        result: dict[str, Tensor] = {}
        bindings = {**self.symbols}
        bindings.setdefault(layout.symbol, max(source, self.plan.least_length))
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
            shape = fact.concrete_shape({**self.symbols, **layout.chunk_of(1)})
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

    # State as a value

    @property
    def state_bytes(self) -> int:
        """Bytes of samples that the ops keep between turns."""
        kept = sum(state.nbytes for state in self._states.values())
        if self._frame is not None:
            kept += sum(tape.history.nbytes for tape in self._frame.tapes.values())
        return kept + sum(held.nbytes for held in self._history.values())

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
        for node_id, held in self._history.items():
            arrays[f"{nodes[node_id].name}/buffer"] = held.copy()
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
            held = tape.history if tape is not None else self._history.get(node.id)
            if held is not None:
                np.copyto(held, fields["buffer"])
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
        other._fed = self._fed
        other._finished = self._finished
        if self._intake is not None and other._intake is not None:
            other._intake.pending = {k: v.copy() for k, v in self._intake.pending.items()}
            other._intake.static = {k: v.copy() for k, v in self._intake.static.items()}
        other._ready = {k: [a.copy() for a in v] for k, v in self._ready.items()}
        other._raw = dict(self._raw)
        other._given = dict(self._given)
        return other

    def save(self, path: Path) -> None:
        """Write the state to an `.npz` file, without pickle."""
        counts = [self.turns, self.received, int(self._finished), self._fed]
        counters = np.asarray(counts, np.int64)
        arrays = {f"state/{k}": v for k, v in self.state_arrays().items()}
        if self._intake is not None:
            arrays |= {f"pending/{k}": v for k, v in self._intake.pending.items()}
            arrays |= {f"static/{k}": v for k, v in self._intake.static.items()}
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
        turns, received, finished, fed = (int(count) for count in kinds["counters"][""])
        self.turns, self.received, self._finished, self._fed = turns, received, bool(finished), fed
        for name, value in kinds.get("count", {}).items():
            self._raw[name], self._given[name] = int(value[0]), int(value[1])
        if self._intake is not None:
            self._intake.pending = kinds.get("pending", {})
            self._intake.static = kinds.get("static", {})
        self._ready.update({name: [value] for name, value in kinds.get("ready", {}).items()})
