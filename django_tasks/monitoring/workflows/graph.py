"""The graph of a workflow, small enough to be read: boxes in levels, and what leads to what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from ...models import WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind
from ...statuses import Status
from .cells import Cell, Shape, read
from .folding import alike_folded, levels_of, runs_folded

#: Boxes above which more is folded, and above which a part is shown.
FEW, MOST = 60, 120
#: Steps above which a workflow has no graph.
MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Steps that are shown as one."""

    #: The place of the first step: the box' own number.
    first: int
    level: int
    path: str
    statuses: Counter[str]
    #: How many of them follow one another; 1: they are siblings.
    length: int
    #: Where they wait, by id; None: nowhere.
    joins: frozenset[UUID | None]
    #: Of the step, when it is a single one; else empty.
    name: str = ""
    task_id: UUID | None = None

    @property
    def size(self) -> int:
        """How many steps it stands for."""
        return self.statuses.total()

    @property
    def title(self) -> str:
        """The name of the step, or that of the function of all."""
        return self.name or self.path.rpartition(".")[2] or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """That the boxes `after` wait for those `before`; all by their own numbers."""

    kind: JoinKind
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The boxes that are shown, and how many there are."""

    boxes: Sequence[Box]
    ties: Sequence[Tie]
    #: The first level that is shown, the one after the last, and how many there are.
    start: int
    end: int
    depth: int
    #: Boxes that are not shown.
    hidden: int
    #: How many steps are in which status, of all, and the place of the first in it.
    statuses: Counter[str]
    firsts: dict[str, int]
    #: Joins that are decided and not carried out.
    decided: int
    #: The tasks of all steps.
    paths: frozenset[str]


def graph_of(database: str, record: WorkflowRecord, start: int | None = None) -> Graph:
    """
    Return the graph of a workflow of at most MOST_STEPS steps, by four questions.

    `start`: the first level to show of a graph that is too large for one look, from 0 on. None:
    that before the first in which not everything has succeeded.
    """
    reading = read(database, record)
    shape = _folded(reading.shape)
    levels = levels_of(shape)
    order = sorted(range(len(shape.cells)), key=lambda n: (levels[n], shape.cells[n].first))
    first, shown = _window(shape, levels, order, start)
    names = _names(database, record, [shape.cells[n] for n in shown])
    kept = set(shown)
    return Graph(
        boxes=[_box(shape.cells[n], levels[n], names) for n in shown],
        ties=_ties(shape, kept),
        start=first,
        end=max((levels[n] for n in shown), default=-1) + 1,
        depth=max(levels, default=-1) + 1,
        hidden=len(order) - len(shown),
        statuses=shape.statuses(),
        firsts=reading.firsts,
        decided=shape.decided,
        paths=frozenset(cell.path for cell in shape.cells),
    )


def _folded(shape: Shape) -> Shape:
    folds: tuple[Callable[[Shape], Shape], ...] = (alike_folded, runs_folded)
    for fold in folds:
        if len(shape.cells) > FEW:
            shape = fold(shape)
    return shape


def _window(
    shape: Shape, levels: Sequence[int], order: Sequence[int], start: int | None
) -> tuple[int, Sequence[int]]:
    """Return the first level that is shown, and the cells: all, or whole levels while they fit."""
    if len(order) <= MOST:
        return 0, order
    if start is None:
        unfinished = (n for n in order if set(shape.cells[n].statuses) != {Status.SUCCESSFUL})
        start = max(0, levels[next(unfinished, order[0])] - 1)
    start = min(start, max(levels))
    found = [n for n in order if levels[n] >= start]
    if len(found) > MOST and levels[found[MOST]] > start:
        whole = [n for n in found[:MOST] if levels[n] < levels[found[MOST]]]
        return start, whole
    return start, found[:MOST]


def _names(
    database: str, record: WorkflowRecord, cells: Sequence[Cell]
) -> dict[int, tuple[str, UUID]]:
    """Return the names and ids of single steps, by their places."""
    places = [cell.first for cell in cells if cell.statuses.total() == 1]
    steps = WorkflowStep.objects.using(database).filter(workflow=record.pk, position__in=places)
    found = steps.order_by().values_list("position", "name", "pk")
    return {position: (name, pk) for position, name, pk in found}


def _box(cell: Cell, level: int, names: dict[int, tuple[str, UUID]]) -> Box:
    name, task_id = names.get(cell.first, ("", None))
    return Box(
        first=cell.first,
        level=level,
        path=cell.path,
        statuses=cell.statuses,
        length=cell.length,
        joins=frozenset(cell.joins),
        name=name,
        task_id=task_id,
    )


def _ties(shape: Shape, kept: set[int]) -> list[Tie]:
    ties = []
    for meeting in shape.meetings:
        before, after = meeting.sources & kept, meeting.targets & kept
        if before and after:
            ties.append(
                Tie(
                    kind=meeting.kind,
                    before=tuple(sorted(shape.cells[n].first for n in before)),
                    after=tuple(sorted(shape.cells[n].first for n in after)),
                )
            )
    return ties
