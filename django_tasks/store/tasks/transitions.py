"""
The writer of ``status``, with `ends` and `..workflows.joins` for steps that wait.

Each change is one compare-and-set: it names the status it expects and, for a running task, the
claim. No row changed means that somebody else was first; their change stands. Whatever makes tasks
ready notifies of it (see `ready`).

    enqueue -> READY | SCHEDULED          (records.insert)
    claim: READY -> RUNNING               (dialects.claim)
    succeed: RUNNING -> SUCCESSFUL        (dialects.succeed; of steps, succeed_steps)
    fail, retry, snooze, release, lose, cancel, expire: RUNNING -> …      (settle)
    release of steps: WAITING -> READY | SCHEDULED    (ends)
    promote: SCHEDULED -> READY
    cancel, expire: WAITING, SCHEDULED, READY -> CANCELLED
    run now: SCHEDULED -> READY, before its time
    requeue: FAILED, CANCELLED -> READY; steps that were cancelled for it -> WAITING    (joins)
    copy: SUCCESSFUL stays, a new record -> READY
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models import QuerySet

from ...models import TaskRecord, WorkflowStep
from ...statuses import PENDING_STATUSES, AttemptOutcome, Status
from .. import dialects
from ..dialects import DatabaseNow, PruneAfter, by_id, next_claim, status_is
from ..locking import CHUNK, handled_along, lock_all, lock_available, lock_in_order
from ..retrying import repeated
from ..values import AttemptRow, Change, Ending, EndingKind, Held, Hook, Success, Writer
from ..workflows import joins
from ..workflows.joins import Ended, How
from . import attempts, ends, policy, publishing
from .ready import notify_ready


class _Effect(NamedTuple):
    """What an ending makes of the row. READY: SCHEDULED, if it has a delay."""

    status: Status
    #: Added to the row's.
    attempts: int = 0
    lost: int = 0


_EFFECTS = {
    EndingKind.FAIL: _Effect(Status.FAILED),
    EndingKind.RETRY: _Effect(Status.READY),
    EndingKind.SNOOZE: _Effect(Status.READY, attempts=-1),
    EndingKind.RELEASE: _Effect(Status.READY, attempts=-1),
    EndingKind.LOSE: _Effect(Status.READY, attempts=-1, lost=1),
    EndingKind.POISON: _Effect(Status.FAILED, lost=1),
    EndingKind.CANCEL: _Effect(Status.CANCELLED),
    EndingKind.EXPIRE: _Effect(Status.CANCELLED, attempts=-1),
}


class Settled(NamedTuple):
    """What settle() did other than it was told."""

    refused: list[Ending]
    #: Tasks that would have run again, and were CANCELLED instead.
    cancelled: set[UUID]
    #: Endings of which nothing is written, as somebody else has the task's row locked.
    locked: list[Ending]


def settle(
    database: str,
    endings: Iterable[Ending],
    worker_id: UUID,
    process: int,
    host: str,
    *,
    writes_late: bool = True,
    waits: bool = True,
) -> Settled:
    """
    Write what became of claimed tasks, in one transaction, in the order of their ids.

    An ending is refused when the claim no longer holds; a LATE attempt tells of each, unless
    `writes_late` is off (for who speaks for others). One that was written before (its reply was
    lost) counts as accepted. It waits for nobody's lock on a task, where the database can; `waits`:
    for those on joins of workflows, which others lock for a moment, too.
    """
    writer = Writer(worker_id, process, host)
    ordered = sorted(endings, key=by_id)
    work = partial(_settle, database, ordered, writer, writes_late=writes_late, waits=waits)
    return repeated(database, work)


def _settle(
    database: str, ordered: Sequence[Ending], writer: Writer, *, writes_late: bool, waits: bool
) -> Settled:
    settled = Settled([], set(), [])
    connection = connections[database]
    with transaction.atomic(using=database):
        ids = [ending.id for ending in ordered if ending.kind is not EndingKind.LATE]
        held = dialects.dialect_for(connection).lock_running(connection, ids) if ids else {}
        changes: list[Change] = []
        rows: list[AttemptRow] = []
        others: list[Ending] = []
        steps: set[UUID] = set()
        for ending in ordered:
            row = held.get(ending.id, _NOT_HELD)
            if row.claims != ending.claims or ending.kind is EndingKind.LATE:
                others.append(ending)
                continue
            del held[ending.id]
            if row.hooks & Hook.STEP:
                steps.add(ending.id)
            change = _change(ending)
            rows += attempts.of_ending(ending, ending.attempt, writer)
            if row.is_cancelled and ending.kind in _RUNS_AGAIN:
                change = change._replace(status=Status.CANCELLED)
                rows.append(_cancelled_meanwhile(ending))
                settled.cancelled.add(ending.id)
            changes.append(change)
        if others:
            rows += _look_into(database, others, writer, settled, writes_late=writes_late)
        ends.write(database, changes, rows, steps, waits=waits)
        again = [ending for ending in ordered if ending.kind in _RUNS_AGAIN]
        notify_ready(database, (e.id for e in again if e.delay <= 0))
        if any(ending.delay > 0 for ending in again):
            publishing.expect(database)
    return settled


_NOT_HELD = Held(None, False, 0)
_RUNS_AGAIN = {kind for kind, effect in _EFFECTS.items() if effect.status == Status.READY}


def _change(ending: Ending) -> Change:
    status, attempts_, lost = _EFFECTS[ending.kind]
    if status == Status.READY and ending.delay > 0:
        status = Status.SCHEDULED
    run_time = None if ending.attempt is None else ending.attempt.run_time
    return Change(
        ending.id, ending.claims, status, ending.delay, attempts_, lost, run_time, ending.fields
    )


def _cancelled_meanwhile(ending: Ending) -> AttemptRow:
    number = ending.number + _EFFECTS[ending.kind].attempts
    return attempts.cancelled_meanwhile(ending, number)


def _look_into(
    database: str, endings: list[Ending], writer: Writer, settled: Settled, *, writes_late: bool
) -> list[AttemptRow]:
    """Sort endings that were not accepted now into `settled`; return the LATE attempts."""
    ids = {ending.id for ending in endings}
    running = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.RUNNING)
    claims = dict(running.values_list("pk", "claims"))
    marks = attempts.written(database, endings)

    def is_written(*rows: AttemptRow) -> bool:
        return marks.issuperset(map(attempts.mark, rows))

    told: list[AttemptRow] = []
    for ending in endings:
        if ending.kind is not EndingKind.LATE and claims.get(ending.id) == ending.claims:
            settled.locked.append(ending)
        # Nothing but "given back": whoever owns it now, it is not this claim's.
        elif is_written(*attempts.of_ending(ending, ending.attempt, writer)):
            if ending.kind in _RUNS_AGAIN and is_written(_cancelled_meanwhile(ending)):
                settled.cancelled.add(ending.id)
        else:
            settled.refused.append(ending)
            told += attempts.of_ending(ending, attempts.late(ending), writer)
    return [row for row in told if not is_written(row)] if writes_late else []


def succeed_steps(database: str, successes: Sequence[Success], *, waits: bool = True) -> int:
    """
    Record successes of steps, and release what waited for them; return how many were accepted.

    Those of tasks that somebody else has locked are left out, where the database can. `waits`: see
    settle().
    """
    return repeated(database, partial(_succeed_steps, database, successes, waits))


def _succeed_steps(database: str, successes: Sequence[Success], waits: bool) -> int:
    connection = connections[database]
    with transaction.atomic(using=database):
        ids = [success.id for success in successes]
        held = dialects.dialect_for(connection).lock_running(connection, ids)
        changes = [
            Change(
                success.id,
                success.claims,
                Status.SUCCESSFUL,
                run_time=success.run_time,
                fields={"return_value": success.value},
            )
            for success in sorted(successes, key=by_id)
            if held.get(success.id, _NOT_HELD).claims == success.claims
        ]
        return ends.write(database, changes, [], ids, waits=waits)


def _owned(database: str, task_id: UUID, claims: int) -> QuerySet[TaskRecord]:
    tasks = TaskRecord.objects.using(database)
    return tasks.filter(pk=task_id, claims=claims, status=Status.RUNNING)


def save_fields(
    database: str, task_id: UUID, claims: int, fields: dict[str, Any], *, waits: bool = True
) -> bool | None:
    """
    Write columns of a running task (progress, state, metadata, log) if the claim holds.

    Without `waits`, return None if somebody else has the row locked.
    """
    if waits:
        return bool(_owned(database, task_id, claims).update(**fields))
    connection = connections[database]
    with transaction.atomic(using=database):
        if dialects.dialect_for(connection).lock_running(connection, [task_id]):
            return bool(_owned(database, task_id, claims).update(**fields))
        return None if _owned(database, task_id, claims).exists() else False


def succeed_in_transaction(
    database: str, success: Success, fields: dict[str, Any], hooks: int = 0
) -> bool:
    """Record a success inside the caller's transaction: the body's writes commit with it."""
    changes = fields | {
        "status": Status.SUCCESSFUL,
        "finished_at": DatabaseNow(),
        "prune_after": PruneAfter(),
        "return_value": success.value,
        "run_time": success.run_time,
    }
    is_written = bool(_owned(database, success.id, success.claims).update(**changes))
    if is_written and hooks & Hook.STEP:
        ends.carry_on(database, {success.id: Ended(How.WELL)})
    return is_written


def has_succeeded(database: str, task_id: UUID, claims: int) -> bool | None:
    """
    Tell whether this claim's success is committed; None while a transaction holds the row.

    That may be the very one, of whose commit no answer came.
    """
    rows = TaskRecord.objects.using(database).filter(pk=task_id)
    with transaction.atomic(using=database):
        free = lock_available(database, rows, no_key=True)
        found = free.values_list("status", "claims").first()
    if found is None and rows.exists():
        return None
    return found == (Status.SUCCESSFUL, claims)


def promote(database: str, *, at_any_time: bool = False, seconds: float | None = None) -> set[str]:
    """
    Make scheduled tasks ready that are due (or all of them); return their queues.

    `seconds`: begin no further chunk after so long; None: until all are ready.
    """
    tasks = TaskRecord.objects.using(database)
    rows = tasks.filter(status_is(Status.SCHEDULED))
    if not at_any_time:
        rows = rows.filter(run_after__lte=DatabaseNow())

    def make_ready(picked: list[tuple[Any, ...]]) -> None:
        ids = [row[0] for row in picked]
        tasks.filter(pk__in=ids, status=Status.SCHEDULED).update(status=Status.READY)
        notify_ready(database, ids)

    chunks = handled_along(
        database, rows, "run_after", make_ready, also=("queue_name",), seconds=seconds
    )
    return {queue_name for chunk in chunks for _, _, queue_name in chunk}


def expire(database: str, *, seconds: float | None = None) -> int:
    """
    Cancel tasks that were not started before their expires_at; return how many.

    `seconds`: begin no further chunk after so long; None: until all are cancelled.
    """
    overdue = TaskRecord.objects.using(database).filter(
        status_is(Status.SCHEDULED, Status.READY),
        expires_at__isnull=False,
        expires_at__lte=DatabaseNow(),
    )

    def end(picked: list[tuple[Any, ...]]) -> None:
        _cancel_pending(
            database,
            [row[0] for row in picked],
            AttemptOutcome.EXPIRED,
            "TaskExpired",
            "The task was not started before it expired.",
        )

    return sum(map(len, handled_along(database, overdue, "expires_at", end, seconds=seconds)))


def _cancel_pending(
    database: str, ids: Sequence[UUID], outcome: AttemptOutcome, exception: str, reason: str
) -> int:
    """READY, SCHEDULED, WAITING to CANCELLED, with an attempt row that says why."""
    pending = TaskRecord.objects.using(database).filter(pk__in=ids, status__in=PENDING_STATUSES)
    found = list(pending.order_by("pk").values_list("pk", "claims", "attempts", "hooks"))
    changes = [Change(pk, claims, Status.CANCELLED) for pk, claims, _, _ in found]
    rows = [attempts.cancellation(pk, n, outcome, exception, reason) for pk, _, n, _ in found]
    steps = {pk for pk, _, _, hooks in found if hooks & Hook.STEP}
    return ends.write(database, changes, rows, steps, PENDING_STATUSES)


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
    """
    Make failed and cancelled tasks ready again; their attempts count anew, the history stays.

    Steps that were cancelled while they waited for others stay: they wait again when these run.
    """
    return _per_chunk(database, task_ids, _requeue_chunk)


def _requeue_chunk(database: str, ids: Sequence[UUID]) -> int:
    tasks = TaskRecord.objects.using(database)
    ended = tasks.filter(pk__in=_free(database, ids), status__in=(Status.FAILED, Status.CANCELLED))
    with transaction.atomic(using=database):
        # What is taken back of workflows is what this call changes, and nobody else.
        locked = list(lock_all(database, ended.order_by("pk")).values_list("pk", "hooks"))
        changed = ended.filter(pk__in=[pk for pk, _ in locked]).update(
            status=Status.READY,
            finished_at=None,
            prune_after=None,
            run_after=DatabaseNow(),  # what it waits is counted from here
            expires_at=None,
            attempts=0,
            claims=next_claim(),  # no outcome of before may reach the new run
            lost=0,
            cancel_requested=False,
            progress=None,
            custom_state=None,
            meta=None,
            return_value=None,
        )
        joins.reopen(database, [pk for pk, hooks in locked if hooks & Hook.STEP])
        notify_ready(database, ids)
    return changed


def _free(database: str, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `ids` that may run: all but the steps that others have not released."""
    waiting = WorkflowStep.objects.using(database).filter(pk__in=ids).exclude(joins.IS_FREE)
    stay = set(waiting.values_list("pk", flat=True))
    return [pk for pk in ids if pk not in stay]


def run_now(database: str, task_ids: Iterable[UUID]) -> int:
    """Make scheduled tasks ready before their time; return how many."""
    return _per_chunk(database, task_ids, _run_now_chunk)


def _run_now_chunk(database: str, ids: Sequence[UUID]) -> int:
    scheduled = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.SCHEDULED)
    with transaction.atomic(using=database):
        lock_in_order(database, scheduled)
        changed = scheduled.update(status=Status.READY, run_after=None)
        notify_ready(database, ids)
    return changed


def copy(database: str, task_ids: Iterable[UUID]) -> int:
    """Enqueue successful tasks once more, as new records; return how many."""
    return _per_chunk(database, task_ids, _copy_chunk, COPIED)


def _copy_chunk(database: str, ids: Sequence[UUID]) -> int:
    # Not of steps: their arguments may stand for results, and they are kept with their workflow.
    done = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.SUCCESSFUL, hooks=0)
    copies = TaskRecord.objects.using(database).bulk_create(
        TaskRecord(status=Status.READY, enqueued_at=DatabaseNow(), **call)
        for call in done.order_by("pk").values(*_CALL)
    )
    notify_ready(database, (made.pk for made in copies))
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
