"""What recipes share: nodes one after the other, and constants like a wire."""

from __future__ import annotations

import numpy as np

from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.onnx_io.table import OnnxCall
from tract_ref.ops.structure import Identity


class Chain:
    """Adds nodes one after the other; the last one is to be called `last`, which names the node."""

    def __init__(self, call: OnnxCall, wire: Outlet) -> None:
        self.call = call
        self.wire = wire
        self._pending: tuple[str, Op, tuple[Outlet, ...]] | None = None

    def then(self, suffix: str, op: Op, *others: Outlet) -> Chain:
        """Append an op that reads the chain's wire, then `others`."""
        self._flush()
        self._pending = (suffix, op, (self.wire, *others))
        return self

    def _flush(self) -> None:
        if self._pending is not None:
            suffix, op, inputs = self._pending
            (self.wire,) = self.call.wire(op, *inputs, suffix=suffix)
            self._pending = None

    def so_far(self) -> Outlet:
        """Return the wire after everything appended."""
        self._flush()
        return self.wire

    def finish(self) -> tuple[Outlet, ...]:
        """Give the last op the ONNX node's name."""
        if self._pending is None:
            return self.call.wire(Identity(), self.wire)
        _, op, inputs = self._pending
        self._pending = None
        return self.call.wire(op, *inputs)


def like(call: OnnxCall, wire: Outlet, value: float, suffix: str) -> Outlet:
    """Add a number as a constant of a wire's dtype and rank."""
    fact = call.fact(wire)
    return call.add_const(np.full((1,) * fact.rank, value, fact.dtype), suffix)
