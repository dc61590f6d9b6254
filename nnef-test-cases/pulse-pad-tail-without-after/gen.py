"""Rewrite the files of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _device as device
import _gen as gen

x = gen.ints(1, (9, 2))
front, edge = x.copy(), x.copy()
front[:3] = -1
edge[:3] = x[3]
body = "\n".join(
    f"{name} = tract_pulse_pulse_pad(x, axis = 0, before = 2, after = 0, begin_input = 3, "
    f"end_input = 6, border = '{border}', value = -1.0, overlap = 0);"
    for name, border in (("front", "constant"), ("edge", "replicated"))
)
device.one_turn(
    __file__,
    "a pad of the front alone leaves what follows the end as it is, although the end is known",
    body,
    ("io.npz", {"x": x, "front": front, "edge": edge}),
)
