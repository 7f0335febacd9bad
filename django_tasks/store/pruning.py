"""
Deleting finished tasks that were kept for long enough.

A keeper reads what it deletes, and no more: a row's own `prune_after` says when, whatever the code
and the settings of the keeper say. Ages are for people, who may read more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Case, DateTimeField, F, Q, QuerySet, When

from ..models import TaskRecord
from ..statuses import FINAL_STATUSES, Status
from . import policy
from .chunks import CHUNK, lock_available
from .deletions import delete_rows
from .dialects import DatabaseNow
from .repeating import repeated

#: Whether a row's `prune_after` is not the `wanted` one; either may be NULL.
_IS_OTHER = (
    Q(prune_after__lt=F("wanted"))
    | Q(prune_after__gt=F("wanted"))
    | Q(prune_after__isnull=True, wanted__isnull=False)
    | Q(prune_after__isnull=False, wanted__isnull=True)
)


class Pruned(NamedTuple):
    """How many tasks went, and whether none is left that had to."""

    deleted: int
    is_done: bool


def prune_due(
    database: str,
    *,
    statuses: Sequence[Status] | None = None,
    late: float = 0.0,
    seconds: float | None = None,
) -> Pruned:
    """
    Delete tasks whose `prune_after` is over for `late` seconds.

    `statuses` None: of all. `seconds`: begin no further chunk after so long; None: until all went.
    """
    rows = due(database, statuses=statuses, late=late)
    if not rows.order_by("prune_after").values_list("pk", flat=True)[:1]:
        return Pruned(0, True)  # most of the time: no transaction for it
    return _delete_along(database, rows, "prune_after", seconds)


def prune_older(database: str, statuses: Sequence[Status], age: float) -> int:
    """Delete all tasks that finished `age` seconds ago, however long they were to be kept."""
    return _delete_along(database, older(database, statuses, age), "finished_at", None).deleted


def due(
    database: str, *, statuses: Sequence[Status] | None = None, late: float = 0.0
) -> QuerySet[TaskRecord]:
    """Return the tasks that prune_due() would delete."""
    rows = TaskRecord.objects.using(database).filter(prune_after__lte=DatabaseNow(-late))
    return rows if statuses is None else rows.filter(status__in=statuses)


def older(database: str, statuses: Sequence[Status], age: float) -> QuerySet[TaskRecord]:
    """Return the tasks that prune_older() would delete. Raise ValueError for unfinished ones."""
    if not set(statuses) <= set(FINAL_STATUSES):
        raise ValueError(f"Only finished tasks are pruned, not {statuses!r}.")
    rows = TaskRecord.objects.using(database)
    return rows.filter(status__in=statuses, finished_at__lte=DatabaseNow(-age))


def _delete_along(
    database: str, rows: QuerySet[TaskRecord], column: str, seconds: float | None
) -> Pruned:
    """Delete `rows` in the order of `column`, a short transaction per chunk."""
    end = float("inf") if seconds is None else time.monotonic() + seconds
    deleted, mark = 0, None
    while True:
        # From where the last chunk ended: before it lie entries of what is deleted, or stays.
        ahead = rows if mark is None else rows.filter(**{f"{column}__gte": mark})
        work = partial(_delete_chunk, database, ahead, column)
        count, mark = repeated(database, work)
        deleted += count
        if count < CHUNK:
            return Pruned(deleted, True)
        if time.monotonic() >= end:
            return Pruned(deleted, False)


def _delete_chunk(
    database: str, rows: QuerySet[TaskRecord], column: str
) -> tuple[int, datetime | None]:
    with transaction.atomic(using=database):
        found = lock_available(database, rows.order_by(column))
        picked = list(found.values_list("pk", column)[:CHUNK])
        delete_rows(database, [pk for pk, _ in picked])
        return len(picked), picked[-1][1] if picked else None


def apply_retention(
    database: str, statuses: Sequence[Status], after: UUID | None = None, *, is_dry: bool = False
) -> tuple[int, UUID | None]:
    """
    Let a chunk of tasks that are finished be kept for as long as the settings say now.

    The chunk is of the tasks next to the id `after`; None: from the first on. Return how many were
    kept otherwise, and the `after` of the next chunk; None: there is none. A task's own result_ttl
    stays. `is_dry`: only count.
    """
    rows = TaskRecord.objects.using(database)
    beyond = rows if after is None else rows.filter(pk__gt=after)
    ids = list(beyond.order_by("pk").values_list("pk", flat=True)[:CHUNK])
    if not ids:
        return 0, None
    wanted = Case(
        *(When(status=s, then=policy.prune_after(s, F("finished_at"))) for s in statuses),
        output_field=DateTimeField(),
    )
    # A range: MariaDB would rather read all rows of a status than look up a thousand ids.
    ended = beyond.filter(pk__lte=ids[-1], status__in=statuses)
    # What is right already is not written again.
    others = ended.alias(wanted=wanted).filter(_IS_OTHER)
    changed = (
        others.count() if is_dry else repeated(database, partial(others.update, prune_after=wanted))
    )
    return changed, ids[-1] if len(ids) == CHUNK else None
