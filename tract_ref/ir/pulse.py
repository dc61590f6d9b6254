"""The pulse of a streamed model: how many source frames a turn brings.

A fixed pulse is a number. A symbolic one is c*P: c frames or any multiple of it, chosen turn by
turn; what is proved with c frames holds with every multiple, because lengths are linear in P.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tract_ref.dim import Dim, TDim, evaluate, maybe_div, parse_dim, sym
from tract_ref.errors import InvalidModel


@dataclass(frozen=True, slots=True)
class Pulse:
    """Source frames per turn.

    Attributes:
        unit: the frames of a fixed pulse; of c*P, the factor c.
        symbol: P; empty for a fixed pulse.
    """

    unit: int
    symbol: str = ""

    @property
    def frames(self) -> Dim:
        """The pulse as a dim."""
        return sym(self.symbol) * self.unit if self.symbol else self.unit

    def __str__(self) -> str:
        """Print for messages: `4`, `2*P`."""
        return str(self.frames)

    def per_turn(self, rate: Fraction) -> Dim | None:
        """Return the frames per turn of a wire of this rate, None when they are not whole."""
        frames, rest = divmod(rate.numerator * self.unit, rate.denominator)
        if rest:
            return None
        return sym(self.symbol) * frames if self.symbol else frames

    def share(self, rate: Fraction) -> str:
        """Print the frames per turn of a wire of this rate, whole or not."""
        frames = rate * self.unit
        return f"{frames}*{self.symbol}" if self.symbol else str(frames)

    def multiple(self, step: int) -> str:
        """Return the remedy that asks for a pulse of whole steps."""
        if self.symbol:
            return f"use {sym(self.symbol) * step}"
        return f"use a pulse that is a multiple of {step}"

    @staticmethod
    def read(given: int | str | Dim) -> Pulse:
        """Read a pulse: an integer, or a factor times one symbol, as `P` or `2*P`.

        Raises:
            InvalidModel: it is neither, or not positive.
        """
        remedy = "use a pulse of 1 or more frames"
        # Only an expression is read from text: the text of a number is a mistake of the caller.
        dim = parse_dim(given) if isinstance(given, str) else given
        if isinstance(dim, TDim):
            return _symbolic(dim)
        if isinstance(given, bool) or not isinstance(given, int):
            raise InvalidModel(f"pulse={given!r} is not a positive integer", remedy=remedy)
        if given <= 0:
            raise InvalidModel(f"pulse={given} frames", remedy=remedy)
        return Pulse(given)


def _symbolic(dim: TDim) -> Pulse:
    names = sorted(dim.symbols)
    if len(names) == 1:
        unit = evaluate(dim, {names[0]: 1})
        if unit >= 1 and dim == sym(names[0]) * unit:
            return Pulse(unit, names[0])
    raise InvalidModel(
        f"pulse={dim} is not a number of frames times one symbol",
        remedy="use a number, or a symbol as in P or 2*P",
    )


def whole_parts(frames: Dim, size: int) -> Dim | None:
    """Return frames / size, None when it is not proved to be whole."""
    parts, rest = maybe_div(frames, size)
    return parts if rest == 1 else None
