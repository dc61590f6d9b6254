"""Cast: the same elements in another dtype.

Source: spec/ir.md 2 and 6, spec/nnef.md 6.1; ONNX Cast, CastLike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from tract_ref.errors import InvalidModel
from tract_ref.ir import per_element as exactly
from tract_ref.ir.annotate import mapped
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import TDIM, DType, Fact, Tensor, dtype_name, dtype_named
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.nnef.table import NNEF, Dump, Invocation
from tract_ref.onnx_io.table import ONNX, OnnxCall
from tract_ref.stream.shared import elementwise, region_elementwise, same_positions
from tract_ref.stream.tables import INPUT_ROI, PULSIFY_V1, REGION_V2


@dataclass(frozen=True)
class Cast(Op):
    """Convert to another dtype.

    A float becomes an integer by truncation toward zero, saturated, NaN as 0; integers wrap around;
    what is not 0 is true. Dims become integers by their value, integers become constant dims.
    """

    to: DType

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (x,) = inputs
        if self.to == TDIM and x.dtype.kind not in "iubO":
            raise InvalidModel(f"input {x}; only integers become dims", remedy="cast it to i64")
        out = Fact(self.to, x.shape, uniform=x.uniform if self.to == x.dtype else None)
        return (mapped(out, x, lambda value, domain: exactly.converted(value, self.to, domain)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Convert every element."""
        (x,) = inputs
        if self.to == x.dtype:
            return (x,)
        if x.dtype == TDIM:
            x = np.asarray([turn.resolve(dim) for dim in x.ravel()], np.int64).reshape(x.shape)
        if self.to == TDIM:
            return (np.asarray(np.frompyfunc(int, 1, 1)(x), TDIM),)
        if x.dtype.kind == "f" and self.to.kind in "iu":
            return (saturated(x, self.to),)
        with np.errstate(all="ignore"):
            return (x.astype(self.to),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axis k is axis k."""
        return AxesMapping.natural(1, 1, inputs[0].rank)

    def describe(self) -> str:
        """Return the dtype by its short name."""
        return f"to={dtype_name(self.to)}"


def saturated(x: Tensor, to: DType) -> Tensor:
    """Truncate floats toward zero into an integer dtype, within its range; NaN is 0."""
    limits = np.iinfo(cast("np.dtype[np.integer]", to))
    whole = np.trunc(x.astype(np.float64))
    # float(max) may round up: what reaches it is the maximum anyway.
    low, high = whole <= limits.min, whole >= float(limits.max)
    out = np.where(low | high | np.isnan(whole), 0, whole).astype(to)
    return np.where(high, to.type(limits.max), np.where(low, to.type(limits.min), out))


@DECLUTTER.rule(Cast)
def declutter_cast(op: Cast, node: Node, ctx: Rewrite) -> ModelPatch | None:
    """A Cast to the dtype that is there is its input."""
    same = ctx.model.fact(node.inputs[0]).dtype == op.to
    return ModelPatch.bypass(ctx.model, node, node.inputs[0]) if same else None


INPUT_ROI.use(same_positions, Cast)


PULSIFY_V1.use(elementwise, Cast)
REGION_V2.use(region_elementwise, Cast)


@NNEF.load("tract_core_cast", "input", "to")
def load_cast(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_cast(input, to)."""
    return call.wire(Cast(dtype_named(call.string("to"))), call.tensor("input"))


@NNEF.dump(Cast)
def dump_cast(op: Cast, node: Node, out: Dump) -> None:
    """Write tract_core_cast."""
    out.call("tract_core_cast", to=dtype_name(op.to))


@ONNX.rule("Cast", "CastLike")
def import_cast(call: OnnxCall) -> tuple[Outlet, ...]:
    """Cast to the attribute `to`, CastLike to the dtype of its second input."""
    like = call.operator == "CastLike"
    to = call.fact(call.input(1)).dtype if like else call.dtype("to")
    return call.wire(Cast(to), call.input(0))
