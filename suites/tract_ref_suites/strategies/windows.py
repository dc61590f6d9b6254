"""Window geometry for convolutions and pools: drawn, and walked by plain loops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.stream.window import Padding, SameLower, SameUpper, Valid, WindowSpec, explicit

IntOrArray = TypeVar("IntOrArray", int, Array)

MAX_KERNEL = 4
MAX_STRIDE = 3
MAX_DILATION = 3


@dataclass(frozen=True)
class Along:
    """Windows along one axis.

    Attributes:
        kernel: positions of a window.
        stride: positions between two windows.
        dilation: positions between two positions of a window.
        padding: `valid`, `upper`, `lower`, or the sizes before and after.
        ceil: the last window may hang over the end.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] | str = "valid"
    ceil: bool = False

    @property
    def field(self) -> int:
        """Distance from the first position of a window to its last."""
        return (self.kernel - 1) * self.dilation

    def op_padding(self) -> Padding:
        """Return the padding in the words of the engine."""
        if isinstance(self.padding, tuple):
            return explicit(*self.padding, ceil=self.ceil)
        if self.padding == "valid":
            return explicit(0, 0, ceil=self.ceil) if self.ceil else Valid()
        return SameUpper() if self.padding == "upper" else SameLower()

    def starts(self, n: int) -> list[int]:
        """Return the first position of every window over n positions, found one by one."""
        before, after = self.pads(n)
        found: list[int] = []
        while True:
            at = len(found) * self.stride
            last = at + self.field
            if self.ceil:
                # The window before this one left positions over, and this one starts before them.
                fits = last - self.stride + 1 < n + before + after and at < n + before
            else:
                fits = last < n + before + after
            if self.padding in ("upper", "lower"):
                fits = at < n
            if not fits:
                return found
            found.append(at - before)

    def count(self, n: IntOrArray) -> IntOrArray:
        """Return how many windows `starts` finds, in closed form; takes many n at once."""
        if self.padding in ("upper", "lower"):
            return -(-n // self.stride)
        before, after = self.padding if isinstance(self.padding, tuple) else (0, 0)
        # Windows begin at multiples of the stride below this position.
        below = n + before + after - self.field
        if self.ceil:
            over = below + self.stride - 1
            below = over - (over - n - before) * (over > n + before)
        windows = -(-below // self.stride)
        return windows * (windows > 0)

    def pads(self, n: int) -> tuple[int, int]:
        """Return the positions of padding before and after n positions."""
        if isinstance(self.padding, tuple):
            return self.padding
        if self.padding == "valid" or not n:
            return 0, 0
        total = max(0, (n - 1) // self.stride * self.stride + self.field + 1 - n)
        small, large = total // 2, total - total // 2
        return (small, large) if self.padding == "upper" else (large, small)

    def taps(self, n: int) -> list[list[int]]:
        """Return the positions of every window; those outside 0..n-1 are padding."""
        reach = range(0, self.field + 1, self.dilation)
        return [[start + k for k in reach] for start in self.starts(n)]

    @property
    def streams(self) -> bool:
        """How much padding goes before the first position does not depend on the length."""
        return len({self.pads(n)[0] for n in range(1, 2 * self.stride + self.field + 2)}) == 1

    def least_delay(self, early: int, late: int, lengths: Iterable[int] = ()) -> int:
        """Return the smallest delay of the windows of a stream (spec/pulse.md 9.2).

        Args:
            early: delay of the stream.
            late: its delay when its end must be known in time.
            lengths: what the stream may be long; anything when none is said.
        """
        some = {n for n in lengths if n > 0} if isinstance(self.padding, str) else ()
        several = some or range(1, 2 * self.stride + self.field + 2)
        before = self.pads(max(several))[0]
        hangs = self.ceil and self.stride > 1 and self.field > 0
        # In ceil mode a window of one position never starts in the padding behind.
        reads = self.field > 0 or not self.ceil
        ends = hangs or (reads and any(self.pads(n)[1] for n in several))
        ahead = (late if ends else early) + self.field + 1 - self.stride - before
        return max(0, -(-ahead // self.stride))


def window_spec(axes: tuple[Along, ...]) -> WindowSpec:
    """Return the windows of an op, one entry per spatial axis."""
    return WindowSpec(
        tuple(axis.kernel for axis in axes),
        tuple(axis.stride for axis in axes),
        tuple(axis.dilation for axis in axes),
        tuple(axis.op_padding() for axis in axes),
    )


@st.composite
def windows(
    draw: st.DrawFn,
    *,
    ceil: bool = False,
    max_kernel: int = MAX_KERNEL,
    max_stride: int = MAX_STRIDE,
    max_dilation: int = MAX_DILATION,
    streams: bool = True,
) -> Along:
    """Draw windows along one axis.

    Args:
        draw: hypothesis.
        ceil: draw ceil mode as well.
        max_kernel: most positions of a window.
        max_stride: largest stride.
        max_dilation: largest dilation.
        streams: only SAME padding whose front does not depend on the length.
    """
    kernel = draw(st.integers(1, max_kernel))
    stride = draw(st.integers(1, max_stride))
    dilation = draw(st.integers(1, max_dilation))
    field = (kernel - 1) * dilation
    pads = st.tuples(st.integers(0, field + 2), st.integers(0, field + 2))
    causal = st.just((field, 0))
    named = [
        name
        for name in ("upper", "lower")
        if not streams or Along(kernel, stride, dilation, name).streams
    ]
    padding = draw(st.sampled_from(["valid", *named]) | causal | pads)
    rounds_up = ceil and padding not in ("upper", "lower") and draw(st.booleans())
    return Along(kernel, stride, dilation, padding, rounds_up)


def plain_windows() -> st.SearchStrategy[Along]:
    """Draw windows along an axis that does not stream."""
    return windows(max_kernel=3, max_stride=2, max_dilation=2, streams=False)
