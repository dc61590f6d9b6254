"""Plan: the compiled order of a model; what is constant, what has state, which kernel runs what.

A plan is made once per model. Evaluating happens in a `Frame`: buffers laid out for one set of
concrete shapes, and one list of argument-less steps. A model with a fixed pulse has one frame per
session; a batch model has one per set of symbol values.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from tract_ref.dim import Dim, TDim, solve_for, substitute, sym
from tract_ref.dim import symbols as symbols_of
from tract_ref.errors import EvalError
from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Const, Model, Node, Outlet, Source
from tract_ref.ir.pulse import Pulse
from tract_ref.runtime.frame import Frame, PlainStep
from tract_ref.runtime.inputs import (
    broken_assertion,
    require_array,
    require_form,
    require_mapping,
    require_possible,
)
from tract_ref.runtime.state import Session

_CACHED_FRAMES = 8


@dataclass(frozen=True)
class PulseShape:
    """Streaming layout of a pulsified model, read from its `pulse.*` properties.

    Attributes:
        pulse: source frames per turn; of a symbolic pulse c*P, the factor c.
        chunk: P; empty when the pulse is fixed.
        symbol: the stream symbol.
        input_axes: stream axis per input, -1 for inputs that do not stream.
        output_axes: stream axis per output, -1 for outputs that do not stream.
        delays: delay per output, in frames of that output.
        input_lengths: batch length of the stream axis per input.
        output_lengths: batch length of the stream axis per output.
    """

    pulse: int
    chunk: str
    symbol: str
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]
    delays: tuple[int, ...]
    input_lengths: tuple[int | TDim, ...]
    output_lengths: tuple[int | TDim, ...]

    @staticmethod
    def of(model: Model) -> PulseShape | None:
        """Return the layout of a pulsified model, None for a batch model."""
        found = model.properties
        if "pulse.size" not in found:
            return None
        size = Pulse.read(found["pulse.size"].item())
        return PulseShape(
            size.unit,
            size.symbol,
            str(found["pulse.streaming_symbol"].item()),
            tuple(found["pulse.input_axes"].tolist()),
            tuple(found["pulse.output_axes"].tolist()),
            tuple(found["pulse.delay"].tolist()),
            tuple(found["pulse.input_lengths"].tolist()),
            tuple(found["pulse.output_lengths"].tolist()),
        )

    def chunk_of(self, units: int) -> dict[str, int]:
        """Return what a turn of `units` times the pulse binds; nothing when the pulse is fixed."""
        return {self.chunk: units} if self.chunk else {}


class Plan:
    """The compiled form of a model.

    Args:
        model: the model; it must not be edited while the plan is used.
        keep: inner wires whose values every turn also returns, under `Model.wire_name`.
        fast: use the kernels of `fast/`; False runs every op's `eval`.

    Raises:
        InvalidModel: the graph has a cycle.
    """

    def __init__(self, model: Model, *, keep: Sequence[Outlet] = (), fast: bool = True) -> None:
        self.model = model
        self.fast = fast
        self.keep = tuple(keep)
        self._order = model.order()
        self.consts: dict[Outlet, Tensor] = {}
        self.nodes: list[Node] = []
        for node in self._order:
            if isinstance(node.op, Const):
                self.consts[Outlet(node.id)] = node.op.tensor
            elif not isinstance(node.op, Source):
                self.nodes.append(node)
        self.stateful: list[Node] = [n for n in self.nodes if n.op.state() is not None]
        self.streaming = PulseShape.of(model)
        self.input_facts: dict[str, Fact] = {
            model.nodes[o.node].name: model.fact(o) for o in model.inputs
        }
        self._frames: OrderedDict[tuple[tuple[str, int], ...], Frame] = OrderedDict()

    def session(self, symbols: Mapping[str, int] | None = None) -> Session:
        """Start a session.

        Args:
            symbols: symbols known from the first turn on; giving the stream symbol announces the
            end.

        Raises:
            EvalError: the model has no such symbol.
        """
        require_possible(self.model.scope, symbols or {}, self.symbols)
        return Session(self, dict(symbols or {}))

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols that the model speaks of."""
        model, layout = self.model, self.streaming
        dims = [dim for node in self._order for fact in node.outputs for dim in fact.shape]
        if layout is not None:
            dims += [sym(layout.symbol), *layout.input_lengths, *layout.output_lengths]
        known = model.scope.symbols.union(*(symbols_of(dim) for dim in dims))
        # Each turn tells its own size.
        return known - {layout.chunk} if layout is not None else known

    @cached_property
    def least_length(self) -> int:
        """Smallest stream length that the model admits; 0 for a batch model."""
        layout = self.streaming
        return self.model.scope.smallest(layout.symbol) if layout is not None else 0

    @cached_property
    def plain_steps(self) -> tuple[PlainStep, ...]:
        """The nodes to run by `eval`, in order."""
        return tuple(
            PlainStep(node, tuple(Outlet(node.id, slot) for slot in range(len(node.outputs))))
            for node in self.nodes
        )

    @cached_property
    def _sizes(self) -> frozenset[str]:
        """Symbols that the shapes of the wires depend on."""
        dims = [dim for node in self.nodes for fact in node.outputs for dim in fact.shape]
        return frozenset[str]().union(*(symbols_of(dim) for dim in dims))

    def has_late_sizes(self, bindings: Mapping[str, int]) -> bool:
        """Say whether a batch model has sizes that are known only when an op has run."""
        return self.streaming is None and not self._sizes <= bindings.keys()

    @cached_property
    def digest(self) -> str:
        """Fingerprint of what the model computes: its ops, their attributes, all constants."""
        state = hashlib.blake2b(digest_size=8)
        for text in _texts(self.model):
            state.update(text)
            state.update(b"\0")
        return state.hexdigest()

    @property
    def signature(self) -> str:
        """What a saved state must agree on: pulse, inputs, outputs, nodes with state, digest."""
        model, layout = self.model, self.streaming
        inputs = ", ".join(f"{name}: {fact}" for name, fact in self.input_facts.items())
        facts = zip(model.output_names, model.outputs, strict=True)
        outputs = ", ".join(f"{name}: {model.fact(outlet)}" for name, outlet in facts)
        kept = ", ".join(node.name for node in self.stateful)
        size = Pulse(layout.pulse, layout.chunk) if layout is not None else ""
        pulse = f"pulse {size}, " if layout is not None else ""
        return f"{pulse}{inputs} -> {outputs}, state of [{kept}], digest {self.digest}"

    def run(
        self, inputs: Mapping[str, Tensor], *, symbols: Mapping[str, int] | None = None
    ) -> dict[str, Tensor]:
        """Run one turn of a fresh session; returns the outputs (and kept wires) by name."""
        return self.session(symbols).turn(inputs)

    def check_saved(
        self, kinds: Mapping[str, Mapping[str, Tensor]], sizes: Mapping[str, int]
    ) -> None:
        """Check the frames and counters of a saved state against the inputs and outputs.

        Raises:
            EvalError: one is not of this model, or has another shape or dtype than it may have.
        """
        model, layout = self.model, self.streaming
        sizes = {**sizes, **layout.chunk_of(1)} if layout is not None else sizes
        counter = Fact(np.dtype(np.int64), (2,))
        allowed = {"counters/": (counter.with_shape((4,)), -1)}
        allowed |= {f"count/{name}": (counter, -1) for name in model.output_names}
        if layout is not None:
            for (name, fact), axis in zip(self.input_facts.items(), layout.input_axes, strict=True):
                allowed[f"static/{name}" if axis < 0 else f"pending/{name}"] = (fact, axis)
            for name, outlet, axis in zip(
                model.output_names, model.outputs, layout.output_axes, strict=True
            ):
                allowed[f"ready/{name}"] = (model.fact(outlet), axis)
        for kind, arrays in kinds.items():
            for name, array in arrays.items():
                key = f"{kind}/{name}"
                if key in allowed:
                    require_form(key, array, *allowed[key], sizes)
                elif kind not in ("state", "symbol", "size"):
                    raise EvalError(f"saved state has {key!r}, which the model has not")

    def bind(self, inputs: Mapping[str, Tensor], symbols: Mapping[str, int]) -> dict[str, int]:
        """Match input arrays with the input facts and return the symbol values.

        Raises:
            EvalError: an input is missing or unknown, its dtype or shape does not match, or a
                symbol value breaks an assertion of the model.
        """
        require_mapping(inputs)
        unknown = [name for name in inputs if name not in self.input_facts]
        if unknown:
            names = ", ".join(self.input_facts)
            raise EvalError(f"no input is called {unknown[0]!r}", remedy=f"inputs are: {names}")
        bindings = dict(symbols)
        for name, fact in self.input_facts.items():
            if name not in inputs:
                raise EvalError(f"input {name!r} is missing", remedy=f"feed an array of {fact}")
            require_array(name, inputs[name])
            _match(name, fact, inputs[name], bindings)
        # Raw turns of a pulsified model announce the end late: only the whole stream has a length.
        if self.streaming is None and self.model.scope.holds(bindings) is False:
            raise broken_assertion(self.model.scope, bindings)
        return bindings

    def frame(self, bindings: Mapping[str, int]) -> Frame:
        """Return the frame for one set of symbol values, from a small cache.

        Only models without state, and turns of a symbolic pulse, share frames: a session puts its
        state into the frame before such a turn, and takes it out after it.
        """
        key = tuple(sorted(bindings.items()))
        frame = self._frames.get(key)
        if frame is None:
            frame = self.new_frame(bindings)
            self._frames[key] = frame
            if len(self._frames) > _CACHED_FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(key)
        return frame

    def new_frame(self, bindings: Mapping[str, int]) -> Frame:
        """Lay out buffers for concrete shapes and bind the kernels to them."""
        return Frame(self.model, self.nodes, self.consts, self.keep, bindings)


