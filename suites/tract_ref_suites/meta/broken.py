"""Parts of the engine, broken on purpose: plain context managers that put everything back.

Each breaks one thing that an implementer gets wrong: a rule through its table, a kernel, the
accounting of the pulse context, or the memory between turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Refusal, Rewrite, RuleTable
from tract_ref.nnef.table import NNEF, Load
from tract_ref.ops.buffer import Delay, PulsePad
from tract_ref.ops.slicing import Slice
from tract_ref.passes.pulse_context import PulseContext
from tract_ref.runtime.frame import TapeBuffer
from tract_ref.runtime.kernels import FAST, Compute, Concrete, Step
from tract_ref.runtime.plan import Plan
from tract_ref.runtime.state import Session
from tract_ref.stream.fact import Linear
from tract_ref.stream.tables import PULSIFY_V1

Break = Generator[None]
Broken = AbstractContextManager[None]


@contextmanager
def patched(owner: Any, name: str, make: Callable[[Any], Any]) -> Break:
    """Replace an attribute by what `make` does with the old one, inherited or not."""
    is_own = name in vars(owner)
    old = vars(owner)[name] if is_own else getattr(owner, name)
    setattr(owner, name, make(old))
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, old)
        else:
            delattr(owner, name)


def rule_of(table: RuleTable[Any, Any], key: object) -> Callable[..., Any]:
    """Return the only or first rule of a cell; a refusal has none."""
    rule = table.lookup(key)
    if isinstance(rule, Refusal):
        raise LookupError(f"{table.name}: {key} is refused, there is nothing to break")
    return rule


# The accounting of the pulse context


def delay_announced(by: int) -> Broken:
    """Announce another delay of windows than there is."""

    def make(old: Any) -> Any:
        def window(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear]:
            framed, out = old(self, wire, **rest)
            return framed, replace(out, delay=max(0, out.delay + by))

        return window

    return patched(PulseContext, "window", make)


def delay_too_long() -> Broken:
    """Delay by one stride more than needed, and say so."""

    def make(old: Any) -> Any:
        def window(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear]:
            stride = rest["stride"]
            stream = self.streaming(wire)
            later = self.wire(
                Delay(stream.axis, stride, 0),
                (wire,),
                replace(stream, delay=stream.delay + stride),
                suffix="late",
            )[0]
            return old(self, later, **rest)

        return window

    return patched(PulseContext, "window", make)


def no_sync() -> Broken:
    """Announce the largest delay without delaying the other wires."""

    def make(old: Any) -> Any:
        def sync(self: Any, wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
            return wires, old(self, wires)[1]

        return sync

    return patched(PulseContext, "sync", make)


def window_arguments(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Broken:
    """Change what a windowed op asks of the context."""

    def make(old: Any) -> Any:
        def window(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear]:
            return old(self, wire, **(rest | change(rest)))

        return window

    return patched(PulseContext, "window", make)


def window_phase_lost() -> Broken:
    """Read windows from a whole number of strides, wherever frame 0 of the wire is."""

    def make(old: Any) -> Any:
        def window(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear]:
            stream = self.streaming(wire)
            aligned = replace(stream, delay=stream.delay // rest["stride"] * rest["stride"])
            return old(self, self.restream(wire, aligned), **rest)

        return window

    return patched(PulseContext, "window", make)


def end_known_too_early() -> Broken:
    """Count on an end that is known when its frame passes."""
    return patched(PulseContext, "late_end", lambda old: lambda self, wire: 0)


def tail_not_masked() -> Broken:
    """Leave what comes after the last frame where padding belongs."""

    def make(old: Any) -> Any:
        return lambda self, wire, **rest: old(self, wire, **(rest | {"after": 0}))

    return patched(PulseContext, "pad", make)


def field_too_small() -> Broken:
    """Announce a receptive field that misses its oldest frame."""

    def make(old: Any) -> Any:
        return lambda self, wires: max(0, old(self, wires) - 1)

    return patched(PulseContext, "receptive_field", make)


# Rules of PULSIFY_V1


@contextmanager
def stream_moved(op: type, change: Callable[[Linear], Linear]) -> Break:
    """Let the v1 rule of an op announce another streaming fact."""
    rule = rule_of(PULSIFY_V1, op)

    def moved(node_op: Any, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        results = rule(node_op, node, ctx)
        return tuple(
            ctx.restream(wire, change(stream)) if (stream := ctx.stream(wire)) else wire
            for wire in results
        )

    with PULSIFY_V1.replaced(op, moved):
        yield


@contextmanager
def op_changed(op: type, change: Callable[[Any], Any]) -> Break:
    """Let the v1 rule of an op translate another op than the one written."""
    rule = rule_of(PULSIFY_V1, op)
    with PULSIFY_V1.replaced(op, lambda found, node, ctx: rule(change(found), node, ctx)):
        yield


@contextmanager
def start_ignored() -> Break:
    """Let a stream begin at its first frame, whatever was sliced off."""

    def ignored(op: Slice, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        (wire,) = ctx.inputs
        stream = ctx.stream(wire)
        length = ctx.batch_output().shape[op.axis]
        if stream is None or stream.axis != op.axis:
            return rule(op, node, ctx)
        return (ctx.restream(wire, replace(stream, length=length)),)

    rule = rule_of(PULSIFY_V1, Slice)
    with PULSIFY_V1.replaced(Slice, ignored):
        yield


# The state ops


def delay_reads_late() -> Broken:
    """Emit frames one place further on in the history: an overlap that is one too short."""

    def make(old: Any) -> Any:
        def evaluate(self: Delay, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (data,) = inputs
            (out,) = old(self, turn, inputs)
            lead = (slice(None),) * self.axis
            return (
                np.concatenate([out, data], self.axis)[(*lead, slice(1, out.shape[self.axis] + 1))],
            )

        return evaluate

    return patched(Delay, "eval", make)


def dirty_history() -> Broken:
    """Start every session on what another one left in memory."""
    count = itertools.count(1)

    def make(old: Any) -> Any:
        def evaluate(self: Delay, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            state: Any = turn.state
            is_first = state.buffer is None
            if is_first:
                shape = list(inputs[0].shape)
                shape[self.axis] = self.delay + self.overlap
                state.buffer = np.full(shape, next(count), inputs[0].dtype)
            return old(self, turn, inputs)

        return evaluate

    return patched(Delay, "eval", make)


def pad_counter(advance: Callable[[int, int], int]) -> Broken:
    """Let PulsePad count its frames wrongly, from the frames of a turn and the overlap."""

    def make(old: Any) -> Any:
        def evaluate(self: PulsePad, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            state: Any = turn.state
            position = state.position
            out = old(self, turn, inputs)
            state.position = position + advance(inputs[0].shape[self.axis], self.overlap)
            return out

        return evaluate

    return patched(PulsePad, "eval", make)


def pad_multiplies() -> Broken:
    """Make zeros by multiplying by zero, which keeps NaN."""

    def make(old: Any) -> Any:
        def evaluate(self: PulsePad, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (out,) = old(self, turn, inputs)
            if out is inputs[0] or self.value != 0 or self.mode != "constant":
                return (out,)
            with np.errstate(invalid="ignore"):
                return ((inputs[0] * (out != 0)).astype(out.dtype),)

        return evaluate

    return patched(PulsePad, "eval", make)


def tape_shift(shift: Callable[[Any], None]) -> Broken:
    """Move the frames of a tape wrongly before a turn."""
    return patched(TapeBuffer, "shift", lambda old: shift)


def shift_one_by_one(tape: Any) -> None:
    """Move frame by frame from the newest on: a frame that is still needed is overwritten."""
    lead = (slice(None),) * tape.axis
    frames = tape.data.shape[tape.axis] - tape.kept
    for at in reversed(range(tape.kept)):
        tape.data[(*lead, at)] = tape.data[(*lead, at + frames)]


# Sessions


@contextmanager
def state_shared() -> Break:
    """Give all sessions of a plan one memory."""
    frames: dict[int, Any] = {}
    states: dict[int, Any] = {}

    def frame(old: Any) -> Any:
        def new_frame(self: Plan, bindings: Mapping[str, int]) -> Any:
            if self.streaming is None:
                return old(self, bindings)
            # The plan is kept with its frame, so that its id is not used again.
            return frames.setdefault(id(self), (self, old(self, bindings)))[1]

        return new_frame

    def state(old: Any) -> Any:
        def init(self: Session, plan: Plan, known: dict[str, int]) -> None:
            old(self, plan, known)
            kept = states.setdefault(id(plan), (plan, self._states))
            self._states = kept[1]

        return init

    with patched(Plan, "new_frame", frame), patched(Session, "__init__", state):
        yield


def clone_shares() -> Broken:
    """Clone a session without its memory: both go on with the same one."""

    def make(old: Any) -> Any:
        def clone(self: Session) -> Session:
            other = old(self)
            other._states, other._frame = self._states, self._frame
            return other

        return clone

    return patched(Session, "clone", make)


def restore_forgets() -> Broken:
    """Restore a session without its counters."""

    def make(old: Any) -> Any:
        def restore(self: Session, arrays: Mapping[str, Tensor]) -> None:
            old(self, {k: v for k, v in arrays.items() if not k.endswith("/position")})

        return restore

    return patched(Session, "restore_arrays", make)


def last_chunk_dropped() -> Broken:
    """Forget the frames of an unfinished pulse at the end of the stream."""

    def make(old: Any) -> Any:
        def finish(self: Session) -> dict[str, Tensor]:
            for held in self._waiting().pending.values():
                held[...] = 0
            return old(self)

        return finish

    return patched(Session, "finish", make)


def delay_cut_once_per_pulse() -> Broken:
    """Drop the delay from the front of every pulse instead of from the front of the stream."""

    def make(old: Any) -> Any:
        def pulse(self: Session, layout: Any, feed: dict[str, Tensor]) -> None:
            before = dict(self._raw)
            self._raw = dict.fromkeys(self._raw, 0)
            old(self, layout, feed)
            self._raw = {name: before[name] + count for name, count in self._raw.items()}

        return pulse

    return patched(Session, "_pulse", make)


# Ops and kernels


def op_evaluates(op: type, change: Callable[[Any, tuple[Tensor, ...]], tuple[Any, Any]]) -> Broken:
    """Evaluate another op, or other inputs, than those of the node."""

    def make(old: Any) -> Any:
        def evaluate(self: Any, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            changed, given = change(self, inputs)
            return old(changed, turn, given)

        return evaluate

    return patched(op, "eval", make)


def result_changed(op: type, change: Callable[[Tensor], Tensor]) -> Broken:
    """Change what an op's `eval` returns."""

    def make(old: Any) -> Any:
        return lambda self, turn, inputs: tuple(change(out) for out in old(self, turn, inputs))

    return patched(op, "eval", make)


