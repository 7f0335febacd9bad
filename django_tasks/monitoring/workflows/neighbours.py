"""Where a task stands in its workflow: what it waits for, and what waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ...models import TaskRecord, WorkflowEdge, WorkflowStep
from ...store.values import Hook

#: Neighbours of one side that are named.
NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A step beside another."""

    task_id: UUID
    name: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A step and its neighbours; of more than NAMED, one more stands for the others."""

    step: WorkflowStep
    before: Sequence[Neighbour]
    after: Sequence[Neighbour]


def place_of(record: TaskRecord) -> Place | None:
    """Return the place of a task in its workflow, by three questions; None if it is no step."""
    if not record.hooks & Hook.STEP:
        return None
    database = record._state.db or "default"
    steps = WorkflowStep.objects.using(database)
    step = steps.select_related("workflow").filter(pk=record.pk).first()
    if step is None:
        return None
    edges = WorkflowEdge.objects.using(database)
    before: Sequence[Neighbour] = ()
    if step.waits_for_id is not None:
        counted = edges.filter(join=step.waits_for_id).values("step")
        before = _named(steps.filter(pk__in=counted))
    joins = edges.filter(step=step.pk).values("join")
    return Place(step=step, before=before, after=_named(steps.filter(waits_for__in=joins)))


def _named(steps: QuerySet[WorkflowStep]) -> list[Neighbour]:
    rows: Any = steps.order_by("position").values_list("pk", "name", "task__status")[: NAMED + 1]
    return [Neighbour(task_id=pk, name=name, status=status) for pk, name, status in rows]
