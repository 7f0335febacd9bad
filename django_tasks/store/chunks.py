"""Many rows, a chunk and a short transaction at a time, and the locks on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Model, QuerySet

from ..models import TaskRecord
from . import dialects
from .repeating import repeated

Row = TypeVar("Row", bound=Model)

#: Rows of one transaction.
CHUNK = 1000


def chunks(most: int | None) -> Iterable[int]:
    """Return something to loop over as often as `most` rows take chunks; None: for ever."""
    return count() if most is None else range(max(1, most // CHUNK))


@contextmanager
def next_in_order(database: str) -> Iterator[None]:
    """
    Open a transaction that takes the next rows by an index, as many as it wants and no more.

    While the statistics say that little is due, PostgreSQL would read all that is and sort it to
    find the first thousand. A caller's transaction is left as it is.
    """
    connection = connections[database]
    is_own = not connection.in_atomic_block
    with transaction.atomic(using=database):
        if is_own:
            dialects.of(connection).keep_to_order(connection)
        yield


def lock_available(database: str, rows: QuerySet[Row], *, no_key: bool = False) -> QuerySet[Row]:
    """
    Lock rows, without those that others hold, where the database can leave them out.

    `no_key`: as an update does that leaves the key as it is, so that a foreign key to the row in
    somebody's open transaction does not count, where the database can tell.
    """
    features = connections[database].features
    if not features.has_select_for_update:
        return rows
    return rows.select_for_update(
        skip_locked=features.has_select_for_update_skip_locked,
        no_key=no_key and features.has_select_for_no_key_update,
    )


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


class Deleted(NamedTuple):
    """How many rows went, and whether none is left that had to."""

    number: int
    is_done: bool


def delete_along(
    database: str,
    rows: QuerySet[Any],
    column: str,
    delete: Callable[[list[Any]], object],
    seconds: float | None = None,
) -> Deleted:
    """
    Have `delete` delete `rows` by primary keys, in the order of `column`, which has an index.

    `seconds`: begin no further chunk after so long; None: until all went.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    deleted, mark = 0, None
    while True:
        # From where the last chunk ended: before it lie entries of rows that are deleted, or held.
        ahead = rows if mark is None else rows.filter(**{f"{column}__gte": mark})
        work = partial(_delete_chunk, database, ahead.order_by(column), column, delete)
        number, mark = repeated(database, work)
        deleted += number
        if number < CHUNK:
            return Deleted(deleted, is_done=True)
        if time.monotonic() >= end:
            return Deleted(deleted, is_done=False)


def _delete_chunk(
    database: str, rows: QuerySet[Any], column: str, delete: Callable[[list[Any]], object]
) -> tuple[int, Any]:
    """Delete the first rows that nobody holds; return how many, and the `column` of the last."""
    with next_in_order(database):
        picked = list(lock_available(database, rows).values_list("pk", column)[:CHUNK])
        if not picked:
            return 0, None
        delete([pk for pk, _ in picked])
        return len(picked), picked[-1][1]
