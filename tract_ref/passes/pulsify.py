"""The two pulsifiers behind one name: v1, and the fixed pulses of v2."""

from __future__ import annotations

from tract_ref.dim import Dim
from tract_ref.errors import Refused
from tract_ref.ir.model import Model
from tract_ref.passes import fixed_pulse, pulsify_v1
from tract_ref.passes.pulsify_v1 import Pulsed

_PULSIFIERS = {1: pulsify_v1.pulsify, 2: fixed_pulse.pulsify}


def pulsify(
    model: Model, pulse: int | str | Dim, *, symbol: str | None = None, version: int = 1
) -> Pulsed:
    """Turn a batch model into one that takes `pulse` source frames per turn.

    Args:
        model: a batch model; it is not changed.
        pulse: source frames per turn; a symbol, as `P` or `2*P`, gives one translation for turns
            of any size that is a multiple of the factor.
        symbol: the stream symbol; by default the only symbol of the inputs.
        version: the pulsifier: 1, by a rule of each op; 2, from the regions that ops read.

    Returns:
        The pulsified model, decluttered, and where every batch wire went.

    Raises:
        Refused: an op cannot stream, or no output streams; the error names the node, the reason
            and a remedy.
        InvalidModel: the pulse is neither a positive integer nor a factor times a symbol that the
            model does not use, or there is not one stream symbol.
    """
    chosen = _PULSIFIERS.get(version)
    if chosen is None:
        raise Refused(f"pulsifier version {version}", stage="pulsify", remedy="use 1 or 2")
    return chosen(model, pulse, symbol=symbol)
