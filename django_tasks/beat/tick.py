"""One look at the schedules: what is due is enqueued, in one transaction."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction

from ..conf import app_settings
from ..models import Schedule, ScheduleRun
from ..models.schedules import Overlap, RunOutcome
from ..redaction.exceptions import loggable_fault, summary
from ..runtime.faults import is_outage
from ..runtime.printing import printable
from ..schedules import InvalidSchedule, MissingLibrary, spec_of
from ..schedules.planning import first_undecided
from ..store.retrying import repeated
from ..store.schedules import due, records
from ..store.schedules.calls import ScheduledCall, UnknownTask, call_of
from ..store.schedules.due import Change, SlotTask
from ..store.schedules.sync import text_of
from .plan import Decision, decide

logger = logging.getLogger("django_tasks.beat")

#: Seconds until another look when all that is due is in another beat's hands.
LEFT_TO_OTHERS = 0.05
#: Tasks after which a transaction ends, when schedules catch up with a long time: nobody sees
#: them before, and a beat that is killed begins anew.
MOST_TASKS = 5000


def tick(database: str) -> float | None:
    """
    Enqueue what is due, a chunk of it at most.

    Return the seconds until the next look is worth while: 0 when more may be due, None when no
    schedule has a next run.
    """
    try:
        return _tick(database)
    except Exception as error:
        if is_outage(error) or not disable_unreadable(database):
            raise
        return 0.0


def disable_unreadable(database: str) -> int:
    """Disable schedules whose datetimes cannot be read, and log each; return how many."""
    found = due.unreadable(database)
    for schedule_id, name, columns in found:
        text = (
            f"{', '.join(columns)}: this is no moment; was it written by SQL? Enable the schedule"
            " to have its next run planned anew; correct other columns than next_run_at before."
        )
        due.disable(database, schedule_id, text)
        logger.error("%s (id %d) was disabled: %s", printable(name), schedule_id, text)
    return len(found)


def _tick(database: str) -> float | None:
    found = due.look(database)
    if found is None:
        return None
    now, next_run_at = found
    if next_run_at > now:
        return (next_run_at - now).total_seconds()
    return 0.0 if enqueue_due(database) else LEFT_TO_OTHERS


def enqueue_due(database: str) -> int:
    """Decide on a chunk of schedules that are due; return how many it were."""
    try:
        changes = repeated(database, partial(_change_due, database))
    except DatabaseError as error:
        if is_outage(error):
            raise
        logger.debug("A chunk of schedules is written one by one: %s", summary(error))
        changes = _change_one_by_one(database)
    _report(database, changes)
    return len(changes)


def _change_due(database: str) -> list[Change]:
    with transaction.atomic(using=database):
        rows = due.lock_due(database)
        if not rows:
            return []
        unfinished = due.unfinished(database, _earlier_tasks(rows))
        changes = _changes_of(rows, database, unfinished)
        due.write(database, changes)
    return changes


def _changes_of(rows: Iterable[Any], database: str, unfinished: set[UUID]) -> list[Change]:
    """Return what becomes of the first rows, up to MOST_TASKS tasks; the others stay due."""
    changes: list[Change] = []
    tasks = 0
    for row in rows:
        change = _change_of(row, database, unfinished)
        changes.append(change)
        tasks += len(change.tasks)
        if tasks >= MOST_TASKS:
            break
    return changes


def _earlier_tasks(rows: Iterable[Schedule]) -> list[UUID]:
    """Return the tasks that overlap policies ask about."""
    return [
        task_id for row in rows if row.overlap != Overlap.ALLOW for task_id in row.tasks_in_hand
    ]


def _change_one_by_one(database: str) -> list[Change]:
    """Decide on each schedule in a transaction of its own: one bad row stops no other."""
    changes = []
    for schedule_id in due.due_ids(database):
        try:
            changes += repeated(database, partial(_change_one, database, schedule_id))
        except DatabaseError as error:
            if is_outage(error):
                raise
            shown = loggable_fault(error)
            logger.error("Schedule %s: the database refused it.", schedule_id, exc_info=shown)
            due.disable(database, schedule_id, _first_line(error))
    return changes


def _change_one(database: str, schedule_id: int) -> list[Change]:
    with transaction.atomic(using=database):
        row = due.lock_due_one(database, schedule_id)
        if row is None:
            return []
        unfinished = due.unfinished(database, _earlier_tasks([row]))
        earlier = {name: getattr(row, name) for name in _OF_THE_LAST_TASK}
        change = _change_of(row, database, unfinished)
        change = _without_taken_slots(database, change, earlier)
        due.write(database, [change])
    return [change]


#: Columns about the task made last.
_OF_THE_LAST_TASK = ("last_run_at", "last_task_id", "earlier_task_ids")


def _without_taken_slots(database: str, change: Change, earlier: dict[str, Any]) -> Change:
    """
    Leave out slots that have their run: somebody turned the schedule's columns back.

    `earlier`: what the row said of its last task before this change.
    """
    taken = due.taken_slots(database, change.row.pk, (run.slot_at for run in change.runs))
    if not taken:
        return change
    left = [task for task in change.tasks if task.slot_at not in taken]
    if not left:  # the last task is the one before
        for name, value in earlier.items():
            setattr(change.row, name, value)
    change.row.runs -= len(change.tasks) - len(left)
    runs = [run for run in change.runs if run.slot_at not in taken]
    return replace(change, tasks=left, runs=runs)


# --- one schedule -------------------------------------------------------------------------------


def _change_of(row: Any, database: str, unfinished: set[UUID]) -> Change:
    """Return what becomes of a locked schedule; what is wrong with it stays its own matter."""
    now: datetime = row.clock
    try:
        spec = spec_of(row)
        in_hand = [task_id for task_id in row.tasks_in_hand if task_id in unfinished]
        decision = decide(row, spec, now, is_unfinished=bool(in_hand))
        call = call_of(row, database) if decision.slots else None
        return _decided(row, now, decision, call, in_hand)
    except (UnknownTask, MissingLibrary) as error:
        return _postponed(row, now, _text(error))
    except (InvalidSchedule, ValidationError) as error:
        return _disabled(row, _text(error))
    except Exception as error:
        shown = loggable_fault(error)
        logger.error("Schedule %s cannot be decided on.", printable(row.name), exc_info=shown)
        return _disabled(row, f"{type(error).__name__}: {error}")


def _decided(
    row: Any,
    now: datetime,
    decision: Decision,
    call: ScheduledCall | None,
    in_hand: Sequence[UUID],
) -> Change:
    tasks = [] if call is None else [_task_of(row, call, slot, now) for slot in decision.slots]
    row.next_run_at, row.waiting_slot_at = decision.next_run_at, decision.waiting_slot_at
    row.last_slot_at = decision.last_slot_at or row.last_slot_at
    row.error = ""
    if tasks:
        row.last_run_at, row.last_task_id = now, tasks[-1].record.pk
        # Of the policies that ask, none makes a task beside one that goes on.
        row.earlier_task_ids = None
        row.runs += len(tasks)
    excluded = [
        ScheduleRun(schedule=row, slot_at=slot, outcome=outcome, left_out=besides, created_at=now)
        for outcome, slot, besides in decision.excluded
    ]
    return Change(
        row=row,
        tasks=tasks,
        runs=[*excluded, *_runs_of(row, tasks, now)],
        cancels=in_hand if decision.cancels else (),
    )


def _task_of(row: Schedule, call: ScheduledCall, slot: datetime, now: datetime) -> SlotTask:
    offset = timedelta(seconds=random.uniform(0.0, row.jitter))  # noqa: S311 - spreads load
    expires = row.expires
    record = records.record_of(
        call,
        now,
        run_after=slot + offset if row.jitter else None,
        expires_at=None if expires is None else slot + offset + timedelta(seconds=expires),
    )
    return SlotTask(call=call, record=record, slot_at=slot)


def _runs_of(row: Schedule, tasks: Sequence[SlotTask], now: datetime) -> list[ScheduleRun]:
    return [
        ScheduleRun(
            schedule=row,
            slot_at=task.slot_at,
            outcome=RunOutcome.ENQUEUED,
            task_id=task.record.pk,
            created_at=now,
        )
        for task in tasks
    ]


def _postponed(row: Any, now: datetime, error: str) -> Change:
    """Look again later: another host, or the code being deployed, has what is missing here."""
    if row.error != error:
        logger.warning("%s waits: %s", printable(row.name), printable(error))
    row.waiting_slot_at = first_undecided(row)
    row.next_run_at = now + timedelta(seconds=app_settings.UNKNOWN_TASK_DELAY)
    row.error = error
    return Change(row=row)


def _disabled(row: Schedule, error: str) -> Change:
    logger.error("%s was disabled: %s", printable(row.name), printable(error))
    row.enabled, row.error = False, error
    row.next_run_at = row.waiting_slot_at = None
    return Change(row=row)


def _text(error: Exception) -> str:
    if isinstance(error, InvalidSchedule):
        return f"{error.field}: {error}"
    return text_of(error) if isinstance(error, ValidationError) else str(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- after the commit ---------------------------------------------------------------------------


def _report(database: str, changes: Sequence[Change]) -> None:
    """Log a line per slot and send the signals of enqueued tasks."""
    for change in changes:
        for task in change.tasks:
            _log(change.row, task)
    records.tell_subscribers([(t.call, t.record) for change in changes for t in change.tasks])
    made = [(task.call, task.record.pk) for change in changes for task in change.tasks]
    records.send_enqueued(database, made)


def _log(row: Any, task: SlotTask) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    name, path = printable(row.name), printable(row.task_path)
    late = (row.clock - task.slot_at).total_seconds()
    logger.info(
        "%s slot %s enqueued as %s %s, %.1f s late",
        name, task.slot_at.isoformat(), path, task.record.pk, late,
        extra={
            "task_id": str(task.record.pk),
            "path": path,
            "queue": task.record.queue_name,
            "schedule": name,
            "slot": task.slot_at.isoformat(),
        },
    )  # fmt: skip
