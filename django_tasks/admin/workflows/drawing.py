"""
Where the parts of a workflow's graph are drawn: boxes in, positions in an SVG out.

Positions are text already: a template would write numbers in the reader's language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from ...models.workflows import JoinKind
from ...monitoring.workflows.graph import Box, Graph, Tie
from ...statuses import Status
from .. import formats

WIDTH = 172
#: Between levels, between boxes, around all, and around what is in a box.
BETWEEN, GAP, MARGIN, PADDING = 52, 16, 12, 10
#: Heights of the title, the bar with its space, and a line.
TITLE, BAR, LINE = 26, 12, 17
#: Graphs of at most this height have their levels centred: there is nothing to scroll.
CENTRED = 640
#: What a line from box to box looks like; classes of workflow-page.css.
KINDS = {JoinKind.SUCCESS: "success", JoinKind.ALWAYS: "always", JoinKind.FAILURE: "failure"}
#: What has to be seen first.
ORDER = (
    Status.FAILED,
    Status.RUNNING,
    Status.READY,
    Status.SCHEDULED,
    Status.WAITING,
    Status.CANCELLED,
    Status.SUCCESSFUL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a bar, or a line of text; `kind` is a class of the style sheet."""

    kind: str
    at: str
    width: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """A rectangle, what is in it, and where it leads. Positions in it count from its corner."""

    x: str
    y: str
    height: str
    frame_height: str
    kind: str
    title: str
    #: What it says to the pointer.
    text: str
    bars: Sequence[Part]
    lines: Sequence[Part]
    url: str

    width, frame_width = str(WIDTH), str(WIDTH - 3)
    left = str(PADDING)
    title_at, bar_at = "19", str(TITLE + 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Everything that is drawn."""

    width: str
    height: str
    boxes: Sequence[DrawnBox]
    #: What lines look like, and their paths.
    lines: Sequence[tuple[str, str]]
    #: Where several lines meet.
    dots: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def draw(graph: Graph, url_of: Callable[[Box], str]) -> Drawing:
    """Return a graph with its levels from left to right. `url_of`: where a box leads."""
    places = _places(graph)
    lines, dots = _lines(graph.ties, places)
    width = max((place.x for place in places.values()), default=0) + WIDTH + MARGIN
    height = max((place.y + place.height for place in places.values()), default=0) + MARGIN
    return Drawing(
        width=_text(width),
        height=_text(height),
        boxes=[_drawn(box, places[box.first], url_of(box)) for box in graph.boxes],
        lines=lines,
        dots=dots,
    )


def _places(graph: Graph) -> dict[int, _Place]:
    before: dict[int, list[int]] = {}
    for tie in graph.ties:
        for first in tie.after:
            before.setdefault(first, []).extend(tie.before)
    columns = [
        [box for box in graph.boxes if box.level == level]
        for level in range(graph.start, graph.end)
    ]
    heights = [sum(map(_height, column)) + GAP * (len(column) - 1) for column in columns]
    highest = max(heights, default=0)
    places: dict[int, _Place] = {}
    for number, (column, height) in enumerate(zip(columns, heights, strict=True)):
        y = MARGIN + ((highest - height) / 2 if highest <= CENTRED else 0)
        x = MARGIN + number * (WIDTH + BETWEEN)
        wanted = {box.first: _wanted(before.get(box.first, ()), places) for box in column}
        for box in sorted(column, key=lambda box: (wanted[box.first], box.first)):
            places[box.first] = _Place(x, y, _height(box))
            y += _height(box) + GAP
    return places


def _wanted(before: Iterable[int], places: dict[int, _Place]) -> float:
    """Return how high a box would like to be: as those before it are, so that lines cross less."""
    known = [places[box].middle for box in before if box in places]
    return sum(known) / len(known) if known else 0.0


def _height(box: Box) -> float:
    bar = BAR if box.size > 1 else 0
    return TITLE + bar + LINE * (len(box.statuses) + (box.length > 1)) + PADDING / 2


def _drawn(box: Box, place: _Place, url: str) -> DrawnBox:
    present = [status for status in ORDER if box.statuses.get(status)]
    words = [_counted(box, status) for status in present]
    title = box.title if box.size == 1 else f"{box.title} × {formats.count(box.size)}"
    run = [_("one after another")] if box.length > 1 else []
    top = TITLE + (BAR if box.size > 1 else 0) + 12
    lines = [
        Part(kind="note", at=_text(top + LINE * n), text=text) for n, text in enumerate(run)
    ] + [
        Part(kind=status.lower(), at=_text(top + LINE * (n + len(run))), text=word)
        for n, (status, word) in enumerate(zip(present, words, strict=True))
    ]
    return DrawnBox(
        x=_text(place.x),
        y=_text(place.y),
        height=_text(place.height),
        frame_height=_text(place.height - 3),
        kind=present[0].lower() if present else "waiting",
        title=title,
        text=f"{title}\n{box.path}\n" + "\n".join(run + words),
        bars=_bars(box, present) if box.size > 1 else (),
        lines=lines,
        url=url,
    )


def _counted(box: Box, status: Status) -> str:
    word = str(status.label)
    return word if box.size == 1 else f"{formats.count(box.statuses[status])} {word.lower()}"


def _bars(box: Box, present: Sequence[Status]) -> list[Part]:
    whole = WIDTH - 2 * PADDING
    x = float(PADDING)
    bars = []
    for status in present:
        width = whole * box.statuses[status] / box.size
        bars.append(Part(kind=status.lower(), at=_text(x), width=_text(max(width, 1.0))))
        x += width
    return bars


def _lines(
    ties: Iterable[Tie], places: dict[int, _Place]
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    lines, dots = [], []
    for tie in ties:
        kind = KINDS[tie.kind]
        if len(tie.before) > 1 and len(tie.after) > 1:
            x = min(places[box].x for box in tie.after) - BETWEEN / 3
            y = sum(places[box].middle for box in tie.after) / len(tie.after)
            dots.append((kind, _text(x), _text(y)))
            lines += [(kind, _curve(_end_of(places[box]), (x, y))) for box in tie.before]
            lines += [(kind, _curve((x, y), _begin_of(places[box]))) for box in tie.after]
        else:
            lines += [
                (kind, _curve(_end_of(places[one]), _begin_of(places[other])))
                for one in tie.before
                for other in tie.after
            ]
    return lines, dots


def _end_of(place: _Place) -> tuple[float, float]:
    return place.x + WIDTH, place.middle


def _begin_of(place: _Place) -> tuple[float, float]:
    return place.x, place.middle


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    bend = min((to_x - x) / 2, BETWEEN / 2)
    points = ((x + bend, y), (to_x - bend, to_y), (to_x, to_y))
    texts = (f"{_text(px)} {_text(py)}" for px, py in points)
    return f"M{_text(x)} {_text(y)}C{' '.join(texts)}"


def _text(position: float) -> str:
    return f"{position:.1f}"
