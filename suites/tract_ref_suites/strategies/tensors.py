"""Values of tensors: a seed and a palette, because arrays have no short `repr`."""

from __future__ import annotations

from hypothesis import strategies as st

from tract_ref_suites.problems.base import Values

MAX_SEED = 999


def values(*, palettes: tuple[str, ...] = ("integers", "normal")) -> st.SearchStrategy[Values]:
    """Draw a seed and one of the palettes, the first being the simplest."""
    return st.builds(Values, st.integers(0, MAX_SEED), st.sampled_from(palettes))


def exact_values() -> st.SearchStrategy[Values]:
    """Draw small integers, whose sums are exact."""
    return values(palettes=("integers",))
