"""
Prune: delete finished tasks that were kept for long enough.

A keeper reads what it deletes, and no more: a row's own `prune_after` says when, whatever the code
of the keeper says; of rows that have none, the settings of the keeper and the time of their end.
Ages are for people, who may read more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable
from functools import partial
from typing import NamedTuple

from django.db.models import QuerySet

from ...models import TaskRecord
from ...statuses import FINAL_STATUSES, Status
from ..dialects import DatabaseNow
from ..locking import Deleted, delete_along
from . import finished
from .deletions import delete_rows
from .retention import seconds_kept


class _Rows(NamedTuple):
    """Rows to delete, and the column by which an index has them in order."""

    rows: QuerySet[TaskRecord]
    column: str


def prune_due(
    database: str,
    *,
    statuses: Collection[Status] = FINAL_STATUSES,
    late: float = 0.0,
    seconds: float | None = None,
) -> Deleted:
    """
    Delete tasks of `statuses` whose time is over for `late` seconds.

    `seconds`: begin no further chunk after so long; None: until all went.
    """
    due = _due(database, statuses, late)
    # In any order: when there is no time for all of them, none is always the last.
    random.shuffle(due)
    return _delete(database, due, seconds)


def count_due(database: str, statuses: Collection[Status] = FINAL_STATUSES) -> int:
    """Return how many tasks prune_due() would delete."""
    return sum(each.rows.count() for each in _due(database, statuses))


def prune_older(database: str, statuses: Collection[Status], age: float) -> int:
    """
    Delete all tasks that finished `age` seconds ago, however long they were to be kept.

    Raise ValueError for statuses that are not final.
    """
    return _delete(database, _older(database, statuses, age)).number


def count_older(database: str, statuses: Collection[Status], age: float) -> int:
    """Return how many tasks prune_older() would delete."""
    return sum(each.rows.count() for each in _older(database, statuses, age))


def _due(database: str, statuses: Collection[Status], late: float = 0.0) -> list[_Rows]:
    due = []
    for status, rows in finished.kept_by_settings(database, statuses):
        kept = seconds_kept(status)
        if kept is not None:
            ended = rows.filter(finished_at__lte=DatabaseNow(-kept - late))
            due.append(_Rows(ended, "finished_at"))
    for rows in finished.kept_by_themselves(database, statuses):
        due.append(_Rows(rows.filter(prune_after__lte=DatabaseNow(-late)), "prune_after"))
    return due


def _older(database: str, statuses: Collection[Status], age: float) -> list[_Rows]:
    if not set(statuses) <= set(FINAL_STATUSES):
        raise ValueError(f"Only finished tasks are pruned, not {statuses!r}.")
    # Not steps: these go with their workflows.
    return [
        _Rows(rows.filter(finished_at__lte=DatabaseNow(-age), hooks=0), "finished_at")
        for rows in finished.by_end(database, statuses)
    ]


def _delete(database: str, due: Iterable[_Rows], seconds: float | None = None) -> Deleted:
    """Delete one after another, see delete_along()."""
    delete = partial(delete_rows, database)
    end = None if seconds is None else time.monotonic() + seconds
    number = 0
    for rows, column in due:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0 and number:
            return Deleted(number, is_done=False)
        deleted = delete_along(database, rows, column, delete, left)
        number += deleted.number
        if not deleted.is_done:
            return Deleted(number, is_done=False)
    return Deleted(number, is_done=True)
