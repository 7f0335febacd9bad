"""Deleting tasks, with their attempts: the finished, by age or id, and those that wait."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from ..models import TaskAttempt, TaskRecord
from ..retention import RetentionRule
from ..statuses import FINAL_STATUSES, Status
from .chunks import CHUNK, chunks, lock_ids
from .dialects import DatabaseNow, status_is
from .repeating import repeated


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
    # In the order in which they change: none gets past it meanwhile. Not WAITING, which nothing
    # makes yet: it has no index, and a look for it would read all that ever finished.
    statuses = (Status.SCHEDULED, Status.READY)
    return [rows.filter(status_is(status)).order_by() for status in statuses]


def prune(database: str, rule: RetentionRule, *, most: int | None = None) -> int:
    """Delete the finished tasks that `rule` is about, about `most`; return how many."""
    rows = prunable(database, rule).order_by("finished_at")
    if not rows.values_list("pk", flat=True)[:1]:
        return 0  # most of the time: no transaction for it
    return _delete_in_chunks(database, rows, most)


def prunable(database: str, rule: RetentionRule) -> QuerySet[TaskRecord]:
    """Return the tasks that prune() would delete. Raise ValueError for unfinished ones."""
    if not set(rule.statuses) <= set(FINAL_STATUSES):
        raise ValueError(f"Only finished tasks are pruned, not {rule.statuses!r}.")
    rows = TaskRecord.objects.using(database).filter(
        status__in=rule.statuses, finished_at__lte=DatabaseNow(-rule.age)
    )
    if rule.task_path is not None:
        return rows.filter(task_path=rule.task_path)
    return rows.exclude(task_path__in=rule.except_paths) if rule.except_paths else rows


def delete_finished(database: str, task_ids: Iterable[UUID]) -> int:
    """Delete finished tasks of these ids; others stay. Return how many were deleted."""
    ids = sorted(task_ids)
    return sum(
        _delete_in_chunks(
            database,
            TaskRecord.objects.using(database).filter(
                pk__in=ids[start : start + CHUNK], status__in=FINAL_STATUSES
            ),
        )
        for start in range(0, len(ids), CHUNK)
    )


def _delete_in_chunks(database: str, rows: QuerySet[TaskRecord], most: int | None = None) -> int:
    """Delete by primary key, a short transaction per chunk, without loading or signals."""
    deleted = 0
    for _ in chunks(most):
        count = repeated(database, partial(_delete_chunk, database, rows))
        deleted += count
        if count < CHUNK:
            break
    return deleted


def _delete_chunk(database: str, rows: QuerySet[TaskRecord]) -> int:
    with transaction.atomic(using=database):
        ids = lock_ids(database, rows)
        if ids:
            # Attempts first; _raw_delete skips the collector, which would read the rows.
            TaskAttempt.objects.using(database).filter(task_id__in=ids)._raw_delete(database)
            TaskRecord.objects.using(database).filter(pk__in=ids)._raw_delete(database)
        return len(ids)
