"""Small streams written down: a model, what is pushed, and what every push gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Scope, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.conv import Conv
from tract_ref.passes.pulsify_v2 import increments
from tract_ref.runtime.plan import Plan
from tract_ref_suites.checks.subject import stream_axes
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.strategies.windows import Along, window_spec

F32 = np.dtype(np.float32)


@dataclass
class Line:
    """A model under construction: one channel `x` of shape [1, 1, S] in f32."""

    model: Model
    x: Outlet
    made: int = 0

    @staticmethod
    def of(*assertions: str) -> Line:
        """Return a model of one source."""
        scope = Scope()
        for text in assertions:
            scope = scope.asserting(text)
        model = Model(scope)
        return Line(model, model.add_source("x", Fact(F32, (1, 1, sym(SYMBOL)))))

    def then(self, op: Op, *wires: Outlet) -> Outlet:
        """Add an op."""
        self.made += 1
        return self.model.wire(f"n{self.made}", op, wires)[0]

    def const(self, *values: float, shape: tuple[int, ...] = (1, 1, -1)) -> Outlet:
        """Add a constant."""
        self.made += 1
        tensor = np.array(values, F32).reshape(shape)
        return self.model.add_const(f"c{self.made}", tensor)

    def conv(
        self,
        wire: Outlet,
        *kernel: float,
        stride: int = 1,
        dilation: int = 1,
        pad: tuple[int, int] | str = "valid",
    ) -> Outlet:
        """Add a convolution."""
        op = Conv(window_spec((Along(len(kernel), stride, dilation, pad),)), 1)
        return self.then(op, wire, self.const(*kernel))

    def gives(self, *wires: Outlet) -> Model:
        """Return the model with these outputs: y, y1, y2, .."""
        names = [f"y{slot or ''}" for slot in range(len(wires))]
        self.model.set_outputs(list(wires), names)
        return self.model


@dataclass(frozen=True)
class Ran:
    """What pushes gave.

    Attributes:
        values: of the output y, all frames in a row.
        sizes: frames that every push and, last, the finish gave.
    """

    values: list[float]
    sizes: list[int]


def counting(frames: int, *, start: int = 1) -> list[float]:
    """Return 1, 2, 3, .. in turn."""
    return [float(start + i) for i in range(frames)]


def pushed(model: Model, x: Sequence[float], sizes: Sequence[int], *, known: bool = False) -> Ran:
    """Push a stream in chunks of these sizes, and require that it gives the batch bit for bit.

    Args:
        model: with an input x of shape [1, 1, S] and a first output of one channel.
        x: the stream.
        sizes: frames per push.
        known: the length is announced before the first push.
    """
    assert sum(sizes) == len(x)
    name, axis = next(iter(stream_axes(model).items()))
    whole = np.array(x, F32).reshape(model.fact(model.inputs[0]).concrete_shape({SYMBOL: len(x)}))
    batch = Plan(model, fast=False).run({name: whole}, symbols={SYMBOL: len(x)})
    streaming = increments(model, symbol=SYMBOL)
    session = streaming.session({SYMBOL: len(x)} if known else None)
    parts: list[Array] = []
    at = 0
    for size in sizes:
        lead = (slice(None),) * axis
        parts.append(session.push({name: whole[(*lead, slice(at, at + size))]})["y"])
        at += size
    parts.append(session.finish()["y"])
    out = streaming.streams[streaming.batch.outputs[0]].axis
    joined = np.concatenate(parts, out)
    assert joined.dtype == batch["y"].dtype
    assert joined.shape == batch["y"].shape
    assert joined.tobytes() == np.ascontiguousarray(batch["y"]).tobytes()
    return Ran(joined.ravel().tolist(), [part.shape[out] for part in parts])
