"""
What those that look at queues, workers and tasks share.

Counts stop at CAP, so that a look costs the same however many tasks there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from ..definitions import registry
from ..definitions.backends import database_backends
from ..definitions.progress import Progress
from ..models import TaskRecord, WorkerRecord
from ..routing import QueueSelection
from ..statuses import Status
from ..store import dialects
from ..store.dialects import DatabaseNow, status_is

CAP = 10_000


class CappedCount(int):
    """A count that stopped at CAP: prints as ``10,000+``."""

    def __str__(self) -> str:
        if settings.USE_THOUSAND_SEPARATOR:
            # Templates then group these characters in threes, from the end: ">10,000".
            return f">{int(self)}"
        return f"{int(self):,}+"

    __repr__ = __str__


def capped_count(rows: QuerySet[Any], cap: int = CAP) -> int:
    """Count `rows`, but not beyond `cap`: more of them is a CappedCount of it."""
    # Without a column the subquery would carry every one.
    count = rows.order_by().values("pk")[: cap + 1].count()
    return CappedCount(cap) if count > cap else count


def database_now(database: str) -> datetime:
    """Return the time by the database's clock."""
    connection = connections[database]
    clock = DatabaseNow()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {dialects.dialect_for(connection).now()}", [])
        [value] = cursor.fetchone()
    field = clock.output_field
    for convert in connection.ops.get_db_converters(clock) + field.get_db_converters(connection):
        value = convert(value, clock, connection)
    assert isinstance(value, datetime)
    return value


def queue_names(backends: Iterable[Any]) -> set[str]:
    """Return the queues that settings and code name: QUEUES of `backends`, and the tasks' own."""
    names = {str(name) for backend in backends for name in backend.queues}
    return names | {task.queue_name for task in registry.known_tasks()}


def with_running_count(workers: QuerySet[WorkerRecord]) -> QuerySet[Any]:
    """Annotate each worker with `running_count`, the number of tasks it owns."""
    owned = (
        TaskRecord.objects.using(workers.db)
        .filter(status_is(Status.RUNNING), worker_id=OuterRef("pk"))
        .order_by()
        .values("worker_id")
        .annotate(count=Count("pk"))
        .values("count")
    )
    return workers.annotate(running_count=Coalesce(Subquery(owned, output_field=IntegerField()), 0))


def worker_state(worker: WorkerRecord, now: datetime) -> str:
    """Return "late" when its lease is over by the database's clock, else "stopping" or "alive"."""
    if worker.expires_at <= now:
        return "late"
    is_stopping = worker.is_stopping or worker.stop_requested_at is not None
    return "stopping" if is_stopping else "alive"


def served_queues(worker: WorkerRecord) -> QueueSelection:
    """Return the queues that its row names; none when the row is one that no worker wrote."""
    try:
        return QueueSelection.parse(worker.queues)
    except ValueError:
        return QueueSelection(())


def wanted_slots(worker: WorkerRecord) -> int | None:
    """Return the slots that a worker was asked to have and has not yet; None: no request."""
    wanted = worker.wanted_concurrency
    return None if wanted == worker.concurrency else wanted


def readable_progress(row: TaskRecord) -> Progress | None:
    """Return the progress, None when there is none or its JSON is not what was written."""
    try:
        progress = row.progress_value
    except (ValueError, TypeError, RecursionError):
        return None
    if progress is None or not _is_number(progress.done):
        return None
    return progress if progress.total is None or _is_number(progress.total) else None


def most_attempts(row: TaskRecord) -> int | None:
    """Return how many attempts the task has in all, None when its code is not known here."""
    if row.max_attempts is not None:
        return row.max_attempts
    known = registry.find(row.task_path)
    if known is None:
        return None
    backend = database_backends().get(row.backend)
    return known.max_attempts or (backend.max_attempts if backend else None)


def _is_number(value: Any) -> bool:
    # Not math.isfinite: it cannot take an int of 400 digits.
    return isinstance(value, (int, float)) and -1e300 < value < 1e300
