"""Making a shape smaller: what is alike becomes one, and what follows alike, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence

from ...models.workflows import JoinKind
from .cells import Cell, Meeting, Shape


def levels_of(shape: Shape) -> list[int]:
    """Return for each cell how many meetings are before it, at the most."""
    levels = [0] * len(shape.cells)
    waits, leads = _ties(shape)
    missing = [len(meeting.sources) for meeting in shape.meetings]
    heights = [0] * len(shape.meetings)
    ready = deque(n for n, meetings in enumerate(waits) if not meetings)
    open_ = [len(meetings) for meetings in waits]
    done = [n for n, count in enumerate(missing) if not count]
    while ready or done:
        for number in done:
            for target in shape.meetings[number].targets:
                levels[target] = max(levels[target], heights[number] + 1)
                open_[target] -= 1
                if not open_[target]:
                    ready.append(target)
        done = []
        if ready:
            cell = ready.popleft()
            for number in leads[cell]:
                heights[number] = max(heights[number], levels[cell])
                missing[number] -= 1
                if not missing[number]:
                    done.append(number)
    return levels


def _ties(shape: Shape) -> tuple[list[list[int]], list[list[int]]]:
    """Return for each cell the meetings at which it waits, and those that wait for it."""
    waits: list[list[int]] = [[] for _ in shape.cells]
    leads: list[list[int]] = [[] for _ in shape.cells]
    for number, meeting in enumerate(shape.meetings):
        for target in meeting.targets:
            waits[target].append(number)
        for source in meeting.sources:
            leads[source].append(number)
    return waits, leads


def alike_folded(shape: Shape) -> Shape:
    """Make one of cells of one task that have the same before them, in all steps back."""
    waits, _leads = _ties(shape)
    levels = levels_of(shape)
    numbers: dict[Hashable, int] = {}

    def number_of(key: Hashable) -> int:
        return numbers.setdefault(key, len(numbers))

    kinds = [-1] * len(shape.cells)
    of_meeting: dict[int, int] = {}
    for cell in sorted(range(len(shape.cells)), key=levels.__getitem__):
        for meeting in waits[cell]:
            if meeting not in of_meeting:
                found = shape.meetings[meeting]
                before = frozenset(kinds[source] for source in found.sources)
                of_meeting[meeting] = number_of((found.kind, found.allow_failures, before))
        at = frozenset(of_meeting[meeting] for meeting in waits[cell])
        kinds[cell] = number_of((shape.cells[cell].path, at))
    return _merged(shape, kinds)


def runs_folded(shape: Shape) -> Shape:
    """Make one of cells of one task that follow one another, with nothing beside them."""
    waits, leads = _ties(shape)
    levels = levels_of(shape)
    into = list(range(len(shape.cells)))
    for cell in sorted(into, key=levels.__getitem__):
        if len(waits[cell]) != 1:
            continue
        meeting = shape.meetings[waits[cell][0]]
        if len(meeting.sources) != 1 or len(meeting.targets) != 1:
            continue
        [before] = meeting.sources
        is_alike = shape.cells[before].path == shape.cells[cell].path
        is_plain = meeting.kind == JoinKind.SUCCESS and len(leads[before]) == 1
        if is_alike and is_plain and levels[before] < levels[cell]:
            into[cell] = into[before]
    return _merged(shape, into, is_run=True)


def _merged(shape: Shape, kinds: Sequence[int], *, is_run: bool = False) -> Shape:
    """Return the shape in which cells of one kind are one, and so the meetings of the same."""
    made: dict[int, Cell] = {}
    for cell, kind in zip(shape.cells, kinds, strict=True):
        one = made.setdefault(kind, Cell(cell.path, first=cell.first, length=0))
        one.joins |= cell.joins
        one.first = min(one.first, cell.first)
        one.statuses.update(cell.statuses)
        one.length = one.length + cell.length if is_run else max(one.length, cell.length)
    numbers = {kind: number for number, kind in enumerate(made)}
    meetings: dict[Hashable, Meeting] = {}
    for meeting in shape.meetings:
        sources = frozenset(numbers[kinds[n]] for n in meeting.sources)
        targets = frozenset(numbers[kinds[n]] for n in meeting.targets)
        if is_run and sources == targets:
            continue
        key = (meeting.kind, meeting.allow_failures, sources, targets)
        meetings[key] = Meeting(meeting.kind, meeting.allow_failures, {*sources}, {*targets})
    return Shape(list(made.values()), list(meetings.values()), shape.decided)
