"""Many rows, a chunk and a short transaction at a time, and the locks on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Model, QuerySet

from ..models import TaskRecord
from . import dialects
from .retrying import repeated

Row = TypeVar("Row", bound=Model)

#: Rows of one transaction.
CHUNK = 1000


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
            dialects.dialect_for(connection).keep_to_order(connection)
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


def lock_all(database: str, rows: QuerySet[Row], *, waits: bool = True) -> QuerySet[Row]:
    """
    Lock rows; wait for those that others hold.

    Without `waits`, raise what is_lock_timeout() knows if somebody holds one, where the database
    can.
    """
    features = connections[database].features
    if not features.has_select_for_update:
        return rows
    nowait = not waits and features.has_select_for_update_nowait
    return rows.select_for_update(nowait=nowait)


def lock_in_order(database: str, rows: QuerySet[Row]) -> None:
    """Lock rows in the order of their ids, for a statement that would lock them in any order."""
    if connections[database].features.has_select_for_update:
        list(lock_all(database, rows.order_by("pk")).values_list("pk", flat=True))


def handled_along(
    database: str,
    rows: QuerySet[Any],
    column: str,
    handle: Callable[[list[tuple[Any, ...]]], object],
    *,
    also: Sequence[str] = (),
    seconds: float | None = None,
) -> Iterator[list[tuple[Any, ...]]]:
    """
    Have `handle` handle `rows`, a chunk after another in the order of `column`, which has an index.

    It is given, and what it has committed is yielded, as (pk, column, *also). Rows that somebody
    holds are left out. `seconds`: begin no further chunk after so long; None: until all are done.
    The last chunk is one of less than CHUNK rows, unless time was up before.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    columns = ("pk", column, *also)
    ahead = rows
    while True:
        work = partial(_handle_chunk, database, ahead.order_by(column), columns, handle)
        picked = repeated(database, work)
        yield picked
        if len(picked) < CHUNK or time.monotonic() >= end:
            return
        # From where the chunk ended: before it lie entries of rows that are handled, or held.
        mark = picked[-1][1]
        ahead = rows if mark is None else rows.filter(**{f"{column}__gte": mark})


def _handle_chunk(
    database: str,
    rows: QuerySet[Any],
    columns: Sequence[str],
    handle: Callable[[list[tuple[Any, ...]]], object],
) -> list[tuple[Any, ...]]:
    """Handle the first rows that nobody holds, and return them."""
    with next_in_order(database):
        picked = list(lock_available(database, rows).values_list(*columns)[:CHUNK])
        if picked:
            handle(picked)
    return picked


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
    number, picked = 0, []
    for picked in handled_along(
        database, rows, column, lambda chosen: delete([row[0] for row in chosen]), seconds=seconds
    ):
        number += len(picked)
    return Deleted(number, is_done=len(picked) < CHUNK)
