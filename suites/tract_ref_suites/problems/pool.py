"""Pools: largest value, sum and average, with padding, ceil mode and cropped streams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from onnx.helper import np_dtype_to_tensor_dtype

from tract_ref.approx import Array
from tract_ref.dim import sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.pool import MaxPool, PoolMean, SumPool
from tract_ref.stream.window import SameUpper, Valid, WindowSpec, explicit
from tract_ref_suites.onnx_graphs import model_of, node, output, value
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    Values,
    facts,
    pulsing,
    single,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses
from tract_ref_suites.strategies.tensors import values
from tract_ref_suites.strategies.windows import Along, plain_windows, window_spec, windows


def pooled(
    data: Array, axes: tuple[Along, ...], fold: Callable[[list[float], int, int], float]
) -> Array:
    """Pool window by window.

    Args:
        data: [N, C, spatial..].
        axes: windows per spatial axis.
        fold: from the values inside the data, how many positions are in the data or in its
            padding, and how many positions a window has.
    """
    taps = [axis.taps(n) for axis, n in zip(axes, data.shape[2:], strict=True)]
    sizes = data.shape[2:]
    limits = [(-b, n + a) for (b, a), n in zip(_given_pads(axes, sizes), sizes, strict=True)]
    out = np.zeros((*data.shape[:2], *(len(t) for t in taps)), np.float64)
    for index in np.ndindex(*out.shape):
        places = list(itertools.product(*(t[i] for t, i in zip(taps, index[2:], strict=True))))
        inside = [p for p in places if all(0 <= i < n for i, n in zip(p, sizes, strict=True))]
        counted = sum(
            all(low <= i < high for i, (low, high) in zip(p, limits, strict=True)) for p in places
        )
        found = [float(data[(*index[:2], *place)]) for place in inside]
        out[index] = fold(found, counted, len(places))
    return out.astype(data.dtype)


def _given_pads(axes: tuple[Along, ...], sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return [axis.pads(n) for axis, n in zip(axes, sizes, strict=True)]


def _largest(found: list[float]) -> float:
    if any(math.isnan(v) for v in found):
        return math.nan
    return max(found)


@dataclass(frozen=True, kw_only=True)
class PoolProblem(Streamed):
    """One pool of [N, C, spatial..].

    Attributes:
        along: windows per spatial axis.
        kind: `max`, `sum` or `mean`.
        counted: an average counts padding.
    """

    family = "pool"
    along: tuple[Along, ...]
    kind: str = "max"
    counted: bool = False

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op depends on the kind."""
        return "MaxPool" if self.kind == "max" else "SumPool"

    @property
    def loose(self) -> str:
        """Why less would do: a window that another axis puts into its padding reads nothing."""
        plane = any(
            any(along.pads(self.shape[spatial])) or along.ceil
            for spatial, along in enumerate(self.along, start=2)
            if spatial != self.axis
        )
        return super().loose or ("some windows lie in padding only" if plane else "")

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        window = window_spec(self.along)
        op: Op = MaxPool(window)
        if self.kind != "max":
            op = SumPool(window, self.counted, self.kind == "mean")
        return model.wire("pool", op, (wire,))[0]

    def oracle(self, data: Array) -> Array:
        lowest = -math.inf if data.dtype.kind == "f" else float(np.iinfo(data.dtype).min)

        def fold(found: list[float], counted: int, _: int) -> float:
            if self.kind == "max":
                return _largest(found) if found else lowest
            if self.kind == "sum":
                return sum(found)
            divisor = counted if self.counted else len(found)
            return sum(found) / divisor if divisor else math.nan

        return pooled(data, self.along, fold)

    def _is_for_all(self) -> bool:
        """Engines differ on axes shorter than a window, and on padding of a whole window."""
        return all(
            a.padding not in ("upper", "lower")
            and max(a.pads(n)) < a.kernel
            and n + sum(a.pads(n)) > a.field
            for a, n in zip(self.along, self.shape[2:], strict=True)
        )

    def onnx(self) -> bytes | None:
        """Return the form that has a ceil mode; the other pools have an NNEF form."""
        has_dtype = self.dtype in ("f4", "f8", "u1")
        if self.kind != "max" or any(self.crop) or not has_dtype or not self._is_for_all():
            return None
        pads = [a.pads(1) for a in self.along]
        operator = node(
            "MaxPool",
            ["x"],
            ["y"],
            kernel_shape=[a.kernel for a in self.along],
            strides=[a.stride for a in self.along],
            dilations=[a.dilation for a in self.along],
            pads=[*(before for before, _ in pads), *(after for _, after in pads)],
            ceil_mode=int(any(a.ceil for a in self.along)),
        )
        shape = (*self.shape[: self.axis], SYMBOL, *self.shape[self.axis + 1 :])
        code = np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        y = output("y", dtype=code)
        made = model_of([operator], [value("x", *shape, dtype=code)], [y])
        return made.SerializeToString()

    @property
    def oracle_approx(self) -> str:
        return "exact" if self.kind == "max" or self.values.is_exact else "close"

    def least_delay(self, pulse: int) -> int | None:
        early, late = (self.delay_for(end_sensitive=ends) for ends in (False, True))
        return early if self.axis < 2 else self.along[self.axis - 2].least_delay(early, late)


