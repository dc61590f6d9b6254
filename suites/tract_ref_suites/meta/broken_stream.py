"""Streaming broken on purpose: delays, ends, padding, state between turns, sessions.

Like `broken`: plain context managers that put everything back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tract_ref.ir.fact import Tensor
from tract_ref.ir.model import Node, Outlet, Source
from tract_ref.ir.op import Op, OpState, Turn
from tract_ref.ops.binary import Add
from tract_ref.ops.buffer import Delay, PulsePad
from tract_ref.ops.deconv import Deconv
from tract_ref.passes.pulse_context import PulseContext
from tract_ref.runtime import state as runtime_state
from tract_ref.runtime.frame import TapeBuffer
from tract_ref.runtime.state import Session
from tract_ref.stream.fact import Linear
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref_suites.meta.broken import Break, Broken, patched, rule_of

# The accounting of the pulse context


def sync_to(which: Callable[[list[int]], int], *, less: int = 0) -> Broken:
    """Let streams that meet wait for another delay than the largest one."""

    def make(old: Any) -> Any:
        def sync(self: Any, wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
            synced, shared = old(self, wires)
            streams = [s for w in wires if (s := self.stream(w)) is not None]
            if shared is None or len({s.delay for s in streams}) < 2:
                return synced, shared
            target = which([s.delay for s in streams])
            late = tuple(
                self.delay(w, max(0, target - s.delay - less)) if (s := self.stream(w)) else w
                for w in wires
            )
            return late, replace(shared, delay=target)

        return sync

    return patched(PulseContext, "sync", make)


def idle_at_merges(frames: int) -> Broken:
    """Let streams that meet wait some frames for nothing, and announce it."""

    def make(old: Any) -> Any:
        def sync(self: Any, wires: tuple[Outlet, ...]) -> tuple[tuple[Outlet, ...], Linear | None]:
            synced, shared = old(self, wires)
            if shared is None or sum(self.stream(wire) is not None for wire in wires) < 2:
                return synced, shared
            late = tuple(self.delay(w, frames) if self.stream(w) is not None else w for w in synced)
            return late, replace(shared, delay=shared.delay + frames)

        return sync

    return patched(PulseContext, "sync", make)


def idle_before_windows(frames: int) -> Broken:
    """Let a stream wait some output frames for nothing before it is cut into windows."""

    def make(old: Any) -> Any:
        def window(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear]:
            return old(self, self.delay(wire, frames * rest["stride"]), **rest)

        return window

    return patched(PulseContext, "window", make)


@contextmanager
def idle_sources(frames: int) -> Break:
    """Let every stream wait some frames for nothing as it comes in."""
    rule = rule_of(PULSIFY_V1, Source)

    def idle(op: Source, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        return tuple(
            ctx.delay(wire, frames) if ctx.stream(wire) is not None else wire
            for wire in rule(op, node, ctx)
        )

    with PULSIFY_V1.replaced(Source, idle):
        yield


def fronts_not_told() -> Broken:
    """Take first frames of another stream for frames that all frames read."""

    def make(old: Any) -> Any:
        return lambda self, *rest, front=None, **more: old(self, *rest, **more)

    return patched(PulseContext, "wire", make)


def late_end_short() -> Broken:
    """Wait for a late end one frame less than needed."""
    return patched(
        PulseContext, "late_end", lambda old: lambda self, wire: max(0, old(self, wire) - 1)
    )


def front_not_masked() -> Broken:
    """Leave what comes before the first frame where padding belongs."""

    def make(old: Any) -> Any:
        return lambda self, wire, **rest: old(self, wire, **(rest | {"before": 0}))

    return patched(PulseContext, "pad", make)


def pad_ends_early() -> Broken:
    """Begin the padding after a stream one frame too early."""

    def make(old: Any) -> Any:
        def pad(self: Any, wire: Outlet, **rest: Any) -> Outlet:
            stream = self.streaming(wire)
            shorter = self.restream(wire, replace(stream, length=stream.length - 1))
            return self.restream(old(self, shorter, **rest), stream)

        return pad

    return patched(PulseContext, "pad", make)


def decoded_delay_unscaled() -> Broken:
    """Count the delay of a transposed convolution in frames of its input."""

    def make(old: Any) -> Any:
        def accumulate(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear, int]:
            framed, out, history = old(self, wire, **rest)
            before = rest.get("before", 0)
            unscaled = (out.delay - before) // rest["stride"] + before
            return framed, replace(out, delay=unscaled), history

        return accumulate

    return patched(PulseContext, "accumulate", make)


def decoded_mask_early() -> Broken:
    """Mask the last frame of a stream ahead of a transposed convolution."""

    def make(old: Any) -> Any:
        def accumulate(self: Any, wire: Outlet, **rest: Any) -> tuple[Outlet, Linear, int]:
            with pad_ends_early():
                return old(self, wire, **rest)

        return accumulate

    return patched(PulseContext, "accumulate", make)


# Rules of PULSIFY_V1


@contextmanager
def bias_twice() -> Break:
    """Add the bias of a transposed convolution once more."""
    rule = rule_of(PULSIFY_V1, Deconv)

    def twice(op: Deconv, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        (wire,) = rule(op, node, ctx)
        bias = ctx.batch.const_of(node.inputs[2]) if len(node.inputs) > 2 else None
        if bias is None:
            return (wire,)
        shaped = bias.reshape(1, -1, *(1 for _ in range(op.window.rank)))
        again = ctx.const(shaped, "bias-again")
        return ctx.wire(Add(), (wire, again), ctx.stream(wire), suffix="twice")

    with PULSIFY_V1.replaced(Deconv, twice):
        yield


@contextmanager
def wired_op_changed(op: type[Op], change: Callable[[Any, Any], Any]) -> Break:
    """Change the op that a v1 rule wired, given it and the op of the batch model."""
    rule = rule_of(PULSIFY_V1, op)

    def changed(found: Any, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        results = rule(found, node, ctx)
        made = ctx.model.nodes[results[0].node]
        if isinstance(made.op, op):
            made.op = change(made.op, found)
        return results

    with PULSIFY_V1.replaced(op, changed):
        yield


@contextmanager
def delay_kept(op: type[Op]) -> Break:
    """Let an op that changes the rate announce the delay of its input."""
    rule = rule_of(PULSIFY_V1, op)

    def kept(found: Any, node: Node, ctx: Any) -> tuple[Outlet, ...]:
        results = rule(found, node, ctx)
        stream = ctx.stream(ctx.inputs[0])
        if stream is None:
            return results
        return tuple(
            ctx.restream(wire, replace(made, delay=stream.delay))
            if (made := ctx.stream(wire))
            else wire
            for wire in results
        )

    with PULSIFY_V1.replaced(op, kept):
        yield


# The state ops


def counter_stuck(op: type[Op]) -> Broken:
    """Let an op begin every turn at frame 0."""

    def make(old: Any) -> Any:
        def evaluate(self: Any, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            out = old(self, turn, inputs)
            state: Any = turn.state
            state.position = 0
            return out

        return evaluate

    return patched(op, "eval", make)


def edge_of_previous_turn() -> Broken:
    """Repeat after the end the last frame of the turn before."""

    def make(old: Any) -> Any:
        def evaluate(self: PulsePad, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            state: Any = turn.state
            position, last = state.position, state.last
            (out,) = old(self, turn, inputs)
            end = turn.settled(self.end)
            if self.mode != "edge" or end is None or last is None or not self.after:
                return (out,)
            tail = end - position
            if not 0 <= tail < out.shape[self.axis]:
                return (out,)
            out = out.copy()
            out[(*(slice(None),) * self.axis, slice(tail, None))] = last
            return (out,)

        return evaluate

    return patched(PulsePad, "eval", make)


def tail_filled_without_after() -> Broken:
    """Fill what follows the end also where no padding follows."""

    def make(old: Any) -> Any:
        return lambda self, turn, inputs: old(
            self if self.after else replace(self, after=1), turn, inputs
        )

    return patched(PulsePad, "eval", make)


def reset_between_turns() -> Broken:
    """Start every turn without memory."""

    def make(old: Any) -> Any:
        def turn(self: Session, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            for state in self._states.values():
                fresh: OpState = type(state)()
                for field in fields(fresh):
                    setattr(state, field.name, getattr(fresh, field.name))
            return old(self, inputs)

        return turn

    return patched(Session, "turn", make)


# Memory


def dirty_tape() -> Broken:
    """Start every tape on what another session left in memory."""
    count = itertools.count(1)

    def make(old: Any) -> Any:
        def init(self: Any, tape: Any, spec: Any) -> None:
            old(self, tape, spec)
            self.data[...] = next(count)

        return init

    return patched(TapeBuffer, "__init__", make)


def shift_flat(tape: Any) -> None:
    """Move old frames as if the stream axis were the outermost one."""
    flat = tape.data.reshape(-1)
    moved = flat[tape.tail.size :].copy()
    flat[: moved.size] = moved


def shift_in_pieces(tape: Any) -> None:
    """Move old frames in two halves at once, the later half first."""
    lead = (slice(None),) * tape.axis
    frames = tape.data.shape[tape.axis] - tape.kept
    half = tape.kept // 2
    for low, high in ((half, tape.kept), (0, half)):
        tape.data[(*lead, slice(low, high))] = tape.data[
            (*lead, slice(low + frames, high + frames))
        ].copy()


def shift_too_few_bytes(tape: Any) -> None:
    """Move as many bytes as there are elements."""
    lead = (slice(None),) * tape.axis
    moved = tape.history.reshape(-1).copy()
    old = tape.data[(*lead, slice(0, tape.kept))].copy().reshape(-1)
    count = moved.size // moved.itemsize
    old[:count] = moved[:count]
    target = tape.data[(*lead, slice(0, tape.kept))]
    np.copyto(target, old.reshape(target.shape))


def pad_copies_too_few_bytes() -> Broken:
    """Pass a turn through a pad by as many bytes as there are elements; the rest is garbage."""

    def make(old: Any) -> Any:
        def evaluate(self: PulsePad, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (data,) = inputs
            count = data.size // data.itemsize
            copied = np.full(data.size, 77, data.dtype)
            copied[:count] = data.reshape(-1)[:count]
            return old(self, turn, (copied.reshape(data.shape),))

        return evaluate

    return patched(PulsePad, "eval", make)


def pad_ignores_strides() -> Broken:
    """Read the input of a pad in the order in which it lies in memory."""

    def make(old: Any) -> Any:
        def evaluate(self: PulsePad, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (data,) = inputs
            return old(self, turn, (data.ravel(order="K").reshape(data.shape),))

        return evaluate

    return patched(PulsePad, "eval", make)


def delay_starts_with(value: float) -> Broken:
    """Fill the history of a delay with a number instead of zeros."""

    def make(old: Any) -> Any:
        def evaluate(self: Delay, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            state: Any = turn.state
            if state.buffer is None:
                shape = list(inputs[0].shape)
                shape[self.axis] = self.delay + self.overlap
                state.buffer = np.full(shape, value, inputs[0].dtype)
            return old(self, turn, inputs)

        return evaluate

    return patched(Delay, "eval", make)


# Sessions


def save_drops(kind: str) -> Broken:
    """Write the file of a session without one kind of its arrays."""

    def make(old: Any) -> Any:
        def write(path: Path, signature: str, arrays: Mapping[str, Tensor]) -> None:
            old(path, signature, {k: v for k, v in arrays.items() if not k.startswith(f"{kind}/")})

        return write

    return patched(runtime_state, "write_state", make)


def clone_forgets(attribute: str) -> Broken:
    """Clone a session without one of its attributes."""

    def make(old: Any) -> Any:
        def clone(self: Session) -> Session:
            other = old(self)
            fresh = self.plan.session()
            setattr(other, attribute, getattr(fresh, attribute))
            return other

        return clone

    return patched(Session, "clone", make)


def end_never_announced() -> Broken:
    """Flush a finished stream as if its end were still unknown."""

    def make(old: Any) -> Any:
        def turn(self: Session, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            layout = self.plan.streaming
            if layout is None or not self._finished:
                return old(self, inputs)
            total = self.symbols.pop(layout.symbol)
            try:
                return old(self, inputs)
            finally:
                self.symbols[layout.symbol] = total

        return turn

    return patched(Session, "turn", make)
