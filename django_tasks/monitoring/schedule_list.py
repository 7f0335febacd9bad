"""Read schedules for the commands: list, next runs, drift."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ..definitions.declared_schedules import drift_of
from ..models import Schedule, TaskRecord
from ..schedules import InvalidSchedule, spec_of, words
from ..store.schedules import edits
from .reading import database_now

#: Ids that one query asks for.
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSummary:
    """One schedule, without its arguments."""

    name: str
    task: str
    when: str
    timezone: str
    #: enabled, paused, disabled, error (a beat disabled it, or waits), or withdrawn from the code.
    state: str
    owner: str
    #: Columns in which the row departs from the code.
    drift: list[str]
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_task_id: str | None
    #: None: there was no run, or its task was pruned.
    last_status: str | None
    runs: int
    paused_until: datetime | None
    error: str


def summaries(database: str) -> list[ScheduleSummary]:
    """Return all schedules by name, with the status of the task that each made last."""
    rows = list(Schedule.objects.using(database).order_by("name"))
    now = database_now(database)
    statuses = _statuses(database, [row.last_task_id for row in rows if row.last_task_id])
    return [_summary(row, now, statuses) for row in rows]


def upcoming(
    database: str, count: int, names: Iterable[str] = ()
) -> list[tuple[datetime, Schedule]]:
    """Return the next `count` slots of all schedules, or of those named, with their schedules."""
    now = database_now(database)
    rows: QuerySet[Schedule] = Schedule.objects.using(database).filter(
        enabled=True, is_declared=True, next_run_at__isnull=False
    )
    if names := list(names):
        rows = rows.filter(name__in=names)
    # No other row can have one of the first `count` slots.
    first = list(rows.order_by("next_run_at")[:count])
    heap = [item for row in first if (item := _next_of(row, now))]
    heapq.heapify(heap)
    found: list[tuple[datetime, Schedule]] = []
    while heap and len(found) < count:
        slot, _, row = heapq.heappop(heap)
        found.append((slot, row))
        row.runs += 1  # of those that it may make; the row is not saved
        if item := _next_of(row, slot):
            heapq.heappush(heap, item)
    return found


def _next_of(row: Schedule, after: datetime) -> tuple[datetime, int, Schedule] | None:
    try:
        slots = edits.next_slots(row, 1, after=after)
    except InvalidSchedule:
        return None  # the list shows its error
    return (slots[0], row.pk, row) if slots else None


def _summary(row: Schedule, now: datetime, statuses: dict[UUID, str]) -> ScheduleSummary:
    return ScheduleSummary(
        name=row.name,
        task=row.task_path,
        when=_when(row),
        timezone=row.timezone,
        state=state_of(row, now),
        owner=row.owner,
        drift=sorted(drift_of(row)),
        next_run_at=row.next_run_at,
        last_run_at=row.last_run_at,
        last_task_id=str(row.last_task_id) if row.last_task_id else None,
        last_status=statuses.get(row.last_task_id) if row.last_task_id else None,
        runs=row.runs,
        paused_until=row.paused_until,
        error=row.error,
    )


def state_of(row: Schedule, now: datetime) -> str:
    """Return whether a schedule runs, in one word."""
    if not row.is_declared:
        return "withdrawn"
    if row.error:
        return "error"
    if not row.enabled:
        return "disabled"
    return "paused" if row.paused_until and row.paused_until > now else "enabled"


def _when(row: Schedule) -> str:
    try:
        return words(spec_of(row))
    except InvalidSchedule as error:
        return str(error)


def _statuses(database: str, ids: list[Any]) -> dict[UUID, str]:
    found: dict[UUID, str] = {}
    for start in range(0, len(ids), CHUNK):
        records = TaskRecord.objects.using(database).filter(pk__in=ids[start : start + CHUNK])
        found.update(records.values_list("pk", "status"))
    return found