def fact_changed(op: type, change: Callable[[Any, Fact], Fact]) -> Broken:
    """Announce another fact than the one that arrives."""

    def make(old: Any) -> Any:
        return lambda self, inputs: tuple(change(self, fact) for fact in old(self, inputs))

    return patched(op, "output_facts", make)


@contextmanager
def kernel_changed(op: type, after: Callable[[Tensor], None]) -> Break:
    """Let a fast kernel end with one more step over its output."""
    builder = rule_of(FAST, op)

    def build(found: Any, facts: Concrete) -> Any:
        kernel = builder(found, facts)
        if not isinstance(kernel, Compute):
            return kernel

        def bind(inputs: Any, outputs: Any) -> Step:
            step = kernel.bind(inputs, outputs)

            def run() -> None:
                step()
                after(outputs[0])

            return run

        return replace(kernel, bind=bind)

    with FAST.replaced(op, build):
        yield


@contextmanager
def kernel_built_for(op: type, change: Callable[[Any, Concrete], tuple[Any, Concrete]]) -> Break:
    """Build the fast kernel of another op or of other constants."""
    builder = rule_of(FAST, op)
    with FAST.replaced(op, lambda found, facts: builder(*change(found, facts))):
        yield


# Declutter and the formats


@contextmanager
def declutter_drops(op: type, when: Callable[[Any], bool]) -> Break:
    """Let declutter take an op for one that does nothing."""

    def rule(found: Any, node: Node, ctx: Rewrite) -> ModelPatch | None:
        if not when(found) or node.outputs[0].rank != ctx.model.fact(node.inputs[0]).rank:
            return None
        return ModelPatch.bypass(ctx.model, node, node.inputs[0])

    with DECLUTTER.replaced(op, rule):
        yield