@st.composite
def pool_problems(
    draw: st.DrawFn, *, kind: str = "max", spatial: int = 1, off_axis: bool = False
) -> PoolProblem:
    """Draw a pool that streams along one of its spatial axes, or along batch or channels."""
    axis = draw(st.integers(0, 1)) if off_axis else draw(st.integers(2, 1 + spatial))
    along = tuple(
        draw(windows(ceil=True) if k + 2 == axis else plain_windows()) for k in range(spatial)
    )
    window = Along() if off_axis else along[axis - 2]
    counted = kind == "mean" and draw(st.booleans())
    sizes = draw(pulses(window.stride))
    crop = draw(crops())
    length = draw(lengths(window.stride, field=window.field + sum(crop)))
    dtypes = {"max": ["f4", "i4", "u1", "f8"], "sum": ["f4", "i4"], "mean": ["f4", "f8"]}
    palettes = ("integers", "normal", "special") if kind == "max" else ("integers", "normal")
    others = tuple(draw(st.integers(1, 4)) for _ in range(spatial))
    return PoolProblem(
        shape=placed((1, draw(st.integers(1, 2)), *others), axis, length),
        axis=axis,
        sizes=sizes,
        crop=crop,
        along=along,
        kind=kind,
        counted=counted,
        values=draw(values(palettes=palettes)),
        dtype=draw(st.sampled_from(dtypes[kind])),
    )


