"""What a session in exact increments remembers: a value that is copied, saved and loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tract_ref.errors import EvalError, InternalError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model, Outlet, Source
from tract_ref.ir.op import OpState
from tract_ref.runtime.inputs import require_form

Kinds = Mapping[str, Mapping[str, Tensor]]
"""Arrays of a saved state, by kind and name."""
_PAIR = Fact(np.dtype(np.int64), (2,))
_ONE = Fact(np.dtype(np.int64), ())


@dataclass
class History:
    """The frames of a wire that somebody still needs.

    Attributes:
        axis: the stream axis.
        base: index of the first frame held.
        held: the frames.
        complete: the whole wire has come, for certain.
    """

    axis: int
    base: int
    held: Tensor
    complete: bool = False

    @property
    def count(self) -> int:
        """Frames that have come so far."""
        return self.base + self.held.shape[self.axis]

    def window(self, first: int, stop: int) -> Tensor:
        """Return the frames from `first` to before `stop`."""
        if first < self.base:
            raise InternalError(f"frame {first} is read, which was dropped before {self.base}")
        lead = (slice(None),) * self.axis
        return self.held[(*lead, slice(first - self.base, max(first, stop) - self.base))]

    def extend(self, frames: Tensor) -> None:
        """Append frames."""
        self.held = np.concatenate([self.held, frames], self.axis)

    def forget(self, first: int) -> None:
        """Drop the frames before `first`."""
        first = min(first, self.count)
        if first > self.base:
            # A copy, so that the memory of what is dropped is given back.
            self.held = self.window(first, self.count).copy()
            self.base = first


@dataclass
class Memory:
    """All that a session remembers.

    Attributes:
        symbols: symbol values that are known.
        wires: frames of streaming wires.
        static: values of the others.
        states: of ops, by node and place among the ops of its increments.
        given: frames given out, per output.
        received: smallest stream length with the frames that have come.
        finished: the stream has ended.
    """

    symbols: dict[str, int]
    wires: dict[Outlet, History] = field(default_factory=dict[Outlet, History])
    static: dict[Outlet, Tensor] = field(default_factory=dict[Outlet, Tensor])
    states: dict[tuple[int, int], OpState] = field(default_factory=dict[tuple[int, int], OpState])
    given: dict[int, int] = field(default_factory=dict[int, int])
    received: int = 0
    finished: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of samples: frames that are still needed, and states of ops."""
        kept = sum(history.held.nbytes for history in self.wires.values())
        return kept + sum(state.nbytes for state in self.states.values())

    def clone(self) -> Memory:
        """Return an independent copy; values that nobody writes into are shared."""
        shared = {id(value): value for value in self.static.values()}
        return copy.deepcopy(self, shared)

    def arrays(self, model: Model) -> dict[str, Tensor]:
        """Return everything as named arrays: `kind/name`.

        What is computed from inputs that do not stream is computed again.
        """
        counters = np.asarray([self.received, int(self.finished)], np.int64)
        arrays: dict[str, Tensor] = {"counters": counters}
        for wire, history in self.wires.items():
            name = _named(model, wire)
            mark = np.asarray([history.base, int(history.complete)], np.int64)
            arrays |= {f"wire/{name}": history.held, f"mark/{name}": mark}
        for wire, value in self.static.items():
            if isinstance(model.nodes[wire.node].op, Source):
                arrays[f"static/{_named(model, wire)}"] = value
        for (number, place), state in self.states.items():
            prefix = f"state/{model.nodes[number].name}:{place}"
            arrays |= {f"{prefix}/{key}": value for key, value in state.arrays().items()}
        arrays |= {f"symbol/{k}": np.asarray(v, np.int64) for k, v in self.symbols.items()}
        return arrays | {f"given/{k}": np.asarray(v, np.int64) for k, v in self.given.items()}

    def restore(self, kinds: Kinds, model: Model) -> None:
        """Set a fresh memory, with its wires and symbols, from what `arrays` gave; states apart.

        Raises:
            EvalError: an array is missing, not of this model, or of another form.
        """
        wires = {_named(model, wire): wire for wire in self.wires}
        static = {_named(model, wire): wire for wire in model.inputs if wire not in self.wires}
        allowed = {
            "counters": {""},
            "symbol": set(self.symbols),
            "static": set(static),
            "wire": set(wires),
            "mark": set(wires),
            "given": {str(slot) for slot in range(len(model.outputs))},
        }
        for kind, arrays in kinds.items():
            for name in arrays:
                if kind != "state" and name not in allowed.get(kind, ()):
                    raise EvalError(f"saved state has {kind}/{name}, which the model has not")
        require_form("counters", kinds["counters"][""], _PAIR, -1, {})
        self.received, finished = (int(count) for count in kinds["counters"][""])
        self.finished = bool(finished)
        for name, wire in wires.items():
            self.wires[wire] = self._read_history(kinds, name, model.fact(wire), self.wires[wire])
        for name, value in kinds.get("static", {}).items():
            require_form(f"static/{name}", value, model.fact(static[name]), -1, self.symbols)
            self.static[static[name]] = value
        for slot, value in kinds.get("given", {}).items():
            require_form(f"given/{slot}", value, _ONE, -1, {})
            self.given[int(slot)] = int(value)

    def _read_history(self, kinds: Kinds, name: str, fact: Fact, fresh: History) -> History:
        for kind in ("wire", "mark"):
            if name not in kinds.get(kind, {}):
                raise EvalError(f"saved state lacks {kind}/{name}")
        held, mark = kinds["wire"][name], kinds["mark"][name]
        require_form(f"wire/{name}", held, fact.with_dim(fresh.axis, 0), fresh.axis, self.symbols)
        require_form(f"mark/{name}", mark, _PAIR, -1, {})
        base, complete = (int(value) for value in mark)
        return History(fresh.axis, base, held, bool(complete))


def _named(model: Model, wire: Outlet) -> str:
    return f"{model.nodes[wire.node].name}:{wire.slot}"
