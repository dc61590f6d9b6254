"""Which input axis is which output axis.

An axes mapping is a list of tracks; a track holds, per input and per output, the position of one
logical axis. An axis that a track connects one to one from an input to an output *is the same axis*
there: the op treats its positions independently. An op lists only such axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Track:
    """One logical axis: its position in each input and output, None where it is absent."""

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class AxesMapping:
    """The tracked axes of one node."""

    tracks: tuple[Track, ...]

    @staticmethod
    def disconnected() -> AxesMapping:
        """Nothing maps."""
        return AxesMapping(())

    @staticmethod
    def natural(inputs: int, outputs: int, rank: int, *, skip: Iterable[int] = ()) -> AxesMapping:
        """Axis k to axis k, as in element-wise ops, except the axes in `skip`."""
        left_out = frozenset(skip)
        return AxesMapping(
            tuple(
                Track((axis,) * inputs, (axis,) * outputs)
                for axis in range(rank)
                if axis not in left_out
            )
        )

    def output_axis(self, slot: int, axis: int, *, output: int = 0) -> int | None:
        """Return where an input's axis stands in an output, None when it is not tracked."""
        for track in self.tracks:
            if track.inputs[slot] == axis:
                return track.outputs[output]
        return None

    def input_axis(self, output: int, axis: int, slot: int) -> int | None:
        """Return where an output's axis stands in an input, None when it is not tracked."""
        for track in self.tracks:
            if track.outputs[output] == axis:
                return track.inputs[slot]
        return None