def _texts(value: object) -> Iterator[bytes]:
    """Yield what tells two models apart; arrays by their bytes, everything else by its text."""
    if isinstance(value, np.ndarray):
        array = cast("Tensor", value)
        yield f"{array.dtype} {array.shape}".encode()
        yield str(array.tolist()).encode() if array.dtype == TDIM else array.tobytes()
    elif isinstance(value, Model):
        for node in value.order():
            yield f"{node.id} {node.name} {node.op.name} {node.inputs}".encode()
            yield from _texts(node.op)
        yield f"{value.inputs} {value.outputs} {value.output_names}".encode()
    elif isinstance(value, tuple | list):
        for item in cast("Sequence[object]", value):
            yield from _texts(item)
    elif dataclasses.is_dataclass(value):
        yield type(value).__name__.encode()
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _texts(getattr(value, field.name))
    else:
        yield str(value).encode()


def _match(name: str, fact: Fact, array: Tensor, bindings: dict[str, int]) -> None:
    if array.shape == fact.shape and array.dtype == fact.dtype:
        return
    expected = fact.dtype if fact.dtype != TDIM else array.dtype
    if array.dtype != expected or array.ndim != fact.rank:
        got = f"{list(array.shape)} {array.dtype}"
        raise EvalError(f"input {name!r} is {got}; its fact is {fact}")
    for axis, (dim, size) in enumerate(zip(fact.shape, array.shape, strict=True)):
        value = dim
        if isinstance(dim, TDim):
            free = [s for s in dim.symbols if s not in bindings]
            if len(free) == 1:
                solved = solve_for(free[0], _bound(dim, bindings), size)
                if isinstance(solved, int):
                    bindings[free[0]] = solved
                    continue
            value = _bound(dim, bindings)
        if isinstance(value, int) and value != size:
            known = ", ".join(f"{k}={v}" for k, v in sorted(bindings.items()))
            raise EvalError(
                f"input {name!r} has {size} positions on axis {axis} where its fact {fact} says "
                f"{value}" + (f" ({known})" if known else "")
            )


def _bound(dim: TDim, bindings: Mapping[str, int]) -> Dim:
    from_bindings: dict[str, Dim] = {s: bindings[s] for s in dim.symbols if s in bindings}
    return substitute(dim, from_bindings) if from_bindings else dim
