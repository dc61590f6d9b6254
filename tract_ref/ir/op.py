"""Ops: what an op is (`output_facts`, `eval`) and the memory that some keep between turns."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np

from tract_ref.dim import Dim, evaluate
from tract_ref.errors import EvalError, Inconclusive, InvalidModel
from tract_ref.ir.attributes import mentions_symbol, substituted_in
from tract_ref.ir.axes import AxesMapping
from tract_ref.ir.fact import Fact, Tensor

if TYPE_CHECKING:
    from tract_ref.ir.model import Model


@dataclass
class OpState:
    """Memory of one node of one session; a value: it can be copied, saved and restored.

    Every field of a subclass is an array or an integer.
    """

    def clone(self) -> Self:
        """Return an independent copy."""
        return copy.deepcopy(self)

    def arrays(self) -> dict[str, Tensor]:
        """Return the fields as arrays, integers as rank-0 i64."""
        return {
            f.name: np.asarray(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if getattr(self, f.name) is not None
        }

    def restore(self, arrays: Mapping[str, Tensor]) -> None:
        """Set the fields from what `arrays` gave.

        Raises:
            EvalError: a field is unknown.
        """
        known = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, value in arrays.items():
            if name not in known:
                raise EvalError(f"saved state has a field {name!r} that the op does not keep")
            setattr(self, name, int(value) if isinstance(known[name], int) else value.copy())

    @property
    def nbytes(self) -> int:
        """Bytes of samples kept between turns; counters are not samples."""
        return sum(
            value.nbytes
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        )


@dataclass
class Turn:
    """What an op may ask during one evaluation.

    Attributes:
        symbols: the bindings known now; the stream symbol is absent until the end is known.
        received: lower bound of the stream symbol: source samples received so far.
        symbol: the stream symbol of a pulsed model, else empty.
        state: the op's own state, None for stateless ops.
    """

    symbols: Mapping[str, int] = field(default_factory=lambda: dict[str, int]())
    received: int = 0
    symbol: str = ""
    state: OpState | None = None

    def resolve(self, dim: Dim) -> int:
        """Return the value of a dim.

        Raises:
            EvalError: a symbol is not set.
        """
        if isinstance(dim, int):
            return dim
        try:
            return evaluate(dim, self.symbols)
        except Inconclusive as error:
            raise EvalError(error.seen, remedy="set the symbol") from error

    def known(self, dim: Dim) -> int | None:
        """Return the value of a dim, or None while a symbol of it is not set."""
        if isinstance(dim, int):
            return dim
        return None if dim.symbols.difference(self.symbols) else evaluate(dim, self.symbols)

    def settled(self, dim: Dim) -> int | None:
        """Return a length as soon as no later end of the stream can move it, else None."""
        is_late = not isinstance(dim, int) and dim.symbols == frozenset((self.symbol,))
        if not is_late or self.symbol in self.symbols:
            return self.known(dim)
        least = evaluate(dim, {self.symbol: self.received})
        # Lengths never shrink when the stream grows: equal for a huge stream means constant.
        most = evaluate(dim, {self.symbol: self.received + (1 << 60)})
        return least if least == most else None


class Op(ABC):
    """One operator: a frozen dataclass of attributes with two methods that define it.

    Attributes:
        arity: least and most number of inputs; None = no upper bound.
    """

    arity: ClassVar[tuple[int, int | None]] = (1, 1)

    @property
    def name(self) -> str:
        """The op's name in dumps, counts and messages."""
        return type(self).__name__

    @abstractmethod
    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the facts of the outputs.

        Raises:
            InvalidModel: the inputs break a rule of the op.
        """

    @abstractmethod
    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute the outputs; accumulation order never depends on the number of frames.

        Raises:
            EvalError: the data or the sizes break a rule of the op.
        """

    def state(self) -> OpState | None:
        """Return a fresh state, None for a stateless op."""
        return None

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Say which input axis is which output axis; nothing maps by default."""
        return AxesMapping.disconnected()

    def bodies(self) -> tuple[Model, ...]:
        """Return the sub-models that the op runs."""
        return ()

    def with_bodies(self, bodies: tuple[Model, ...]) -> Op:
        """Return the op with other sub-models."""
        if bodies:
            raise InvalidModel(f"{self.name} has no sub-model")
        return self

    def substitute(self, mapping: Mapping[str, Dim]) -> Op:
        """Return the op with symbols replaced in every attribute that holds dims."""
        return cast("Op", substituted_in(self, mapping))

    def mentions(self, symbol: str) -> bool:
        """Say whether an attribute, or a wire or attribute of a sub-model, contains `symbol`."""
        if mentions_symbol(self, symbol):
            return True
        inner = (node for body in self.bodies() for node in body.order())
        return any(n.op.mentions(symbol) or mentions_symbol(n.outputs, symbol) for n in inner)

    def describe(self) -> str:
        """Return the attributes as `name=value`, for dumps."""
        fields = dataclasses.fields(cast("type[OpState]", type(self)))
        return ", ".join(f"{f.name}={_show(getattr(self, f.name))}" for f in fields)


def _show(value: object) -> str:
    if isinstance(value, np.ndarray):
        array = cast("Tensor", value)
        if array.size <= 4:
            return str(array.tolist())
        return f"<{'x'.join(str(d) for d in array.shape)} {array.dtype}>"
    if isinstance(value, tuple):
        return "[" + ",".join(_show(item) for item in cast("tuple[object, ...]", value)) + "]"
    return str(value)
