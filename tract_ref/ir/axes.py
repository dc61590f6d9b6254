"""Which input axis is which output axis.

An axes mapping is a list of tracks; a track holds, per input and per output, the position of one
logical axis. An axis that a track connects one to one from an input to an output *is the same axis*
there: the op treats its positions independently. An op lists only such axes.

As text a mapping is written like an einsum, one letter per axis: `id,jd->ij`. An axis that is not
tracked has a letter of its own.

Source: spec/ir.md 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, count

from tract_ref.errors import InvalidModel


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

    @staticmethod
    def of_pairs(pairs: Iterable[tuple[int, int]]) -> AxesMapping:
        """Return the mapping of a one-input op from pairs of input and output axis."""
        return AxesMapping(tuple(Track((source,), (target,)) for source, target in pairs))

    @staticmethod
    def parse(text: str) -> AxesMapping:
        """Read `id,jd->ij`: one letter per axis, operands separated by commas, blanks ignored.

        Without `->`, or with nothing after it, there is one output of rank 0.

        Raises:
            InvalidModel: a character that is no letter, two arrows, or a letter that stands twice
                in one operand: a diagonal, which a track cannot hold.
        """
        left, _, right = "".join(text.split()).partition("->")
        inputs, outputs = left.split(","), right.split(",")
        for operand in (*inputs, *outputs):
            for letter in operand:
                if not letter.isalpha():
                    raise InvalidModel(f"axes {text!r}: {letter!r} is not a letter")
                if operand.count(letter) > 1:
                    raise InvalidModel(
                        f"axes {text!r}: {letter!r} stands twice in {operand!r}; a diagonal is not "
                        "an axis"
                    )
        letters = dict.fromkeys(chain.from_iterable((*inputs, *outputs)))
        return AxesMapping(tuple(Track(_places(c, inputs), _places(c, outputs)) for c in letters))

    def __str__(self) -> str:
        """Print as `ab,cb->ac`, letters in the order of the axes."""
        if not self.tracks:
            return "->"
        first = self.tracks[0]
        free = (chr(ord("a") + i) if i < 26 else chr(0x3B1 + i) for i in count())
        letters: dict[int, str] = {}
        operands: list[str] = []
        for slot in range(len(first.inputs) + len(first.outputs)):
            spots = [(*track.inputs, *track.outputs)[slot] for track in self.tracks]
            found = {spot: number for number, spot in enumerate(spots) if spot is not None}
            operand = ""
            for axis in range(max(found, default=-1) + 1):
                known = letters.get(found[axis]) if axis in found else None
                letter = next(free) if known is None else known
                if axis in found:
                    letters[found[axis]] = letter
                operand += letter
            operands.append(operand)
        inputs = len(first.inputs)
        return f"{','.join(operands[:inputs])}->{','.join(operands[inputs:])}"

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


def _places(letter: str, operands: list[str]) -> tuple[int | None, ...]:
    return tuple(o.index(letter) if letter in o else None for o in operands)
