"""What the cases share that are ONNX files, because NNEF has no ceil mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper  # noqa: TID251  # nothing else here writes ONNX

TOML = """version = 1
about = "{about}"
approx = "exact"

[stream]
symbol = "S"
length = {length}
pulses = {pulses}
end = "late"

[[assert]]
batch = "io.npz"

[[assert]]
stream = "io.npz"

[[assert]]
delay = [0]
"""


def max_pool(
    script: str,
    about: str,
    x: Sequence[int],
    y: Sequence[int],
    pulses: Sequence[int],
    **attributes: Sequence[int],
) -> None:
    """Write the folder of a max pool of u8 in ceil mode, its delay 0.

    Args:
        script: a file in the folder.
        about: one sentence.
        x: the frames.
        y: what is right.
        pulses: frames per pulse.
        attributes: of the operator.
    """
    folder = Path(script).parent
    node = helper.make_node("MaxPool", ["x"], ["y"], ceil_mode=1, **attributes)
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 1, "S"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, None)]
    graph = helper.make_graph([node], "case", inputs, outputs)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    values = {name: np.array([[row]], np.uint8) for name, row in (("x", x), ("y", y))}
    np.savez(folder / "io.npz", **values)
    text = TOML.format(about=about, length=len(x), pulses=list(pulses))
    (folder / "case.toml").write_text(text)
