"""
What queues, workers and running tasks look like now: all that `tasks_inspect` shows.

It costs the same however many tasks there are. No arguments and no results are read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ..definitions.backends import database_backends
from ..definitions.progress import Progress
from ..models import QueueState, Schedule, TaskRecord, WorkerRecord
from ..statuses import Status
from ..store.dialects import status_is
from ..store.rollups.counting import uncounted
from .queues import QueueFigures, RunningTasks, read_queues, read_running
from .reading import CAP, CappedCount, capped_count, database_now, readable_progress, wanted_slots
from .workers import WorkerFigures, figures, is_beat

#: Running tasks that are listed, the longest first.
RUNNING_LISTED = 100
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """That a queue of one backend is paused."""

    backend: str
    #: For how long it has been.
    seconds: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSummary:
    """The tasks of the queues of one name. A CappedCount stands for at least that many."""

    name: str
    ready: int
    #: Seconds for which the first of the ready tasks could have run, among the AGED of a backend
    #: that are next; None when there is none.
    oldest: float | None
    running: int
    scheduled: int
    #: Those that failed in the last 24 hours, also when they were run again since.
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


def look(database: str) -> Snapshot:
    """Look at the tasks in `database`."""
    now = database_now(database)
    rows = list(WorkerRecord.objects.using(database))
    running = read_running(database, set())
    read = figures(rows, running, now)
    return Snapshot(
        queues=_queues(database, running, now),
        workers=[_worker(worker, now) for worker in read if not is_beat(worker.row)],
        running=_running(database, {row.pk: str(row) for row in rows}, now),
        beats=[_beat(beat, now) for beat in read if is_beat(beat.row)],
        schedules=capped_count(Schedule.objects.using(database).filter(next_run_at__isnull=False)),
    )


def _queues(database: str, running: RunningTasks, now: datetime) -> list[QueueSummary]:
    """Sum up the queues of one name: several backends may have one each."""
    backends = [b for b in database_backends().values() if b.database == database]
    paused = _pauses(database, now)
    failed = _just_failed(database, now)
    by_name: dict[str, list[QueueFigures]] = {name: [] for name in (*paused, *failed)}
    for queue in read_queues(database, backends, running, now, counts_all=True):
        by_name.setdefault(queue.name, []).append(queue)
    return [
        QueueSummary(
            name=name,
            ready=_sum(queue.ready for queue in queues),
            oldest=max((q.oldest for q in queues if q.oldest is not None), default=None),
            running=_sum(queue.running for queue in queues),
            scheduled=_sum(queue.scheduled for queue in queues),
            failed=_sum([failed[name], *(queue.failed for queue in queues)]),
            paused=paused.get(name, ()),
        )
        for name, queues in sorted(by_name.items())
    ]


def _just_failed(database: str, now: datetime) -> Mapping[str, int]:
    """
    Count by queue the failures that keepers have not counted yet, among the CAP tasks next to be.

    They count a minute when it is over, and nothing while no worker runs.
    """
    finished = uncounted(database, now - _DAY, CAP + 1)
    failed = Counter(name for name, status in finished[:CAP] if status == Status.FAILED)
    if len(finished) <= CAP:
        return failed
    return defaultdict(CappedCount, {name: CappedCount(count) for name, count in failed.items()})


def _sum(counts: Iterable[int]) -> int:
    """Return the sum; capped when one of its parts is."""
    parts = list(counts)
    total = sum(map(int, parts))
    return CappedCount(total) if any(isinstance(part, CappedCount) for part in parts) else total


def _pauses(database: str, now: datetime) -> dict[str, list[Pause]]:
    found: dict[str, list[Pause]] = {}
    for state in QueueState.objects.using(database).paused():
        seconds = _seconds(state.paused_at or now, now)
        pause = Pause(backend=state.backend, seconds=seconds, by=state.paused_by)
        found.setdefault(state.queue_name, []).append(pause)
    return found


def _worker(worker: WorkerFigures, now: datetime) -> WorkerSummary:
    row = worker.row
    return WorkerSummary(
        id=str(row.pk),
        host=row.host,
        pid=row.pid,
        pool=row.pool,
        concurrency=row.concurrency,
        queues=row.queues,
        heartbeat=_seconds(row.heartbeat_at, now),
        state=worker.state,
        running=worker.used,
        wanted=wanted_slots(row),
        versions=row.versions,
    )


def _beat(beat: WorkerFigures, now: datetime) -> BeatSummary:
    row = beat.row
    return BeatSummary(
        id=str(row.pk),
        host=row.host,
        pid=row.pid,
        heartbeat=_seconds(row.heartbeat_at, now),
        state=beat.state,
        versions=row.versions,
    )


def _running(database: str, names: Mapping[UUID | None, str], now: datetime) -> list[RunningTask]:
    rows = (
        TaskRecord.objects.using(database)
        .filter(status_is(Status.RUNNING), worker_id__isnull=False)
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


def _seconds(since: datetime, now: datetime) -> float:
    return max(0.0, round((now - since).total_seconds(), 3))
