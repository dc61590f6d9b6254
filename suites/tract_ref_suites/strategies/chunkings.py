"""Ways of cutting a stream into pushes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from tract_ref.prove import regular_chunks

MAX_CHUNKS = 12


def chunkings(total: int, *, empty: bool = True) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw chunk sizes that add up to `total` frames: regular ones first, then any cut.

    Args:
        total: frames of the stream.
        empty: allow chunks of no frames.
    """
    regular = st.integers(1, max(1, total)).map(lambda size: tuple(regular_chunks(total, size)))
    cuts = st.lists(st.integers(0, total), max_size=MAX_CHUNKS - 1, unique=not empty)
    return regular | cuts.map(lambda drawn: _between([0, *sorted(drawn), total], empty=empty))


def _between(marks: list[int], *, empty: bool) -> tuple[int, ...]:
    gaps = (b - a for a, b in pairwise(marks))
    return tuple(gap for gap in gaps if gap or empty)
