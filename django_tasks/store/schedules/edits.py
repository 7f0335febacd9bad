"""
Edit schedules, for people and code: save, pause, run now. What beats write is in `due`.

Every change locks the row first, so that a beat decides on the slot before it or after it. The
database's clock says what is past.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import is_aware
from django.utils.translation import gettext as _

from ...definitions.results import TaskResult
from ...dep14.private import raw_delete
from ...models import Schedule, ScheduleRun
from ...models.schedules import RunOutcome, ScheduleKind
from ...schedules import InvalidSchedule, MissingLibrary, spec_of
from ...schedules.planning import TICK, first_undecided, next_slot, planned_slot
from ...schedules.zones import zone_named
from ..databases import task_database
from ..dialects import DatabaseNow
from ..retrying import repeated
from ..tasks.enqueue import database_clock, result_of
from . import due, records
from .calls import ScheduledCall, call_of

#: Columns that say when slots fall. A change of another one does not move the next run.
TIMING = (
    "kind", "every", "anchor_at", "crontab", "day_match", "solar_event", "latitude", "longitude",
    "clocked_at", "timezone", "start_at", "end_at", "max_runs", "enabled", "paused_until",
    "is_declared",
)  # fmt: skip
#: Years that moments are in. Close to the ends of Python's calendar (1 and 9999) the offset of a
#: time zone leads out of it.
FIRST_YEAR, LAST_YEAR = 1900, 2999
DATETIMES = ("anchor_at", "clocked_at", "start_at", "end_at")
#: Columns that only beats and run_now() change.
BOOKKEEPING = (
    "last_slot_at", "last_run_at", "last_task_id", "earlier_task_ids", "runs", "created_at",
)  # fmt: skip
#: Unfinished tasks that a schedule remembers beside the last one, the newest. Only runs by hand
#: add to them.
MOST_IN_HAND = 100
_COLUMNS = frozenset(field.attname for field in Schedule._meta.concrete_fields)


def save(
    row: Schedule, *, using: str, is_new: bool = False, only: Iterable[str] | None = None
) -> None:
    """
    Check `row` and store it, new or changed; its next run follows from what changed.

    A slot that was due and not decided on yet becomes the first slot of the new timing from that
    moment on: the old slot or the new one is enqueued, not both, not none. A row that is new, was
    disabled or was paused has no slots of the past. `only`: columns to store; None: all. Raise
    ValidationError with the columns' names, Schedule.DoesNotExist for a row that was deleted
    meanwhile.
    """
    names = None if only is None else frozenset(only)
    if names and (unknown := names - _COLUMNS):
        raise ValueError(f"Schedules have no columns {', '.join(sorted(unknown))}.")
    if names is None or names:
        repeated(using, partial(_store, row, is_new or row.pk is None, using, names))


def _store(row: Schedule, is_new: bool, using: str, only: frozenset[str] | None) -> None:
    with transaction.atomic(using=using):
        stored = None if is_new else _rows(using).get(pk=row.pk)
        if stored is not None:
            _take_over(row, stored, only)
        _check(row, using)
        now = database_clock(using)
        if row.kind == ScheduleKind.INTERVAL and row.anchor_at is None:
            row.anchor_at = _anchor(stored, now)
        row.error = ""
        try:
            _plan(row, stored, now)
        except InvalidSchedule as error:
            raise ValidationError({error.field: str(error)}) from None
        _write(row, is_new, using)


def plan_loaded(row: Schedule, *, using: str) -> None:
    """
    Plan a row that a fixture is about to store, as if somebody saved it now.

    A new one has no slots of the past, whenever the fixture was made; one that replaces a stored
    schedule leaves what beats wrote of it. A row whose columns say no time is loaded disabled,
    with its error.
    """
    with transaction.atomic(using=using):
        same = Q(name=row.name) if row.pk is None else Q(pk=row.pk)
        stored = _rows(using).filter(same).first()
        if stored is not None:
            _take_over(row, stored, None)
        now = database_clock(using)
    row.created_at, row.changed_at = row.created_at or now, row.changed_at or now
    if row.kind == ScheduleKind.INTERVAL and row.anchor_at is None:
        row.anchor_at = _anchor(stored, now)
    _plan_or_disable(row, stored, now)


def _write(row: Schedule, is_new: bool, using: str) -> None:
    try:
        with transaction.atomic(using=using):
            # Not save(), which is what leads here.
            row.save_base(using=using, force_insert=is_new, force_update=not is_new)
    except IntegrityError:
        _check_name(row, using)  # somebody else took it since it was checked
        raise


def _take_over(row: Schedule, stored: Schedule, only: frozenset[str] | None) -> None:
    """Take from the stored row what beats write, and what the caller does not want to change."""
    kept = set(BOOKKEEPING) if only is None else _COLUMNS - only | set(BOOKKEEPING)
    for name in kept:
        setattr(row, name, getattr(stored, name))


def set_enabled(ids: Iterable[int], enabled: bool, *, using: str) -> int:
    """
    Enable or disable schedules; return how many changed.

    Enabling fires no slot of the past. A row whose columns say no time stays disabled, with its
    error.
    """

    def change(row: Schedule) -> bool:
        is_change = row.enabled != enabled
        row.enabled, row.error = enabled, ""
        return is_change

    return _change_each(ids, change, using)


def pause(ids: Iterable[int], until: datetime | None, *, using: str) -> int:
    """
    Pause schedules until then, or resume them (None); return how many changed.

    Raise ValidationError for a moment that has passed by the database's clock, or without a zone.
    """
    if until is not None:
        _check_pause(until, using)

    def change(row: Schedule) -> bool:
        is_change = row.paused_until != until
        row.paused_until = until
        return is_change

    return _change_each(ids, change, using)


def _check_pause(until: datetime, using: str) -> None:
    if not is_aware(until) or not FIRST_YEAR <= until.year <= LAST_YEAR:
        raise ValidationError({"paused_until": _("A moment with a time zone, please.")})
    if until <= database_clock(using):
        raise ValidationError({"paused_until": _("This moment has passed.")})


def delete(ids: Iterable[int], *, using: str) -> int:
    """Delete schedules with their runs, not their tasks; return how many there were."""

    def delete_all() -> int:
        with transaction.atomic(using=using):
            # Locked first: a beat must not write a run between the runs' end and the row's.
            found = list(
                _rows(using).filter(pk__in=ids).order_by("pk").values_list("pk", flat=True)
            )
            raw_delete(ScheduleRun.objects.using(using).filter(schedule_id__in=found), using)
            raw_delete(Schedule.objects.using(using).filter(pk__in=found), using)
            return len(found)

    ids = list(ids)
    return repeated(using, delete_all)


def run_now(schedule_id: int, *, using: str) -> TaskResult[Any]:
    """
    Enqueue a schedule's task once, now, whether or not it is enabled; slots stay as they are.

    For the overlap policy it counts as the task of a slot does, beside those that are unfinished.
    Raise ValidationError when its task or arguments are wrong, Schedule.DoesNotExist.
    """
    call, result = repeated(using, partial(_run_now, schedule_id, using))
    call.backend.tell([result])
    return result


def _run_now(schedule_id: int, using: str) -> tuple[ScheduledCall, TaskResult[Any]]:
    with transaction.atomic(using=using):
        row = _rows(using).get(pk=schedule_id)
        call = call_of(row, using)
        now = database_clock(using)
        record = records.record_of(call, now)
        record.save(using=using, force_insert=True)
        _note_manual_run(row, record.pk, now, using)
        _rows(using).filter(pk=row.pk).update(
            last_run_at=now, last_task_id=record.pk, earlier_task_ids=_still_in_hand(row, using)
        )
        records.hand_out(using, [(call, record)])
        return call, result_of(record, [])


def _still_in_hand(row: Schedule, using: str) -> str | None:
    """Return what `earlier_task_ids` is once there is another task: overlap policies see all."""
    earlier = row.tasks_in_hand
    unfinished = due.unfinished(using, earlier)
    kept = [str(task_id) for task_id in earlier if task_id in unfinished]
    return json.dumps(kept[-MOST_IN_HAND:]) if kept else None


def _note_manual_run(row: Schedule, task_id: Any, now: datetime, using: str) -> None:
    """Write its run; the odd microsecond keeps it away from slots, and from a run before it."""
    slot_at = now.replace(microsecond=now.microsecond // 1000 * 1000) + TICK
    while True:
        try:
            with transaction.atomic(using=using):
                ScheduleRun.objects.using(using).create(
                    schedule=row, slot_at=slot_at, outcome=RunOutcome.MANUAL, task_id=task_id,
                    created_at=now,
                )  # fmt: skip
        except IntegrityError:
            slot_at += TICK
        else:
            return


def next_slots(row: Schedule, count: int, *, after: datetime | None = None) -> list[datetime]:
    """
    Return the next slots, at most `count`, after `after` (None: now, by the database's clock).

    Pause, start, end and the number of runs left are obeyed; `enabled` is not. The row need not be
    saved. Raise InvalidSchedule, or ValidationError for a moment that no schedule can have.
    """
    _check_years(row)
    moment = after or database_clock(row._state.db or task_database())
    if row.kind == ScheduleKind.INTERVAL and row.anchor_at is None:
        row = _copy(row, anchor_at=_anchor(None, moment))
    spec, found = spec_of(row), []
    for made in range(count):
        slot = planned_slot(row, spec, moment, runs=row.runs + made)
        if slot is None:
            break
        found.append(slot)
        moment = slot
    return found


def check_call(row: Schedule, *, using: str | None = None) -> None:
    """
    Check that the row's task exists and can be called with its arguments and options.

    `using`: the database of the schedule; None: the row's own, else the default backend's. Raise
    ValidationError with the columns' names.
    """
    call_of(row, using or row._state.db or task_database())


def _check(row: Schedule, using: str) -> None:
    """Raise ValidationError with all that is wrong with the row, by column."""
    errors: dict[str, Any] = {}
    checks: tuple[Callable[[], object], ...] = (
        row.clean_fields,
        partial(_check_numbers, row),
        partial(_check_years, row),
        partial(_check_name, row, using),
        partial(call_of, row, using),
    )
    for check in checks:
        try:
            check()
        except ValidationError as error:
            errors = error.update_error_dict(errors)
    try:
        spec_of(row if row.anchor_at else _copy(row, anchor_at=datetime(2000, 1, 1, tzinfo=UTC)))
        zone_named(row.timezone)  # times are shown in it, also those of kinds that need none
    except InvalidSchedule as error:
        errors.setdefault(error.field, [str(error)])
    if errors:
        raise ValidationError(errors)


def _check_numbers(row: Schedule) -> None:
    errors = {}
    if not 0 <= row.jitter < math.inf:
        errors["jitter"] = _("A number of seconds from 0 on.")
    for name in ("expires", "catch_up_deadline"):
        if (value := getattr(row, name)) is not None and not 0 < value < math.inf:
            errors[name] = _("A number of seconds above 0.")
    for name in ("max_runs", "catch_up_limit"):
        if getattr(row, name) == 0:
            errors[name] = _("Give more than 0, or nothing for no limit.")
    if row.start_at and row.end_at and row.end_at < row.start_at:
        errors["end_at"] = _("It ends before it starts.")
    if errors:
        raise ValidationError(errors)


def _check_years(row: Schedule) -> None:
    datetimes = {name: getattr(row, name) for name in DATETIMES}
    errors = {
        name: _("The year must be one from %(first)s to %(last)s.")
        % {"first": FIRST_YEAR, "last": LAST_YEAR}
        for name, moment in datetimes.items()
        if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR
    }
    if errors:
        raise ValidationError(errors)


def _check_name(row: Schedule, using: str) -> None:
    others = Schedule.objects.using(using).filter(name=row.name).exclude(pk=row.pk)
    if others.exists():
        raise ValidationError({"name": _("There is a schedule of this name.")})


def _anchor(stored: Schedule | None, now: datetime) -> datetime:
    """Return what intervals are counted from: what they were, else the whole second."""
    if stored is not None and stored.anchor_at is not None:
        return stored.anchor_at
    return now.replace(microsecond=0)


def _plan(row: Schedule, stored: Schedule | None, now: datetime) -> None:
    """Set when a beat looks at the row: at once at a slot that waits. Raise InvalidSchedule."""
    spec = spec_of(row)
    row.waiting_slot_at = None
    undecided = None if stored is None else first_undecided(stored)
    if stored is not None and all(getattr(row, n) == getattr(stored, n) for n in TIMING):
        row.next_run_at = undecided
    elif undecided is not None and undecided <= now:
        row.next_run_at = next_slot(row, spec, undecided - TICK)
    else:
        row.next_run_at = next_slot(row, spec, now)


def _change_each(ids: Iterable[int], change: Callable[[Schedule], bool], using: str) -> int:
    ids = sorted(ids)
    return sum(repeated(using, partial(_change_one, pk, change, using)) for pk in ids)


def _change_one(pk: int, change: Callable[[Schedule], bool], using: str) -> bool:
    with transaction.atomic(using=using):
        row = _rows(using).filter(pk=pk).first()
        if row is None:
            return False
        stored, now = _copy(row), database_clock(using)
        if not change(row):
            return False
        is_changed = _plan_or_disable(row, stored, now)
        _rows(using).filter(pk=pk).update(
            **{name: getattr(row, name) for name in _CHANGED}, changed_at=DatabaseNow()
        )
        return is_changed


def _plan_or_disable(row: Schedule, stored: Schedule | None, now: datetime) -> bool:
    """Plan a row whose columns may say no time; return False if that disables it."""
    try:
        _plan(row, stored, now)
    except MissingLibrary:  # a beat that has it plans from there
        row.next_run_at = (stored and first_undecided(stored)) or now
    except InvalidSchedule as error:
        is_changed = not row.enabled
        row.enabled, row.next_run_at, row.waiting_slot_at = False, None, None
        row.error = "" if is_changed else f"{error.field}: {error}"
        return is_changed
    return True


_CHANGED = ("enabled", "paused_until", "error", "next_run_at", "waiting_slot_at")


def _rows(using: str) -> QuerySet[Schedule]:
    """Return the schedules; what is read of them is locked until the transaction ends."""
    rows = Schedule.objects.using(using)
    return rows.select_for_update() if connections[using].features.has_select_for_update else rows


def _copy(row: Schedule, **changes: Any) -> Schedule:
    return Schedule(**{name: getattr(row, name) for name in _COLUMNS} | changes)
