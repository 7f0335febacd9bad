"""
Where the parts of a chart are drawn: numbers in, positions in an SVG out.

Positions are text already: a template would write numbers in the reader's language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 300, 150
#: The box in which values are drawn; labels are around it.
LEFT, RIGHT, TOP, BOTTOM = 48, 294, 8, 130
#: Labels below the box.
COLUMNS = 4
#: The part of a slot that its bar is wide.
BAR = 0.75

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Ends of an axis of seconds whose halves read well, too.
_DURATIONS = (
    *(_MINUTE * n for n in (1, 2, 4, 10, 20, 30)),
    *(_HOUR * n for n in (1, 2, 4, 8, 12)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label and where it belongs: from above, or from the left."""

    at: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle, and what it says to the pointer."""

    x: str
    y: str
    width: str
    height: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The values of one name; `kind` is a class of overview.css."""

    name: str
    kind: str
    bars: Sequence[Box] = ()
    #: The points of one polyline each; a gap begins the next.
    lines: Sequence[str] = ()
    #: Points with a gap on both sides: a polyline would not show them.
    dots: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Everything that is drawn."""

    series: Sequence[Series]
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    #: One over each slot, for the pointer.
    slots: Sequence[Box]

    view_box = f"0 0 {WIDTH} {HEIGHT}"
    #: The ends of the rules.
    left, right = str(LEFT), str(RIGHT)
    #: Where the labels of rows end, and those of columns stand.
    beside, below = str(LEFT - 6), str(BOTTOM + 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of one series; None is a gap."""

    name: str
    kind: str
    values: Sequence[float | None]


def stacked_bars(
    series: Sequence[Values],
    labels: Sequence[str],
    texts: Sequence[str],
    say: Callable[[float], str],
) -> Chart:
    """
    Return a bar per slot, the first series at the bottom.

    `labels` and `texts` name the slots, below and to the pointer; `say` words a value.
    """
    totals = [sum(filter(None, values)) for values in zip(*(s.values for s in series), strict=True)]
    top = count_above(max(totals, default=0.0))
    floors = [0.0] * len(totals)
    drawn = []
    for one in series:
        bars = []
        for n, value in enumerate(one.values):
            if value:
                bars.append(_bar(n, len(totals), floors[n], floors[n] + value, top))
                floors[n] += value
        drawn.append(Series(name=one.name, kind=one.kind, bars=bars))
    return Chart(
        series=drawn,
        rows=_rows(top, say, whole=True),
        columns=_columns(labels),
        slots=_slots(texts),
    )


def duration_lines(
    series: Sequence[Values],
    labels: Sequence[str],
    texts: Sequence[str],
    say: Callable[[float], str],
) -> Chart:
    """Return a line per series of seconds; the arguments are those of `stacked_bars`."""
    known = [value for one in series for value in one.values if value is not None]
    top = duration_above(max(known, default=0.0))
    return Chart(
        series=[_line(one, top) for one in series],
        rows=_rows(top, say, whole=False),
        columns=_columns(labels),
        slots=_slots(texts),
    )


def count_above(value: float) -> float:
    """Return the end of an axis of counts: 1, 2, 4, 6 or 8 times a power of ten, from 1 on."""
    return max(1.0, _round_above(value))


def duration_above(value: float) -> float:
    """Return the end of an axis of seconds: 1 ms or more, and above a minute whole parts of it."""
    if value <= 40:
        return max(0.001, _round_above(value))
    for end in _DURATIONS:
        if value <= end:
            return float(end)
    return count_above(value / _DAY) * _DAY


def _round_above(value: float) -> float:
    if value <= 0:
        return 0.0
    exponent = math.floor(math.log10(value))
    # Dividing by a whole power keeps 0.002 what it is, which 2 * 10**-3 is not.
    power = 10 ** abs(exponent)
    for digit in (1, 2, 4, 6, 8, 10):
        end = digit * power if exponent >= 0 else digit / power
        if value <= end:
            return float(end)
    return float(value)  # A power of ten that is not exact.


def _rows(top: float, say: Callable[[float], str], *, whole: bool) -> list[Tick]:
    marks = [0.0, top] if whole and top % 2 else [0.0, top / 2, top]
    return [Tick(at=_text(_y(mark, top)), label=say(mark)) for mark in marks]


def _columns(labels: Sequence[str]) -> list[Tick]:
    step = max(1, math.ceil(len(labels) / COLUMNS))
    return [
        Tick(at=_text(_middle(n, len(labels))), label=labels[n])
        for n in range(step // 2, len(labels), step)
    ]


def _slots(texts: Sequence[str]) -> list[Box]:
    width = (RIGHT - LEFT) / max(1, len(texts))
    return [
        Box(
            x=_text(LEFT + n * width),
            y=_text(TOP),
            width=_text(width),
            height=_text(BOTTOM - TOP),
            text=text,
        )
        for n, text in enumerate(texts)
    ]


def _bar(n: int, count: int, low: float, high: float, top: float) -> Box:
    width = (RIGHT - LEFT) / count * BAR
    upper, lower = _y(high, top), _y(low, top)
    return Box(
        x=_text(_middle(n, count) - width / 2),
        y=_text(upper),
        width=_text(width),
        height=_text(lower - upper),
    )


def _line(one: Values, top: float) -> Series:
    points = [
        None if value is None else (_text(_middle(n, len(one.values))), _text(_y(value, top)))
        for n, value in enumerate(one.values)
    ]
    runs = [list(run) for is_gap, run in groupby(points, lambda point: point is None) if not is_gap]
    lines = [" ".join(f"{p[0]},{p[1]}" for p in run if p) for run in runs if len(run) > 1]
    dots = [run[0] for run in runs if len(run) == 1 and run[0]]
    return Series(name=one.name, kind=one.kind, lines=lines, dots=dots)


def _middle(n: int, count: int) -> float:
    return LEFT + (n + 0.5) * (RIGHT - LEFT) / count


def _y(value: float, top: float) -> float:
    return BOTTOM - value / top * (BOTTOM - TOP)


def _text(position: float) -> str:
    return f"{position:.1f}"
