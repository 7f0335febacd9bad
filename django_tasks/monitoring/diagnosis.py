"""Diagnose why a task does not run: reasons in words, from its row and a few bounded queries."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.db import connections
from django.db.models.lookups import Exact, LessThan
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..conf import app_settings
from ..definitions import registry
from ..definitions.backends import database_backends
from ..models import QueueState, TaskAttempt, TaskRecord, WorkerRecord, WorkflowJoin
from ..routing import QueueSelection
from ..statuses import FINAL_STATUSES, AttemptOutcome, Status
from ..store import dialects
from ..store.dialects import DatabaseNow, status_is, turn
from ..store.values import Hook
from ..store.workers.leases import BEAT
from .durations import duration, when
from .reading import (
    CappedCount,
    capped_count,
    database_now,
    most_attempts,
    served_queues,
    with_running_count,
    worker_state,
)

#: Workers that are looked at, those with the latest lease first.
MOST_WORKERS = 500
#: Queues that a sentence names.
NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """
    One reason why a task does not run, or what it does instead.

    `code`: for programs, see docs/reference/commands.md. `is_problem`: it stays so until somebody
    does something.
    """

    code: str
    sentence: str
    is_problem: bool = False
    #: What would help, in words. Empty: nothing has to be done.
    remedy: str = ""
    #: The same as a line for a shell.
    command: str = ""


def diagnose(record: TaskRecord, *, now: datetime | None = None) -> Sequence[Reason]:
    """
    Return the reasons, at least one, in the order in which they stand in the way.

    `now`: by the database's clock; None: ask it. Makes at most seven queries, whose cost does not
    grow with the tables. What only the tasks' workers know is not asked: their code may be older
    than this process'.
    """
    moment = database_now(_database(record)) if now is None else now
    if record.status in FINAL_STATUSES:
        return [_finished(record, moment)]
    if record.status == Status.RUNNING:
        return list(_of_running(record, moment))
    return list(_of_waiting(record, moment))


def _database(record: TaskRecord) -> str:
    return record._state.db or "default"


# --- finished -------------------------------------------------------------------------------------


def _finished(record: TaskRecord, now: datetime) -> Reason:
    ended = when(record.finished_at or now, now)
    if record.status == Status.SUCCESSFUL:
        text = _("It is done: it succeeded on %(when)s.")
        return Reason(code="successful", sentence=text % {"when": ended})
    code, text, is_problem = "cancelled", _("It was cancelled on %s.") % ended, False
    if record.status == Status.FAILED:
        code, text, is_problem = "failed", _failed_text(record, ended), True
    elif _last_outcome(record) == AttemptOutcome.EXPIRED:
        expired = when(record.expires_at or record.finished_at or now, now)
        code, text = "expired", _("It expired: no worker had started it by %s.") % expired
    return Reason(
        code=code,
        sentence=text,
        is_problem=is_problem,
        remedy=_("Run it again."),
        command=f"manage.py tasks_requeue {record.pk}",
    )


def _failed_text(record: TaskRecord, ended: str) -> str:
    text = ngettext(
        "It failed on %(when)s, after %(count)d attempt.",
        "It failed on %(when)s, after %(count)d attempts.",
        record.attempts,
    )
    return text % {"when": ended, "count": record.attempts}


def _last_outcome(record: TaskRecord) -> str | None:
    attempts = TaskAttempt.objects.using(_database(record)).filter(task_id=record.pk)
    return attempts.order_by("-pk").values_list("outcome", flat=True).first()


# --- running --------------------------------------------------------------------------------------


def _of_running(record: TaskRecord, now: datetime) -> Iterator[Reason]:
    workers = WorkerRecord.objects.using(_database(record))
    assert record.worker_id is not None  # a constraint of the table
    worker = workers.filter(pk=record.worker_id).first()
    since = when(record.last_attempted_at or now, now)
    if worker is None or worker.expires_at <= now:
        yield _lost(record, worker, now)
    elif (now - worker.heartbeat_at).total_seconds() > worker.lease / 2:
        text = _(
            "Its worker %(worker)s was last heard of on %(when)s. Unless it comes back, another"
            " one takes the task over %(soon)s."
        )
        taken = worker.expires_at + timedelta(seconds=app_settings.SWEEP_INTERVAL)
        values = {"when": when(worker.heartbeat_at, now), "soon": _about(taken, now)}
        yield Reason(code="worker_late", sentence=text % {"worker": worker, **values})
    else:
        text = _("It is running on %(worker)s, since %(when)s.")
        yield Reason(code="running", sentence=text % {"worker": worker, "when": since})
    if record.cancel_requested:
        yield Reason(code="stopping", sentence=_("It was told to stop, and has not stopped yet."))


def _lost(record: TaskRecord, worker: WorkerRecord | None, now: datetime) -> Reason:
    text = (
        _("Its worker is gone.")
        if worker is None
        else _("Its worker %(worker)s was last heard of on %(when)s, and is taken for dead.")
        % {"worker": worker, "when": when(worker.heartbeat_at, now)}
    )
    others = WorkerRecord.objects.using(_database(record)).exclude(pool=BEAT)
    if not others.filter(expires_at__gt=DatabaseNow()).exists():
        return Reason(
            code="worker_lost",
            sentence=f"{text} {_('No worker is alive to take the task over.')}",
            is_problem=True,
            remedy=_("Start a worker."),
            command=_runworker(record),
        )
    soon = now + timedelta(seconds=app_settings.SWEEP_INTERVAL)
    rescue = _("Another worker takes the task over %s.") % _about(soon, now)
    return Reason(code="worker_lost", sentence=f"{text} {rescue}")


def _about(moment: datetime, now: datetime) -> str:
    seconds = max(1, round((moment - now).total_seconds()))
    return _("within about %s") % duration(float(seconds))


# --- waiting --------------------------------------------------------------------------------------


def _of_waiting(record: TaskRecord, now: datetime) -> Iterator[Reason]:
    if record.expires_at is not None and record.expires_at <= now:
        text = _("It expired on %s. A worker cancels it at its next look.")
        yield Reason(code="expired", sentence=text % when(record.expires_at, now))
        return
    yield from _not_yet(record, now)
    yield from _unknown_here(record)
    paused = list(_paused(record, now))
    yield from paused
    workers = _workers(record)
    serving = [w for w in workers if served_queues(w).matches(record.queue_name)]
    active = [worker for worker in serving if worker_state(worker, now) == "alive"]
    if not active:
        yield _no_worker(record, serving, now)
    elif record.status == Status.READY and not paused:
        yield from _in_line(record, active)


def _not_yet(record: TaskRecord, now: datetime) -> Iterator[Reason]:
    """Yield what keeps it from being ready."""
    if record.status == Status.WAITING:
        yield _waits(record)
    if record.status != Status.SCHEDULED or record.run_after is None:
        return
    due = when(record.run_after, now)
    if record.run_after <= now:
        text = _("It was due on %s. A worker makes it ready at its next look.")
        yield Reason(code="due", sentence=text % due)
    elif record.attempts:
        yield Reason(code="retry", sentence=_retry_text(record, due))
    elif record.claims:
        text = _("It was taken up before, and put off until %s.")
        yield Reason(code="put_off", sentence=text % due)
    else:
        yield Reason(code="scheduled", sentence=_("It is scheduled for %s.") % due)


def _waits(record: TaskRecord) -> Reason:
    join = None
    if record.hooks & Hook.STEP:
        joins = WorkflowJoin.objects.using(_database(record))
        join = joins.filter(waiting=record.pk).first()
    if join is None:
        return Reason(code="waiting", sentence=_("It waits until something else lets it run."))
    left = max(0, join.needed - join.done - join.failed)
    text = ngettext(
        "It waits for %(left)d step of its workflow to end.",
        "It waits for %(left)d steps of its workflow to end.",
        left,
    )
    return Reason(code="waiting", sentence=text % {"left": left})


def _retry_text(record: TaskRecord, due: str) -> str:
    most = most_attempts(record)
    values = {"number": record.attempts, "most": most, "when": due}
    if most is None:
        text = _("Attempt %(number)d did not succeed; the next one is due on %(when)s.")
    else:
        text = _("Attempt %(number)d of %(most)d did not succeed; the next one is due on %(when)s.")
    return text % values


def _unknown_here(record: TaskRecord) -> Iterator[Reason]:
    """Yield what the settings and the code of this process do not have."""
    if record.backend not in database_backends():
        text = _("Its backend “%s” is none of the aliases in TASKS that store tasks.")
        remedy = _("Add the alias, or enqueue the task again with another one.")
        yield Reason(
            code="no_backend", sentence=text % record.backend, is_problem=True, remedy=remedy
        )
    if registry.find(record.task_path) is None:
        text = _(
            "This process does not know the task “%(task)s”. A worker that does not know it"
            " either looks at it again after %(seconds)s, then after longer pauses."
        )
        values = {"task": record.task_path, "seconds": duration(app_settings.UNKNOWN_TASK_DELAY)}
        remedy = _(
            "Deploy the code that has it, and see that its module is imported: the “tasks” of an"
            " installed app, or one of TASK_MODULES."
        )
        yield Reason(code="unknown_task", sentence=text % values, is_problem=True, remedy=remedy)


def _paused(record: TaskRecord, now: datetime) -> Iterator[Reason]:
    paused = QueueState.objects.using(_database(record)).paused()
    state = paused.filter(backend=record.backend, queue_name=record.queue_name).first()
    if state is None or state.paused_at is None:
        return
    text = (
        _("Its queue “%(queue)s” was paused by %(who)s on %(when)s.")
        if state.paused_by
        else _("Its queue “%(queue)s” was paused on %(when)s.")
    )
    since = when(state.paused_at, now)
    values = {"queue": record.queue_name, "who": state.paused_by, "when": since}
    queue = shlex.quote(record.queue_name)
    yield Reason(
        code="paused",
        sentence=text % values,
        is_problem=True,
        remedy=_("Resume the queue."),
        command=f"manage.py tasks_control{_backend_option(record)} resume {queue}",
    )


# --- workers --------------------------------------------------------------------------------------


def _workers(record: TaskRecord) -> list[Any]:
    rows = WorkerRecord.objects.using(_database(record)).filter(backend=record.backend)
    latest = with_running_count(rows.exclude(pool=BEAT)).order_by("-expires_at")
    return list(latest[:MOST_WORKERS])


def _no_worker(record: TaskRecord, serving: Sequence[WorkerRecord], now: datetime) -> Reason:
    """Say that nobody serves the queue; name the worker that did last."""
    text = _("No worker serves its queue “%s”.") % record.queue_name
    if serving:
        last = serving[0]
        note = (
            _("%(worker)s did; it was last heard of on %(when)s.")
            if worker_state(last, now) == "late"
            else _("%(worker)s does, but is stopping.")
        )
        text += " " + note % {"worker": last, "when": when(last.heartbeat_at, now)}
    return Reason(
        code="no_worker",
        sentence=text,
        is_problem=True,
        remedy=_("Start a worker that serves it."),
        command=_runworker(record),
    )


def _runworker(record: TaskRecord) -> str:
    queue = shlex.quote(record.queue_name)
    return f"manage.py runworker --queues {queue}{_backend_option(record)}"


def _backend_option(record: TaskRecord) -> str:
    return "" if record.backend == "default" else f" --backend {shlex.quote(record.backend)}"


def _in_line(record: TaskRecord, workers: Sequence[Any]) -> Iterator[Reason]:
    """Yield what a ready task of a served queue waits for."""
    reasons = [*_ahead(record), *_earlier_queues(record, workers), *_busy(workers)]
    if reasons:
        yield from reasons
        return
    yield Reason(code="next", sentence=_("It is next in line: a worker takes it up in a moment."))


def _ahead(record: TaskRecord) -> Iterator[Reason]:
    count = count_ahead(record)
    if count:
        text = ngettext(
            "%(count)s task of its queue is ahead of it.",
            "%(count)s tasks of its queue are ahead of it.",
            count,
        )
        yield Reason(code="ahead", sentence=text % {"count": str(count)})


def count_ahead(record: TaskRecord) -> int:
    """Count the ready tasks of its queue that workers take first; capped."""
    rows = TaskRecord.objects.using(_database(record)).filter(
        status_is(Status.READY), backend=record.backend, queue_name=record.queue_name
    )
    # Twice the same, for the databases whose index has this expression, and for the others.
    higher = rows.filter(LessThan(turn(), -record.priority), priority__gt=record.priority)
    equal = rows.filter(Exact(turn(), -record.priority), priority=record.priority)
    counts = [capped_count(higher), capped_count(equal.filter(pk__lt=record.pk))]
    is_capped = any(isinstance(count, CappedCount) for count in counts)
    return CappedCount(max(counts)) if is_capped else sum(counts)


def _earlier_queues(record: TaskRecord, workers: Sequence[WorkerRecord]) -> Iterator[Reason]:
    """Yield the queues with ready tasks that every one of these workers serves before this one."""
    before = [_served_before(served_queues(worker), record.queue_name) for worker in workers]
    if not all(selection.patterns for selection in before):
        return
    connection = connections[_database(record)]
    ready = dialects.dialect_for(connection).ready_queues(connection, record.backend)
    earlier = [list(filter(selection.matches, ready)) for selection in before]
    if all(earlier):
        names = sorted({name for found in earlier for name in found})
        shown = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
        text = _("Workers serve other queues first, and these have ready tasks: %s.")
        yield Reason(code="other_queues", sentence=text % shown)


def _served_before(queues: QueueSelection, queue_name: str) -> QueueSelection:
    """Return the patterns that come before the first one that fits this queue."""
    before = takewhile(lambda p: not QueueSelection((p,)).matches(queue_name), queues.patterns)
    return QueueSelection(tuple(before))


def _busy(workers: Sequence[Any]) -> Iterator[Reason]:
    slots = sum(worker.concurrency for worker in workers)
    running = sum(worker.running_count for worker in workers)
    if running >= slots:
        text = (
            _("The worker that serves its queue is busy: %(running)d of %(slots)d slots are taken.")
            if len(workers) == 1
            else _(
                "All %(count)d workers that serve its queue are busy: %(running)d of %(slots)d"
                " slots are taken."
            )
        )
        values = {"count": len(workers), "running": running, "slots": slots}
        yield Reason(code="busy", sentence=text % values)
