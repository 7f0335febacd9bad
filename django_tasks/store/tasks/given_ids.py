"""
Enqueue tasks under ids that their callers gave.

Whoever is not sure that a task was stored (the reply to the commit was lost, a webhook comes twice)
calls again with the same id, and there is one row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ... import serializers
from ...definitions.results import TaskResult
from ...exceptions import TaskResultMismatch
from ...models import TaskRecord
from .. import dialects
from ..retrying import repeated
from . import enqueue
from .enqueue import NewTask

#: Times that a row is looked for which stands in the way, and is deleted before it can be read.
LOOKS = 3


def insert(
    database: str, new: NewTask, task_id: UUID, args: str, kwargs: str, *, wake: bool
) -> TaskResult[Any] | None:
    """
    Store one task unless it is there already; return the result of the one that was.

    None: it has been stored. Raise TaskResultMismatch if the id is that of another call.
    """
    connection = connections[database]
    dialect = dialects.dialect_for(connection)
    row = new.row(connection, dialect.to_id(task_id), args, kwargs)
    is_new = False

    def store() -> None:
        nonlocal is_new
        is_new = dialect.insert_unless_there(connection, row, wake and new.run_after is None)

    for _ in range(LOOKS):
        enqueue.surely(connection, store)
        if is_new:
            return None
        if record := _in_the_way(connection, task_id):
            _check(record, new, args, kwargs)
            [result] = enqueue.results_of(database, [record])
            return result
    raise TaskResultMismatch(f"Task id {task_id} is taken by a row that cannot be read.")


def insert_many(
    database: str, new: NewTask, own: Sequence[tuple[UUID, str, str]], *, wake: bool
) -> dict[UUID, TaskResult[Any]]:
    """Store those that are not there, all or none; return the results of those that were."""

    def store() -> dict[UUID, TaskResult[Any]]:
        for _ in range(LOOKS):
            there = _stored_before(database, new, own)
            # In one order, so that two who store the same do not wait for each other in a circle.
            missing = sorted(row for row in own if row[0] not in there)
            if not missing or _are_stored(database, new, missing, wake):
                return there
        return there | _one_by_one(database, new, missing, wake)

    return repeated(database, store)


def _are_stored(
    database: str, new: NewTask, missing: Sequence[tuple[UUID, str, str]], wake: bool
) -> bool:
    """Store all; or none, and tell so, if somebody stored some of them a moment ago."""
    connection = connections[database]
    are_stored = True

    def store() -> None:
        nonlocal are_stored
        try:
            with transaction.atomic(using=database):
                enqueue.insert_chunks(connection, new, missing, wake=wake)
        except IntegrityError:
            are_stored = False

    enqueue.surely(connection, store)
    return are_stored


def _one_by_one(
    database: str, new: NewTask, missing: Sequence[tuple[UUID, str, str]], wake: bool
) -> dict[UUID, TaskResult[Any]]:
    with transaction.atomic(using=database, savepoint=False):
        results = (insert(database, new, *row, wake=wake) for row in missing)
        return {UUID(result.id): result for result in results if result is not None}


def _stored_before(
    database: str, new: NewTask, own: Sequence[tuple[UUID, str, str]]
) -> dict[UUID, TaskResult[Any]]:
    rows = TaskRecord.objects.using(database)
    found: list[TaskRecord] = []
    for start in range(0, len(own), enqueue.CHUNK):
        chunk = own[start : start + enqueue.CHUNK]
        found += rows.filter(pk__in=[task_id for task_id, _, _ in chunk])
    _check_all(found, new, own)
    return {UUID(result.id): result for result in enqueue.results_of(database, found)}


def _in_the_way(connection: BaseDatabaseWrapper, task_id: UUID) -> TaskRecord | None:
    """Return the row that has this id already, None if it is gone by now."""
    rows = TaskRecord.objects.using(connection.alias).filter(pk=task_id)
    record = rows.first()
    if record is None and not connection.get_autocommit():
        # MySQL's snapshot of a REPEATABLE READ is older than the row. A lock looks past it.
        record = rows.select_for_update().first()
    return record


def _check_all(
    found: Iterable[TaskRecord], new: NewTask, own: Sequence[tuple[UUID, str, str]]
) -> None:
    calls = {task_id: (args, kwargs) for task_id, args, kwargs in own}
    for record in found:
        _check(record, new, *calls[record.pk])


def _check(record: TaskRecord, new: NewTask, args: str, kwargs: str) -> None:
    """Raise TaskResultMismatch unless the row is of the same task, backend and arguments."""
    if record.task_path != new.task.module_path:
        other = f"task {record.task_path}"
    elif record.backend != new.alias:
        other = f"backend {record.backend!r}"
    elif not (_is_same(record.args, args) and _is_same(record.kwargs, kwargs)):
        other = f"other arguments of {record.task_path}"
    else:
        return
    raise TaskResultMismatch(
        f"Task id {record.pk} is taken: {record.enqueued_at:%Y-%m-%d %H:%M:%S} UTC it was given"
        f" to {other}. An id is that of one call, which may be repeated; make another one."
    )


def _is_same(stored: str, given: str) -> bool:
    """Compare JSON. The order of keys does not matter; 1, 1.0 and true are not the same."""
    return stored == given or _sorted(stored) == _sorted(given)


def _sorted(text: str) -> str:
    return json.dumps(serializers.loads(text), sort_keys=True)
