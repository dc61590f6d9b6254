"""ONNX models of one windowed operator."""

from __future__ import annotations

from hypothesis import strategies as st

from tract_ref_suites.problems.onnx_base import OPSETS, Drawn, OnnxWindows
from tract_ref_suites.strategies.shapes import lengths, placed, pulses
from tract_ref_suites.strategies.tensors import values
from tract_ref_suites.strategies.windows import Along

PADDINGS = ("pads", "valid", "upper", "lower")


def _least(along: Along) -> int:
    """Return a size with a window: engines differ on axes that are shorter than a window."""
    pads = sum(along.padding) if isinstance(along.padding, tuple) else 0
    named = along.padding in ("upper", "lower")
    return 1 if named else max(1, along.field + 1 - pads)


@st.composite
def _along(draw: st.DrawFn, operator: str, padding: str, *, dilates: bool, streams: bool) -> Along:
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 3)) if dilates else 1
    if padding in ("upper", "lower"):
        # onnxruntime refuses or ignores dilations there, and refuses pools that leave gaps.
        dilation = 1
        stride = stride if operator == "Conv" else min(stride, kernel)
    if padding != "pads":
        # A SAME padding whose front depends on the length does not stream.
        found = Along(kernel, stride, dilation, padding)
        return found if found.streams or not streams else Along(kernel, 1, dilation, padding)
    # A pool whose window lies in padding only has no value that engines agree on.
    most = (kernel - 1) * dilation + 2
    if operator != "Conv":
        most = kernel - 1 if dilation == 1 else 0
    pad = st.integers(0, most)
    return Along(kernel, stride, dilation, (draw(pad), draw(pad)))


@st.composite
def window_problems(
    draw: st.DrawFn, operator: str, *, padding: str = "pads", spatial: int = 1
) -> OnnxWindows:
    """Draw Conv, MaxPool or AveragePool along one of their spatial axes."""
    opset = draw(st.sampled_from(OPSETS))
    # AveragePool has dilations since opset 19.
    dilates = operator != "AveragePool" or opset >= 19
    axis = draw(st.integers(2, 1 + spatial))
    along = tuple(
        draw(_along(operator, padding, dilates=dilates, streams=k + 2 == axis))
        for k in range(spatial)
    )
    counted = operator == "AveragePool" and draw(st.booleans())
    # What counted padding means in ceil mode was settled in opset 19 only; it is left out.
    if operator != "Conv" and padding == "pads" and not counted and draw(st.booleans()):
        along = tuple(Along(a.kernel, a.stride, a.dilation, a.padding, True) for a in along)
    window = along[axis - 2]
    sizes = draw(pulses(window.stride))
    length = draw(lengths(sizes[0], field=window.field, least=_least(window)))
    groups = draw(st.integers(1, 2)) if operator == "Conv" else 1
    per_group, outs = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    others = tuple(_least(a) + draw(st.integers(0, 2)) for a in along)
    drawn: tuple[Drawn, ...] = ()
    if operator == "Conv":
        drawn = (Drawn("w", (outs, per_group, *(a.kernel for a in along))),)
        drawn += (Drawn("b", (outs,)),) if draw(st.booleans()) else ()
    return OnnxWindows(
        group=operator,
        steps=(),
        shape=placed((draw(st.integers(1, 2)), per_group * groups, *others), axis, length),
        axis=axis,
        sizes=sizes,
        drawn=drawn,
        opset=opset,
        values=draw(values()),
        along=along,
        counted=counted,
        groups=groups,
    )
