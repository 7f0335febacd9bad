"""
The only writer of ``status``.

Each change is one compare-and-set: it names the status it expects and, for a running task, the
claim. No row changed means that somebody else was first; their change stands. Whatever makes tasks
ready has them published once it is committed.

    enqueue -> READY | SCHEDULED          (records.insert)
    claim: READY -> RUNNING               (dialects.claim)
    succeed: RUNNING -> SUCCESSFUL        (dialects.succeed)
    fail, retry, snooze, release, lose, cancel, expire: RUNNING -> …      (settle)
    promote: SCHEDULED -> READY
    cancel, expire: SCHEDULED, READY -> CANCELLED
    hurry: SCHEDULED -> READY, before its time
    requeue: FAILED, CANCELLED -> READY
    copy: SUCCESSFUL stays, a new record -> READY
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Least

from ..brokers import publishing
from ..models import TaskAttempt, TaskRecord
from ..statuses import PENDING_STATUSES, AttemptOutcome, Status
from . import attempts, dialects, policy
from .chunks import CHUNK, chunks, lock_all, lock_available, lock_ids, next_in_order
from .dialects import DatabaseNow, status_is
from .repeating import repeated
from .rows import Attempt, Ending, EndingKind, Success

_BACK = F("attempts") - 1
#: Saturated: a counter that somebody set to its end must not make the statement fail.
_LOST_AGAIN = Least(F("lost"), 2**31 - 2) + 1


def _finished(status: Status) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": DatabaseNow(),
        "prune_after": policy.prune_after(status),
    }


def _again(delay: float) -> dict[str, Any]:
    if delay <= 0:
        return {"status": Status.READY, "run_after": None}
    return {"status": Status.SCHEDULED, "run_after": DatabaseNow(delay)}


_CHANGES: dict[EndingKind, Callable[[Ending], dict[str, Any]]] = {
    EndingKind.FAIL: lambda ending: _finished(Status.FAILED),
    EndingKind.RETRY: lambda ending: _again(ending.delay),
    EndingKind.SNOOZE: lambda ending: _again(ending.delay) | {"attempts": _BACK},
    EndingKind.RELEASE: lambda ending: _again(ending.delay) | {"attempts": _BACK},
    EndingKind.LOSE: lambda ending: _again(ending.delay) | {"attempts": _BACK, "lost": _LOST_AGAIN},
    EndingKind.POISON: lambda ending: _finished(Status.FAILED) | {"lost": _LOST_AGAIN},
    EndingKind.CANCEL: lambda ending: _finished(Status.CANCELLED),
    EndingKind.EXPIRE: lambda ending: _finished(Status.CANCELLED) | {"attempts": _BACK},
}


_RUNS_AGAIN = {EndingKind.RETRY, EndingKind.SNOOZE, EndingKind.RELEASE, EndingKind.LOSE}


class Settled(NamedTuple):
    """What settle() did other than it was told."""

    refused: list[Ending]
    #: Tasks that would have run again, and were CANCELLED instead.
    cancelled: set[UUID]


def settle(
    database: str,
    endings: Iterable[Ending],
    worker_id: UUID,
    process: int,
    host: str,
    *,
    writes_late: bool = True,
) -> Settled:
    """
    Write what became of claimed tasks, in one transaction, in the order of their ids.

    An ending is refused when the claim no longer holds; a LATE attempt tells of each, unless
    `writes_late` is off (for who speaks for others). One that was written before (its reply was
    lost) counts as accepted.
    """
    refused: list[Ending] = []
    with transaction.atomic(using=database):
        rows: list[TaskAttempt] = []
        ordered = sorted(endings, key=lambda ending: ending.id)
        for ending in ordered:
            if _settle_one(database, ending):
                rows += attempts.of_ending(ending, ending.attempt, worker_id, process, host)
            elif not attempts.was_written(database, ending):
                refused.append(ending)
                if not writes_late:
                    continue
                what = "success" if ending.kind is EndingKind.LATE else ending.kind
                late = Attempt(outcome=AttemptOutcome.LATE, traceback=f"{what} refused")
                rows += attempts.of_ending(ending, late, worker_id, process, host)
        TaskAttempt.objects.using(database).bulk_create(rows)
        cancelled = _obey_cancellations(database, ordered)
        again = [ending for ending in ordered if ending.kind in _RUNS_AGAIN]
        publishing.publish_again(database, (e.id for e in again if e.delay <= 0))
        if any(ending.delay > 0 for ending in again):
            publishing.expect(database)
    return Settled(refused, cancelled)


def _settle_one(database: str, ending: Ending) -> bool:
    if ending.kind is EndingKind.LATE:
        return False
    changes = _CHANGES[ending.kind](ending) | ending.fields
    if ending.attempt is not None and ending.attempt.run_time is not None:
        changes["run_time"] = ending.attempt.run_time
    return bool(_owned(database, ending.id, ending.claims).update(**changes))


def _owned(database: str, task_id: UUID, claims: int) -> QuerySet[TaskRecord]:
    tasks = TaskRecord.objects.using(database)
    return tasks.filter(pk=task_id, claims=claims, status=Status.RUNNING)


def _obey_cancellations(database: str, endings: Iterable[Ending]) -> set[UUID]:
    """End the tasks that somebody cancelled while they ran and that would run again."""
    rows = TaskRecord.objects.using(database).filter(
        pk__in=[ending.id for ending in endings],
        cancel_requested=True,
        status__in=PENDING_STATUSES,
    )
    told = set(lock_all(database, rows.order_by("pk")).values_list("pk", flat=True))
    if told:
        _cancel_pending(
            database,
            list(told),
            AttemptOutcome.CANCELLED,
            "TaskCancelled",
            "The task was cancelled while it ran, and would have run again.",
        )
    return told


def save_fields(database: str, task_id: UUID, claims: int, fields: dict[str, Any]) -> bool:
    """Write columns of a running task (progress, state, metadata, log) if the claim holds."""
    return bool(_owned(database, task_id, claims).update(**fields))


def succeed_in_transaction(database: str, success: Success, fields: dict[str, Any]) -> bool:
    """Record a success inside the caller's transaction: the body's writes commit with it."""
    changes = (
        _finished(Status.SUCCESSFUL)
        | fields
        | {
            "return_value": success.value,
            "run_time": success.run_time,
        }
    )
    return bool(_owned(database, success.id, success.claims).update(**changes))


def promote(database: str, *, at_any_time: bool = False, most: int | None = None) -> set[str]:
    """
    Make scheduled tasks ready that are due (or all of them); return their queues.

    `most`: about how many to handle; None: all.
    """
    rows = TaskRecord.objects.using(database).filter(status_is(Status.SCHEDULED))
    if not at_any_time:
        rows = rows.filter(run_after__lte=DatabaseNow())
    queues: set[str] = set()
    for _ in chunks(most):
        with next_in_order(database):
            due = lock_available(database, rows.order_by("run_after"))
            picked = dict(due.values_list("pk", "queue_name")[:CHUNK])
            TaskRecord.objects.using(database).filter(
                pk__in=picked, status=Status.SCHEDULED
            ).update(status=Status.READY)
            publishing.publish_again(database, picked)
        queues.update(picked.values())
        if len(picked) < CHUNK:
            break
    return queues


def expire(database: str, *, most: int | None = None) -> int:
    """Cancel tasks that were not started before their expires_at, about `most` of them."""
    expired = 0
    for _ in chunks(most):
        with next_in_order(database):
            overdue = TaskRecord.objects.using(database).filter(
                status_is(Status.SCHEDULED, Status.READY),
                expires_at__isnull=False,
                expires_at__lte=DatabaseNow(),
            )
            ids = lock_ids(database, overdue.order_by("expires_at"))
            expired += _cancel_pending(
                database,
                ids,
                AttemptOutcome.EXPIRED,
                "TaskExpired",
                "The task was not started before it expired.",
            )
        if len(ids) < CHUNK:
            break
    return expired


def _cancel_pending(
    database: str, ids: Sequence[UUID], outcome: AttemptOutcome, exception: str, reason: str
) -> int:
    """READY, SCHEDULED, WAITING to CANCELLED, with an attempt row that says why."""
    pending = TaskRecord.objects.using(database).filter(pk__in=ids, status__in=PENDING_STATUSES)
    numbers = dict(pending.values_list("pk", "attempts"))
    changed = pending.update(**_finished(Status.CANCELLED))
    TaskAttempt.objects.using(database).bulk_create(
        TaskAttempt(
            task_id=pk,
            number=number,
            claim=0,
            outcome=outcome,
            finished_at=DatabaseNow(),
            exception_path=f"django_tasks.exceptions.{exception}",
            traceback=f"django_tasks.exceptions.{exception}: {reason}\n",
        )
        for pk, number in numbers.items()
    )
    return changed


def cancel(database: str, task_ids: Iterable[UUID]) -> tuple[int, int]:
    """
    Cancel tasks; return how many are CANCELLED now and how many running ones were told to stop.

    Finished tasks stay as they are.
    """
    cancelled = told = 0
    ids = sorted(task_ids)
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        ended, running = repeated(database, partial(_cancel_chunk, database, chunk))
        cancelled += ended
        told += running
    return cancelled, told


def _cancel_chunk(database: str, ids: Sequence[UUID]) -> tuple[int, int]:
    with transaction.atomic(using=database):
        # Locked before anything is decided, in the order of ids as everywhere: a claim that is
        # under way is waited for, and its task found running.
        rows = TaskRecord.objects.using(database).filter(
            pk__in=ids, status__in=(*PENDING_STATUSES, Status.RUNNING)
        )
        locked = dict(lock_all(database, rows.order_by("pk")).values_list("pk", "status"))
        running = {pk for pk, status in locked.items() if status == Status.RUNNING}
        told = (
            TaskRecord.objects.using(database)
            .filter(pk__in=running, status=Status.RUNNING)
            .update(cancel_requested=True)
        )
        ended = _cancel_pending(
            database,
            [pk for pk in locked if pk not in running],
            AttemptOutcome.CANCELLED,
            "TaskCancelled",
            "The task was cancelled before it started.",
        )
    return ended, told


def requeue(database: str, task_ids: Iterable[UUID]) -> int:
    """Make failed and cancelled tasks ready again; their attempts count anew, the history stays."""
    return _per_chunk(database, task_ids, _requeue_chunk)


def _requeue_chunk(database: str, ids: Sequence[UUID]) -> int:
    ended = TaskRecord.objects.using(database).filter(
        pk__in=ids, status__in=(Status.FAILED, Status.CANCELLED)
    )
    changed = ended.update(
        status=Status.READY,
        finished_at=None,
        prune_after=None,
        run_after=DatabaseNow(),  # what it waits is counted from here
        expires_at=None,
        attempts=0,
        claims=F("claims") + 1,  # no outcome of before may reach the new run
        lost=0,
        cancel_requested=False,
        progress=None,
        custom_state=None,
        meta=None,
        return_value=None,
    )
    publishing.publish_again(database, ids)
    return changed


def hurry(database: str, task_ids: Iterable[UUID]) -> int:
    """Make scheduled tasks ready before their time; return how many."""
    return _per_chunk(database, task_ids, _hurry_chunk)


def _hurry_chunk(database: str, ids: Sequence[UUID]) -> int:
    scheduled = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.SCHEDULED)
    return scheduled.update(status=Status.READY, run_after=None)


def copy(database: str, task_ids: Iterable[UUID]) -> int:
    """Enqueue successful tasks once more, as new records; return how many."""
    return _per_chunk(database, task_ids, _copy_chunk, COPIED)


def _copy_chunk(database: str, ids: Sequence[UUID]) -> int:
    done = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.SUCCESSFUL)
    copies = TaskRecord.objects.using(database).bulk_create(
        TaskRecord(status=Status.READY, enqueued_at=DatabaseNow(), **call)
        for call in done.order_by("pk").values(*_CALL)
    )
    return len(copies)


#: Columns that say what is called, and how.
_CALL = (
    "task_path",
    "queue_name",
    "priority",
    "backend",
    "args",
    "kwargs",
    "metadata",
    "max_attempts",
    *policy.COLUMNS,
)
#: Arguments may be large: fewer at a time than where they stay in the database.
COPIED = 50


def _per_chunk(
    database: str,
    task_ids: Iterable[UUID],
    work: Callable[[str, Sequence[UUID]], int],
    size: int = CHUNK,
) -> int:
    """Do `work` for some ids after others, in their order, a transaction each; return the sum."""
    ids = sorted(task_ids)
    return sum(
        repeated(database, partial(work, database, ids[start : start + size]))
        for start in range(0, len(ids), size)
    )


def wake(database: str, queue_names: Iterable[str]) -> None:
    """Wake the workers of these queues, where the database can."""
    connection = connections[database]
    for queue_name in queue_names:
        dialects.of(connection).notify(connection, queue_name)
