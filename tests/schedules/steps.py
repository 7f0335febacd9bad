"""The steps that tests of schedules are made of."""

from datetime import timedelta
from itertools import count

from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.store.schedules import edits
from django_tasks.store.tasks.enqueue import database_clock

DATABASE = "default"
_numbers = count(1)


def new(**columns):
    """Return a schedule of every minute that is not saved yet."""
    values = {
        "name": f"schedule {next(_numbers)}",
        "task_path": "tests.tasks.add",
        "args": "[1, 2]",
        "kind": "INTERVAL",
        "every": 60.0,
    }
    return Schedule(**values | columns)


def saved(**columns):
    """Save a schedule as people do, and return it."""
    row = new(**columns)
    edits.save(row, using=DATABASE)
    return row


def now():
    return database_clock(DATABASE)


def ago(**delta):
    """Return the whole second that was `delta` ago by the database's clock."""
    return now().replace(microsecond=0) - timedelta(**delta)


def overdue(**columns):
    """
    Save a schedule whose first slot passed `late` seconds ago (1 unless told), as if no beat ran.
    """
    late = columns.pop("late", 1)
    slot = ago(seconds=late)
    row = saved(**{"anchor_at": slot} | columns)
    Schedule.objects.filter(pk=row.pk).update(next_run_at=slot)
    row.refresh_from_db()
    return row


def outcomes(row):
    """Return (outcome, slots left out with it) of each run, the oldest first."""
    runs = ScheduleRun.objects.filter(schedule=row).order_by("slot_at")
    return list(runs.values_list("outcome", "left_out"))


def slots_of(row, outcome="ENQUEUED"):
    runs = ScheduleRun.objects.filter(schedule=row, outcome=outcome).order_by("slot_at")
    return list(runs.values_list("slot_at", flat=True))


def tasks():
    return TaskRecord.objects.order_by("pk")
