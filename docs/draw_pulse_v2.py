"""Draws docs/pulse-v2.svg: a window, then a strided one, pushed in uneven chunks.

Which frame reads what, and how many there are after s source frames, comes from the package. Run
it as a program to write the file; a test holds the file to it.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from tract_ref.runtime.reach import Reach
from tract_ref.stream.region import SOURCE, Count
from tract_ref.stream.region_text import count_text, reach_text

PUSHES = (5, 1, 0, 4, 4)
ENDS = tuple(accumulate(PUSHES))
LENGTH = ENDS[-1]
WINDOW, STRIDED = Reach(high=2), Reach(scale=2, high=2)
SHOWN = 3

LEFT, CELL, BOX = 70, 60, 34
ROWS = {"y": 60, "a": 150, "x": 240}
FLOOR, STEP = 610, 19
WIDTH, HEIGHT = LEFT + CELL * LENGTH + 70, 680
FILLS = ("#9ecae1", "#fdd0a2", "#ffffff", "#a1d99b", "#dadaeb")
STROKES = {"x": "#3182bd", "a": "#e6550d", "y": "#31a354"}

COUNTS = {"x": Count.of(SOURCE)}
COUNTS["a"] = COUNTS["x"].through(WINDOW)
COUNTS["y"] = COUNTS["a"].through(STRIDED)


def drawing() -> str:
    """Return the picture as SVG."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="14">'
    )
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join((head, ground, *_pushes(), *_fan(), *_cells(), *_stairs(), "</svg>")) + "\n"


def _middle(wire: str, frame: int) -> float:
    """Return where a frame is drawn: over the middle of what it reads."""
    if wire == "x":
        return LEFT + CELL * (frame + 0.5)
    below, reach = ("x", WINDOW) if wire == "a" else ("a", STRIDED)
    return (_middle(below, reach.first(frame)) + _middle(below, reach.last(frame))) / 2


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {more}>{text}</text>'


def _cells() -> list[str]:
    """Draw the frames of every wire, in the colour of the push that brought them."""
    parts: list[str] = []
    for wire, top in ROWS.items():
        parts.append(_text(20, top + BOX / 2 + 5, wire, 'font-weight="bold" font-size="18"'))
        for frame in range(COUNTS[wire].at(LENGTH)):
            push = next(i for i, end in enumerate(ENDS) if COUNTS[wire].at(end) > frame)
            left = _middle(wire, frame) - BOX / 2
            parts.append(
                f'<rect x="{left:g}" y="{top}" width="{BOX}" height="{BOX}" rx="4" '
                f'fill="{FILLS[push]}" stroke="#333"/>'
            )
            where = 'text-anchor="middle"'
            parts.append(_text(_middle(wire, frame), top + BOX / 2 + 5, str(frame), where))
    return parts


def _fan() -> list[str]:
    """Draw what one frame of y reads, down to the source."""
    parts: list[str] = []
    first = last = SHOWN
    for wire, below, reach in (("y", "a", STRIDED), ("a", "x", WINDOW)):
        top = (_middle(wire, first) - BOX / 2, _middle(wire, last) + BOX / 2)
        first, last = reach.first(first), reach.last(last)
        low = (_middle(below, first) - BOX / 2, _middle(below, last) + BOX / 2)
        high, deep = ROWS[wire] + BOX, ROWS[below]
        parts.append(
            f'<polygon points="{top[0]:g},{high} {top[1]:g},{high} {low[1]:g},{deep} '
            f'{low[0]:g},{deep}" fill="#f4e04d" fill-opacity="0.55"/>'
        )
    said = reach_text(STRIDED, "a").replace("'", "")
    parts.append(
        _text(LEFT, 40, f"frame j of y reads {said}; frame j of a reads frames j to j + 2 of x")
    )
    return parts


def _pushes() -> list[str]:
    """Draw where pushes end, through both halves."""
    parts: list[str] = []
    start = 0
    for number, end in enumerate(ENDS):
        place = LEFT + CELL * end
        if end > start:
            colour = FILLS[number]
            parts.append(
                f'<rect x="{LEFT + CELL * start}" y="290" width="{CELL * (end - start)}" '
                f'height="20" fill="{colour}"/>'
            )
            label = f"push {number + 1}"
            middle = LEFT + CELL * (start + end) / 2
            parts.append(_text(middle, 305, label, 'text-anchor="middle" font-size="12"'))
        else:
            empty = f"push {number + 1} is empty"
            parts.append(_text(place + 4, 326, empty, 'font-size="12" fill="#555"'))
        parts.append(
            f'<line x1="{place}" y1="290" x2="{place}" y2="{FLOOR}" stroke="#999" '
            'stroke-dasharray="4 4"/>'
        )
        start = end
    return parts


def _stairs() -> list[str]:
    """Draw how many frames there are of every wire after s source frames."""
    parts = [
        f'<line x1="{LEFT}" y1="{FLOOR}" x2="{LEFT + CELL * LENGTH}" y2="{FLOOR}" stroke="#333"/>',
        _text(LEFT, FLOOR + 50, "s, source frames received", 'font-style="italic"'),
    ]
    for source in range(LENGTH + 1):
        place = LEFT + CELL * source
        parts.append(_text(place, FLOOR + 22, str(source), 'text-anchor="middle"'))
    for wire, count in COUNTS.items():
        points = f"{LEFT},{FLOOR}"
        for source in range(1, LENGTH + 1):
            place = LEFT + CELL * source
            before, now = (FLOOR - STEP * count.at(s) for s in (source - 1, source))
            points += f" {place},{before} {place},{now}"
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{STROKES[wire]}" stroke-width="3"/>'
        )
        end = FLOOR - STEP * count.at(LENGTH)
        parts.append(_text(LEFT + CELL * LENGTH + 8, end + 5, f"{count.at(LENGTH)} of {wire}"))
        for number, source in enumerate(ENDS):
            if not PUSHES[number]:
                continue
            at = f'cx="{LEFT + CELL * source}" cy="{FLOOR - STEP * count.at(source)}"'
            parts.append(f'<circle {at} r="6" fill="{FILLS[number]}" stroke="#333"/>')
    for number, (wire, count) in enumerate(COUNTS.items()):
        line = f"frames of {wire}: {count_text(count)}"
        colour = f'fill="{STROKES[wire]}" font-weight="bold"'
        parts.append(_text(LEFT + 8, 360 + 24 * number, line, colour))
    return parts


if __name__ == "__main__":
    Path(__file__).with_name("pulse-v2.svg").write_text(drawing())
