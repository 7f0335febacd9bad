"""Many rows, a chunk and a short transaction at a time, and the locks on them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import TypeVar
from uuid import UUID

from django.db import connections
from django.db.models import Model, QuerySet

from ..models import TaskRecord

Row = TypeVar("Row", bound=Model)

#: Rows of one transaction.
CHUNK = 1000


def chunks(most: int | None) -> Iterable[int]:
    """Return something to loop over as often as `most` rows take chunks; None: for ever."""
    return count() if most is None else range(max(1, most // CHUNK))


def lock_available(database: str, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock rows, without those that others hold, where the database can leave them out."""
    features = connections[database].features
    if not features.has_select_for_update:
        return rows
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def lock_all(database: str, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock rows; wait for those that others hold."""
    has_lock = connections[database].features.has_select_for_update
    return rows.select_for_update() if has_lock else rows


def lock_in_order(database: str, rows: QuerySet[Row]) -> None:
    """Lock rows in the order of their ids, for a statement that would lock them in any order."""
    if connections[database].features.has_select_for_update:
        list(lock_all(database, rows.order_by("pk")).values_list("pk", flat=True))


def lock_ids(database: str, rows: QuerySet[TaskRecord]) -> list[UUID]:
    """Lock a chunk of tasks that nobody holds; return their ids."""
    return list(lock_available(database, rows).values_list("pk", flat=True)[:CHUNK])
