"""
Finished tasks, by the indexes that they are in.

A row with a `result_ttl` of its own has a `prune_after`; all others are kept as the settings say,
by their status and the time of their end. Each kind has an index of its own, and is asked for by
a query of its own: so none that is kept for long stands before what is due of another, and no
planner has to choose. Where there are no partial indexes, the status leads in them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from ...models import TaskRecord
from ...statuses import FINAL_STATUSES, Status
from ..dialects import status_is

#: The statuses of each partial index; all of one are kept for the same time.
_TOGETHER = ((Status.SUCCESSFUL,), (Status.FAILED, Status.CANCELLED))


def kept_by_settings(
    database: str, statuses: Collection[Status] = FINAL_STATUSES
) -> list[tuple[Status, QuerySet[TaskRecord]]]:
    """
    Return the tasks without a time of their own, to order by `finished_at`.

    Each query with a status that says which setting holds for its rows.
    """
    rows = _rows(database).filter(prune_after__isnull=True)
    found: list[tuple[Status, QuerySet[TaskRecord]]] = []
    for together in _TOGETHER if _has_partial_indexes(database) else _each(FINAL_STATUSES):
        if wanted := [status for status in together if status in statuses]:
            of_index = rows.filter(status_is(*together))
            found.append((together[0], _narrowed(of_index, wanted, together)))
    return found


def kept_by_themselves(
    database: str, statuses: Collection[Status] = FINAL_STATUSES
) -> list[QuerySet[TaskRecord]]:
    """Return the tasks with a time of their own, to order by `prune_after`."""
    rows = _rows(database).filter(prune_after__isnull=False)
    if _has_partial_indexes(database):
        # Nothing but finished tasks has a time; if anybody set one, nothing else is deleted.
        ended = rows.filter(finished_at__isnull=False)
        return [_narrowed(ended, statuses, FINAL_STATUSES)]
    return [rows.filter(status_is(status)) for status in FINAL_STATUSES if status in statuses]


def by_end(
    database: str, statuses: Collection[Status] = FINAL_STATUSES
) -> list[QuerySet[TaskRecord]]:
    """Return all finished tasks, to order by `finished_at`."""
    if _has_partial_indexes(database):
        own = _rows(database).filter(prune_after__isnull=False)
        plain = [rows for _, rows in kept_by_settings(database, statuses)]
        return [*plain, _narrowed(own, statuses, FINAL_STATUSES)]
    return [_narrowed(_rows(database), statuses, FINAL_STATUSES)]


def _rows(database: str) -> QuerySet[TaskRecord]:
    return TaskRecord.objects.using(database)


def _has_partial_indexes(database: str) -> bool:
    return bool(connections[database].features.supports_partial_indexes)


def _each(statuses: Sequence[Status]) -> list[tuple[Status]]:
    return [(status,) for status in statuses]


def _narrowed(rows: Any, wanted: Collection[Status], there: Collection[Status]) -> Any:
    """Leave out what is not `wanted` of the statuses that are `there`."""
    return rows if set(wanted) >= set(there) else rows.filter(status__in=wanted)
