"""When the slots of a schedule's row fall: its spec, within what the row allows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from .specs import Spec

#: The databases' resolution: `moment - TICK` is the last moment before it.
TICK = timedelta(microseconds=1)


class Row(Protocol):
    """The columns of a `models.Schedule` that say which slots of its spec count."""

    @property
    def enabled(self) -> bool: ...
    @property
    def is_declared(self) -> bool: ...
    @property
    def max_runs(self) -> int | None: ...
    @property
    def runs(self) -> int: ...
    @property
    def start_at(self) -> datetime | None: ...
    @property
    def end_at(self) -> datetime | None: ...
    @property
    def paused_until(self) -> datetime | None: ...
    @property
    def last_slot_at(self) -> datetime | None: ...
    @property
    def next_run_at(self) -> datetime | None: ...
    @property
    def waiting_slot_at(self) -> datetime | None: ...


def next_slot(row: Row, spec: Spec, after: datetime) -> datetime | None:
    """Return the first slot after `after` that the row allows; None when there is none."""
    if not row.enabled or not row.is_declared:
        return None
    return planned_slot(row, spec, after, runs=row.runs)


def planned_slot(row: Row, spec: Spec, after: datetime, *, runs: int) -> datetime | None:
    """Return what next_slot() would if the row were enabled and had made `runs` tasks."""
    if row.max_runs is not None and runs >= row.max_runs:
        return None
    slot = spec.next_after(_floor(row, after))
    return slot if slot is None or row.end_at is None or slot <= row.end_at else None


def _floor(row: Row, after: datetime) -> datetime:
    """Return the moment after which slots count: all that was decided on lies before it."""
    moments = [after]
    if row.last_slot_at is not None:
        moments.append(row.last_slot_at)
    if row.start_at is not None:
        moments.append(row.start_at - TICK)
    if row.paused_until is not None:
        moments.append(row.paused_until)
    return max(moments)


def first_undecided(row: Row) -> datetime | None:
    """Return the slot that the beat has to decide on next."""
    return row.waiting_slot_at or row.next_run_at
