"""Register workers, renew their leases, and find the tasks of those that are lost."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import django
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from ... import __version__
from ...models import QueueState, TaskRecord, WorkerRecord
from ...statuses import Status
from ..dialects import DatabaseNow, status_is
from ..locking import lock_available
from ..values import CLAIMED, Claim

#: What the row of a beat has in the place of a pool: it runs no tasks.
BEAT = "beat"

#: What this process runs.
VERSIONS = (
    f"django_tasks {__version__}, Django {django.get_version()}, Python {platform.python_version()}"
)

#: Orphans of one transaction: what may become of them is far from the length of a lease.
SWEEP_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a worker says about itself."""

    id: UUID
    host: str
    pid: int
    backend: str
    queues: str
    pool: str
    concurrency: int
    lease: float
    #: Most slots that it can be given while it runs. None: it keeps those that it has.
    max_concurrency: int | None = None
    #: The queues that all of its processes leave out. None: not known yet.
    paused: frozenset[str] | None = None
    is_stopping: bool = False
    versions: str = VERSIONS


def register(database: str, info: WorkerInfo) -> None:
    """Write the worker's row; its lease begins now."""
    now = DatabaseNow()
    WorkerRecord.objects.using(database).create(
        id=info.id,
        host=info.host,
        pid=info.pid,
        backend=info.backend,
        queues=info.queues,
        pool=info.pool,
        lease=info.lease,
        max_concurrency=info.max_concurrency,
        versions=info.versions[:100],
        started_at=now,
        heartbeat_at=now,
        expires_at=DatabaseNow(info.lease),
        **_changing(info),
    )


def renew(database: str, info: WorkerInfo) -> bool:
    """
    Extend the lease, and write what has changed about the worker since.

    Return False when the row is gone: others took the worker for dead.
    """
    return bool(
        WorkerRecord.objects.using(database)
        .filter(pk=info.id)
        .update(
            heartbeat_at=DatabaseNow(),
            expires_at=DatabaseNow(info.lease),
            **_changing(info),
        )
    )


def _changing(info: WorkerInfo) -> dict[str, Any]:
    return {
        "concurrency": info.concurrency,
        "is_stopping": info.is_stopping,
        "paused_queues": None if info.paused is None else ",".join(sorted(info.paused)),
    }


def unregister(database: str, worker_id: UUID) -> None:
    """Delete the worker's row; tasks that it still owned are rescued by others."""
    WorkerRecord.objects.using(database).filter(pk=worker_id).delete()


class Signs(NamedTuple):
    """Whether there is something to sweep, or somebody has asked for something."""

    has_dead_workers: bool = True
    has_orphans: bool = True
    has_own_orphans: bool = True
    has_control_requests: bool = True


def signs(database: str, info: WorkerInfo, live_processes: Sequence[int]) -> Signs:
    """Tell in one statement what it is worth asking for: lost tasks, and control requests."""
    own = WorkerRecord.objects.using(database).filter(pk=info.id)
    paused = QueueState.objects.paused().filter(backend=info.backend)
    found = own.values_list(
        Exists(WorkerRecord.objects.filter(expires_at__lte=DatabaseNow())),
        Exists(_without_live_worker(TaskRecord.objects.all())),
        Exists(_of_dead_process(TaskRecord.objects.all(), info.id, live_processes)),
        Exists(paused),
        "stop_requested_at",
        "wanted_concurrency",
    ).first()
    if found is None:
        return Signs()
    dead_workers, orphans, own_orphans, is_paused, stop_requested_at, concurrency = found
    is_asked = stop_requested_at is not None or concurrency is not None
    return Signs(dead_workers, orphans, own_orphans, is_paused or is_asked)


class Orphan(NamedTuple):
    """A running task whose process is gone."""

    claim: Claim
    worker_id: UUID
    process: int
    on_lost: str | None = None


def lock_orphans_of_dead_workers(database: str) -> list[Orphan]:
    """Lock running tasks whose worker has no live row, without those that another one rescues."""
    tasks = TaskRecord.objects.using(database)
    # By their owners, as a locking read may lock all that it looks at: tasks of the living, too.
    orphans = _without_live_worker(tasks).order_by().values_list("worker_id", flat=True)
    owners = set(orphans[:SWEEP_CHUNK])
    if not owners:
        return []
    return _lock(database, tasks.filter(status_is(Status.RUNNING), worker_id__in=owners))


def lock_orphans_of_process(
    database: str, worker_id: UUID, live_processes: Sequence[int]
) -> list[Orphan]:
    """Lock running tasks of this worker whose process is none of its live ones."""
    rows = _of_dead_process(TaskRecord.objects.using(database), worker_id, live_processes)
    return _lock(database, rows)


def _without_live_worker(rows: QuerySet[TaskRecord]) -> QuerySet[TaskRecord]:
    alive = WorkerRecord.objects.filter(pk=OuterRef("worker_id"), expires_at__gt=DatabaseNow())
    return rows.filter(
        # Always set, but SQLite takes the index on it only when asked for it.
        status_is(Status.RUNNING),
        ~Exists(alive),
        worker_id__isnull=False,
    )


def _of_dead_process(
    rows: QuerySet[TaskRecord], worker_id: UUID, live_processes: Sequence[int]
) -> QuerySet[TaskRecord]:
    own = rows.filter(status_is(Status.RUNNING), worker_id=worker_id)
    return own.exclude(process__in=live_processes)


def _lock(database: str, rows: QuerySet[TaskRecord]) -> list[Orphan]:
    # No order: the table's own would walk its primary key. Whoever waits for nobody needs none.
    free = lock_available(database, rows.order_by())
    found = free.values_list(*CLAIMED, *_OWNED)[:SWEEP_CHUNK]
    split = len(CLAIMED)
    return [Orphan(Claim._make((*row[:split], False)), *row[split:]) for row in found]


#: What a rescuer needs to know beside the claim.
_OWNED = ("worker_id", "process", "on_lost")


def forget_dead(database: str) -> int:
    """Delete the rows of dead workers that own nothing any more, and that nobody has locked."""
    owned = TaskRecord.objects.filter(status_is(Status.RUNNING), worker_id=OuterRef("pk"))
    workers = WorkerRecord.objects.using(database)
    dead = workers.filter(~Exists(owned), expires_at__lte=DatabaseNow()).order_by()
    with transaction.atomic(using=database):
        ids = list(lock_available(database, dead).values_list("pk", flat=True)[:SWEEP_CHUNK])
        return workers.filter(pk__in=ids).delete()[0] if ids else 0


def cancelled_tasks(database: str, worker_id: UUID) -> list[tuple[UUID, int]]:
    """Return (id, claims) of this worker's running tasks that somebody cancelled."""
    rows = TaskRecord.objects.using(database).filter(
        status_is(Status.RUNNING), worker_id=worker_id, cancel_requested=True
    )
    return list(rows.values_list("pk", "claims"))
