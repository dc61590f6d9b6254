"""What readers of both formats do alike: nodes one after the other, constants of one type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from tract_ref.ir.fact import TDIM, Fact, Tensor
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.nnef.table import Invocation
from tract_ref.onnx_io.table import OnnxCall

AnyCall = Invocation | OnnxCall


def chain(call: AnyCall, wire: Outlet, ops: Sequence[Op]) -> tuple[Outlet, ...]:
    """Wire ops one after the other; the last one gets the call's name."""
    for number, op in enumerate(ops, start=1):
        suffix = "" if number == len(ops) else f"axis{number}"
        (wire,) = call.wire(op, wire, suffix=suffix)
    return (wire,)


def _cast(call: AnyCall, number: int, tensor: Tensor) -> Outlet:
    name = call.model.unique_name(f"{call.name}.cast{number}")
    return call.model.add_const(name, tensor)


def of_one_type(call: AnyCall, wires: Sequence[Outlet], *, any_type: bool) -> tuple[Outlet, ...]:
    """Bring constants to the dtype of the others: numbers next to dims become dims.

    With `any_type` constants of any type are cast to that of the first value, as NNEF says.
    """
    facts = [call.fact(wire) for wire in wires]
    wanted = TDIM if any(fact.dtype == TDIM for fact in facts) else facts[0].dtype
    results: list[Outlet] = []
    for number, (wire, fact) in enumerate(zip(wires, facts, strict=True)):
        if fact.dtype == wanted:
            results.append(wire)
        elif fact.const is None:
            _refuse_cast(call, number, fact, facts[0])
        elif wanted == TDIM and fact.dtype.kind in "iu":
            dims = np.empty(fact.const.shape, TDIM)
            for index, value in np.ndenumerate(fact.const):
                dims[index] = int(value)
            results.append(_cast(call, number, dims))
        elif not any_type:
            _refuse_cast(call, number, fact, facts[0])
        else:
            results.append(_cast(call, number, fact.const.astype(wanted)))
    return tuple(results)


def _refuse_cast(call: AnyCall, slot: int, fact: Fact, first: Fact) -> NoReturn:
    call.refuse(f"value {slot} is {fact}, value 0 is {first}", remedy="cast the values to one type")
