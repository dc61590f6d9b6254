"""Window geometry shared by convolutions and pools: lengths, padding, and how a window streams.

Window j of one axis reads positions j*stride - before + k*dilation, 0 <= k < kernel, of the input;
field = (kernel - 1) * dilation is the distance from its first position to its last. Of n positions

    out = max(0, floor((n + before + after - field - 1) / stride) + 1)     valid and explicit
    out = max(0, ceil(..) + 1), windows starting at n + before or later dropped     ceil mode
    out = ceil(n / stride), pads = max(0, (out - 1)*stride + field + 1 - n)          SAME

Source: spec/pulse.md 2.5, 2.6, 8.14, 8.16. Differs from tract: an input shorter than the field
always gives an empty output, because tract's answer depends on whether the length is symbolic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from tract_ref.dim import Dim, ceil_div, dim_max
from tract_ref.errors import InternalError, InvalidModel
from tract_ref.ir.fact import DType, Tensor
from tract_ref.ir.model import Outlet
from tract_ref.ir.op import Op
from tract_ref.onnx_io.table import OnnxCall
from tract_ref.runtime.reach import Increment, Reach, RegionPlan
from tract_ref.stream.fact import Linear
from tract_ref.stream.tables import NOTHING_STREAMS, NodeContext, PulsifyContext, RegionContext


@dataclass(frozen=True, slots=True)
class Valid:
    """No padding."""

    def __str__(self) -> str:
        """Print for dumps."""
        return "valid"


@dataclass(frozen=True, slots=True)
class Explicit:
    """Padding of given sizes.

    Attributes:
        before: positions before the first one.
        after: positions after the last one.
        ceil: round the output length up; the last window may hang over the end.
    """

    before: int
    after: int
    ceil: bool = False

    def __str__(self) -> str:
        """Print for dumps."""
        return f"{self.before}:{self.after}" + (" ceil" if self.ceil else "")


@dataclass(frozen=True, slots=True)
class SameUpper:
    """As many outputs as strides begin in the input; the odd position of padding goes last."""

    def __str__(self) -> str:
        """Print for dumps."""
        return "same_upper"


@dataclass(frozen=True, slots=True)
class SameLower:
    """As many outputs as strides begin in the input; the odd position of padding goes first."""

    def __str__(self) -> str:
        """Print for dumps."""
        return "same_lower"


Padding = Valid | Explicit | SameUpper | SameLower


def explicit(before: int, after: int, *, ceil: bool = False) -> Padding:
    """Return explicit padding in its one normal form: none at all is `Valid`."""
    return Explicit(before, after, ceil) if before or after or ceil else Valid()


@dataclass(frozen=True)
class AxisWindow:
    """The windows along one axis."""

    kernel: int
    stride: int
    dilation: int
    padding: Padding

    @cached_property
    def field(self) -> int:
        """Distance from the first position of a window to its last."""
        return (self.kernel - 1) * self.dilation

    @property
    def is_pointwise(self) -> bool:
        """Output position t reads input position t only."""
        return self.kernel == 1 and self.stride == 1 and self.fixed_pads() == (0, 0)

    def length(self, n: Dim) -> Dim:
        """Return the number of windows over n positions."""
        match self.padding:
            case Valid():
                before, after, ceil = 0, 0, False
            case Explicit(before, after, ceil):
                pass
            case SameUpper() | SameLower():
                return ceil_div(n, self.stride)
        slack = before + after - self.field - 1 + self.stride
        if ceil:
            # Rounding up adds stride - 1; at most one window per stride of the n + before
            # positions starts before the end. Both are floors over the stride: the smaller wins.
            slack = min(slack + self.stride - 1, before + self.stride - 1)
        windows = (n + slack) // self.stride
        # A length is never negative, so a slack >= 0 needs no clamp and keeps dims small.
        if slack >= 0:
            return windows
        return max(0, windows) if isinstance(windows, int) else dim_max(0, windows)

    def size(self, n: int) -> int:
        """Return the number of windows over a known number of positions."""
        out = self.length(n)
        if not isinstance(out, int):
            raise InternalError(f"the length {out} of {n} positions is not an integer")
        return out

    def fixed_pads(self, n: Dim | None = None) -> tuple[int | None, int | None]:
        """Return (before, after) that hold for every n; None where it depends on n.

        Of SAME padding with a stride, `after` is the largest one: windows beyond the length are not
        read, so more padding than needed is harmless.

        Args:
            n: the number of positions as far as it is known: of 2*S positions it is known where
                the last window of stride 2 begins, so that SAME padding is one number.
        """
        match self.padding:
            case Valid():
                return 0, 0
            case Explicit(before, after, ceil):
                # No window starts past the last frame in ceil mode, so none hangs over by more
                # than its field.
                return before, min(after + self.stride - 1, self.field) if ceil else after
            case SameUpper():
                odd = 0
            case SameLower():
                odd = 1
        least, most = max(0, self.field + 1 - self.stride), self.field
        total = None if n is None else (self.length(n) - 1) * self.stride + self.field + 1 - n
        if isinstance(total, int):
            least = most = max(0, total)
        first, last = (least + odd) // 2, (most + odd) // 2
        if first != last:
            return None, None
        return first, most - first

    def pads(self, n: int) -> tuple[int, int]:
        """Return (before, after) for n positions, so that the last window ends inside."""
        match self.padding:
            case Valid():
                return 0, 0
            case Explicit(before, after, ceil):
                return before, max(after, self._needed(n) - before) if ceil else after
            case SameUpper():
                needed = self._needed(n)
                return needed // 2, needed - needed // 2
            case SameLower():
                needed = self._needed(n)
                return needed - needed // 2, needed // 2

    def _needed(self, n: int) -> int:
        """Return how much padding lets the last window over n positions end inside."""
        return max(0, (self.size(n) - 1) * self.stride + self.field + 1 - n)


@dataclass(frozen=True)
class WindowSpec:
    """Windows over the spatial axes (axes 2, 3, …); one entry per spatial axis in every field."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[Padding, ...]

    FIRST: ClassVar[int] = 2

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @cached_property
    def axes(self) -> tuple[AxisWindow, ...]:
        """The windows along each spatial axis."""
        fields = zip(self.kernel, self.stride, self.dilation, self.padding, strict=True)
        return tuple(AxisWindow(*geometry) for geometry in fields)

    def axis(self, spatial: int) -> AxisWindow:
        """Return the windows along one spatial axis, counted from 0."""
        return self.axes[spatial]

    def with_padding(self, spatial: int, padding: Padding) -> WindowSpec:
        """Return the windows with other padding on one spatial axis."""
        changed = (*self.padding[:spatial], padding, *self.padding[spatial + 1 :])
        return WindowSpec(self.kernel, self.stride, self.dilation, changed)

    def check(self, rank: int) -> None:
        """Check the fields against each other and the rank of the data.

        Raises:
            InvalidModel: fields of different lengths, or a size that is not positive.
        """
        sizes = {len(self.kernel), len(self.stride), len(self.dilation), len(self.padding)}
        if sizes != {rank - 2} or rank < 3:
            raise InvalidModel(
                f"windows over {self.rank} spatial axes, data of rank {rank}; data is "
                "[batch, channel, one or more spatial axes]"
            )
        for name, values in (
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ):
            if min(values) < 1:
                raise InvalidModel(f"{name}={list(values)}; every {name} is 1 or more")
        for padding in self.padding:
            if isinstance(padding, Explicit) and min(padding.before, padding.after) < 0:
                raise InvalidModel(
                    f"padding={padding} positions; padding of a window is 0 or more",
                    remedy="crop the input by a slice before it",
                )

    def lengths(self, shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
        """Return the output lengths of the spatial axes of data of `shape`."""
        return tuple([a.length(n) for a, n in zip(self.axes, shape[self.FIRST :], strict=True)])

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output lengths of the spatial axes of data of a concrete shape."""
        return tuple([a.size(n) for a, n in zip(self.axes, shape[self.FIRST :], strict=True)])

    def pads(self, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Return (before, after) per spatial axis for data of a concrete shape."""
        return tuple([a.pads(n) for a, n in zip(self.axes, shape[self.FIRST :], strict=True)])

    def explicit_pads(self, shape: tuple[Dim, ...]) -> tuple[tuple[int, int], ...] | None:
        """Return pads as a format without SAME or ceil mode writes them, None when it cannot.

        Padding that is larger than the last window needs would add windows, so only pads that give
        the same length are returned.
        """
        found: list[tuple[int, int]] = []
        for spatial, n in enumerate(shape[self.FIRST :]):
            window = self.axis(spatial)
            rounds_up = isinstance(window.padding, Explicit) and window.padding.ceil
            is_same = isinstance(window.padding, SameUpper | SameLower)
            if isinstance(n, int):
                before, after = window.pads(n)
                plain = replace(window, padding=explicit(before, after))
                if plain.length(n) != window.length(n):
                    return None
            else:
                before, after = window.fixed_pads()
                if before is None or after is None or rounds_up or (is_same and window.stride > 1):
                    return None
            found.append((before, after))
        return tuple(found)

    def taps(self, outs: tuple[int, ...], position: tuple[int, ...]) -> tuple[slice, ...]:
        """Return where the windows read at one kernel position, in padded coordinates."""
        rows = zip(position, self.dilation, self.stride, outs, strict=True)
        return tuple(
            [slice(k * d, k * d + s * (n - 1) + 1, s) if n else slice(0, 0) for k, d, s, n in rows]
        )

    def is_pointwise(self, spatial: int) -> bool:
        """Say whether output position t reads input position t only, on one spatial axis."""
        return self.axis(spatial).is_pointwise


def is_bias(shape: tuple[Dim, ...], outs: Dim) -> bool:
    """Say whether a shape holds one number per output channel: [outs] or [1, outs, 1, ..]."""
    if len(shape) == 1:
        return shape[0] == outs
    return len(shape) > 1 and shape == (1, outs, *(1,) * (len(shape) - 2))


def padded(data: Tensor, pads: tuple[tuple[int, int], ...], value: float | int | bool) -> Tensor:
    """Return data with its spatial axes (the last ones) padded by a constant."""
    if not any(b or a for b, a in pads):
        return data
    lead = data.ndim - len(pads)
    grown = tuple(n + b + a for n, (b, a) in zip(data.shape[lead:], pads, strict=True))
    out = np.full((*data.shape[:lead], *grown), value, data.dtype)
    inside = tuple(slice(b, b + n) for n, (b, _) in zip(data.shape[lead:], pads, strict=True))
    out[(..., *inside)] = data
    return out


def lowest(dtype: DType) -> float | int | bool:
    """Return the value that never wins a max: -inf, the type's minimum, or false."""
    if dtype.kind == "f":
        return float("-inf")
    if dtype.kind in "iu":
        return int(np.iinfo(dtype.type).min)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return False


def data_stream(ctx: NodeContext) -> Linear:
    """Return how the first input streams.

    Raises:
        Refused: it does not, though the output depends on the stream length.
    """
    stream = ctx.stream(ctx.inputs[0])
    if stream is None:
        ctx.refuse(*NOTHING_STREAMS)
    return stream


def weighted_stream(ctx: NodeContext) -> Linear:
    """Return how the data of a convolution streams; kernel and bias are known before it starts.

    Raises:
        Refused: kernel, bias or channels stream, or nothing does.
    """
    for wire, what in zip(ctx.inputs[1:], ("kernel", "bias"), strict=False):
        if ctx.stream(wire) is not None:
            ctx.refuse(
                f"its {what} streams", f"use a {what} that is known before the stream starts"
            )
    stream = data_stream(ctx)
    if stream.axis == 1:
        ctx.refuse(
            "the stream axis is the channel axis (1): every output would need every frame",
            "stream along the batch axis or a spatial axis",
        )
    return stream


def region_window(
    ctx: RegionContext, spec: WindowSpec, op: Callable[[WindowSpec], Op], *, fill: str
) -> RegionPlan:
    """Return the plan of windows that slide along the stream axis.

    Args:
        ctx: the rule's context.
        spec: windows of the batch op.
        op: makes the op with other padding on the stream axis.
        fill: what padding holds.
    """
    stream = ctx.meet((0,))
    spatial = stream.axis - spec.FIRST
    window = spec.axis(spatial)
    before, after = _fixed_pads(ctx, window, stream.axis)
    reach = Reach(scale=window.stride, low=-before, high=window.field - before, beyond=after)
    given = window.padding.after if isinstance(window.padding, Explicit) else after

    def main(increment: Increment) -> tuple[Op, ...]:
        front, back = increment.outside(reach)
        # What hangs over the padding of ceil mode counts for no average.
        padding = explicit(front, min(back, given), ceil=back > given) if front or back else Valid()
        return (op(spec.with_padding(spatial, padding)),)

    inputs = (reach, *(None,) * (len(ctx.inputs) - 1))
    length = ctx.batch_output().shape[stream.axis]
    return RegionPlan(stream.axis, length, stream.rate / window.stride, inputs, main, fill)


def _fixed_pads(ctx: NodeContext, window: AxisWindow, axis: int) -> tuple[int, int]:
    before, after = window.fixed_pads(ctx.batch_input(0).shape[axis])
    if before is None or after is None:
        ctx.refuse(
            f"SAME padding with stride={window.stride} on the stream axis: how much goes before "
            "the first frame depends on the stream length, known only at its end",
            "give explicit padding, use a stride of 1, or declare a length of whole strides, as "
            f"{window.stride}*{ctx.symbol}",
        )
    return before, after


def stream_window(
    ctx: PulsifyContext, wire: Outlet, spec: WindowSpec, *, fill: str | Tensor
) -> tuple[Outlet, Linear, WindowSpec]:
    """Return what the windows of a turn read, how the output streams, and the unpadded spec.

    Args:
        ctx: the rule's context.
        wire: a wire that streams along a spatial axis.
        spec: windows of the batch op.
        fill: what padding holds.
    """
    stream = ctx.stream(wire)
    if stream is None:
        ctx.refuse(*NOTHING_STREAMS)
    spatial = stream.axis - spec.FIRST
    window = spec.axis(spatial)
    before, after = _fixed_pads(ctx, window, stream.axis)
    framed, out = ctx.window(
        wire, field=window.field, stride=window.stride, before=before, after=after, fill=fill
    )
    return framed, out, spec.with_padding(spatial, Valid())


def onnx_window(call: OnnxCall, sizes: tuple[int, ...], *, ceil: bool = False) -> WindowSpec:
    """Return the windows of an ONNX node: auto_pad, pads, strides, dilations.

    SAME lengths are rounded up already, so ceil mode changes nothing there.
    """
    rank = len(sizes)
    strides = call.integers("strides", (1,) * rank)
    dilations = call.integers("dilations", (1,) * rank)
    auto = call.string("auto_pad", "NOTSET")
    pads = call.integers("pads", (0,) * (2 * rank))
    if len(pads) != 2 * rank or len(strides) != rank or len(dilations) != rank:
        call.malformed(
            f"pads={list(pads)}, strides={list(strides)}, dilations={list(dilations)} for {rank} "
            "spatial axes"
        )
    named: dict[str, Padding] = {
        "SAME_UPPER": SameUpper(),
        "SAME_LOWER": SameLower(),
        "VALID": explicit(0, 0, ceil=ceil),
    }
    if auto in named:
        padding = (named[auto],) * rank
    elif auto in ("NOTSET", ""):
        padding = tuple(
            explicit(b, a, ceil=ceil) for b, a in zip(pads[:rank], pads[rank:], strict=True)
        )
    else:
        call.malformed(f"auto_pad={auto!r}", remedy="use NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return WindowSpec(sizes, strides, dilations, padding)
