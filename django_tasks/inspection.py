"""
What queues, workers and running tasks look like now.

Counts stop at CAP, so that a look costs the same however many tasks there are. No arguments and
no results are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.models import Count, IntegerField, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from . import registry
from .aliases import database_backends
from .context import Progress
from .models import QueueState, Schedule, TaskRecord, WorkerRecord
from .routing import QueueSelection
from .statuses import Status
from .store import dialects
from .store.dialects import DatabaseNow, status_is
from .store.workers import BEAT

CAP = 10_000
DAY = 24 * 3600.0
#: Running tasks that are listed, the longest first.
RUNNING_LISTED = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """That a queue of one backend is paused."""

    backend: str
    #: For how long it has been.
    seconds: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSummary:
    """The tasks of one queue."""

    name: str
    ready: int
    #: Seconds for which the first of the ready tasks could have run; None when there is none.
    oldest: float | None
    running: int
    scheduled: int
    #: Those that failed in the last 24 hours.
    failed: int
    #: By backend: each has its own queue of this name.
    paused: Sequence[Pause] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSummary:
    """One worker's row."""

    id: str
    host: str
    pid: int
    pool: str
    concurrency: int
    queues: str
    #: Seconds since its last heartbeat.
    heartbeat: float
    state: str
    running: int
    #: Slots that it was asked to have and has not yet; None: it was not.
    wanted: int | None = None
    #: What it runs; empty when an older version of this app wrote the row.
    versions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatSummary:
    """One beat's row."""

    id: str
    host: str
    pid: int
    #: Seconds since its last heartbeat.
    heartbeat: float
    state: str
    versions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTask:
    """A task that a worker runs now."""

    id: str
    task: str
    queue: str
    worker: str
    seconds: float
    attempt: int
    progress: Progress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All of it. `running` lists at most RUNNING_LISTED tasks, the longest running first."""

    queues: Sequence[QueueSummary]
    workers: Sequence[WorkerSummary]
    running: Sequence[RunningTask]
    beats: Sequence[BeatSummary]
    #: Schedules that have a next run.
    schedules: int


def look(database: str, known_queues: Iterable[str] = ()) -> Snapshot:
    """Look at the tasks in `database`; `known_queues` are listed even when they are empty."""
    now = database_now(database)
    return Snapshot(
        queues=_queues(database, known_queues, now),
        workers=_workers(database, now),
        running=_running(database, now),
        beats=_beats(database, now),
        schedules=capped_count(Schedule.objects.using(database).filter(next_run_at__isnull=False)),
    )


def database_now(database: str) -> datetime:
    """Return the time by the database's clock."""
    connection = connections[database]
    clock = DatabaseNow()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {dialects.of(connection).now()}", [])
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


def _queues(database: str, known: Iterable[str], now: datetime) -> list[QueueSummary]:
    rows = TaskRecord.objects.using(database)
    connection = connections[database]
    dialect = dialects.of(connection)
    ready = {name for alias in settings.TASKS for name in dialect.ready_queues(connection, alias)}
    running = _per_queue(rows.filter(status=Status.RUNNING))
    scheduled = _per_queue(rows.filter(status=Status.SCHEDULED))
    failed = _per_queue(rows.filter(status=Status.FAILED, finished_at__gt=DatabaseNow(-DAY)))
    paused = _pauses(database, now)
    return [
        QueueSummary(
            name=name,
            ready=capped_count(_ready(rows, name)) if name in ready else 0,
            oldest=_age_of_oldest(_ready(rows, name), now) if name in ready else None,
            running=running[name],
            scheduled=scheduled[name],
            failed=failed[name],
            paused=paused.get(name, ()),
        )
        for name in sorted({*known, *ready, *running, *scheduled, *failed, *paused})
    ]


def _pauses(database: str, now: datetime) -> dict[str, list[Pause]]:
    found: dict[str, list[Pause]] = {}
    for state in QueueState.objects.using(database).paused():
        seconds = _seconds(state.paused_at or now, now)
        pause = Pause(backend=state.backend, seconds=seconds, by=state.paused_by)
        found.setdefault(state.queue_name, []).append(pause)
    return found


def _ready(rows: QuerySet[TaskRecord], queue_name: str) -> QuerySet[TaskRecord]:
    return rows.filter(status=Status.READY, queue_name=queue_name)


def _per_queue(rows: QuerySet[TaskRecord]) -> Counter[str]:
    """Count by queue among the first CAP rows; each count is capped when there are more."""
    names = list(rows.order_by().values_list("queue_name", flat=True)[: CAP + 1])
    counts = Counter(names)
    if len(names) > CAP:
        return Counter({name: CappedCount(count) for name, count in counts.items()})
    return counts


def _age_of_oldest(ready: QuerySet[TaskRecord], now: datetime) -> float | None:
    since = ready.aggregate(since=Min(Coalesce("run_after", "enqueued_at")))["since"]
    return None if since is None else _seconds(since, now)


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
    """Return the slots that a worker was asked to have and has not yet; None: there is no wish."""
    wanted = worker.wanted_concurrency
    return None if wanted == worker.concurrency else wanted


def _workers(database: str, now: datetime) -> list[WorkerSummary]:
    return [
        WorkerSummary(
            id=str(worker.pk),
            host=worker.host,
            pid=worker.pid,
            pool=worker.pool,
            concurrency=worker.concurrency,
            queues=worker.queues,
            heartbeat=_seconds(worker.heartbeat_at, now),
            state=worker_state(worker, now),
            running=worker.running_count,
            wanted=wanted_slots(worker),
            versions=worker.versions,
        )
        for worker in with_running_count(WorkerRecord.objects.using(database).exclude(pool=BEAT))
    ]


def _beats(database: str, now: datetime) -> list[BeatSummary]:
    return [
        BeatSummary(
            id=str(beat.pk),
            host=beat.host,
            pid=beat.pid,
            heartbeat=_seconds(beat.heartbeat_at, now),
            state=worker_state(beat, now),
            versions=beat.versions,
        )
        for beat in WorkerRecord.objects.using(database).filter(pool=BEAT)
    ]


def _running(database: str, now: datetime) -> list[RunningTask]:
    names: dict[UUID | None, str] = {
        worker.pk: str(worker) for worker in WorkerRecord.objects.using(database).iterator()
    }
    rows = (
        TaskRecord.objects.using(database)
        .filter(status=Status.RUNNING)
        .order_by("last_attempted_at")
        .only("task_path", "queue_name", "worker_id", "last_attempted_at", "attempts", "progress")
    )
    return [
        RunningTask(
            id=str(row.pk),
            task=row.task_path,
            queue=row.queue_name,
            worker=names.get(row.worker_id) or f"{row.worker_id} (gone)",
            seconds=_seconds(row.last_attempted_at or now, now),
            attempt=row.attempts,
            progress=readable_progress(row),
        )
        for row in rows[:RUNNING_LISTED]
    ]


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


def _seconds(since: datetime, now: datetime) -> float:
    return max(0.0, round((now - since).total_seconds(), 3))
