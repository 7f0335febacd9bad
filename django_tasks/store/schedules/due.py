"""Read due schedules for beats, and write the slots that were decided on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DataError, connections
from django.db.models import DateTimeField, QuerySet

from ...dep14.private import raw_delete
from ...models import Schedule, ScheduleRun, TaskRecord
from ...statuses import FINAL_STATUSES
from .. import locking
from ..dialects import DatabaseNow
from ..tasks import transitions
from . import records
from .calls import ScheduledCall

#: Schedules that one transaction handles.
CHUNK = 500
#: Columns of a schedule that a beat writes.
COLUMNS = (
    "next_run_at", "waiting_slot_at", "last_slot_at", "last_run_at", "last_task_id",
    "earlier_task_ids", "runs", "enabled", "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTask:
    """A task to store for a slot."""

    call: ScheduledCall
    record: TaskRecord
    slot_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a beat decided on one schedule: `row` carries the new values of COLUMNS."""

    row: Schedule
    tasks: Sequence[SlotTask] = ()
    #: Of slots that make no task, too.
    runs: Sequence[ScheduleRun] = ()
    #: Earlier tasks.
    cancels: Sequence[UUID] = ()


def look(database: str) -> tuple[datetime, datetime] | None:
    """Return the database's time and when a schedule is due next; None when none ever is."""
    rows = Schedule.objects.using(database).filter(next_run_at__isnull=False)
    ordered = rows.order_by("next_run_at").annotate(clock=DatabaseNow())
    found: Any = ordered.values_list("clock", "next_run_at").first()
    return found  # type: ignore[no-any-return]


def lock_due(database: str, limit: int = CHUNK) -> list[Any]:
    """
    Lock schedules that are due, the longest due first; each has the database's time as `clock`.

    Those that another beat has in hand are left to it.
    """
    return list(
        locking.lock_available(database, _due(database).annotate(clock=DatabaseNow()))[:limit]
    )


def lock_due_one(database: str, schedule_id: int) -> Any:
    """Lock this schedule if it is due and free; None otherwise."""
    rows = _due(database).filter(pk=schedule_id).annotate(clock=DatabaseNow())
    return locking.lock_available(database, rows).first()


def due_ids(database: str, limit: int = CHUNK) -> list[int]:
    """Return the ids of schedules that are due, the longest due first."""
    return list(_due(database).values_list("pk", flat=True)[:limit])


def _due(database: str) -> QuerySet[Schedule]:
    rows = Schedule.objects.using(database).filter(next_run_at__lte=DatabaseNow())
    return rows.order_by("next_run_at")


def unfinished(database: str, task_ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these tasks have not finished."""
    ids = list(task_ids)
    if not ids:
        return set()
    rows = TaskRecord.objects.using(database).filter(pk__in=ids)
    return set(rows.exclude(status__in=FINAL_STATUSES).values_list("pk", flat=True))


def taken_slots(database: str, schedule_id: int, slots: Iterable[datetime]) -> set[datetime]:
    """Return which of these slots have a run already."""
    runs = ScheduleRun.objects.using(database).filter(schedule_id=schedule_id)
    return set(runs.filter(slot_at__in=list(slots)).values_list("slot_at", flat=True))


def write(database: str, changes: Sequence[Change]) -> None:
    """Store tasks, runs and schedules in the caller's transaction; workers wake at its end."""
    cancelled = [task_id for change in changes for task_id in change.cancels]
    if cancelled:
        transitions.cancel(database, cancelled)
    tasks = [task for change in changes for task in change.tasks]
    TaskRecord.objects.using(database).bulk_create([task.record for task in tasks])
    ScheduleRun.objects.using(database).bulk_create(run for c in changes for run in c.runs)
    _update(database, [change.row for change in changes])
    records.hand_out(database, ((task.call, task.record) for task in tasks))


_TABLE = Schedule._meta.db_table
_UPDATE = f"UPDATE {_TABLE} SET {', '.join(f'{c} = %s' for c in COLUMNS)} WHERE id = %s"


def _update(database: str, rows: Sequence[Schedule]) -> None:
    """Update rows that differ in every column, in one round trip where the driver can."""
    connection = connections[database]
    fields: list[Any] = [Schedule._meta.get_field(name) for name in (*COLUMNS, "id")]
    values = [
        [f.get_db_prep_save(getattr(row, f.attname), connection) for f in fields] for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_UPDATE, values)


def unreadable(database: str) -> list[tuple[int, str, list[str]]]:
    """
    Return (id, name, columns) of planned schedules with columns that hold no moment.

    SQLite takes any text from who writes SQL, and PostgreSQL moments that Python does not have.
    """
    rows = Schedule.objects.using(database).filter(next_run_at__isnull=False).order_by("pk")
    columns = [f.name for f in Schedule._meta.concrete_fields if isinstance(f, DateTimeField)]
    if all(_is_readable(rows, column) for column in columns):
        return []
    found = []
    for pk, name in list(rows.values_list("pk", "name")):
        odd = [column for column in columns if not _is_readable(rows.filter(pk=pk), column)]
        if odd:
            found.append((pk, name, odd))
    return found


def _is_readable(rows: QuerySet[Schedule], column: str) -> bool:
    """Tell whether Django makes moments of all that is not NULL: it raises, or reads None."""
    present = rows.filter(**{f"{column}__isnull": False})
    try:
        return None not in list(present.values_list(column, flat=True))
    except (DataError, AttributeError, TypeError, ValueError):  # its converters raise any
        return False


def disable(database: str, schedule_id: int, error: str) -> None:
    """Disable a schedule whose rows the database refuses, with the reason."""
    rows = Schedule.objects.using(database).filter(pk=schedule_id)
    rows.update(enabled=False, error=error, next_run_at=None, waiting_slot_at=None)


def count_enabled(database: str) -> int:
    """Return how many schedules have a next run."""
    return Schedule.objects.using(database).filter(next_run_at__isnull=False).count()


def prune_runs(database: str, age: float, *, seconds: float | None = None) -> locking.Deleted:
    """
    Delete runs that are older than `age` seconds.

    `seconds`: begin no further chunk after so long; None: until all went.
    """

    def delete(ids: list[int]) -> None:
        raw_delete(ScheduleRun.objects.using(database).filter(pk__in=ids), database)

    rows = prunable_runs(database, age)
    return locking.delete_along(database, rows, "created_at", delete, seconds)


def prunable_runs(database: str, age: float) -> QuerySet[ScheduleRun]:
    """Return the runs that prune_runs() would delete."""
    return ScheduleRun.objects.using(database).filter(created_at__lte=DatabaseNow(-age))
