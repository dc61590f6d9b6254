"""Pulsification v1: walks a batch model, applies PULSIFY_V1, keeps the delay of every wire.

For every wire of the result, raw[delay + i] == batch[i] for 0 <= i < length(S). The accounting is
the canonical one of spec/pulse.md §9.2; `_Context` holds it once, for all ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tract_ref.dim import Dim, TDim, symbols
from tract_ref.errors import Inconclusive, InvalidModel, Refused, TractRefError
from tract_ref.ir.check import require_sound
from tract_ref.ir.fact import Tensor, dims_tensor
from tract_ref.ir.model import Model, Node, Outlet, Source
from tract_ref.ir.pulse import Pulse
from tract_ref.ir.rules import Refusal
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref.passes.declutter import declutter
from tract_ref.passes.delays import DelayRecord, DelayStep, wire_called
from tract_ref.passes.node_context import follows_length
from tract_ref.passes.pulse_context import STAGE, PulseContext
from tract_ref.stream.fact import Linear, PulsedFact
from tract_ref.stream.tables import PULSIFY_V1

# A pulse that nearly every product of strides divides.
_COMPOSITE = 720720


@dataclass(frozen=True)
class Wire:
    """Where one batch wire went.

    Attributes:
        batch: outlet of the batch model.
        outlet: outlet of the pulsified model that carries it.
        stream: how it lines up, None when it does not stream.
    """

    batch: Outlet
    outlet: Outlet
    stream: Linear | None


@dataclass(frozen=True)
class Pulsed:
    """A pulsified model.

    Attributes:
        model: one turn of the stream; its `pulse.*` properties say how outputs line up.
        batch: the batch model that was pulsified, after declutter; wires are named after it.
        pulse: source frames per turn: a number, or `c*P` for any multiple of c turn by turn.
        symbol: the stream symbol.
        infos: per wire name of `batch`, where it went; wires that a pass removed are absent.
        receptive_field: source frames that one output frame depends on, the widest of all outputs;
            None when a recurrence makes it unbounded.
        record: what the rules told about delays.
    """

    model: Model
    batch: Model
    pulse: Dim
    symbol: str
    infos: Mapping[str, Wire]
    receptive_field: int | None
    record: DelayRecord

    def explain(self, name: str) -> tuple[DelayStep, ...]:
        """Return the path from a source to an output, or another wire, that makes its delay.

        At every node the path follows the input that comes last. What the steps add, in source
        frames, is exactly the delay of the last one.

        Args:
            name: an output, or a wire of `batch`.

        Returns:
            One step per node, the source first; nothing for a wire that does not stream.

        Raises:
            InvalidModel: no wire is called so.
        """
        return self.record.path(wire_called(self.batch, name))

    def pulsed_fact(self, name: str) -> PulsedFact:
        """Return the streaming fact of a wire of the batch model."""
        wire = self.infos[name]
        return PulsedFact(self.model.fact(wire.outlet), wire.stream)

    @property
    def delays(self) -> tuple[int, ...]:
        """Delay per output, in frames of that output; 0 for outputs that do not stream."""
        return tuple(int(d) for d in self.model.properties["pulse.delay"])


def stream_symbol(model: Model, wanted: str | None, *, stage: str = STAGE) -> str:
    """Return the stream symbol: `wanted`, else the only symbol that the inputs mention.

    Args:
        model: a batch model.
        wanted: the symbol that the user names.
        stage: the pass, for messages.

    Raises:
        InvalidModel: no input mentions `wanted`; no candidate; two candidates.
    """
    found = sorted({name for o in model.inputs for d in model.fact(o).shape for name in symbols(d)})
    if wanted is not None:
        if wanted not in found:
            known = ", ".join(found) or "none"
            raise InvalidModel(
                f"no input has a dimension with {wanted!r} (symbols of the inputs: {known})",
                stage=stage,
                remedy="name one of these, or make a fixed dimension the symbol with --axis",
            )
        return wanted
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidModel(
            "no input has a symbolic dimension: nothing streams",
            stage=stage,
            remedy="make a dimension the stream symbol with --axis NAME=AXIS",
        )
    raise InvalidModel(
        f"two or more candidates for the stream symbol: {', '.join(found)}",
        stage=stage,
        remedy="choose one with --symbol, set the others with --set",
    )


def pulsify(model: Model, pulse: int | str | Dim, *, symbol: str | None = None) -> Pulsed:
    """Turn a batch model into one that takes `pulse` source frames per turn.

    Args:
        model: a batch model; it is not changed.
        pulse: source frames per turn; a symbol, as `P` or `2*P`, gives one translation for turns
            of any size that is a multiple of the factor.
        symbol: the stream symbol; by default the only symbol of the inputs.

    Returns:
        The pulsified model, decluttered, and where every batch wire went.

    Raises:
        Refused: an op cannot stream, or no output streams; the error names the node, the reason
            and a remedy.
        InvalidModel: the pulse is neither a positive integer nor a factor times a symbol that the
            model does not use, or there is not one stream symbol.
    """
    return translated(model, pulse, symbol, lambda context: partial(_translate, context))


Translator = Callable[[PulseContext], Callable[[Node], None]]
"""What, given the context of a model, translates one node after the other."""


def translated(
    model: Model,
    pulse: int | str | Dim,
    symbol: str | None,
    translator: Translator,
    *,
    stage: str = STAGE,
) -> Pulsed:
    """Pulsify a model by one of the pulsifiers; arguments and errors as those of `pulsify`."""
    size = _read_pulse(pulse, stage)
    name = stream_symbol(model, symbol, stage=stage)
    batch = before_pulsify(declutter(model))
    _require_free(size, batch, stage)
    context = PulseContext(batch, size, name, stage)
    _walk(context, translator(context))
    require_sound(context.model, stage=stage)
    return _finished(context, batch)


def _walk(context: PulseContext, translate: Callable[[Node], None]) -> None:
    """Walk the batch model; the context's model is one turn of the stream then."""
    batch = context.batch
    for node in batch.order():
        translate(node)
    _require_streaming(context, batch)
    _properties(context, batch)


