"""Axes inserted, removed, moved; reshapes beside and across the stream axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.dim import Dim, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.axes import AddAxis, Reshape, RmAxis
from tract_ref.ops.padding import Pad
from tract_ref.ops.slicing import Slice
from tract_ref.ops.transpose import MoveAxis
from tract_ref_suites.problems.base import (
    SYMBOL,
    ErrorCase,
    Problem,
    Streamed,
    facts,
    pulsing,
    single,
    small_integers,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

S = sym(SYMBOL)


@dataclass(frozen=True, kw_only=True)
class AxisProblem(Streamed):
    """One op that renames axes.

    Attributes:
        kind: `add`, `rm` or `move`.
        at: the axis.
        to: where a moved axis goes.
    """

    family = "axes"
    kind: str
    at: int
    to: int = 0

    @property
    def op(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The op depends on the kind."""
        return {"add": "AddAxis", "rm": "RmAxis", "move": "MoveAxis"}[self.kind]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        ops: dict[str, Op] = {
            "add": AddAxis(self.at),
            "rm": RmAxis(self.at),
            "move": MoveAxis(self.at, self.to),
        }
        return model.wire("op", ops[self.kind], (wire,))[0]

    def oracle(self, data: Array) -> Array:
        order = [k for k in range(data.ndim) if self.kind == "add" or k != self.at]
        shape = [data.shape[k] for k in order]
        if self.kind == "add":
            shape.insert(self.at, 1)
        if self.kind == "move":
            order.insert(self.to, self.at)
            shape = [data.shape[k] for k in order]
        out = np.zeros(shape, data.dtype)
        for index in np.ndindex(*data.shape):
            target = list(index)
            if self.kind == "add":
                target.insert(self.at, 0)
            elif self.kind == "rm":
                del target[self.at]
            else:
                target = [index[k] for k in order]
            out[tuple(target)] = data[index]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


@st.composite
def axis_problems(draw: st.DrawFn, *, kind: str) -> AxisProblem:
    """Draw an axis op."""
    rank = draw(st.integers(2, 3))
    axis = draw(st.integers(0, rank - 1))
    at = draw(st.integers(0, rank if kind == "add" else rank - 1))
    if kind == "rm":
        at = (axis + draw(st.integers(1, rank - 1))) % rank
    pulse = draw(pulses())
    crop = draw(crops())
    shape = placed(draw(sizes(rank)), axis, draw(lengths(pulse[0], field=sum(crop))))
    return AxisProblem(
        shape=placed(shape, at, 1) if kind == "rm" else shape,
        axis=axis,
        sizes=pulse,
        crop=crop,
        kind=kind,
        at=at,
        to=draw(st.integers(0, rank - 1)),
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class BesideProblem(Streamed):
    """A reshape of axes that do not stream.

    Attributes:
        at: first axis that changes.
        before: its dims.
        after: what they become.
    """

    family = "axes"
    op = "Reshape"
    at: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        return model.wire("op", Reshape(self.at, self.before, self.after), (wire,))[0]

    def oracle(self, data: Array) -> Array:
        end = self.at + len(self.before)
        shape = (*data.shape[: self.at], *self.after, *data.shape[end:])
        return np.array(data.ravel().tolist(), data.dtype).reshape(shape)

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0]


_SAME_VOLUME = (((4,), (2, 2)), ((2, 3), (6,)), ((2, 3), (3, 2)), ((6,), (1, 6)), ((2, 2), (4, 1)))