@contextmanager
def dump_loses(op: type, attribute: str) -> Break:
    """Write an op without one of its attributes."""
    rule = rule_of(NNEF.dumps, op)

    def dump(found: Any, node: Node, out: Any) -> None:
        def call(operator: str, **named: Any) -> None:
            out.call(operator, **{k: v for k, v in named.items() if k != attribute})

        rule(
            found, node, SimpleNamespace(call=call, step=out.step, fact=out.fact, refuse=out.refuse)
        )

    with NNEF.dumps.replaced(op, dump):
        yield


@contextmanager
def load_ignores(operator: str, parameter: str) -> Break:
    """Read an operator as if one parameter had its default."""
    load = NNEF.loads.lookup(operator)
    if isinstance(load, Refusal):
        raise LookupError(f"{operator} is refused, there is nothing to break")

    def rule(call: Any) -> tuple[Outlet, ...]:
        default = load.parameters[parameter]
        seen = {"integers", "integer", "dims", "pairs", "scalar"}

        class Deaf:
            def __getattr__(self, name: str) -> Any:
                verb = getattr(call, name)
                if name not in seen:
                    return verb
                return lambda asked: default if asked == parameter else verb(asked)

        return load.rule(Deaf())  # pyright: ignore[reportArgumentType]

    with NNEF.loads.replaced(operator, Load(load.parameters, rule)):
        yield
