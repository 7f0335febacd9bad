"""
Deleting finished tasks that were kept for long enough.

A keeper reads what it deletes, and no more: a row's own `prune_after` says when, whatever the code
and the settings of the keeper say. Ages are for people, who may read more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db.models import Case, DateTimeField, F, Q, QuerySet, When

from ..models import TaskRecord
from ..statuses import FINAL_STATUSES, Status
from . import policy
from .chunks import CHUNK, Deleted, delete_along
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


def prune_due(
    database: str,
    *,
    statuses: Sequence[Status] | None = None,
    late: float = 0.0,
    seconds: float | None = None,
) -> Deleted:
    """
    Delete tasks whose `prune_after` is over for `late` seconds.

    `statuses` None: of all. `seconds`: begin no further chunk after so long; None: until all went.
    """
    rows = due(database, statuses=statuses, late=late)
    return delete_along(database, rows, "prune_after", partial(delete_rows, database), seconds)


def prune_older(database: str, statuses: Sequence[Status], age: float) -> int:
    """Delete all tasks that finished `age` seconds ago, however long they were to be kept."""
    rows = older(database, statuses, age)
    return delete_along(database, rows, "finished_at", partial(delete_rows, database)).number


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
