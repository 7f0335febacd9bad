"""How far the workflows of a page are, and which of their steps failed, for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet

from ...models import WorkflowRecord, WorkflowStep
from ...statuses import FINAL_STATUSES, Status

#: Steps of all workflows of a page that are looked at.
MOST_STEPS = 50_000
#: Workflows that have not ended, of which lists show the newest.
MOST_OPEN = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How one workflow stands."""

    #: How many steps have ended. None: it was not counted, as there are too many.
    done: int | None
    #: Name and id of the first that failed; empty and None: none did, or it was not looked at.
    failed: str = ""
    failed_id: UUID | None = None


def open_ids(rows: QuerySet[WorkflowRecord]) -> list[UUID]:
    """
    Return the ids of those of `rows` that have not ended, one more than MOST_OPEN at the most.

    In the order of the index on their status: in that of ids, some databases would read all that
    ever ended.
    """
    found = rows.filter(status=Status.RUNNING, finished_at__isnull=True).order_by("finished_at")
    return list(found.values_list("pk", flat=True)[: MOST_OPEN + 1])


def summaries(database: str, records: Sequence[WorkflowRecord]) -> dict[UUID, Summary]:
    """
    Return how these stand, by at most two questions that look at MOST_STEPS steps.

    Those that have ended are not counted. Of those that have not succeeded, the steps of the first
    ones are looked at.
    """
    looked_at = _affordable([row for row in records if row.status != Status.SUCCESSFUL])
    done: dict[UUID, int] = dict.fromkeys(looked_at, 0)
    places: dict[UUID, int] = {}
    steps = WorkflowStep.objects.using(database).filter(workflow__in=looked_at)
    ended = steps.filter(task__status__in=FINAL_STATUSES).order_by()
    if looked_at:
        found = ended.values_list("workflow", "task__status")
        for pk, status, number, first in found.annotate(n=Count("pk"), first=Min("position")):
            done[pk] += number
            if status == Status.FAILED:
                places[pk] = first
    failed = _steps_at(database, places)
    return {
        row.pk: Summary(
            done=row.size if row.status in FINAL_STATUSES else done.get(row.pk),
            failed=failed.get(row.pk, ("", None))[0],
            failed_id=failed.get(row.pk, ("", None))[1],
        )
        for row in records
    }


def _affordable(records: Sequence[WorkflowRecord]) -> list[UUID]:
    left = MOST_STEPS
    chosen = []
    for row in records:
        if row.size <= left:
            left -= row.size
            chosen.append(row.pk)
    return chosen


def _steps_at(database: str, places: dict[UUID, int]) -> dict[UUID, tuple[str, UUID | None]]:
    """Return names and ids of the steps at these places of workflows."""
    if not places:
        return {}
    wanted = Q()
    for workflow_id, position in places.items():
        wanted |= Q(workflow=workflow_id, position=position)
    steps = WorkflowStep.objects.using(database).filter(wanted)
    found = steps.order_by().values_list("workflow", "name", "pk")
    return {workflow_id: (name, pk) for workflow_id, name, pk in found}
