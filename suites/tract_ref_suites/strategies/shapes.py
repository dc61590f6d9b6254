"""Shapes and stream lengths, small ones first."""

from __future__ import annotations

from hypothesis import strategies as st

MAX_SIZE = 3
MAX_CROP = 3


def sizes(rank: int, *, least: int = 1, most: int = MAX_SIZE) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw the sizes of `rank` axes."""
    return st.tuples(*(st.integers(least, most) for _ in range(rank)))


def lengths(pulse: int, *, field: int = 0, least: int = 0) -> st.SearchStrategy[int]:
    """Draw a stream length: about a receptive field, whole pulses, or much longer than both.

    Args:
        pulse: frames per turn.
        field: frames that the first output frame needs.
        least: smallest length.
    """
    short = st.integers(least, max(least, field + 1))
    whole = st.integers(-(-least // pulse), -(-least // pulse) + 4).map(lambda k: k * pulse)
    long = st.integers(max(least, field), max(least, field) * 2 + 3 * pulse + 2)
    return short | whole | long


def crops(*, most: int = MAX_CROP) -> st.SearchStrategy[tuple[int, int]]:
    """Draw frames to drop at both ends of a stream; half of the time nothing at the end."""
    front = st.integers(0, most)
    return st.tuples(front, st.just(0)) | st.tuples(front, front)


def pulses(stride: int = 1, *, most: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw two pulses that are multiples of a stride."""
    factors = st.lists(st.integers(1, most), min_size=2, max_size=2, unique=True)
    return factors.map(lambda drawn: tuple(stride * factor for factor in drawn))


def placed(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    """Return the shape with the stream's length on an axis."""
    return (*shape[:axis], length, *shape[axis + 1 :])
