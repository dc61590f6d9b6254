"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _device as device
import _gen as gen

FORMS = {"overlap": (0, 2), "delay": (1, 0), "both": (3, 2), "long": (0, 70)}


def arrays(seed: int) -> dict[str, gen.Array]:
    """Return x, which is nowhere zero, and what each delay makes of it."""
    x = gen.ints(seed, (2, 2, 3))
    made = {name: device.delayed(x, 1, *form) for name, form in FORMS.items()}
    return {"x": x, **made}


device.one_turn(
    __file__,
    "the history of a delay is zero before the first turn, also of the second session",
    "\n".join(
        f"{name} = tract_pulse_delay(x, axis = 1, delay = {delay}, overlap = {overlap});"
        for name, (delay, overlap) in FORMS.items()
    ),
    ("io.npz", arrays(1)),
    ("again.npz", arrays(2)),
)
