"""Intake: frames that were pushed into a session and wait for their turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tract_ref.approx import filler
from tract_ref.dim import evaluate, substitute, symbols
from tract_ref.errors import EvalError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.runtime.inputs import (
    least_length,
    require_array,
    require_mapping,
    stream_length,
)

if TYPE_CHECKING:
    from tract_ref.runtime.plan import PulseShape


class Intake:
    """The inputs of a pulsified model between pushes and turns.

    Args:
        facts: fact per input, by name, in order; the shape of one turn.
        layout: how the model streams.
        sizes: symbol values that shapes may rely on.

    Attributes:
        pending: frames that wait, per streaming input that was fed.
        static: inputs that do not stream, as fed last.
    """

    def __init__(
        self, facts: Mapping[str, Fact], layout: PulseShape, sizes: Mapping[str, int]
    ) -> None:
        self._facts = facts
        self._layout = layout
        self._sizes = sizes
        self._axes = dict(zip(facts, layout.input_axes, strict=True))
        # Per streaming input, its length and the frames of one pulse.
        self._lengths = {
            name: (substitute(length, sizes), self._shape(name, 1)[axis])
            for (name, axis), length in zip(self._axes.items(), layout.input_lengths, strict=True)
            if axis >= 0
        }
        # Of those, the ones that tell the length: one with a symbol that is not set says nothing.
        self._telling = {
            name: length
            for name, (length, _) in self._lengths.items()
            if not symbols(length) - {layout.symbol}
        }
        self.pending: dict[str, Tensor] = {}
        self.static: dict[str, Tensor] = {}

    @property
    def _streaming(self) -> list[tuple[str, int]]:
        return [(name, axis) for name, axis in self._axes.items() if axis >= 0]

    @property
    def has_frames(self) -> bool:
        """Say whether frames wait."""
        return any(held.shape[self._axes[name]] for name, held in self.pending.items())

    def take(self, inputs: Mapping[str, Tensor]) -> None:
        """Keep the inputs of a push, all of them or none.

        Raises:
            EvalError: an input is missing, unknown, or does not match.
        """
        self._check(inputs)
        for name, axis in self._axes.items():
            if axis < 0:
                if name in inputs:
                    self.static[name] = inputs[name].copy()
                continue
            held = self.pending.get(name)
            array = inputs[name]
            joined = array.copy() if held is None else np.concatenate([held, array], axis)
            self.pending[name] = joined

    def _check(self, inputs: Mapping[str, Tensor]) -> None:
        require_mapping(inputs)
        for name in inputs:
            if name not in self._axes:
                listed = ", ".join(self._axes)
                raise EvalError(f"no input is called {name!r}", remedy=f"inputs: {listed}")
        self.require_static(inputs)
        for name, axis in self._axes.items():
            if name in inputs:
                self._check_form(name, axis, inputs[name])
            elif axis >= 0:
                raise EvalError(
                    f"streaming input {name!r} is missing", remedy="feed it at every push"
                )

    def _check_form(self, name: str, axis: int, array: Tensor) -> None:
        fact = self._facts[name]
        require_array(name, array)
        shape, wanted = list(array.shape), list(self._shape(name, 1))
        if axis >= 0 and len(shape) == len(wanted):
            wanted[axis] = shape[axis]
        if array.dtype != fact.dtype or shape != wanted:
            got = f"{shape} {array.dtype}"
            rule = f"its pulse is {fact}, any size on {axis}" if axis >= 0 else f"it is {fact}"
            raise EvalError(f"input {name!r} is {got}; {rule}")

    def require_static(self, inputs: Mapping[str, Tensor]) -> None:
        """Require that every input that does not stream is fed, now or before.

        Raises:
            EvalError: one was never fed.
        """
        for name, axis in self._axes.items():
            if axis < 0 and name not in inputs and name not in self.static:
                raise EvalError(f"input {name!r} is missing", remedy="feed it at the first push")

    def _shape(self, name: str, units: int) -> tuple[int, ...]:
        """Return the shape of an input in a turn of so many pulses."""
        return self._facts[name].concrete_shape({**self._sizes, **self._layout.chunk_of(units)})

    def _held(self, name: str, axis: int) -> int:
        held = self.pending.get(name)
        return held.shape[axis] if held is not None else 0

    def received(self, fed: int) -> int:
        """Return the smallest stream length with the frames that have come.

        Of an input of length S + 2, three frames say that S is at least 1.

        Args:
            fed: source frames of the turns so far.
        """
        return self._least(self._counts(fed))

    def fed(self, fed: int) -> int:
        """Return the smallest stream length with the frames of the turns so far, all of them real.

        Args:
            fed: source frames of those turns.
        """
        turns = fed // self._layout.pulse
        return self._least({name: turns * unit for name, (_, unit) in self._lengths.items()})

    def _least(self, counts: Mapping[str, int]) -> int:
        symbol = self._layout.symbol
        return max(
            least_length(length, symbol, counts[name]) for name, length in self._telling.items()
        )

    def _counts(self, fed: int) -> dict[str, int]:
        """Return the frames of every streaming input, those that wait included."""
        turns = fed // self._layout.pulse
        return {
            name: turns * unit + self._held(name, self._axes[name])
            for name, (_, unit) in self._lengths.items()
        }

    def is_complete(self, turns: int, total: int) -> bool:
        """Say whether the first `turns` turns of a stream bring only frames that exist.

        Args:
            turns: how many pulses.
            total: length of the stream.
        """
        symbol = self._layout.symbol
        return all(
            turns * unit <= evaluate(length, {symbol: total})
            for length, unit in self._lengths.values()
        )

    def ready_units(self) -> int:
        """Return how many pulses the next turn can take: all that wait, or one if it is fixed."""
        rows = self._streaming
        units = min(self._held(name, axis) // self._shape(name, 1)[axis] for name, axis in rows)
        return units if self._layout.chunk else min(units, 1)

    def waiting_units(self) -> int:
        """Return how many pulses hold every frame that waits, the last one incomplete."""
        rows = self._streaming
        return max(-(-self._held(name, axis) // self._shape(name, 1)[axis]) for name, axis in rows)

    def next_turn(self, units: int = 1) -> dict[str, Tensor]:
        """Take the inputs of one turn out; frames that are missing are filler."""
        feed = dict(self.static)
        for name, axis in self._streaming:
            shape, dtype = self._shape(name, units), self._facts[name].dtype
            frames = shape[axis]
            held = self.pending.get(name)
            if held is None:
                held = np.empty((*shape[:axis], 0, *shape[axis + 1 :]), dtype)
            lead = (slice(None),) * axis
            part = held[(*lead, slice(0, frames))]
            self.pending[name] = held[(*lead, slice(frames, None))]
            missing = frames - part.shape[axis]
            if missing:
                rest = (*shape[:axis], missing, *shape[axis + 1 :])
                part = np.concatenate([part, np.full(rest, filler(dtype), dtype)], axis)
            feed[name] = part
        return feed

    def total(self, fed: int) -> int:
        """Return the stream length that all frames together make.

        Args:
            fed: source frames of the turns so far.

        Raises:
            EvalError: they make none, or streaming inputs got unequal lengths.
        """
        symbol, counts = self._layout.symbol, self._counts(fed)
        for name, (length, _) in self._lengths.items():
            if symbols(length) - {symbol}:
                raise EvalError(
                    f"input {name!r} ended after {counts[name]} frames, which is not a length "
                    f"{length}",
                    remedy="set its symbols",
                )
        counted = {name: (length, counts[name]) for name, (length, _) in self._lengths.items()}
        return stream_length(counted, symbol)