@st.composite
def beside_problems(draw: st.DrawFn) -> BesideProblem:
    """Draw dims before or after the stream axis."""
    before, after = draw(st.sampled_from(_SAME_VOLUME))
    first = draw(st.booleans())
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    return BesideProblem(
        shape=(length, *before) if first else (*before, length),
        axis=0 if first else len(before),
        sizes=pulse,
        crop=crop,
        at=1 if first else 0,
        before=before,
        after=after,
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class MergeProblem(Streamed):
    """[S, u, ..] becomes [u*S, ..], then [u*S/v, v, ..] when `split` is given.

    Attributes:
        split: elements of a frame after the second reshape, a divisor of u; 0 for no second one.
    """

    family = "axes"
    op = "Reshape"
    split: int = 0

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        frames, inner = model.fact(wire).shape[self.axis : self.axis + 2]
        assert isinstance(inner, int)
        merged = frames * inner
        (wire,) = model.wire("merge", Reshape(self.axis, (frames, inner), (merged,)), (wire,))
        if self.split:
            after = (frames * (inner // self.split), self.split)
            (wire,) = model.wire("split", Reshape(self.axis, (merged,), after), (wire,))
        return wire

    def oracle(self, data: Array) -> Array:
        frames, inner = data.shape[self.axis : self.axis + 2]
        lead, trail = data.shape[: self.axis], data.shape[self.axis + 2 :]
        per = self.split or 1
        after = (frames * inner // per, per) if self.split else (frames * inner,)
        out = np.zeros((*lead, *after, *trail), data.dtype)
        for index in np.ndindex(*data.shape):
            flat = index[self.axis] * inner + index[self.axis + 1]
            place = (flat // per, flat % per) if self.split else (flat,)
            out[(*index[: self.axis], *place, *index[self.axis + 2 :])] = data[index]
        return out

    @property
    def oracle_approx(self) -> str:
        return "exact"

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] * self.shape[self.axis + 1] // (self.split or 1)


@st.composite
def merge_problems(draw: st.DrawFn) -> MergeProblem:
    """Draw frames of u elements that are merged, and maybe split again."""
    axis = draw(st.integers(0, 1))
    inner = draw(st.integers(1, 4))
    split = draw(st.sampled_from([0, *(v for v in (1, 2, 3, 4) if inner % v == 0)]))
    pulse = draw(pulses())
    crop = draw(crops())
    length = draw(lengths(pulse[0], field=sum(crop)))
    lead = (1,) * axis
    return MergeProblem(
        shape=(*lead, length, inner, draw(st.integers(1, 2))),
        axis=axis,
        sizes=pulse,
        crop=crop,
        split=split,
        values=draw(values()),
    )


@dataclass(frozen=True, kw_only=True)
class SplitProblem(Problem):
    """An input of v*S frames, `late` frames dropped in front and as many added behind, is split.

    Attributes:
        frames: the stream length S.
        inner: v.
        late: the delay in front of the reshape.
        sizes: the pulses.
        seed: of the input.
    """

    family = "axes"
    op = "Reshape"
    frames: int
    inner: int
    late: int
    sizes: tuple[int, ...]
    seed: int = 0

    @property
    def length(self) -> int:
        return self.frames

    @property
    def pulses(self) -> tuple[int, ...]:
        return self.sizes

    def model(self) -> Model:
        model = Model()
        dim: Dim = S * self.inner
        wire = model.add_source("x", Fact(np.dtype(np.float32), (dim, 2)))
        if self.late:
            pads = ((0, self.late), (0, 0))
            (wire,) = model.wire("pad", Pad(pads, "constant", -1.0), (wire,))
            crop = Slice(0, self.late, dim + self.late)
            (wire,) = model.wire("crop", crop, (wire,))
        (wire,) = model.wire("split", Reshape(0, (dim,), (S, self.inner)), (wire,))
        model.set_outputs([wire], ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        return {"x": small_integers(self.seed, (self.frames * self.inner, 2))}

    def expected(self) -> dict[str, Array]:
        data = self.inputs()["x"]
        rows = [*data[self.late :].tolist(), *([[-1.0, -1.0]] * self.late)]
        # Of a stream shorter than the crop, only padding is left.
        rows = rows[len(rows) - len(data) :]
        out = [rows[i : i + self.inner] for i in range(0, len(rows), self.inner)]
        return {"y": np.array(out, np.float32).reshape(self.frames, self.inner, 2)}

    @property
    def oracle_approx(self) -> str:
        return "exact"

    @property
    def rounds(self) -> str:
        """The pad's frames are known at the end of the stream, those before them earlier."""
        return "a pad and a crop that undo each other are translated one by one"

    def least_delay(self, pulse: int) -> int | None:
        return -(-self.late // self.inner)


@st.composite
def split_problems(draw: st.DrawFn) -> SplitProblem:
    """Draw a split of a delayed stream."""
    pulse = draw(pulses())
    return SplitProblem(
        frames=draw(lengths(pulse[0], field=3)),
        inner=draw(st.integers(1, 4)),
        late=draw(st.integers(0, 5)),
        sizes=pulse,
        seed=draw(st.integers(0, 999)),
    )


STRATEGIES = {
    "AddAxis-any": lambda: axis_problems(kind="add"),
    "RmAxis-any": lambda: axis_problems(kind="rm"),
    "MoveAxis-any": lambda: axis_problems(kind="move"),
    "Reshape-beside": beside_problems,
    "Reshape-merge": merge_problems,
    "Reshape-split": split_problems,
}


def _merge(
    length: int, inner: int, pulses_: tuple[int, ...], split: int = 0, front: int = 0
) -> MergeProblem:
    return MergeProblem(shape=(length, inner), axis=0, sizes=pulses_, split=split, crop=(front, 0))


HAND: dict[str, Problem] = {
    "AddAxis-one-frame": AxisProblem(shape=(1,), axis=0, sizes=(1, 4), kind="add", at=0),
    "RmAxis-empty-stream": AxisProblem(shape=(1, 0), axis=1, sizes=(2,), kind="rm", at=0),
    "MoveAxis-the-stream": AxisProblem(
        shape=(2, 3, 9), axis=2, sizes=(4, 16), kind="move", at=2, to=0
    ),
    "MoveAxis-over-the-stream": AxisProblem(
        shape=(2, 3, 8), axis=1, sizes=(4,), kind="move", at=0, to=2
    ),
    "Reshape-whole-axis": _merge(8, 2, (8,)),
    "Reshape-one-frame": _merge(1, 2, (1, 4)),
    "Reshape-empty-stream": _merge(0, 2, (1, 4)),
    "Reshape-merge-doubles-the-delay": _merge(9, 2, (1, 4), front=3),
    "Reshape-merge-and-split": _merge(7, 4, (1, 3), split=2, front=1),
    "Reshape-split-with-delay-1": SplitProblem(frames=6, inner=2, late=1, sizes=(1, 4)),
    "Reshape-split-with-delay-3": SplitProblem(frames=6, inner=2, late=3, sizes=(1, 4)),
    "Reshape-split-by-3": SplitProblem(frames=5, inner=3, late=1, sizes=(1, 2)),
}


def _refused(op: Op, starts: str, text: str, *, pulse: int = 4) -> ErrorCase:
    attempt = pulsing(lambda: single(op, *facts(text)), pulse=pulse)
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" ({op.name}): {starts}')


def _invalid(op: Op, starts: str, *texts: str) -> ErrorCase:
    return ErrorCase(wiring(op, *facts(*texts)), InvalidModel, f'node "op" ({op.name}): {starts}')


ERRORS: dict[str, ErrorCase] = {
    "Reshape-inner-stream": _refused(
        Reshape(1, (3, S), (S * 3,)), "reshapes [3,S] to [3*S]: the stream axis", "1,3,S,f32"
    ),
    "Reshape-stream-becomes-inner": _refused(
        Reshape(0, (S, 6), (6, S)), "reshapes [S,6] to [6,S]: the stream axis", "S,6,f32"
    ),
    "AddAxis-axis": _invalid(AddAxis(3), "axis=3 for an input 1,S,f32", "1,S,f32"),
    "RmAxis-axis": _invalid(RmAxis(2), "axis=2 for an input 1,S,f32", "1,S,f32"),
    "RmAxis-wide": _invalid(RmAxis(1), "axis=1 has S positions", "1,S,f32"),
    "MoveAxis-source": _invalid(MoveAxis(2, 0), "source=2", "1,S,f32"),
    "MoveAxis-target": _invalid(MoveAxis(0, 2), "target=2", "1,S,f32"),
    "Reshape-window": _invalid(Reshape(0, (5,), (5, 1)), "axes from 0 on are [5]", "4,f32"),
    "Reshape-volume": _invalid(Reshape(0, (4,), (3,)), "[4] has 4 elements, [3] has 3", "4,f32"),
}
