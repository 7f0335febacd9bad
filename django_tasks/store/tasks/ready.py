"""Notify that tasks are ready: ids to brokers, wake-ups to workers that read the table."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connections

from ...brokers import configured
from ...dep14.handler import task_backends
from ...models import TaskRecord
from ...statuses import Status
from .. import dialects
from . import publishing


def notify_ready(database: str, task_ids: Iterable[UUID]) -> None:
    """
    Have tasks that may be READY now, or READY elsewhere than before, found at once.

    Whoever writes READY, or the queue or priority of tasks that have not started, calls it beside
    the write, in its transaction if it has one: workers hear of it with the commit. Without it a
    task waits until somebody happens to look.
    """
    ids = list(task_ids)
    publishing.publish_again(database, ids)
    if ids and dialects.dialect_for(connections[database]).has_notify:
        rows = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.READY)
        queues = rows.order_by().values_list("backend", "queue_name").distinct()
        wake(database, {name for alias, name in queues if _wakes(alias, name)})


def _wakes(alias: str, queue_name: str) -> bool:
    return alias in task_backends.settings and configured.broker_for(alias).wakes(queue_name)


def wake(database: str, queue_names: Iterable[str]) -> None:
    """Wake the workers of these queues with the caller's commit, where the database can."""
    connection = connections[database]
    for queue_name in queue_names:
        dialects.dialect_for(connection).notify(connection, queue_name)