@dataclass(frozen=True)
class RefusedNode:
    """A node that cannot stream, whatever its neighbours do.

    Attributes:
        error: the refusal: node, reason, and what change would lift it.
        upstream: how the input that comes last came to be; empty when no input streams.
        behind: how many nodes read what it would have made, and were not judged.
    """

    error: Refused | Inconclusive
    upstream: tuple[DelayStep, ...]
    behind: int


def refusals(
    model: Model, pulse: int | str | Dim, *, symbol: str | None = None
) -> tuple[RefusedNode, ...]:
    """Return every node that `pulsify` refuses by itself, in evaluation order.

    A node behind a refused one is not judged: nothing is known of its input.

    Args:
        model: a batch model; it is not changed.
        pulse: source frames per turn, as for `pulsify`.
        symbol: the stream symbol; by default the only symbol of the inputs.

    Returns:
        The refused nodes; none for a model that streams, or whose outputs all stay the same.

    Raises:
        InvalidModel: as `pulsify`.
    """
    size = _read_pulse(pulse, STAGE)
    name = stream_symbol(model, symbol)
    batch = before_pulsify(declutter(model))
    _require_free(size, batch, STAGE)
    context = PulseContext(batch, size, name)
    found: dict[int, tuple[Refused | Inconclusive, tuple[DelayStep, ...]]] = {}
    blame: dict[int, set[int]] = {}
    for node in batch.order():
        behind = set[int]().union(*(blame.get(outlet.node, ()) for outlet in node.inputs))
        if behind:
            blame[node.id] = behind
            continue
        try:
            _translate(context, node)
        except (Refused, Inconclusive) as error:
            found[node.id] = error, context.record.upstream(node.id)
            blame[node.id] = {node.id}
    return tuple(
        RefusedNode(error, steps, sum(number in roots for roots in blame.values()) - 1)
        for number, (error, steps) in found.items()
    )


def _read_pulse(pulse: int | str | Dim, stage: str) -> Pulse:
    try:
        return Pulse.read(pulse)
    except TractRefError as error:
        raise error.at(stage=stage) from None


def _require_free(pulse: Pulse, batch: Model, stage: str) -> None:
    """Require that the symbol of the pulse stands for nothing else."""
    if not pulse.symbol:
        return
    facts = [fact for node in batch.order() for fact in node.outputs]
    if pulse.symbol in batch.scope.symbols or any(f.mentions(pulse.symbol) for f in facts):
        raise InvalidModel(
            f"pulse={pulse}: {pulse.symbol} is a symbol of the model",
            stage=stage,
            remedy="call the pulse by another name",
        )


