"""Move tasks that have not started to another queue or priority."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from ...models import TaskRecord
from ...statuses import PENDING_STATUSES
from ..locking import CHUNK, lock_in_order
from ..retrying import repeated
from .ready import notify_ready


def move(
    database: str,
    task_ids: Iterable[UUID],
    *,
    queue_name: str | None = None,
    priority: int | None = None,
) -> int:
    """
    Give tasks that have not started another queue, priority or both; return how many had not.

    None: as it is.
    """
    wanted = {"queue_name": queue_name, "priority": priority}
    changes = {name: value for name, value in wanted.items() if value is not None}
    ids = sorted(task_ids)
    return sum(
        repeated(database, partial(_move_chunk, database, ids[start : start + CHUNK], changes))
        for start in range(0, len(ids), CHUNK)
    )


def _move_chunk(database: str, ids: list[UUID], changes: dict[str, Any]) -> int:
    with transaction.atomic(using=database):
        pending = TaskRecord.objects.using(database).filter(pk__in=ids, status__in=PENDING_STATUSES)
        lock_in_order(database, pending)  # a claim under way is waited for
        moved = pending.update(**changes)
        notify_ready(database, ids)
        return moved
