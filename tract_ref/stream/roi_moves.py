"""How a region of interest goes through ops that move positions: the geometry that rules share.

Each function takes what is observed of an output, over the output's coordinates, and returns what
is observed of the input, over its own. Output position i shows input position p:

    cropped     i = p - start, for start <= p < end
    shifted     i = p + before
    sampled     i = (p - first) / stride, where that is whole
    reshaped    both have one row-major index
    bordered    i = p + before, and where the padding copies p
    tiled       i = p + k*n for each copy k
    slid        the windows i that read p
    spread      the positions i that p is added to
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tract_ref.dim import Dim, TDim, eq, ge
from tract_ref.ir.fact import Shape
from tract_ref.ir.per_element import coordinate, coordinate_axes, remap
from tract_ref.stream.roi import Region, either, intersection, project, read_by, shown
from tract_ref.stream.window import WindowSpec

# Of more copies of an axis than these, each is not worth a term of its own.
_COPIES = 4


def renamed(region: Region, axes: Mapping[int, int], shape: Shape) -> Region:
    """Rename coordinates, all at once; those without a counterpart are projected out.

    Args:
        region: over positions of `shape`.
        axes: per axis of the output that the input has too, where it stands in the input.
        shape: of the output.
    """
    kept = project(region, axes, shape)
    if kept is None:
        return None
    return remap(kept, {source: coordinate(target) for source, target in axes.items()})


def all_along(region: Region, axes: Iterable[int], shape: Shape) -> Region:
    """Take every position of some axes to be seen by each observed one."""
    left = set(range(len(shape))).difference(axes)
    return project(region, left, shape)


def shifted(region: Region, axis: int, offset: Dim) -> Region:
    """Read what is observed `offset` positions further on."""
    return None if region is None else remap(region, {axis: coordinate(axis) + offset})


def cropped(region: Region, axis: int, start: Dim, end: Dim) -> Region:
    """Go through a crop to [start, end): positions outside of it are not observed."""
    at = coordinate(axis)
    return intersection(ge(at, start) * ge(end - 1, at), shifted(region, axis, -start))


def sampled(region: Region, axis: int, stride: int, modulo: int, size: Dim) -> Region:
    """Go through every stride-th position; a negative stride counts from the last one.

    Args:
        region: what is observed of the output.
        axis: the axis.
        stride: not 0.
        modulo: first kept position of a positive stride.
        size: positions of the input on the axis.
    """
    at = coordinate(axis)
    way = at - modulo if stride > 0 else size - 1 - at
    index = way // abs(stride)
    kept = ge(way, 0) * eq(way, abs(stride) * index)
    return intersection(kept, None if region is None else remap(region, {axis: index}))


def reshaped(region: Region, at: int, before: Shape, after: Shape, shape: Shape) -> Region:
    """Go through a reshape of the axes [at, at + len(before)).

    Exact where all dims but the outermost ones are numbers; otherwise every position of the
    changed axes is observed.

    Args:
        region: over positions of `shape`.
        at: first axis that changes.
        before: dims of the input there.
        after: dims of the output there.
        shape: of the output.
    """
    if region is None:
        return None
    shift = len(before) - len(after)
    outside = {a: a if a < at else a + shift for a in range(len(shape))}
    for axis in range(at, at + len(after)):
        del outside[axis]
    inner = (*before[1:], *after[1:])
    if any(isinstance(dim, TDim) or dim == 0 for dim in inner):
        return renamed(region, outside, shape)
    index: Dim = 0
    for place, dim in enumerate(before):
        index = index * (dim if place else 1) + coordinate(at + place)
    places = {source: coordinate(target) for source, target in outside.items()}
    for place in reversed(range(len(after))):
        dim = after[place]
        above = index // dim if place and isinstance(dim, int) else 0
        places[at + place] = index - above * dim
        index = above
    return remap(region, places)


def bordered(region: Region, axis: int, pair: tuple[int, int], size: Dim, mode: str) -> Region:
    """Go through padding of one axis; copies of a position make it observed where they are.

    Args:
        region: what is observed of the output.
        axis: the axis.
        pair: positions added before and after.
        size: positions of the input on the axis.
        mode: `constant`, `edge` or `reflect`.
    """
    if region is None or axis not in coordinate_axes(region):
        return region
    at, (before, after), last = coordinate(axis), pair, size - 1
    inside = shifted(region, axis, before)
    if mode == "constant":
        return inside
    if mode == "edge":
        front = eq(at, 0) * shown(region, axis, 0, before - 1)
        back = eq(at, last) * shown(region, axis, before + size, before + last + after)
    else:
        front = ge(at, 1) * ge(before, at) * remap(region, {axis: before - at})
        back = ge(last - 1, at) * ge(at, last - after)
        back = back * remap(region, {axis: before + 2 * last - at})
    return either(inside, front if before else 0, back if after else 0)


def tiled(region: Region, axis: int, times: Dim, size: Dim, shape: Shape) -> Region:
    """Go through copies of a whole axis; of many copies every position is taken to be seen.

    Args:
        region: what is observed of the output.
        axis: the axis.
        times: how many copies.
        size: positions of the input on the axis.
        shape: of the output.
    """
    if isinstance(times, TDim) or times > _COPIES:
        return all_along(region, (axis,), shape)
    return either(*(shifted(region, axis, copy * size) for copy in range(times)))


def slid(region: Region, spec: WindowSpec, data: Shape, out: Shape) -> Region:
    """Go through windows over the spatial axes; the other axes keep their positions.

    Position p is read by the windows that start at p - field .. p, dilation counting as solid.

    Args:
        region: what is observed of the output.
        spec: the windows.
        data: shape of the input.
        out: shape of the output.
    """
    for spatial in range(spec.rank):
        axis, window = spec.FIRST + spatial, spec.axis(spatial)
        if spec.is_pointwise(spatial):
            continue
        size, before = data[axis], window.fixed_pads(data[axis])[0]
        if before is None and isinstance(size, int):
            before = window.pads(size)[0]
        if before is None:
            region = all_along(region, (axis,), out)
            continue
        high = coordinate(axis) + before
        ends = (high - window.field, high)
        region = read_by(region, axis, out[axis], *ends, scale=window.stride)
    return region


def spread(region: Region, spec: WindowSpec, crops: Sequence[int], out: Shape) -> Region:
    """Go through a transposed convolution: position p is added to p*stride - crop .. + field.

    Args:
        region: what is observed of the output.
        spec: kernel, stride and dilation of the spatial axes.
        crops: positions dropped before, per spatial axis.
        out: shape of the output.
    """
    region = all_along(region, (1,), out)
    for spatial, crop in enumerate(crops):
        axis, window = spec.FIRST + spatial, spec.axis(spatial)
        low = coordinate(axis) * window.stride - crop
        region = read_by(region, axis, out[axis], low, low + window.field)
    return region
