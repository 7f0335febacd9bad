"""Delete tasks, with their attempts: those that wait, and the finished by their ids."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from ...dep14.private import raw_delete
from ...models import TaskAttempt, TaskRecord, WorkflowStep
from ...statuses import FINAL_STATUSES, PENDING_STATUSES, Status
from ..dialects import status_is
from ..locking import CHUNK, lock_ids
from ..retrying import repeated
from ..workflows.joins import Ended, How
from . import ends


def purge(
    database: str, backend: str, queue_name: str, *, seconds: float | None = None
) -> tuple[int, bool]:
    """
    Delete the tasks of a backend's queue that have not started; running and finished ones stay.

    Return how many, and whether none is left. `seconds`: begin no further chunk after so long.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    deleted = 0
    for rows in purgeable(database, backend, queue_name):
        count = CHUNK
        while count == CHUNK and time.monotonic() <= end:
            count = repeated(database, partial(_delete_chunk, database, rows))
            deleted += count
        if count == CHUNK and rows.exists():
            return deleted, False
    return deleted, True


def purgeable(database: str, backend: str, queue_name: str) -> list[QuerySet[TaskRecord]]:
    """Return the tasks that purge() would delete, by status: each has an index of its own."""
    rows = TaskRecord.objects.using(database).filter(backend=backend, queue_name=queue_name)
    # In the order in which they change: none gets past it meanwhile. Not WAITING: steps that wait
    # are cancelled with those that they wait for.
    statuses = (Status.SCHEDULED, Status.READY)
    return [rows.filter(status_is(status)).order_by() for status in statuses]


def delete_finished(database: str, task_ids: Iterable[UUID]) -> int:
    """
    Delete finished tasks of these ids; return how many were deleted.

    Others stay, and so do steps of workflows that run: what waits for them needs their results.
    """
    wanted = set(task_ids)
    steps = WorkflowStep.objects.using(database).filter(workflow__status=Status.RUNNING)
    ids = sorted(wanted - set(steps.filter(pk__in=wanted).values_list("pk", flat=True)))
    finished = TaskRecord.objects.using(database).filter(status__in=FINAL_STATUSES)
    chunks = (finished.filter(pk__in=ids[n : n + CHUNK]) for n in range(0, len(ids), CHUNK))
    return sum(repeated(database, partial(_delete_chunk, database, rows)) for rows in chunks)


def _delete_chunk(database: str, rows: QuerySet[TaskRecord]) -> int:
    with transaction.atomic(using=database):
        ids = lock_ids(database, rows)
        _end_steps(database, ids)
        delete_rows(database, ids)
        return len(ids)


def _end_steps(database: str, ids: Sequence[UUID]) -> None:
    """Let what waits for steps that are deleted before their end know that they never succeed."""
    steps = TaskRecord.objects.using(database).filter(
        pk__in=ids, hooks__gt=0, status__in=PENDING_STATUSES
    )
    if ended := dict.fromkeys(steps.values_list("pk", flat=True), Ended(How.BADLY)):
        ends.carry_on(database, ended)


def delete_rows(database: str, ids: Sequence[UUID]) -> None:
    """Delete tasks by primary key, with their attempts, in the caller's transaction."""
    if ids:
        raw_delete(TaskAttempt.objects.using(database).filter(task_id__in=ids), database)
        raw_delete(TaskRecord.objects.using(database).filter(pk__in=ids), database)
