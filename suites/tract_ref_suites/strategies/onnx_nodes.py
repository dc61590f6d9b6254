"""ONNX models of one operator that moves, reduces or multiplies, and small chains."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tract_ref_suites.problems.onnx_base import OPSETS, Attribute, Drawn, OnnxProblem, Step
from tract_ref_suites.strategies.shapes import lengths, placed, pulses, sizes
from tract_ref_suites.strategies.tensors import values

Lists = tuple[tuple[str, tuple[int, ...] | int], ...]
MOVED = ("f4", "f8", "i4", "i8", "u1", "?")
TO_THE_END = (1 << 31) - 1


@st.composite
def problem(
    draw: st.DrawFn,
    group: str,
    steps: tuple[Step, ...],
    shape: tuple[int, ...],
    axis: int,
    *,
    streams: bool = True,
    stride: int = 1,
    field: int = 0,
    least: int = 0,
    dtypes: tuple[str, ...] = ("f4",),
    **rest: Any,
) -> OnnxProblem:
    """Draw what every model has: pulses, length, opset unless given, values and dtype."""
    pulse = draw(pulses(stride))
    length = draw(lengths(pulse[0], field=field, least=least))
    rest.setdefault("opset", draw(st.sampled_from(OPSETS)))
    streamed = tuple(
        each
        if each.axis is None
        else Drawn(each.name, placed(each.shape, each.axis, length), each.dtype, each.axis)
        for each in rest.pop("drawn", ())
    )
    return OnnxProblem(
        group=group,
        steps=steps,
        shape=placed(shape, axis, length),
        axis=axis,
        sizes=pulse if streams else (),
        drawn=streamed,
        values=draw(values()),
        dtype=draw(st.sampled_from(dtypes)),
        least=least,
        **rest,
    )


@st.composite
def shaped(draw: st.DrawFn, *, least: int = 1, most: int = 4) -> tuple[tuple[int, ...], int]:
    """Draw the shape of x and its stream axis."""
    rank = draw(st.integers(least, most))
    return draw(sizes(rank)), draw(st.integers(0, rank - 1))


def by_opset(
    opset: int, since: int, operator: str, name: str, numbers: tuple[int, ...], **more: Attribute
) -> tuple[Step, Lists]:
    """Return a node whose numbers are an attribute, an input since some opset."""
    if opset >= since:
        return Step(operator, ("x", name), tuple(more.items())), ((name, numbers),)
    return Step(operator, ("x",), ((name, numbers), *more.items())), ()


def _counted(draw: st.DrawFn, axis: int, rank: int) -> int:
    return axis - rank if draw(st.booleans()) else axis


@st.composite
def gemm(draw: st.DrawFn) -> OnnxProblem:
    """Draw alpha, beta, both transpositions, C in every broadcast form; x is A or B."""
    flips = {"A": draw(st.booleans()), "B": draw(st.booleans())}
    side = draw(st.sampled_from("AB"))
    inner, other = draw(sizes(2))
    # A is [stream, inner] and B is [inner, stream] unless transposed.
    axis = int((side == "B") != flips[side])
    shape = (inner, inner)
    fixed = "B" if side == "A" else "A"
    leads = (fixed == "A") != flips[fixed]
    weight = (other, inner) if leads else (inner, other)
    by_frame = (1, other) if side == "A" else (other, 1)
    forms = {"none": None, "scalar": (), "one": (1,), "ones": (1, 1), "row": by_frame}
    if side == "A":
        forms["flat"] = (other,)
    offset = forms[draw(st.sampled_from(sorted(forms)))]
    attributes: list[tuple[str, Attribute]] = [
        (f"trans{name}", 1) for name, flipped in flips.items() if flipped
    ]
    for name in ("alpha", "beta"):
        number = draw(st.sampled_from([1.0, 0.5, -2.0]))
        attributes += [(name, number)] if number != 1 else []
    names = ("x", "w") if side == "A" else ("w", "x")
    drawn = [Drawn("w", weight)]
    if offset is not None:
        drawn.append(Drawn("c", offset))
        names = (*names, "c")
    steps = (Step("Gemm", names, tuple(attributes)),)
    return draw(problem("Gemm", steps, shape, axis, drawn=tuple(drawn)))


@st.composite
def matmul(draw: st.DrawFn) -> OnnxProblem:
    """Draw ranks 1 to 4 on both sides; the stream is an axis of rows, columns or batch."""
    rank = draw(st.integers(2, 4))
    shape = draw(sizes(rank))
    is_left = draw(st.booleans())
    summed = rank - 1 if is_left else rank - 2
    axis = draw(st.sampled_from([k for k in range(rank) if k != summed]))
    inner, other = shape[summed], draw(st.integers(1, 3))
    matrix = (inner, other) if is_left else (other, inner)
    # A batch dim beside the stream is 1; a batch of the other side may be new.
    batch = tuple(1 if k == axis else draw(st.sampled_from([1, shape[k]])) for k in range(rank - 2))
    extra = (2,) if rank < 4 and draw(st.booleans()) else ()
    weight = draw(st.sampled_from([matrix, (inner,), (*batch, *matrix), (*extra, *batch, *matrix)]))
    names = ("x", "w") if is_left else ("w", "x")
    steps = (Step("MatMul", names),)
    # onnxruntime does not broadcast a batch of no matrices.
    return draw(problem("MatMul", steps, shape, axis, least=1, drawn=(Drawn("w", weight),)))


@st.composite
def slices(draw: st.DrawFn, *, backwards: bool = False) -> OnnxProblem:
    """Draw starts, ends and steps on one or two axes; negative ones count from the end.

    On the stream a start from the end, or a negative step, needs the whole stream: no pulses. There
    a step is drawn with start 0 only, and the pulse is a multiple of it.
    """
    shape, axis = draw(shaped())
    rank = len(shape)
    chosen = sorted({axis, draw(st.integers(0, rank - 1))})
    least = 0
    columns: list[tuple[int, int, int, int]] = []
    stride = 1
    for each in chosen:
        n = shape[each]
        if each != axis:
            start, end = draw(st.integers(-n - 1, n)), draw(st.integers(-n - 1, n + 1))
            step = draw(st.sampled_from([1, 2, -1, -2]))
        elif backwards:
            step = draw(st.sampled_from([1, 2, -1, -2]))
            start = draw(st.integers(-4, -1))
            end = TO_THE_END if step > 0 else -TO_THE_END
        else:
            step = draw(st.integers(1, 3))
            start = draw(st.integers(0, 3)) if step == 1 else 0
            end = draw(st.sampled_from([TO_THE_END, (1 << 63) - 1, -1, -2]))
            end = end if step == 1 else TO_THE_END
            stride = step
        columns.append((start, end, _counted(draw, each, rank), step))
    starts, ends, axes, steps = zip(*columns, strict=True)
    lists: Lists = (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps))
    node = Step("Slice", ("x", "starts", "ends", "axes", "steps"))
    if set(steps) == {1} and draw(st.booleans()):
        node, lists = Step("Slice", ("x", "starts", "ends", "axes")), lists[:3]
    return draw(
        problem(
            "Slice",
            (node,),
            shape,
            axis,
            streams=not backwards,
            stride=stride,
            least=least,
            dtypes=MOVED,
            lists=lists,
        )
    )


@st.composite
def pads(draw: st.DrawFn, *, mode: str = "constant") -> OnnxProblem:
    """Draw sizes before and after every axis; constant pads may be negative beside the stream."""
    shape, axis = draw(shaped(most=3))
    opset = draw(st.sampled_from(OPSETS))
    rank, least = len(shape), {"constant": 0, "edge": 1, "reflect": 4}[mode]
    before, after = [0] * rank, [0] * rank
    for k in range(rank):
        low, high = 0, 3
        if k != axis and mode == "constant":
            low = -1 if shape[k] > 2 else 0
        if k != axis and mode == "reflect":
            high = shape[k] - 1
        before[k], after[k] = draw(st.integers(low, high)), draw(st.integers(low, high))
    lists: Lists = (("pads", (*before, *after)),)
    names, drawn = ["x", "pads"], ()
    if mode == "constant" and draw(st.booleans()):
        names, drawn = ["x", "pads", "fill"], (Drawn("fill", ()),)
    if opset >= 18 and draw(st.booleans()):
        # Axes that are not padded need not be named.
        axes = [k for k in range(rank) if before[k] or after[k]] or [0]
        kept = (*(before[k] for k in axes), *(after[k] for k in axes))
        lists = (("pads", kept), ("axes", tuple(axes)))
        names += ["axes"] if len(names) == 3 else ["", "axes"]
    attributes = (("mode", mode),) if mode != "constant" else ()
    steps = (Step("Pad", tuple(names), attributes),)
    # onnxruntime pads no booleans in the older opsets.
    return draw(
        problem(
            "Pad",
            steps,
            shape,
            axis,
            least=least,
            drawn=drawn,
            lists=lists,
            opset=opset,
            dtypes=("f4", "f8", "i4", "i8"),
        )
    )


@st.composite
def concat(draw: st.DrawFn) -> OnnxProblem:
    """Draw constants around the stream, or two streams beside each other."""
    shape, axis = draw(shaped())
    joined = draw(st.integers(0, len(shape) - 1))
    attributes = (("axis", _counted(draw, joined, len(shape))),)
    if joined == axis:
        ends = draw(st.sampled_from([("a", "x"), ("x", "b"), ("a", "x", "b")]))
        drawn = tuple(
            Drawn(name, placed(shape, axis, draw(st.integers(1, 3))))
            for name in ends
            if name != "x"
        )
        steps = (Step("Concat", ends, attributes),)
    else:
        second = Drawn("z", placed(shape, joined, draw(st.integers(1, 3))), "", axis)
        names = draw(st.sampled_from([("x", "z"), ("z", "x"), ("x", "z", "x")]))
        drawn, steps = (second,), (Step("Concat", names, attributes),)
    return draw(problem("Concat", steps, shape, axis, drawn=drawn, dtypes=MOVED))


@st.composite
def transpose(draw: st.DrawFn) -> OnnxProblem:
    """Draw a permutation, or none, which reverses the axes."""
    shape, axis = draw(shaped())
    perm = draw(st.none() | st.permutations(range(len(shape))).map(tuple))
    attributes = () if perm is None else (("perm", perm),)
    steps = (Step("Transpose", ("x",), attributes),)
    return draw(problem("Transpose", steps, shape, axis, dtypes=MOVED))


@st.composite
def reshape(draw: st.DrawFn) -> OnnxProblem:
    """Draw 0 and -1 for the stream, and its neighbours split, merged or given a 1."""
    front, back = draw(sizes(draw(st.integers(0, 2)))), draw(sizes(draw(st.integers(0, 2))))
    axis = len(front)
    # 0 copies the dim of its own index, so it is there for the stream only if that did not move.
    keeps = draw(st.booleans())
    new_front = front if keeps else (int(np.prod(front)),)
    forms = [back, (int(np.prod(back)),), (*back, 1), (1, *back)]
    new_back = draw(st.sampled_from(forms))
    stays = len(new_front) == axis
    # With -1 an empty tensor has no inferred dim.
    frames = draw(st.sampled_from([0, -1])) if stays else -1
    least = 1
    if frames == 0 and draw(st.booleans()):
        least = 0
    if frames == 0 and least and new_back:
        new_back = (*new_back[:-1], -1)
    lists: Lists = (("shape", (*new_front, frames, *new_back)),)
    steps = (Step("Reshape", ("x", "shape")),)
    shape = (*front, 1, *back)
    return draw(problem("Reshape", steps, shape, axis, least=least, dtypes=MOVED, lists=lists))


@st.composite
def squeeze(draw: st.DrawFn, operator: str) -> OnnxProblem:
    """Draw axes of 1 to remove, or places for new ones; an attribute before opset 13."""
    shape, axis = draw(shaped(most=3))
    opset, rank = draw(st.sampled_from(OPSETS)), len(shape)
    if operator == "Squeeze":
        ones = draw(st.sets(st.integers(0, rank - 1)).map(lambda s: s - {axis}))
        shape = tuple(1 if k in ones else n for k, n in enumerate(shape))
        chosen, whole = sorted(ones), rank
        if not chosen:
            shape, chosen, whole = (*shape, 1), [rank], rank + 1
    else:
        count = draw(st.integers(1, 2))
        whole = rank + count
        chosen = sorted(draw(st.permutations(range(whole)))[:count])
    axes = tuple(_counted(draw, k, whole) for k in chosen)
    step, lists = by_opset(opset, 13, operator, "axes", axes)
    return draw(problem(operator, (step,), shape, axis, lists=lists, opset=opset, dtypes=MOVED))


REDUCERS = (
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"),
    *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)


@st.composite
def reduce(draw: st.DrawFn) -> OnnxProblem:
    """Draw a reduction over some or all axes, keepdims or not; over the stream: no pulses."""
    operator = draw(st.sampled_from(REDUCERS))
    shape, axis = draw(shaped())
    rank, opset = len(shape), draw(st.sampled_from(OPSETS))
    keeps = draw(st.integers(0, 1))
    whole = draw(st.integers(0, 4)) == 4 or rank == 1
    others = [k for k in range(rank) if k != axis]
    chosen = sorted(draw(st.sets(st.sampled_from(others), min_size=1))) if not whole else []
    chosen += [axis] if whole and draw(st.booleans()) else []
    since = 13 if operator == "ReduceSum" else 18
    numbers = tuple(_counted(draw, k, rank) for k in sorted(chosen))
    if chosen:
        step, lists = by_opset(opset, since, operator, "axes", numbers, keepdims=keeps)
    else:
        step, lists = Step(operator, ("x",), (("keepdims", keeps),)), ()
    # onnxruntime reduces no tensor without elements: its shape stays as it is.
    return draw(
        problem(
            "Reduce",
            (step,),
            shape,
            axis,
            streams=not whole,
            least=1,
            lists=lists,
            opset=opset,
        )
    )


@st.composite
def softmax(draw: st.DrawFn, operator: str) -> OnnxProblem:
    """Draw the axis, or none; before opset 13 it and all axes after it are normalised together."""
    shape, axis = draw(shaped(least=2))
    rank, opset = len(shape), draw(st.sampled_from(OPSETS))
    given = draw(st.none() | st.integers(0, rank - 1))
    first = given if given is not None else (1 if opset < 13 else rank - 1)
    normalised = range(first, rank) if opset < 13 else (first,)
    attributes = () if given is None else (("axis", _counted(draw, given, rank)),)
    step = Step(operator, ("x",), attributes)
    streams = axis not in normalised
    return draw(
        problem(
            operator, (step,), shape, axis, streams=streams, least=int(not streams), opset=opset
        )
    )
