"""
Read the list of queues: of each backend, by name.

Counts stop at CAP, so that a look costs the same however many tasks there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import connections
from django.db.models import QuerySet

from ..definitions.backends import database_backends
from ..models import QueueState, TaskRecord, WorkerRecord
from ..routing import QueueSelection
from ..statuses import Status
from ..store import dialects
from ..store.dialects import DatabaseNow, status_is
from ..store.tasks import deletions
from ..store.workers.leases import BEAT
from .reading import CAP, CappedCount, capped_count, queue_names

#: Ready tasks of a queue, those next in turn, whose priorities and times are looked at: these
#: are in the rows, while the number of all is in the index.
AHEAD = 200


class QueueKey(NamedTuple):
    """A queue: two backends may have one of the same name."""

    backend: str
    name: str


@dataclass(slots=True, kw_only=True)
class QueueOverview:
    """One queue at a glance."""

    key: QueueKey
    ready: int = 0
    #: Seconds for which the oldest of those AHEAD could have run; None when there is none.
    oldest: float | None = None
    #: How many of those AHEAD have which priority, in the order in which they run.
    priorities: Sequence[tuple[int, int]] = ()
    running: int = 0
    scheduled: int = 0
    paused_at: datetime | None = None
    paused_by: str = ""
    #: Live workers that serve it, and those of them that have not left it out yet.
    workers: int = 0
    workers_behind: int = 0


@dataclass(slots=True)
class Queues:
    """The queues of the backends that keep their tasks in one database."""

    database: str
    #: What each is known to have, without its ready tasks.
    running: Counter[QueueKey] = field(default_factory=Counter)
    scheduled: Counter[QueueKey] = field(default_factory=Counter)
    states: dict[QueueKey, QueueState] = field(default_factory=dict)
    workers: list[WorkerRecord] = field(default_factory=list)
    keys: list[QueueKey] = field(default_factory=list)

    @classmethod
    def of(cls, database: str) -> Queues:
        """Find all that are declared, have tasks to run or a state, or are named by workers."""
        rows = TaskRecord.objects.using(database)
        states = QueueState.objects.using(database)
        alive = WorkerRecord.objects.using(database).filter(expires_at__gt=DatabaseNow())
        found = cls(
            database,
            running=_counts(rows.filter(status_is(Status.RUNNING), worker_id__isnull=False)),
            scheduled=_counts(rows.filter(status_is(Status.SCHEDULED))),
            states={QueueKey(state.backend, state.queue_name): state for state in states},
            workers=list(alive.exclude(pool=BEAT)),
        )
        keys = {*found.running, *found.scheduled, *found.states}
        keys |= set(_declared(database)) | set(_with_ready_tasks(database))
        keys |= {
            QueueKey(worker.backend, pattern)
            for worker in found.workers
            for pattern in worker.queues.split(",")
            if not pattern.endswith("*")
        }
        found.keys = sorted(keys)
        return found

    def look_at(self, keys: Sequence[QueueKey]) -> list[QueueOverview]:
        """Return these queues with what is ready in them."""
        connection = connections[self.database]
        dialect = dialects.dialect_for(connection)
        ready = dialect.look_at_ready(connection, keys, counted=CAP + 1, aged=AHEAD)
        priorities: dict[QueueKey, list[tuple[int, int]]] = {key: [] for key in keys}
        for backend, name, priority, count in dialect.ready_priorities(connection, keys, AHEAD):
            priorities[QueueKey(backend, name)].append((priority, count))
        return [
            self._overview(key, count, oldest, priorities[key])
            for key, (count, oldest) in zip(keys, ready, strict=True)
        ]

    def _overview(
        self, key: QueueKey, ready: int, oldest: float | None, priorities: list[tuple[int, int]]
    ) -> QueueOverview:
        state = self.states.get(key)
        is_paused = state is not None and state.paused_at is not None
        serving = [w for w in self.workers if _serves(w, key)]
        return QueueOverview(
            key=key,
            ready=_capped(ready),
            oldest=oldest,
            priorities=priorities,
            running=self.running[key],
            scheduled=self.scheduled[key],
            paused_at=state.paused_at if state else None,
            paused_by=state.paused_by if state else "",
            workers=len(serving),
            workers_behind=sum(is_paused and not excludes(w, key.name) for w in serving),
        )


def excludes(worker: WorkerRecord, queue_name: str) -> bool:
    """Tell whether all processes of a worker say that they claim nothing of a queue."""
    return queue_name in (worker.paused_queues or "").split(",")


def _serves(worker: WorkerRecord, key: QueueKey) -> bool:
    selection = QueueSelection(tuple(worker.queues.split(",")))
    return worker.backend == key.backend and selection.matches(key.name)


def _declared(database: str) -> Iterable[QueueKey]:
    for alias, backend in database_backends().items():
        if backend.database == database:
            yield from (QueueKey(alias, name) for name in queue_names([backend]))


def _with_ready_tasks(database: str) -> Iterable[QueueKey]:
    connection = connections[database]
    for alias, backend in database_backends().items():
        if backend.database == database:
            names = dialects.dialect_for(connection).ready_queues(connection, alias)
            yield from (QueueKey(alias, name) for name in names)


def _counts(rows: QuerySet[TaskRecord]) -> Counter[QueueKey]:
    """Count by queue among the first CAP rows; each count is capped when there are more."""
    found = list(rows.order_by().values_list("backend", "queue_name")[: CAP + 1])
    counts = Counter(QueueKey(*pair) for pair in found)
    if len(found) > CAP:
        return Counter({key: CappedCount(count) for key, count in counts.items()})
    return counts


def _capped(count: int) -> int:
    return CappedCount(CAP) if count > CAP else count


def waiting_count(database: str, key: QueueKey) -> int:
    """Count the tasks of a queue that have not started, which a purge would delete."""
    counts = [capped_count(rows) for rows in deletions.purgeable(database, *key)]
    is_capped = any(isinstance(count, CappedCount) for count in counts)
    return CappedCount(CAP) if is_capped else _capped(sum(counts))


def known_names(database: str, alias: str) -> list[str]:
    """Return the names of all queues of one backend."""
    return [key.name for key in Queues.of(database).keys if key.backend == alias]
