"""How far the workflows of a page are, and which of their steps failed, for all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from ...models import WorkflowJoin, WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind
from ...statuses import FINAL_STATUSES, Status

#: Steps of all workflows of a page that are looked at.
MOST_STEPS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How one workflow stands."""

    #: How many steps have ended. None: it was not counted, as there are too many.
    done: int | None
    #: The first that ended badly, by its name and id; empty and None: none did.
    failed: str = ""
    failed_id: UUID | None = None


def summaries(database: str, records: Sequence[WorkflowRecord]) -> dict[UUID, Summary]:
    """
    Return how these stand, by at most three questions that look at MOST_STEPS steps.

    Those that have ended are not counted; of the others the first ones are, and of those that have
    not succeeded the first ones are asked which step failed.
    """
    looked_at = _affordable([row for row in records if row.status != Status.SUCCESSFUL])
    running = [row for row in looked_at if row.status not in FINAL_STATUSES]
    done = _done(database, running)
    failed = failed_steps(database, looked_at)
    found = {}
    for row in records:
        name, task_id = failed.get(row.pk, ("", None))
        is_over = row.status in FINAL_STATUSES
        number = row.size if is_over else done.get(row.pk)
        found[row.pk] = Summary(done=number, failed=name, failed_id=task_id)
    return found


def _affordable(records: Sequence[WorkflowRecord]) -> list[WorkflowRecord]:
    left = MOST_STEPS
    chosen = []
    for row in records:
        if row.size <= left:
            left -= row.size
            chosen.append(row)
    return chosen


def _done(database: str, records: Sequence[WorkflowRecord]) -> dict[UUID, int]:
    if not records:
        return {}
    ended: dict[UUID, int] = {row.pk: 0 for row in records}
    steps = WorkflowStep.objects.using(database).filter(workflow__in=ended)
    ended_steps = steps.filter(task__status__in=FINAL_STATUSES).order_by()
    ended.update(ended_steps.values_list("workflow").annotate(number=Count("pk")))
    return ended


def failed_steps(database: str, records: Sequence[WorkflowRecord]) -> dict[UUID, tuple[str, UUID]]:
    """Return name and id of the first failed step, which the end of a workflow knows."""
    if not records:
        return {}
    ends = WorkflowJoin.objects.using(database).filter(
        workflow__in=[row.pk for row in records],
        kind=JoinKind.END,
        failed_step__isnull=False,
    )
    steps: dict[UUID, list[UUID]] = defaultdict(list)
    for workflow_id, step_id in ends.values_list("workflow", "failed_step"):
        if step_id is not None:
            steps[step_id].append(workflow_id)
    if not steps:
        return {}
    names = WorkflowStep.objects.using(database).filter(pk__in=steps).values_list("pk", "name")
    return {workflow: (name, pk) for pk, name in names for workflow in steps[pk]}
