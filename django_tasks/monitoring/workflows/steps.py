"""The steps of a workflow, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from ...models import WorkflowRecord, WorkflowStep
from .graph import Box

#: Joins of a box that one question names.
MOST_JOINS = 500


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step and how its task stands."""

    position: int
    name: str
    task_id: UUID
    task_path: str
    status: str
    run_time: float | None
    finished_at: datetime | None


def steps_of(
    database: str,
    record: WorkflowRecord,
    *,
    start: int = 0,
    number: int,
    status: str = "",
    box: Box | None = None,
) -> list[StepRow]:
    """
    Return at most `number` steps in their order, from place `start` on.

    `status`: those in it; empty: all. `box`: those that it stands for; None: all. Of a box whose
    steps wait at more than MOST_JOINS joins, the steps at the first of these.
    """
    rows = WorkflowStep.objects.using(database).filter(workflow=record.pk, position__gte=start)
    if status:
        rows = rows.filter(task__status=status)
    if box is not None and box.size == 1:
        rows = rows.filter(position=box.first)
    elif box is not None:
        joins = sorted(join for join in box.joins if join is not None)[:MOST_JOINS]
        waits = Q(waits_for__in=joins)
        if None in box.joins:
            waits |= Q(waits_for__isnull=True)
        rows = rows.filter(waits, task__task_path=box.path)
    found = rows.order_by("position").values_list(
        "position",
        "name",
        "pk",
        "task__task_path",
        "task__status",
        "task__run_time",
        "task__finished_at",
    )
    return [StepRow(*row) for row in found[:number]]
