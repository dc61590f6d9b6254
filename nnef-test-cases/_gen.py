"""What the `gen.py` of the case folders share: naive formulas and the writers of a folder.

Nothing here imports tract_ref: expected values come by another road. Formulas are loops over output
positions in float64, rounded once at the end.
"""

from __future__ import annotations

import math
import struct
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Array = np.ndarray
Pads = Sequence[tuple[int, int]]

DAT_CODES = {"f": (0, 0), "i": (3, 0), "u": (2, 0), "b": (5, 0)}
NNEF_TYPES = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "int64": "i64",
    "bool": "bool",
}


def ints(seed: int, shape: Sequence[int], low: int = -4, high: int = 5) -> Array:
    """Draw small integers stored as f32: sums and products of them are exact.

    None is zero: a window whose products are all zero could have either sign.
    """
    drawn = np.random.default_rng(seed).integers(low, high, shape)
    return np.where(drawn == 0, high, drawn).astype(np.float32)


def reals(seed: int, shape: Sequence[int]) -> Array:
    """Draw f32 values in [-1, 1)."""
    return (np.random.default_rng(seed).random(shape) * 2 - 1).astype(np.float32)


# Formulas


def pad(x: Array, pads: Pads, border: str = "constant", value: float = 0.0) -> Array:
    """Pad each axis by (before, after), picking every output frame by its index."""
    y = x
    for axis, (before, after) in enumerate(pads):
        n = y.shape[axis]
        frames = []
        for i in range(-before, n + after):
            if 0 <= i < n:
                frames.append(y.take(i, axis))
            elif border == "constant":
                frames.append(np.full_like(y.take(0, axis), value))
            elif border == "replicated":
                frames.append(y.take(0 if i < 0 else n - 1, axis))
            elif border == "reflect":
                frames.append(y.take(-i if i < 0 else 2 * (n - 1) - i, axis))
            else:
                raise ValueError(f"unknown border {border!r}")
        y = np.stack(frames, axis)
    return y


