"""The shape of a stored workflow, in as few rows as its database can say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count, Min

from ...models import WorkflowEdge, WorkflowJoin, WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind, JoinState

#: Workflows of so many steps are shown step by step; in others, equal siblings are one.
SINGLE = 12

Key = tuple[Any, ...]


@dataclass(slots=True)
class Cell:
    """Steps of one task that wait at one join: siblings. Or a single step."""

    path: str
    #: Where they wait, by id; None: nowhere.
    joins: set[UUID | None] = field(default_factory=set)
    #: The place of the first of them.
    first: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    #: How many of them follow one another.
    length: int = 1


@dataclass(slots=True)
class Meeting:
    """Where cells wait for others, which are named by their numbers."""

    kind: JoinKind
    allow_failures: int
    sources: set[int] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Shape:
    """All cells of a workflow, and where they meet."""

    cells: list[Cell]
    meetings: list[Meeting]
    #: Joins that are decided and not carried out.
    decided: int = 0

    def statuses(self) -> Counter[str]:
        """Return how many steps are in which status."""
        total: Counter[str] = Counter()
        for cell in self.cells:
            total.update(cell.statuses)
        return total


@dataclass(slots=True)
class Reading:
    """A shape, and by status the place of the first step in it."""

    shape: Shape
    firsts: dict[str, int]


def read(database: str, record: WorkflowRecord) -> Reading:
    """Read the shape of a workflow by three questions, whatever its size."""
    rows = WorkflowStep.objects.using(database).filter(workflow=record.pk).order_by()
    by = ["waits_for", "task__task_path"]
    if record.size <= SINGLE:
        by.append("position")
    found = rows.values_list("task__status", *by).annotate(
        number=Count("pk"), first=Min("position")
    )
    cells: dict[Key, Cell] = {}
    firsts: dict[str, int] = {}
    for status, *key, number, first in found:
        cell = cells.setdefault(tuple(key), Cell(key[1], {key[0]}, first))
        cell.first = min(cell.first, first)
        cell.statuses[status] += number
        firsts[status] = min(firsts.get(status, first), first)
    numbers = {key: number for number, key in enumerate(cells)}
    joins = _joins(database, record)
    _wire(joins, numbers, _edges(database, record, by))
    decided = sum(
        state in (JoinState.RELEASING, JoinState.CANCELLING, JoinState.SKIPPING)
        for _meeting, state in joins.values()
    )
    meetings = [meeting for meeting, _state in joins.values() if meeting.targets]
    return Reading(Shape(list(cells.values()), meetings, decided), firsts)


def _joins(database: str, record: WorkflowRecord) -> dict[UUID, tuple[Meeting, int]]:
    rows = WorkflowJoin.objects.using(database).filter(workflow=record.pk)
    found = rows.exclude(kind=JoinKind.END).values_list("pk", "kind", "allow_failures", "state")
    return {pk: (Meeting(JoinKind(kind), most), state) for pk, kind, most, state in found}


def _edges(database: str, record: WorkflowRecord, by: Iterable[str]) -> Any:
    """Return the joins that count steps, with the keys of the steps' cells."""
    rows = WorkflowEdge.objects.using(database).filter(step__workflow=record.pk)
    return rows.order_by().values_list("join", *(f"step__{name}" for name in by)).distinct()


def _wire(
    joins: dict[UUID, tuple[Meeting, int]],
    numbers: dict[Key, int],
    edges: Iterable[Key],
) -> None:
    for join_id, *key in edges:
        number = numbers.get(tuple(key))
        if join_id in joins and number is not None:
            joins[join_id][0].sources.add(number)
    for (join_id, *_rest), number in numbers.items():
        if join_id in joins:
            joins[join_id][0].targets.add(number)
