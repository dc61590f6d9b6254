"""Discrete Fourier transforms; complex numbers are a last axis of size 2, nothing is normalised.

    Fft   out[f] = sum over n of x[n] * exp(-2 pi i f n / N)        N = positions of the axis
    Stft  out[t, f] = sum over k of w[k] * x[t*stride + k] * exp(-2 pi i f k / frame)

`inverse` has the opposite sign in the exponent. Each frame is transformed alone, in f64, by one
call of np.fft, and rounded once: a result never depends on how many frames stand beside it.

Source: spec/ir.md 6, spec/nnef.md 6.1, spec/pulse.md 2.20 and 8.13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tract_ref.dim import dim_max
from tract_ref.errors import InvalidModel
from tract_ref.ir.axes import AxesMapping, Track
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Node, Outlet
from tract_ref.ir.op import Op, Turn
from tract_ref.ir.per_element import coordinate
from tract_ref.nnef.table import NNEF, Dump, DumpValue, Invocation
from tract_ref.runtime.reach import Reach, RegionPlan, whole
from tract_ref.stream import roi_moves
from tract_ref.stream.roi import Region
from tract_ref.stream.shared import (
    along_tracked_axis,
    bubble_through_axes,
    region_along_tracked_axis,
)
from tract_ref.stream.tables import (
    FILL_ZERO,
    INPUT_ROI,
    PULSIFY_V1,
    REGION_V2,
    PulsifyContext,
    RegionContext,
    RoiContext,
)

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Fft(Op):
    """Fourier transform along one axis.

    Attributes:
        axis: the axis transformed; never the last one, which holds real and imaginary part.
        inverse: conjugate the exponentials; nothing is divided by N.

    Shapes:
        data   [.., N, .., 2]
        out    [.., N, .., 2]
    """

    axis: int
    inverse: bool = False

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """The shape is unchanged."""
        (data,) = inputs
        _check_complex(self.axis, data)
        return (data.without_const(),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Transform one line of the axis after the other."""
        (data,) = inputs
        lines = np.moveaxis(_complex(data), self.axis, -1)
        return (_real(np.moveaxis(_transform(lines, inverse=self.inverse), -1, self.axis), data),)

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Every axis but the transformed one and the one of complex numbers is itself."""
        rank = inputs[0].rank
        return AxesMapping.natural(1, 1, rank, skip=(self.axis, rank - 1))


@dataclass(frozen=True)
class Stft(Op):
    """Fourier transforms of windows along one axis, which becomes (frames, frequencies).

    1. data     [.., T, .., 2]
    2. window   [W], W <= frame, centred with floor((frame - W) / 2) zeros before it; optional

    Attributes:
        axis: the axis that the windows slide over.
        frame: positions of a window.
        stride: positions between two windows.

    Shapes:
        out    [.., max(0, (T - frame) / stride + 1), frame, .., 2]
    """

    axis: int
    frame: int
    stride: int
    arity: ClassVar[tuple[int, int | None]] = (1, 2)

    def output_facts(self, inputs: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Count the whole windows; the frequency axis comes after theirs."""
        data = inputs[0]
        _check_complex(self.axis, data)
        if self.frame < 1 or self.stride < 1:
            raise InvalidModel(f"frame={self.frame}, stride={self.stride}; both are 1 or more")
        if len(inputs) > 1:
            window = inputs[1]
            size = window.shape[0] if window.rank == 1 else None
            if not isinstance(size, int) or size > self.frame or window.dtype != data.dtype:
                raise InvalidModel(
                    f"window {window} for data {data}; it is a list of at most frame={self.frame} "
                    "numbers, of the dtype of the data"
                )
        frames = dim_max(0, (data.shape[self.axis] - self.frame) // self.stride + 1)
        lead, trail = data.shape[: self.axis], data.shape[self.axis + 1 :]
        return (data.with_shape((*lead, frames, self.frame, *trail)),)

    def eval(self, turn: Turn, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Cut the windows, weight them, transform each."""
        data = inputs[0]
        lines = np.moveaxis(_complex(data), self.axis, -1)
        frames = max(0, (data.shape[self.axis] - self.frame) // self.stride + 1)
        weights = self._weights(inputs)
        out = np.empty((*lines.shape[:-1], frames, self.frame), np.complex128)
        for t in range(frames):
            first = t * self.stride
            cut = lines[..., first : first + self.frame]
            if weights is not None:
                # Parts apart: a complex product of an infinity by a real number is NaN.
                cut = _joined(cut.real * weights, cut.imag * weights)
            out[..., t, :] = _transform(cut, inverse=False)
        return (_real(np.moveaxis(out, (-2, -1), (self.axis, self.axis + 1)), data),)

    def _weights(self, inputs: tuple[Tensor, ...]) -> Tensor | None:
        if len(inputs) < 2:
            return None
        weights = np.zeros(self.frame, np.float64)
        before = (self.frame - len(inputs[1])) // 2
        weights[before : before + len(inputs[1])] = inputs[1]
        return weights

    def axes(self, inputs: tuple[Fact, ...], outputs: tuple[Fact, ...]) -> AxesMapping:
        """Axes before the windows keep their place, those after them move by one."""
        rank = inputs[0].rank
        absent = (None,) * (len(inputs) - 1)
        return AxesMapping(
            tuple(
                Track((axis, *absent), (axis if axis < self.axis else axis + 1,))
                for axis in range(rank - 1)
                if axis != self.axis
            )
        )


def _check_complex(axis: int, data: Fact) -> None:
    if data.dtype.kind != "f" or data.rank < 2 or data.shape[-1] != 2:
        raise InvalidModel(
            f"data {data}; complex numbers are floats with a last axis of 2 positions",
            remedy="pad the last axis with a zero imaginary part",
        )
    if not 0 <= axis < data.rank - 1:
        raise InvalidModel(
            f"axis={axis} of data {data}; axes 0 to {data.rank - 2} can be transformed"
        )


def _joined(real: Tensor, imaginary: Tensor) -> Complex:
    out = np.empty(real.shape, np.complex128)
    out.real, out.imag = real, imaginary
    return out


def _complex(data: Tensor) -> Complex:
    return _joined(data[..., 0], data[..., 1])


def _real(data: Complex, like: Tensor) -> Tensor:
    with np.errstate(all="ignore"):
        return np.stack([data.real, data.imag], -1).astype(like.dtype)


def _transform(lines: Complex, *, inverse: bool) -> Complex:
    """Transform the last axis, one line after the other."""
    out = np.empty(lines.shape, np.complex128)
    if not lines.size:
        return out
    with np.errstate(all="ignore"):
        for index in np.ndindex(*lines.shape[:-1]):
            # norm="forward" moves the division by N to the other direction.
            line = lines[index]
            out[index] = np.fft.ifft(line, norm="forward") if inverse else np.fft.fft(line)
    return out


INPUT_ROI.use(bubble_through_axes, Fft)


@INPUT_ROI.rule(Stft)
def roi_stft(op: Stft, node: Node, ctx: RoiContext) -> tuple[Region, ...]:
    """A position is read by the windows that reach it, at every frequency."""
    shape, at = ctx.outputs[0].shape, coordinate(op.axis)
    mixed = (op.axis + 1, len(shape) - 1)
    axes = {a: a if a <= op.axis else a - 1 for a in range(len(shape)) if a not in mixed}
    region = roi_moves.renamed(ctx.regions[0], axes, shape)
    ends = (at - op.frame + 1, at)
    region = roi_moves.read_by(region, op.axis, shape[op.axis], *ends, scale=op.stride)
    return (region, *(None for _ in ctx.inputs[1:]))


PULSIFY_V1.use(along_tracked_axis, Fft)
REGION_V2.use(region_along_tracked_axis, Fft)


@PULSIFY_V1.rule(Stft)
def pulsify_stft(op: Stft, node: Node, ctx: PulsifyContext) -> tuple[Outlet, ...]:
    """Stream windows along the stream axis; the frames of a turn are its windows.

    Errors:
        Refused: frames of a turn that are not a multiple of the stride.
    """
    stream = ctx.stream(ctx.inputs[0])
    if stream is None or stream.axis != op.axis:
        return along_tracked_axis(op, node, ctx)
    framed, out = ctx.window(ctx.inputs[0], field=op.frame - 1, stride=op.stride)
    return ctx.wire(op, (framed, *ctx.inputs[1:]), out)


@REGION_V2.rule(Stft)
def region_stft(op: Stft, node: Node, ctx: RegionContext) -> RegionPlan:
    """Each frame of the output is one window."""
    stream = ctx.stream(ctx.inputs[0])
    if stream is None or stream.axis != op.axis:
        return region_along_tracked_axis(op, node, ctx)
    reach = Reach(scale=op.stride, high=op.frame - 1)
    inputs = (reach, *(None,) * (len(ctx.inputs) - 1))
    length = ctx.batch_output().shape[op.axis]
    return RegionPlan(op.axis, length, stream.rate / op.stride, inputs, whole(op), FILL_ZERO)


@NNEF.load("tract_core_fft", "input", "axis", "inverse")
def load_fft(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_fft(input, axis, inverse)."""
    return call.wire(Fft(call.integer("axis"), call.logical("inverse")), call.tensor("input"))


@NNEF.dump(Fft)
def dump_fft(op: Fft, node: Node, out: Dump) -> None:
    """Write tract_core_fft."""
    out.call("tract_core_fft", axis=op.axis, inverse=op.inverse)


@NNEF.load("tract_core_stft", "input", "axis", "frame", "stride", window=False)
def load_stft(call: Invocation) -> tuple[Outlet, ...]:
    """tract_core_stft(input, axis, frame, stride, window)."""
    op = Stft(call.integer("axis"), call.integer("frame"), call.integer("stride"))
    data = call.tensor("input")
    if call.is_absent("window"):
        return call.wire(op, data)
    return call.wire(op, data, call.tensor("window", like=data))


@NNEF.dump(Stft)
def dump_stft(op: Stft, node: Node, out: Dump) -> None:
    """Write tract_core_stft; the window is a named argument."""
    window: DumpValue = node.inputs[1] if len(node.inputs) > 1 else False
    out.call(
        "tract_core_stft",
        inputs=node.inputs[:1],
        axis=op.axis,
        frame=op.frame,
        stride=op.stride,
        window=window,
    )
