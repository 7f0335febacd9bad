"""
Read figures of queues: waiting, running, oldest.

Ready and scheduled tasks are not counted beyond CAP, running ones are as few as there are slots,
and what finished comes from the rollups: a look costs the same however many tasks there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Count, F, Min
from django.db.models.lookups import LessThanOrEqual

from ..definitions import registry
from ..definitions.protocols import StoringBackend
from ..models import QueueState, TaskRecord
from ..statuses import Status
from ..store import dialects
from ..store.dialects import DatabaseNow, status_is
from . import history
from .reading import CAP, CappedCount

#: A queue and its backend's alias, which comes first.
Queue = tuple[str, str]
#: Ready tasks of a queue, the next in turn, among which the oldest is looked for.
AGED = 1000
#: Queues whose ready tasks are counted; of each further one only that there are some is known.
MOST_COUNTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """The tasks of one queue. A CappedCount stands for at least that many."""

    backend: str
    name: str
    ready: int
    #: Seconds for which the first ready task could have run, among the AGED that are next; None
    #: when none is ready, or of queues beyond MOST_COUNTED.
    oldest: float | None
    running: int
    #: Running ones whose worker is gone or late: others give them back.
    orphaned: int
    scheduled: int
    #: Scheduled ones whose time has come: the next look of any worker makes them ready.
    due: int
    #: In the last 24 hours, as far as they are counted.
    failed: int
    #: Tasks that succeeded or failed per minute, in the last hour.
    throughput: float
    is_paused: bool

    @property
    def waiting(self) -> int:
        """Those that a worker of this queue could run now, or as soon as they are given back."""
        total = int(self.ready) + int(self.due) + int(self.orphaned)
        return CappedCount(total) if isinstance(self.ready, CappedCount) else total


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTasks:
    """Who runs what."""

    by_queue: Counter[Queue]
    #: Of these, those of workers that are gone or late.
    orphaned: Counter[Queue]
    #: Workers' ids, and how often each runs which task.
    by_worker: Mapping[UUID, Counter[str]]
    #: When the first of each queue's running ones started.
    since: Mapping[Queue, datetime]


def read_running(database: str, live_workers: Set[UUID]) -> RunningTasks:
    """Count running tasks: there are no more than the workers have slots."""
    rows: Any = (
        TaskRecord.objects.using(database)
        .filter(status_is(Status.RUNNING), worker_id__isnull=False)
        .order_by()
        .values_list("backend", "queue_name", "worker_id", "task_path")
        .annotate(number=Count("pk"), started_at=Min("last_attempted_at"))
    )
    since: dict[Queue, datetime] = {}
    by_queue: Counter[Queue] = Counter()
    orphaned: Counter[Queue] = Counter()
    by_worker: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    for backend, name, worker_id, task_path, number, started_at in rows:
        if started_at is not None:
            since[backend, name] = min(since.get((backend, name), started_at), started_at)
        by_queue[backend, name] += number
        by_worker[worker_id][task_path] += number
        if worker_id not in live_workers:
            orphaned[backend, name] += number
    return RunningTasks(by_queue=by_queue, orphaned=orphaned, by_worker=by_worker, since=since)


def read_queues(
    database: str,
    backends: Sequence[StoringBackend],
    running: RunningTasks,
    now: datetime,
    *,
    counts_all: bool = False,
    with_rates: bool = True,
) -> list[QueueFigures]:
    """
    Read the queues of `backends`: those with tasks, and those that settings and code name.

    `counts_all`: count the ready tasks of queues beyond MOST_COUNTED, too. `with_rates`: read what
    finished lately; else `failed` and `throughput` are 0.
    """
    ready = _ready(database, backends, counts_all=counts_all)
    scheduled, due = _scheduled(database)
    rates = history.read_rates(database, now) if with_rates else {}
    states = QueueState.objects.using(database).paused()
    paused = set(states.values_list("backend", "queue_name"))
    found = {*ready, *running.by_queue, *scheduled, *rates, *_known(backends)}
    shown = [backend.alias for backend in backends]
    return [
        QueueFigures(
            backend=queue[0],
            name=queue[1],
            ready=ready.get(queue, (0, None))[0],
            oldest=ready.get(queue, (0, None))[1],
            running=running.by_queue[queue],
            orphaned=running.orphaned[queue],
            scheduled=scheduled[queue],
            due=due[queue],
            failed=rates[queue].failed if queue in rates else 0,
            throughput=rates[queue].throughput if queue in rates else 0.0,
            is_paused=queue in paused,
        )
        for queue in sorted(found, key=lambda queue: (_place(shown, queue[0]), queue))
    ]


def _place(aliases: Sequence[str], alias: str) -> int:
    return aliases.index(alias) if alias in aliases else len(aliases)


def _known(backends: Iterable[StoringBackend]) -> set[Queue]:
    """Return the queues that settings and code name."""
    listed = {(backend.alias, str(name)) for backend in backends for name in backend.queues}
    aliases = {backend.alias for backend in backends}
    tasks = ((task.backend, task.queue_name) for task in registry.known_tasks())
    return listed | {queue for queue in tasks if queue[0] in aliases}


def _ready(
    database: str, backends: Iterable[StoringBackend], *, counts_all: bool
) -> dict[Queue, tuple[int, float | None]]:
    """Return how many are ready in each queue that has some, and for how long the first is."""
    connection = connections[database]
    dialect = dialects.dialect_for(connection)
    queues = [
        (backend.alias, name)
        for backend in backends
        for name in dialect.ready_queues(connection, backend.alias)
    ]
    figures: dict[Queue, tuple[int, float | None]] = dict.fromkeys(queues, (CappedCount(1), None))
    # So many at a time: a statement cannot have any number of parts.
    for first in range(0, len(queues) if counts_all else 1, MOST_COUNTED):
        counted = queues[first : first + MOST_COUNTED]
        looks = dialect.look_at_ready(connection, counted, counted=CAP + 1, aged=AGED)
        for queue, (count, age) in zip(counted, looks, strict=True):
            figures[queue] = (CappedCount(CAP) if count > CAP else count, age)
    return figures


def _scheduled(database: str) -> tuple[Mapping[Queue, int], Counter[Queue]]:
    """
    Return how many of the CAP that are due first are in each queue, and how many are due.

    When there are more, any queue may have some of those, also one that is not among them.
    """
    rows: Any = (
        TaskRecord.objects.using(database)
        .filter(status_is(Status.SCHEDULED))
        .order_by("run_after")
        .annotate(is_due=LessThanOrEqual(F("run_after"), DatabaseNow()))
        .values_list("backend", "queue_name", "is_due")[: CAP + 1]
    )
    found = list(rows)
    first = found[:CAP]
    scheduled: Mapping[Queue, int] = Counter((backend, name) for backend, name, _is_due in first)
    due = Counter((backend, name) for backend, name, is_due in first if is_due)
    if len(found) > CAP:
        capped = {queue: CappedCount(count) for queue, count in scheduled.items()}
        scheduled = defaultdict(CappedCount, capped)
    return scheduled, due