def whole_pulse(model: Model, *, symbol: str | None = None, least: int = 1) -> int:
    """Return the smallest pulse of at least `least` frames that suits every stride of a model.

    Args:
        model: a batch model.
        symbol: the stream symbol; by default the only symbol of the inputs.
        least: a lower bound, in source frames.

    Returns:
        A multiple of every wire's frames per source frame; `least` itself when the model cannot
        stream at any pulse, or only for strides beyond reach.

    Raises:
        InvalidModel: there is not one stream symbol.
    """
    try:
        pulsed = pulsify(model, _COMPOSITE, symbol=symbol)
    except (Refused, Inconclusive):
        return least
    rates = [wire.stream.rate for wire in pulsed.infos.values() if wire.stream is not None]
    step = math.lcm(*(rate.denominator for rate in rates))
    return -(-least // step) * step


def _translate(context: PulseContext, node: Node) -> None:
    context.enter(node)
    streams = any(context.stream(wire) is not None for wire in context.inputs)
    try:
        if not (streams or isinstance(node.op, Source) or follows_length(node, context.symbol)):
            results = context.wire(node.op, context.inputs, *(None for _ in node.outputs))
        else:
            rule = PULSIFY_V1.lookup(type(node.op))
            if isinstance(rule, Refusal):
                rule.raise_for(STAGE, node)
                return
            results = rule(node.op, node, context)
    except TractRefError as error:
        raise error.at(stage=STAGE, node=node.name, op=node.op.name) from None
    context.leave(results)


def _require_streaming(context: PulseContext, batch: Model) -> None:
    if not any(context.stream(context.moved[o]) is not None for o in batch.inputs):
        seen = f"no input streams on {context.symbol}"
        raise Refused(seen, stage=context.stage, remedy="see --axis")
    for outlet in batch.outputs:
        if context.stream(context.moved[outlet]) is not None:
            return
    raise Refused(
        f"no output streams on {context.symbol}: all of them are constant from turn to turn",
        stage=context.stage,
        remedy="stream a model whose output follows its input",
    )


def _properties(context: PulseContext, batch: Model) -> None:
    model = context.model
    model.inputs = [context.moved[o] for o in batch.inputs]
    model.set_outputs((context.moved[o] for o in batch.outputs), batch.output_names)
    inputs = [context.stream(o) for o in model.inputs]
    outputs = [context.stream(o) for o in model.outputs]
    properties: dict[str, Tensor] = dict(batch.properties)
    properties["pulse.size"] = (
        dims_tensor((context.pulse.frames,)).reshape(())
        if context.pulse.symbol
        else np.asarray(context.pulse.unit, np.int64)
    )
    properties["pulse.streaming_symbol"] = np.asarray(context.symbol)
    properties["pulse.input_axes"] = _axes(inputs)
    properties["pulse.output_axes"] = _axes(outputs)
    properties["pulse.delay"] = np.asarray([s.delay if s else 0 for s in outputs], np.int64)
    properties["pulse.input_lengths"] = _lengths(inputs)
    properties["pulse.output_lengths"] = _lengths(outputs)
    model.properties = properties


def _axes(streams: list[Linear | None]) -> Tensor:
    return np.asarray([s.axis if s is not None else -1 for s in streams], np.int64)


def _lengths(streams: list[Linear | None]) -> Tensor:
    lengths: list[int | TDim] = [s.length if s is not None else 0 for s in streams]
    return dims_tensor(tuple(lengths))


def _finished(context: PulseContext, batch: Model) -> Pulsed:
    """Declutter the pulsed model and find every batch wire again by its label."""
    named: dict[str, tuple[Outlet, Linear | None]] = {}
    for old, new in context.moved.items():
        name = batch.wire_name(old)
        context.model.label(new, name)
        named[name] = (old, context.stream(new))
    final = declutter(context.model)
    infos: dict[str, Wire] = {}
    for outlet, labels in final.labels.items():
        for label in labels:
            if label in named:
                batch_outlet, stream = named[label]
                infos[label] = Wire(batch_outlet, outlet, stream)
    field = context.receptive_field(context.model.outputs)
    return Pulsed(final, batch, context.pulse.frames, context.symbol, infos, field, context.record)