@dataclass(frozen=True, kw_only=True)
class SameProblem(PoolProblem):
    """SAME padding with a stride, over a stream of stride*S + rest frames: the padding is known.

    Attributes:
        rest: frames of the stream beyond whole strides.
    """

    rest: int = 0

    @property
    def length(self) -> int:
        return (self.shape[self.axis] - self.rest) // self.along[0].stride

    @property
    def fact(self) -> Fact:
        dim = sym(SYMBOL) * self.along[0].stride + self.rest
        return Fact(np.dtype(self.dtype), (*self.shape[: self.axis], dim))

    def least_delay(self, pulse: int) -> int | None:
        window = self.along[0]
        before, _ = window.pads(window.stride * 9 + self.rest)
        return max(0, -(-(window.field + 1 - window.stride - before) // window.stride))


@st.composite
def same_problems(draw: st.DrawFn) -> SameProblem:
    """Draw SAME padding with a stride over whole strides and a rest."""
    stride = draw(st.integers(2, 3))
    rest = draw(st.integers(0, stride - 1))
    along = Along(draw(st.integers(1, 4)), stride, 1, draw(st.sampled_from(["upper", "lower"])))
    sizes = draw(pulses())
    kind = draw(st.sampled_from(["max", "sum", "mean"]))
    return SameProblem(
        shape=(1, 1, stride * draw(lengths(sizes[0], field=along.field)) + rest),
        axis=2,
        sizes=sizes,
        along=(along,),
        kind=kind,
        counted=draw(st.booleans()),
        values=draw(values()),
        rest=rest,
    )


@st.composite
def hanging_over(draw: st.DrawFn) -> PoolProblem:
    """Draw a max pool whose last window may hang over the end, in a form that ONNX has."""
    stride = draw(st.integers(2, 3))
    kernel = draw(st.integers(2, 4))
    sizes = draw(pulses(stride))
    return PoolProblem(
        shape=(1, draw(st.integers(1, 2)), draw(lengths(sizes[0], field=kernel))),
        axis=2,
        sizes=sizes,
        along=(Along(kernel, stride, 1, "valid", ceil=True),),
        values=draw(values()),
        dtype=draw(st.sampled_from(["f4", "u1"])),
    )


@st.composite
def delay_plus_pool(draw: st.DrawFn) -> PoolProblem:
    """Draw spec/pulse.md 6.6: slice(delay..S), then a max pool; window, stride 1..4, delay 0..5."""
    window, stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    delay = draw(st.integers(0, 5))
    right = draw(st.integers(0, window - 1))
    padding = draw(st.sampled_from(["valid", (window - 1 - right, right)]))
    return PoolProblem(
        shape=(1, 1, draw(st.integers(0, delay + window + 10))),
        axis=2,
        sizes=draw(pulses(stride, most=4)),
        crop=(delay, 0),
        along=(Along(window, stride, 1, padding),),
        values=Values(draw(st.integers(0, 99))),
    )


STRATEGIES = {
    "MaxPool-1d": pool_problems,
    "MaxPool-2d": lambda: pool_problems(spatial=2),
    "MaxPool-off-axis": lambda: pool_problems(off_axis=True),
    "MaxPool-after-delay": delay_plus_pool,
    "MaxPool-ceil": hanging_over,
    "MaxPool-same": same_problems,
    "SumPool-sum": lambda: pool_problems(kind="sum"),
    "SumPool-mean": lambda: pool_problems(kind="mean"),
    "SumPool-mean-2d": lambda: pool_problems(kind="mean", spatial=2),
    "SumPool-mean-off-axis": lambda: pool_problems(kind="mean", off_axis=True),
}


def _line(length: int, pulses: tuple[int, ...], along: Along, **rest: object) -> PoolProblem:
    return PoolProblem(shape=(1, 1, length), axis=2, sizes=pulses, along=(along,), **rest)  # pyright: ignore[reportArgumentType]


def _unit(
    length: int, pulse: int, delay: int, stride: int, window: int, pad: tuple[int, int] | None
) -> PoolProblem:
    along = Along(window, stride, 1, "valid" if pad is None else pad)
    return _line(length, (pulse,), along, crop=(delay, 0))


_W3 = Along(3)


@dataclass(frozen=True, kw_only=True)
class PoolMeanProblem(Problem):
    """The state-free division at the end of a streamed average: sums / counts."""

    family = "pool"
    op = "PoolMean"
    frames: int

    @property
    def length(self) -> int:
        return self.frames

    @property
    def pulses(self) -> tuple[int, ...]:
        return ()

    def model(self) -> Model:
        return single(PoolMean(), *facts("1,2,S,f32", "1,1,S,f32"))

    def inputs(self) -> dict[str, Array]:
        counts = np.arange(self.frames, dtype=np.float32).reshape(1, 1, -1) + 1
        return {"x0": Values().array((1, 2, self.frames)), "x1": counts}

    def expected(self) -> dict[str, Array]:
        sums, counts = self.inputs().values()
        out = [[[v / k for v, k in zip(row, counts[0, 0], strict=True)] for row in sums[0]]]
        return {"y0": np.array(out, np.float32).reshape(1, 2, self.frames)}


HAND: dict[str, Problem] = {
    "PoolMean-divides": PoolMeanProblem(frames=5),
    "MaxPool-whole-axis": _line(8, (8,), _W3),
    "MaxPool-one-frame": _line(1, (1, 4), Along(1)),
    "MaxPool-empty-stream": _line(0, (1, 4), _W3),
    "MaxPool-empty-stream-padded": _line(0, (1, 4), Along(3, 1, 1, (1, 1))),
    "MaxPool-shorter-than-window": _line(2, (1, 4), _W3),
    "MaxPool-pulse-longer-than-stream": _line(5, (16,), _W3),
    "MaxPool-whole-pulses": _line(12, (4,), _W3),
    "MaxPool-rest": _line(13, (4,), _W3),
    "MaxPool-padding-never-wins": _line(5, (2,), Along(3, 1, 1, (1, 1)), values=Values(3)),
    "MaxPool-ceil": _line(11, (2, 4), Along(2, 2, 1, "valid", ceil=True)),
    "MaxPool-ceil-window-in-padding": _line(4, (3,), Along(2, 3, 1, (1, 2), ceil=True)),
    "MaxPool-gaps-after-crop": _line(14, (3, 6), Along(2, 3), crop=(1, 0)),
    "MaxPool-after-end-crop": _line(12, (4, 3, 1), Along(3, 1, 1, (0, 2)), crop=(0, 4)),
    "MaxPool-basic": _unit(5, 2, 0, 1, 2, None),
    "MaxPool-stride": _unit(3, 2, 0, 2, 1, None),
    "MaxPool-misaligned-stride": _unit(2, 2, 1, 2, 1, None),
    "MaxPool-overlap": _unit(2, 1, 0, 1, 2, None),
    "MaxPool-overlap-realign": _unit(6, 2, 1, 2, 3, None),
    "MaxPool-long-overlap-1": _unit(3, 1, 0, 1, 3, None),
    "MaxPool-long-overlap-2": _unit(4, 1, 2, 1, 2, None),
    "MaxPool-long-overlap-3": _unit(3, 2, 0, 2, 3, None),
    "MaxPool-pad-right": _unit(2, 1, 0, 1, 2, (0, 1)),
    "MaxPool-pad-right-2": _unit(3, 2, 1, 2, 2, (0, 1)),
    "MaxPool-same-of-whole-strides": SameProblem(
        shape=(1, 1, 10), axis=2, sizes=(1, 4), along=(Along(3, 2, 1, "upper"),)
    ),
    "SumPool-mean-ignores-padding": _line(7, (1, 3), Along(3, 1, 1, (1, 1)), kind="mean"),
    "SumPool-mean-counts-padding": _line(
        7, (1, 3), Along(3, 1, 1, (2, 2)), kind="mean", counted=True
    ),
    "SumPool-mean-ceil": _line(7, (2, 4), Along(2, 2, 1, "valid", ceil=True), kind="mean"),
    "SumPool-mean-counted-ceil-padded": _line(
        7, (2, 4), Along(3, 2, 1, (1, 1), ceil=True), kind="mean", counted=True
    ),
    "SumPool-mean-counted-ceil-behind": _line(
        6, (3,), Along(2, 3, 1, (0, 1), ceil=True), kind="mean", counted=True
    ),
    "SumPool-mean-counted-ceil": _line(
        7, (2, 4), Along(2, 2, 1, "valid", ceil=True), kind="mean", counted=True
    ),
    "SumPool-mean-after-crops": _line(13, (2, 4), Along(3, 2, 1, (1, 2)), kind="mean", crop=(1, 2)),
    "SumPool-mean-empty-stream": _line(0, (2,), Along(3, 1, 1, (1, 1)), kind="mean"),
}


def _window(kernel: int = 3, stride: int = 1) -> WindowSpec:
    return WindowSpec((kernel,), (stride,), (1,), (Valid(),))


def _refused(op: Op, starts: str, *, text: str = "1,2,S,f32") -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(text)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


_SAME = WindowSpec((3,), (2,), (1,), (SameUpper(),))

ERRORS: dict[str, ErrorCase] = {
    "MaxPool-stride": _refused(MaxPool(_window(3, 3)), "pulse=4 brings 4 frames on axis 2, not a"),
    "MaxPool-same-stride": _refused(MaxPool(_SAME), "SAME padding with stride=2"),
    "SumPool-same-stride": _refused(SumPool(_SAME, False, True), "SAME padding with stride=2"),
    "PoolMean-state": ErrorCase(
        pulsing(lambda: PoolMeanProblem(frames=4).model()),
        Refused,
        'pulsify v1: node "op" (PoolMean): is part of a streamed average pool',
        refusal="PULSIFY_V1:PoolMean",
    ),
    "MaxPool-rank": _invalid(MaxPool(_window()), "windows over 1 spatial axes", "1,S,f32"),
    "MaxPool-dims": _invalid(MaxPool(_window()), "data 1,2,S,tdim", "1,2,S,tdim"),
    "MaxPool-stride-zero": _invalid(MaxPool(_window(3, 0)), "stride=[0]", "1,2,S,f32"),
    "MaxPool-negative-padding": _invalid(
        MaxPool(WindowSpec((3,), (1,), (1,), (explicit(-1, 0),))), "padding=-1:0", "1,2,S,f32"
    ),
    "SumPool-bools": _invalid(SumPool(_window(), False, False), "data 1,2,S,bool", "1,2,S,bool"),
    "SumPool-mean-of-integers": _invalid(
        SumPool(_window(), False, True), "data 1,2,S,i32; a sum needs", "1,2,S,i32"
    ),
    "PoolMean-counts": _invalid(PoolMean(), "counts 1,2,S,f32", "1,2,S,f32", "1,2,S,f32"),
}
