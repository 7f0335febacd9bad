"""Publish ready tasks to brokers, after the commit that made them ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...brokers import configured
from ...brokers.base import Ready
from ...dep14.handler import task_backends
from ...dep14.private import last_on_commit
from ...models import TaskRecord
from ...statuses import Status

#: Tasks per query.
CHUNK = 1000


def publish(database: str, alias: str, ready: Sequence[Ready]) -> None:
    """Have a backend's broker hand out new tasks once the caller's transaction has committed."""
    if ready and configured.broker_for(alias).publishes:
        _after_commit(database, new=[(alias, ready)])


def publish_again(database: str, task_ids: Iterable[UUID]) -> None:
    """The same of tasks of any backend that may have become ready again, or at last."""
    if configured.publishing_aliases() and (ids := list(task_ids)):
        _after_commit(database, changed=ids)


def expect(database: str) -> None:
    """Have keepers look for due tasks, and control requests, after the caller's commit."""
    if configured.publishing_aliases():
        _after_commit(database, has_later=True)


class _Handout:
    """What one commit made ready. Many tasks of one transaction are published in one go."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.new: dict[str, list[Ready]] = defaultdict(list)
        self.changed: list[UUID] = []
        self.has_later = False

    def __call__(self) -> None:
        for start in range(0, len(self.changed), CHUNK):
            self._read(self.changed[start : start + CHUNK])
        for alias, ready in self.new.items():
            configured.broker_for(alias).publish(ready)
        if self.has_later:
            for alias in configured.publishing_aliases():
                configured.broker_for(alias).expect()

    def _read(self, ids: Sequence[UUID]) -> None:
        rows = TaskRecord.objects.using(self.database).filter(pk__in=ids, status=Status.READY)
        # By age: some brokers hand out in the order in which they were told.
        found = rows.order_by("pk").values_list("backend", "pk", "queue_name", "priority")
        for alias, task_id, queue_name, priority in found:
            if alias in task_backends.settings and configured.broker_for(alias).publishes:
                self.new[alias].append(Ready(task_id, queue_name, priority))


def _after_commit(
    database: str,
    *,
    new: Sequence[tuple[str, Sequence[Ready]]] = (),
    changed: Sequence[UUID] = (),
    has_later: bool = False,
) -> None:
    connection = connections[database]
    if not connection.in_atomic_block and not connection.get_autocommit():
        return  # the commit is plain SQL, which nobody sees: the keeper publishes what it finds
    pending = _pending(connection)
    handout = pending or _Handout(database)
    for alias, ready in new:
        handout.new[alias].extend(ready)
    handout.changed.extend(changed)
    handout.has_later |= has_later
    if handout is not pending:
        transaction.on_commit(handout, using=database, robust=True)


def _pending(connection: BaseDatabaseWrapper) -> _Handout | None:
    """Return what waits for the same commit, and is dropped by the same rollback, if any."""
    function = last_on_commit(connection)
    return function if isinstance(function, _Handout) else None