def conv(
    x: Array,
    w: Array,
    *,
    pads: Pads | None = None,
    stride: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
) -> Array:
    """Convolve [N, C, spatial..] with [O, C / groups, spatial..], one output at a time."""
    rank = x.ndim - 2
    stride, dilation = stride or [1] * rank, dilation or [1] * rank
    x = pad(x, [(0, 0), (0, 0), *(pads or [(0, 0)] * rank)]).astype(np.float64)
    fields = [(k - 1) * d for k, d in zip(w.shape[2:], dilation, strict=True)]
    spatial = [
        max(0, -(-(n - f) // s)) for n, f, s in zip(x.shape[2:], fields, stride, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *spatial))
    per_group = w.shape[0] // groups
    for n, o, *at in np.ndindex(*y.shape):
        first = (o // per_group) * w.shape[1]
        for c, *tap in np.ndindex(*w.shape[1:]):
            where = [a * s + t * d for a, s, t, d in zip(at, stride, tap, dilation, strict=True)]
            y[n, o, *at] += w[o, c, *tap] * x[n, first + c, *where]
    return y.astype(w.dtype)


def pool(
    x: Array, size: int, reduce: Callable[[Array], float], *, pads=(0, 0), stride: int = 1
) -> Array:
    """Reduce windows of the last axis; only frames that exist are in a window."""
    n = x.shape[-1]
    length = max(0, -(-(n + sum(pads) - size + 1) // stride))
    y = np.zeros((*x.shape[:-1], length))
    for *lead, t in np.ndindex(*y.shape):
        start = t * stride - pads[0]
        y[*lead, t] = reduce(x[*lead, max(0, start) : min(n, start + size)].astype(np.float64))
    return y.astype(x.dtype)


# Writers


def write_dat(path: Path, array: Array) -> None:
    """Write one tensor file: a header of 128 bytes, then the items in row-major order."""
    code, vendor = DAT_CODES[array.dtype.kind]
    header = struct.pack("<2sBBII", b"N\xef", 1, 0, array.nbytes, array.ndim)
    header += struct.pack("<8I", *array.shape, *[0] * (8 - array.ndim))
    header += struct.pack("<IHH", array.itemsize * 8, code, vendor)
    path.write_bytes(header.ljust(128, b"\0") + np.ascontiguousarray(array).tobytes())


@dataclass
class Case:
    """One case folder.

    Attributes:
        about: one sentence that says what the case pins.
        inputs: name -> (shape as NNEF text, value).
        body: the assignments of the graph, after inputs and weights.
        outputs: name -> expected batch value, in output order.
        pulses: frames per pulse, multiples of the total stride; none for a model that does not
            stream.
        delay: one per output, in output frames.
        weights: name -> value, each one `.dat` file.
        counts: pass -> op name -> how many.
        refuses: pulses that the pulsifier declines.
        asked: more of them, at which every other engine declines too or is right.
        golden: (output, index, value, decimals).
        assumes: assertions about the symbol.
        approx: how values are compared.
        end: when the end of stream is known, `late` or `known`.
        chunks: frames of each push; none for pulses.
    """

    about: str
    inputs: Mapping[str, tuple[str, Array]]
    body: str
    outputs: Mapping[str, Array]
    pulses: Sequence[int]
    delay: Sequence[int]
    length: int
    weights: Mapping[str, Array] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refuses: Sequence[int] = ()
    asked: Sequence[int] = ()
    golden: Sequence[tuple[str, list[int], float, int]] = ()
    assumes: Sequence[str] = ()
    approx: str = "exact"
    end: str = "late"
    chunks: Sequence[int] = ()

    def write(self, script: str | Path) -> None:
        """Write the folder of `script` (a folder is taken as is)."""
        folder = Path(script)
        folder = folder if folder.is_dir() else folder.parent
        (folder / "graph.nnef").write_text(self.graph())
        (folder / "case.toml").write_text(self.toml())
        for name, value in self.weights.items():
            write_dat(folder / f"{name}.dat", value)
        values = {name: value for name, (_, value) in self.inputs.items()}
        np.savez(folder / "io.npz", **values, **self.outputs)

    def graph(self) -> str:
        """Return the text of the graph."""
        lines = ["version 1.0;", ""]
        others = ("tract_extra", "tract_transformers")
        registries = ["tract_core", *(name for name in others if f"{name}_" in self.body)]
        lines += [f"extension tract_registry {name};" for name in registries]
        lines += ["extension tract_symbol S;"]
        lines += [f"extension tract_assert {text};" for text in self.assumes]
        lines += ["", f"graph case({', '.join(self.inputs)}) -> ({', '.join(self.outputs)}) {{"]
        for name, (shape, value) in self.inputs.items():
            kind = NNEF_TYPES[value.dtype.name]
            lines.append(f"  {name} = tract_core_external(shape = {shape}, datum_type = '{kind}');")
        for name, value in self.weights.items():
            shape = list(value.shape)
            lines.append(f'  {name} = variable<scalar>(label = "{name}", shape = {shape});')
        lines.append(textwrap.indent(textwrap.dedent(self.body).strip(), "  "))
        return "\n".join([*lines, "}", ""])

    def toml(self) -> str:
        """Return the text of `case.toml`."""
        asserts = ['batch = "io.npz"']
        if self.pulses:
            asserts += ['stream = "io.npz"', f"delay = {list(self.delay)}"]
        elif self.asked:
            asserts.append('stream = "io.npz"\nmay_refuse = true')
        for stage, counts in self.counts.items():
            table = ", ".join(f"{name} = {count}" for name, count in counts.items())
            asserts.append(f'op_count = {{ {table} }}\npass = "{stage}"')
        for pulse in (*self.refuses, *self.asked):
            asserts.append(
                f'refuses = {{ pass = "pulse", pulse = {pulse}, class = "Refused", '
                'starts = "pulsify v1: node" }'
            )
        for name, index, value, decimals in self.golden:
            asserts.append(
                f'golden = {{ output = "{name}", index = {index}, value = {value}, '
                f"decimals = {decimals} }}"
            )
        asserts.append("round_trip = true")
        head = [
            "version = 1",
            f'about = "{self.about}"',
            f'approx = "{self.approx}"',
        ]
        if self.pulses or self.asked:
            head += ["", "[stream]", 'symbol = "S"', f"length = {self.length}"]
            head += [f"pulses = {list(self.pulses or self.asked)}", f'end = "{self.end}"']
            head += [f"chunks = {list(self.chunks)}"] * bool(self.chunks)
        return "\n".join([*head, *(f"\n[[assert]]\n{text}" for text in asserts), ""])


# The wavenet stand-in, any number of blocks


def wavenet(
    folder: str | Path,
    blocks: int = 24,
    *,
    linear: bool = False,
    pulses: Sequence[int] = (8,),
    golden: Sequence[tuple[str, list[int], float, int]] = (),
) -> None:
    """Write a wavenet of gated dilated convolutions, dilations 1, 2, 4, 8 in cycle.

    Every skip branch is cropped at the front to the length of the last block, every residual by the
    field of its block, so that no branch needs to wait for another one.

    Args:
        folder: an existing folder, or a file in it.
        blocks: how many gated blocks.
        linear: one channel, all weights 1, no gate, f64: every value is an exact integer.
        pulses: frames per pulse.
        golden: values to state in `case.toml`.
    """
    dilations = [2 ** (block % 4) for block in range(blocks)]
    delay = 2 + 2 * sum(dilations)
    length = delay + 74
    weights = _wavenet_weights(blocks, linear)
    if linear:
        x = (np.arange(length) % 5).astype(np.float64).reshape(1, 1, length)
        counts = {"Conv": 1 + blocks, "Delay": 1 + blocks}
    else:
        sine = [math.sin(0.137 * i) for i in range(20 * length)]
        x = np.array(sine, np.float32).reshape(length, 20).T.reshape(1, 20, length)
        counts = {
            "Conv": 1 + 2 * blocks,
            "EinSum": 2 * blocks + 1,
            "Delay": 1 + blocks,
            "Add": 2 * blocks - 1,
            "Mul": 1 + blocks,
            "Tanh": blocks,
            "Sigmoid": blocks,
            "Max": 2,
        }
    kind = "linear wavenet, exact to the oldest frame" if linear else "wavenet"
    Case(
        about=f"{kind}: {blocks} blocks keep one Delay each and no branch waits for another",
        inputs={"x": (f"[1, {x.shape[1]}, S]", x)},
        weights=weights,
        body=_wavenet_body(dilations, delay, linear),
        outputs={"y": _wavenet_value(x, weights, dilations, linear)},
        length=length,
        pulses=pulses,
        delay=[delay],
        counts={"pulse": counts},
        golden=golden,
        assumes=[f"S>={delay + 1}"],
        approx="exact" if linear else "close",
    ).write(folder)


def _wavenet_weights(blocks: int, linear: bool) -> dict[str, Array]:
    """Return the weights in order of creation; values depend on that order."""
    shapes = {"bn_mul": (1, 20, 1), "bn_add": (1, 20, 1), "pre": (16, 20, 3)}
    for block in range(blocks):
        shapes[f"filter_{block}"] = (64, 16, 3)
        shapes[f"gate_{block}"] = (64, 16, 3)
        shapes[f"skip_{block}"] = (32, 64, 1)
        if block < blocks - 1:
            shapes[f"transform_{block}"] = (16, 64, 1)
    shapes |= {"post_1": (32, 32, 1), "post_2": (2, 32, 1)}
    if linear:
        return {
            name: np.ones((1, 1, shape[2]))
            for name, shape in shapes.items()
            if not name.startswith(("bn_", "gate_"))
        }
    weights = {}
    for q, (name, shape) in enumerate(shapes.items(), 1):
        gain = 2.0 * math.sqrt(2 / math.prod(shape[1:]))
        flat = [gain * math.sin(0.7 * i + 1.3 * q) for i in range(math.prod(shape))]
        weights[name] = np.array(flat, np.float32).reshape(shape)
    return weights


def _wavenet_body(dilations: Sequence[int], delay: int, linear: bool) -> str:
    """Return the assignments of the graph."""

    def conv_text(x: str, w: str, dilation: int = 1) -> str:
        return f"conv({x}, {w}, 0.0, padding = [(0, 0)], stride = [1], dilation = [{dilation}])"

    def crop_text(x: str, front: int, used: int) -> str:
        return f"slice({x}, axes = [2], begin = [{front}], end = [S - {used}])"

    lines = [] if linear else ["norm = x * bn_mul + bn_add;"]
    lines.append(f"res_0 = {conv_text('x' if linear else 'norm', 'pre')};")
    used = 2
    for block, dilation in enumerate(dilations):
        wire = f"res_{block}"
        filtered = conv_text(wire, f"filter_{block}", dilation)
        if linear:
            lines.append(f"m_{block} = {filtered};")
        else:
            lines.append(f"f_{block} = tanh({filtered});")
            lines.append(f"g_{block} = sigmoid({conv_text(wire, f'gate_{block}', dilation)});")
            lines.append(f"m_{block} = f_{block} * g_{block};")
        before, used = used, used + 2 * dilation
        out = f"s_{block}"
        lines.append(f"{out} = {conv_text(f'm_{block}', f'skip_{block}')};")
        if used < delay:
            lines.append(f"{out}_crop = {crop_text(out, delay - used, used)};")
            out = f"{out}_crop"
        lines.append(f"acc_{block} = acc_{block - 1} + {out};" if block else f"acc_0 = {out};")
        if block < len(dilations) - 1:
            lines.append(f"t_{block} = {conv_text(f'm_{block}', f'transform_{block}')};")
            lines.append(f"r_{block} = {crop_text(wire, 2 * dilation, before)};")
            lines.append(f"res_{block + 1} = t_{block} + r_{block};")
    lines.append(f"relu_1 = relu(acc_{len(dilations) - 1});")
    lines.append(f"relu_2 = relu({conv_text('relu_1', 'post_1')});")
    lines.append(f"y = {conv_text('relu_2', 'post_2')};")
    return "\n".join(lines)


def _wavenet_value(
    x: Array, weights: Mapping[str, Array], dilations: Sequence[int], linear: bool
) -> Array:
    """Return the batch output: sums of shifted frames in float64."""

    def conv_value(value: Array, name: str, dilation: int = 1) -> Array:
        w = weights[name].astype(np.float64)
        taps, frames = w.shape[2], value.shape[1] - (w.shape[2] - 1) * dilation
        shifted = [value[:, k * dilation : k * dilation + frames] for k in range(taps)]
        return sum(w[:, :, k] @ shifted[k] for k in range(taps))

    value = x[0].astype(np.float64)
    frames = value.shape[1] - 2 - 2 * sum(dilations)
    if not linear:
        value = value * weights["bn_mul"][0] + weights["bn_add"][0]
    value = conv_value(value, "pre")
    acc = 0.0
    for block, dilation in enumerate(dilations):
        m = conv_value(value, f"filter_{block}", dilation)
        if not linear:
            gate = conv_value(value, f"gate_{block}", dilation)
            m = np.tanh(m) / (1 + np.exp(-gate))
        skip = conv_value(m, f"skip_{block}")
        acc = acc + skip[:, skip.shape[1] - frames :]
        if block < len(dilations) - 1:
            value = conv_value(m, f"transform_{block}") + value[:, 2 * dilation :]
    hidden = conv_value(np.maximum(acc, 0), "post_1")
    return conv_value(np.maximum(hidden, 0), "post_2")[np.newaxis].astype(x.dtype)
