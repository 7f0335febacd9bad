"""Deleting finished workflows with their steps, when they were kept for long enough."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from uuid import UUID

from django.db import transaction

from ...dep14.private import raw_delete
from ...models import WorkflowEdge, WorkflowJoin, WorkflowRecord, WorkflowStep
from ...statuses import FINAL_STATUSES, Status
from ..dialects import DatabaseNow
from ..locking import CHUNK, Deleted, lock_available
from ..retrying import repeated
from ..tasks.deletions import delete_rows
from ..tasks.retention import seconds_kept


def prune_due(
    database: str,
    *,
    statuses: Collection[Status] = FINAL_STATUSES,
    late: float = 0.0,
    seconds: float | None = None,
) -> Deleted:
    """
    Delete workflows whose time is over for `late` seconds, and their steps; count these.

    They are kept as the settings say for tasks of their status. `seconds`: begin no further chunk
    after so long; None: until all went.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    number = 0
    for status in statuses:
        kept = seconds_kept(status)
        while kept is not None:
            deleted = repeated(database, partial(_prune_next, database, status, kept + late))
            if deleted is None:
                break
            number += deleted
            if time.monotonic() >= end:
                return Deleted(number, is_done=False)
    return Deleted(number, is_done=True)


def _prune_next(database: str, status: Status, age: float) -> int | None:
    """Delete a chunk of the steps of the next workflow, or the rest of it. None: none is due."""
    with transaction.atomic(using=database):
        due = WorkflowRecord.objects.using(database).filter(
            status=status, finished_at__lte=DatabaseNow(-age)
        )
        locked = lock_available(database, due.order_by("finished_at"))
        pk = locked.values_list("pk", flat=True).first()
        return None if pk is None else _delete_chunk(database, pk)


def _delete_chunk(database: str, workflow_id: UUID) -> int:
    steps = WorkflowStep.objects.using(database).filter(workflow=workflow_id)
    ids = list(steps.order_by("position").values_list("pk", flat=True)[:CHUNK])
    delete_rows(database, ids)
    raw_delete(WorkflowEdge.objects.using(database).filter(step_id__in=ids), database)
    raw_delete(steps.filter(pk__in=ids), database)
    if len(ids) < CHUNK:
        raw_delete(WorkflowJoin.objects.using(database).filter(workflow=workflow_id), database)
        raw_delete(WorkflowRecord.objects.using(database).filter(pk=workflow_id), database)
    return len(ids)
